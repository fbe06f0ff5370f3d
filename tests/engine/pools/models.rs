//! Several models in one fleet: each class asks for one, and gets the figures of that one alone.

use metron_sim::ids::ClassId;
use metron_sim::runner::prepare;
use metron_sim::scenario::{Document, Files};

use crate::pools::support::*;

const TWO_MODELS: &str = "
seed: 3
pools:
  - {name: large, model: qwen3-32b, replicas: 2, gpu: h100-sxm}
  - {name: small, model: llama-3.2-3b, replicas: 1, gpu: l40s}
router: {class-to-pool: {chat: large, code: small}, within: least-requests}
engine: {profile: vllm-0.19}
schedulers: [vllm-v1]
workload:
  requests: 120
  arrivals: {poisson: {rate: 4}}
  lengths: {prompt: {lognormal: {mean: 700, sigma: 0.9}, max: 4000}, output: {geometric: {mean: 60}}}
  classes: [{name: chat, share: 0.6}, {name: code, share: 0.4}]
slo: {ttft: {prefill_curve_plus: 200ms}, tbt: 50ms}
";

fn times_of(set: &[&str], class: u16) -> Vec<Vec<f64>> {
    let output = played(TWO_MODELS, set);
    let rows = output.outcome.trace.requests.iter().enumerate();
    let own = rows.filter(|(_, row)| row.class == ClassId(class));
    own.map(|(request, _)| token_times_ms(&output, request)).collect()
}

/// Two models beside each other are two fleets: what one is does not touch who asks for the other.
#[test]
fn a_pool_s_model_is_nobody_else_s() {
    let other = ["pools.small.model=qwen2.5-7b"];
    assert_eq!(times_of(&[], 0), times_of(&other, 0));
    assert_ne!(times_of(&[], 1), times_of(&other, 1));
}

#[test]
fn a_pool_s_model_goes_before_the_scenario_s() {
    let named = [
        "model=qwen3-32b",
        "pools=[{name: large, replicas: 2, gpu: h100-sxm}, \
                  {name: small, model: llama-3.2-3b, replicas: 1, gpu: l40s}]",
    ];
    assert_eq!(times_of(&[], 0), times_of(&named, 0));
    assert_eq!(times_of(&[], 1), times_of(&named, 1));
}

/// A prompt's own time to first token is that of the model it asks for, not of the slowest in the fleet.
#[test]
fn the_prefill_curve_is_that_of_the_class_s_model() {
    let both = played(TWO_MODELS, &[]).judged_by;
    for (class, pool, model, gpu) in
        [(0, "large", "qwen3-32b", "h100-sxm"), (1, "small", "llama-3.2-3b", "l40s")]
    {
        let alone = played(
            TWO_MODELS,
            &[
                &format!("pools=[{{name: {pool}, model: {model}, replicas: 1, gpu: {gpu}}}]"),
                "router=round-robin",
            ],
        );
        let (own, of_both) =
            (alone.judged_by.deadlines_of(ClassId(0)), both.deadlines_of(ClassId(class)));
        for tokens in [16, 700, 2000] {
            assert_eq!(own.ttft(tokens), of_both.ttft(tokens), "{pool} {tokens}");
        }
    }
    assert!(both.deadlines_of(ClassId(0)).ttft(2000) != both.deadlines_of(ClassId(1)).ttft(2000));
}

/// Users see an endpoint for each model: its length is agreed on among its own pools.
#[test]
fn each_model_has_a_length_of_its_own() {
    let lengths = |set: &[&str]| -> Vec<u32> {
        let pools = resolved(TWO_MODELS, set).experiment.pools;
        pools.iter().map(|pool| pool.engine.max_model_len).collect()
    };
    let [large, small] = lengths(&[])[..] else { panic!("two pools") };
    let alone = "pools=[{name: large, model: qwen3-32b, replicas: 2, gpu: h100-sxm}]";
    assert_eq!(
        [large],
        lengths(&[alone, "router=round-robin"])[..],
        "as if nobody else were there"
    );
    assert!(small > large, "llama-3.2-3b's is longer: {small}");
    // Of two pools with one model the shorter one rules.
    let third = "pools=[{name: large, model: qwen3-32b, replicas: 2, gpu: h100-sxm}, \
                 {name: small, model: llama-3.2-3b, replicas: 1, gpu: l40s}, \
                 {name: spare, model: llama-3.2-3b, replicas: 1, gpu: l40s, engine: {kv_blocks: 500}}]";
    assert_eq!(lengths(&[third]), [large, 8_000, 8_000]);
}

#[test]
fn the_whole_fleet_s_cost_is_there() {
    let output = played(TWO_MODELS, &[]);
    let cost = output.result.cost.as_ref().expect("both GPUs have a price");
    let pools = output.result.pools.as_ref().expect("there are pools");
    assert_eq!((pools["large"].gpus, pools["small"].gpus), (2, 1));
    let of_both = resolved(TWO_MODELS, &[]).experiment.usd_per_hour().unwrap();
    let one = |set: &str| resolved(TWO_MODELS, &[set]).experiment.usd_per_hour().unwrap();
    let more = one("pools.large.replicas=3") - of_both;
    assert!(more > 0.0 && cost.usd > 0.0);
    assert!((of_both - 2.0 * more - (one("pools.small.replicas=2") - of_both)).abs() < 1e-9);
}

#[test]
fn a_resolved_scenario_keeps_its_models() {
    let first = resolved(TWO_MODELS, &[]);
    let json = first.scenario.to_json();
    assert_eq!(json["pools"][1]["model"], "llama-3.2-3b");
    assert_eq!(json["derived"]["pools"][0]["model"]["name"], "qwen3-32b");
    assert!(json["derived"]["model"].is_null(), "none stands for both");
    let again = resolved(&json.to_string(), &[]);
    assert!(
        play(&first.experiment, false).outcome.trace == play(&again.experiment, true).outcome.trace
    );
}

#[test]
fn a_request_must_ask_for_one_model() {
    for router in ["least-requests", "round-robin", "{vllm-dp: {}}"] {
        let told = refused(TWO_MODELS, &[&format!("router={router}")]);
        assert!(told.contains("different models") && told.contains("class-to-pool"), "{told}");
        assert!(told.contains("qwen3-32b") && told.contains("llama-3.2-3b"), "{told}");
    }
    let told = refused(TWO_MODELS, &["router={class-to-pool: {chat: large, code: [1, 2]}}"]);
    assert!(told.contains("router.class-to-pool.code") && told.contains("one model"), "{told}");
    let told = refused(TWO_MODELS, &["router={class-to-pool: {chat: large}}"]);
    assert!(told.contains("nothing says which of them `code`"), "{told}");
    let plain = "workload={requests: 9, arrivals: {poisson: {rate: 1}}, lengths: {table: chat}}";
    let told = refused(TWO_MODELS, &[plain, "router={class-to-pool: {chat: large}}"]);
    assert!(told.contains("no classes") && told.contains("workload.classes"), "{told}");
    let told = refused(&TWO_MODELS.replace("model: llama-3.2-3b, ", ""), &[]);
    assert!(told.contains("pools.1.model") && told.contains("`model` is missing"), "{told}");
    let told = refused(TWO_MODELS, &["pools.small.model=llama-3.2-3"]);
    assert!(told.contains("pools.1.model") && told.contains("did you mean"), "{told}");
}

/// Classes of a trace are known when it is read.
#[test]
fn a_class_of_a_trace_must_ask_for_one_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let rows = ["chat", "code", "essay"].map(|class| {
        format!("{{\"arrival_s\": 0, \"prompt_tokens\": 9, \"output_tokens\": 3, \"class\": \"{class}\"}}\n")
    });
    std::fs::write(folder.path().join("w.jsonl"), rows.concat()).unwrap();
    let files = Files::any(folder.path());
    let document = Document::from_text("s.yaml", TWO_MODELS, files).unwrap();
    let document = document.with(&["workload={trace: {file: w.jsonl}}".to_owned()]).unwrap();
    let error = prepare(&document, None, 1).err().expect("it is refused").to_string();
    assert!(error.contains("`essay` asks for"), "{error}");
}
