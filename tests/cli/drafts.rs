//! What drafts do to a server and to its readers.

use assert_cmd::Command;
use serde_json::Value;

fn metron(args: &[&str]) -> Vec<u8> {
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let output = command.current_dir(root).args(args).arg("-q").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {told}");
    output.stdout
}

fn run(sets: &[&str]) -> Value {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args = ["run", "scenarios/drafts.yaml", "--format", "json"].into_iter().chain(sets);
    let file: Value = serde_json::from_slice(&metron(&args.collect::<Vec<_>>())).unwrap();
    file["runs"][0].clone()
}

const NO_DRAFTS: &str = "engine.speculative=null";

/// Gaps of 0 between the tokens of a step, longer ones between steps, and readers who have tokens in
/// hand: what a deadline for each token asks is kept with drafts, and not without.
#[test]
fn tokens_that_come_together_help_readers() {
    let [with, without] = [&[][..], &[NO_DRAFTS]].map(run);
    let figure = |run: &Value, path: &str| run.pointer(path).and_then(Value::as_f64).expect("told");
    assert_eq!(figure(&with, "/tbt_s/p50"), 0.0);
    assert!(figure(&without, "/tbt_s/p50") > 0.007);
    let [fast, slow] = [&with, &without].map(|run| figure(run, "/tpot_s/p50"));
    assert!(0.4 * slow < fast && fast < 0.6 * slow, "{fast} and {slow}");
    // Steps with drafts are no shorter.
    assert!(figure(&with, "/tbt_s/p99") > figure(&without, "/tbt_s/p99"));
    assert_eq!([&with["slo"]["met"], &without["slo"]["met"]], [true, false]);
}

#[test]
fn what_drafts_cost_is_explained() {
    let args = ["explain", "scenarios/drafts.yaml", "--format", "json"];
    let file: Value = serde_json::from_slice(&metron(&args)).unwrap();
    let told = file["runs"][0]["misses"]["by_cause"]["draft_rejected"].as_u64();
    assert!(told > Some(0), "{}", file["runs"][0]["misses"]["by_cause"]);
}

/// The public shape: with EAGLE-3 on one H100 and Llama-3-8B a saturated server (vLLM 0.11) serves
/// fewer requests a second than without, 68 against 103, and one user is served faster. Ours lose less,
/// as `docs/speculative.md` says.
#[test]
fn eagle3_loses_at_saturation_and_gains_at_low_load() {
    let rate = |load: &str, speculative: &str| {
        let load = format!(
            "workload={{{load}, lengths: {{prompt: {{fixed: 250}}, output: {{fixed: 250}}}}}}"
        );
        let engine = format!("engine={{profile: vllm-0.19{speculative}}}");
        let sets = ["model=llama-3-8b", &engine, &load, "schedulers=[vllm-v1]", "slo=null"];
        run(&sets)["throughput"]["requests_per_s"].as_f64().expect("told")
    };
    let eagle3 = |tokens: u32, length: f64| {
        format!(
            ", speculative: {{method: eagle3, tokens: {tokens}, acceptance: {{length: {length}}}}}"
        )
    };
    let gain = |load: &str, speculative: &str| rate(load, speculative) / rate(load, "");
    let (three, five) = (eagle3(3, 2.25), eagle3(5, 2.48));
    let saturated = "requests: 2000, arrivals: all_at_once";
    let [three_saturated, five_saturated] = [&three, &five].map(|s| gain(saturated, s));
    assert!((0.85..0.93).contains(&three_saturated), "{three_saturated}");
    assert!((0.70..0.79).contains(&five_saturated), "{five_saturated}");
    let alone = gain("requests: 20, arrivals: {closed_loop: {users: 1}}", &three);
    assert!((1.85..2.05).contains(&alone), "{alone}");
}
