//! What is on where nobody says: as the scheduler's version and the profile's have it.

use metron_sim::scenario::{Document, Files, Resolved};
use serde_json::{Value, json};

fn resolved(schedulers: &str, engine: &str, gpu: &str) -> Resolved {
    let text = format!(
        "model: llama-3.1-8b\ngpu: {gpu}\nschedulers: [{schedulers}]\nengine: {engine}\n\
         workload: {{requests: 5, arrivals: all_at_once, lengths: {{table: chat}}}}\n"
    );
    let document = Document::from_text("mine.yaml", &text, Files::any("")).expect("YAML");
    document.resolve(None).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Whether the first scheduler caches and plans ahead, and what the resolved scenario has of both.
fn switches(schedulers: &str, engine: &str) -> ([bool; 2], [Value; 2]) {
    let Resolved { experiment, scenario, .. } = resolved(schedulers, engine, "h100-sxm");
    let config = &experiment.schedulers[0].config;
    let fleet = experiment.fleet();
    let on = [fleet[0].engine_info(config).prefix_caching, fleet[0].plans_ahead(config)];
    let printed = scenario.to_json()["engine"].clone();
    (on, [printed["prefix_caching"].clone(), printed["async_scheduling"].clone()])
}

#[test]
fn both_are_on_in_the_versions_that_have_them() {
    let all = [
        // The default profile is of a version that has both.
        ("vllm-v1", "{}", [true, true]),
        ("sglang", "{profile: sglang-0.5}", [true, true]),
        // The scheduler's version plans in time, and so does the profile's.
        ("{vllm-v1: {version: '0.10'}}", "{}", [true, false]),
        ("vllm-v1", "{profile: vllm-0.12}", [true, false]),
        // Before V1.
        ("vllm-v1", "{profile: vllm-0.6}", [false, false]),
        ("vllm-v0", "{}", [false, false]),
        ("sarathi", "{}", [false, false]),
        // A profile of no version leaves it to the scheduler.
        ("vllm-v1", "{profile: ideal}", [true, true]),
        ("vllm-v1", "{profile: {fixed: {iteration: 10ms}}}", [true, true]),
        ("{vllm-v1: {version: '0.10'}}", "{profile: ideal}", [true, false]),
        // What is said holds.
        ("vllm-v1", "{prefix_caching: false, async_scheduling: false}", [false, false]),
        ("{vllm-v1: {version: '0.10'}}", "{async_scheduling: true}", [true, true]),
        ("vllm-v1", "{profile: vllm-0.6, prefix_caching: true}", [true, false]),
    ];
    for (scheduler, engine, expected) in all {
        let (on, printed) = switches(scheduler, engine);
        assert_eq!(on, expected, "{scheduler} {engine}");
        assert_eq!(printed, expected.map(Value::Bool), "{scheduler} {engine}: printed");
    }
}

/// No one value stands for schedulers that differ: none is printed, and each keeps its own. Those that
/// have none of it do not count.
#[test]
fn schedulers_that_differ_keep_their_own() {
    let (_, printed) = switches("vllm-v1, {vllm-v1: {version: '0.10'}}", "{}");
    assert_eq!(printed, [json!(true), Value::Null]);
    let (_, printed) = switches("sarathi, vllm-v1, vllm-v0", "{}");
    assert_eq!(printed, [json!(true), json!(true)]);
}

/// A default is no wish: policies without it are not warned of.
#[test]
fn nobody_is_warned_of_a_default() {
    let told = |engine: &str| {
        let Resolved { warnings, .. } = resolved("sarathi, vllm-v1", engine, "h100-sxm");
        warnings.iter().filter(|w| w.contains("prefix") || w.contains("async")).count()
    };
    assert_eq!(told("{}"), 0);
}

/// vLLM 0.28.0 gave the largest memories a tier of their own.
#[test]
fn the_token_budget_goes_by_the_memory() {
    let budget = |scheduler: &str, gpu: &str| {
        let resolved = resolved(scheduler, "{}", gpu).experiment;
        resolved.schedulers[0].config.parameters()["max_num_batched_tokens"].clone()
    };
    let older = "{vllm-v1: {version: '0.10'}}";
    for (scheduler, gpu, tokens) in [
        ("vllm-v1", "l40s", 2048),
        ("vllm-v1", "a100-sxm-80gb", 2048),
        ("vllm-v1", "h200-sxm", 8192),
        ("vllm-v1", "b200-sxm", 16_384),
        ("vllm-v1", "mi300x", 16_384),
        (older, "b200-sxm", 8192),
        (older, "l40s", 2048),
    ] {
        assert_eq!(budget(scheduler, gpu), tokens, "{scheduler} on {gpu}");
    }
}
