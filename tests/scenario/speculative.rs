//! `engine.speculative`: what a scenario's words become.

use metron_sim::scenario::{Document, Files, Resolved};
use metron_sim::speculative::Method;

const BASE: &str = "
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.19}
schedulers: [vllm-v1]
workload:
  requests: 10
  arrivals: {poisson: {rate: 1.0}}
  lengths: {prompt: {fixed: 100}, output: {fixed: 10}}
  classes: [{name: chat, share: 1}, {name: code, share: 1}]
";

fn document(sets: &[&str]) -> Document {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let document = Document::from_text("s.yaml", BASE, Files::none());
    document.and_then(|document| document.with(&sets)).unwrap()
}

fn resolved(sets: &[&str]) -> Resolved {
    document(sets).resolve(None).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

#[test]
fn every_key_arrives_and_the_resolved_scenario_gives_the_same() {
    let one = resolved(&[
        "engine.speculative={method: eagle, tokens: 4, num_speculative_tokens_per_batch_size: {\"1-16\": 4, \
         \"32-64\": 2, \"128-4096\": 0}, acceptance: {by_class: {chat: {rate: 0.5}, code: {length: 3.5}}}}",
    ]);
    let found = one.experiment.engine.speculative.clone().unwrap();
    assert_eq!((found.rules.method, found.rules.tokens), (Method::Eagle, 4));
    let at = [1, 17, 32, 127, 128].map(|running| found.rules.k_at(running));
    assert_eq!(at, [4, 4, 2, 2, 0]);
    let info = one.experiment.engine_info(&one.experiment.schedulers[0].config);
    assert_eq!(info.speculative, Some(found.rules));
    let told = one.scenario.to_json();
    assert_eq!(told["engine"]["speculative"]["num_speculative_tokens"], 4);
    let again = Document::from_text("r.json", &told.to_string(), Files::none()).unwrap();
    let again = again.resolve(None).unwrap_or_else(|error| panic!("{}", error.render(false)));
    // What was left to the scheduler's version is written out.
    let metron_sim::scenario::EngineLimits { prefix_caching, async_scheduling, .. } =
        again.experiment.engine;
    assert_eq!((prefix_caching, async_scheduling), (Some(true), Some(true)));
    let written = metron_sim::scenario::EngineLimits {
        prefix_caching,
        async_scheduling,
        ..one.experiment.engine.clone()
    };
    assert_eq!(again.experiment.engine, written);
    // Pricing and memory know the drafter.
    assert!(one.experiment.hardware.pricing.as_ref().unwrap().drafter.is_some());
    let plain = resolved(&[]).experiment.engine;
    assert!(plain.speculative.is_none());
    assert!(one.experiment.engine.kv_blocks < plain.kv_blocks);
}

#[test]
fn what_is_published_is_taken_by_method_and_model() {
    let of = |set: &str| {
        let told = resolved(&[set]).scenario.to_json();
        told["engine"]["speculative"]["acceptance"].clone()
    };
    let eagle = of("engine.speculative={method: eagle, tokens: 3}");
    assert_eq!(eagle["preset"], "llama-3.1-8b-eagle-sharegpt");
    let ngram = of("engine.speculative={method: ngram, tokens: 3}");
    assert_eq!(ngram["preset"], "llama-3.1-8b-ngram-sharegpt");
    let error = document(&["engine.speculative={method: suffix, tokens: 3}"]).resolve(None);
    let report = &error.err().unwrap().reports()[0];
    assert!(report.message.contains("none is published of suffix on llama-3.1-8b"), "{report:?}");
    assert!(report.help.as_ref().unwrap().contains("{rate: 0.7}"), "{report:?}");
}

#[test]
fn engines_whose_host_drafts_do_not_plan_ahead() {
    let ahead = |sets: &[&str]| {
        let one = resolved(sets).experiment;
        one.engine.async_scheduling(&one.schedulers[0].config)
    };
    let [ngram, suffix, eagle] = [
        "engine.speculative={method: ngram, tokens: 3}",
        "engine.speculative={method: suffix, tokens: 3, acceptance: {length: 2}}",
        "engine.speculative={method: eagle, tokens: 3}",
    ];
    let vllm = |drafts| ahead(&["engine.profile=vllm-0.19", drafts]);
    assert_eq!([ngram, suffix, eagle].map(vllm), [false, false, true]);
    // A profile that says nothing of it leaves it to the scheduler's version, and a key decides.
    assert!(ahead(&["engine.profile=ideal", ngram]));
    assert!(ahead(&["engine.profile=vllm-0.19", ngram, "engine.async_scheduling=true"]));
}

#[test]
fn a_drafters_kv_moves_with_the_blocks() {
    let bytes = |sets: &[&str]| {
        let one = resolved(sets).experiment;
        let pricing = one.hardware.pricing.expect("a model on a GPU");
        pricing.kv_block_bytes(16).expect("it can be spread so")
    };
    let small = "engine.speculative={method: draft_model, draft_model: llama-3.2-1b, tokens: 3, acceptance: {length: 2}}";
    assert_eq!(bytes(&[]), 16 * 131_072);
    // 16 layers of 8 KV heads of 64 numbers in 2 bytes, K and V.
    assert_eq!(bytes(&[small]), 16 * (131_072 + 16 * 8 * 64 * 2 * 2));
    let ngram = "engine.speculative={method: ngram, tokens: 3}";
    assert_eq!(bytes(&[ngram]), bytes(&[]));
}

#[test]
fn a_pool_may_draft_and_another_not() {
    let one = resolved(&[
        "pools=[{name: a, replicas: 1, engine: {speculative: {method: ngram, tokens: 2}}}, {name: b, \
         replicas: 1}]",
    ]);
    let drafts: Vec<Option<u32>> = one
        .experiment
        .fleet()
        .iter()
        .map(|pool| {
            let info = pool.engine_info(&one.experiment.schedulers[0].config);
            info.speculative.map(|rules| rules.tokens)
        })
        .collect();
    assert_eq!(drafts, [Some(2), None]);
    let refused = document(&[
        "schedulers=[orca]",
        "pools=[{name: a, replicas: 1, engine: {speculative: {method: ngram, tokens: 2}}}]",
    ]);
    let error = refused.resolve(None).err().unwrap();
    let report = &error.reports()[0];
    assert_eq!(report.path, "pools.0.engine.speculative");
    assert!(report.message.contains("those that have: vllm-v1"), "{}", report.message);
}
