//! SGLang's recorded turns once more, played by the policy in a replica as simulations have it: by
//! the reference path, which names every request, and by the fast one.

use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig};
use metron_sim::sim::{Replay, ReplayRequest, StepRecord};
use serde_json::{Value, json};

use crate::golden::folder_of;
use crate::golden_sglang::{Case, Request, Step, cases_in};
use crate::shared::say;

/// What a request of a replay has no place for.
fn beyond(case: &Case) -> Option<&'static str> {
    let requests = &case.recorded.requests;
    let eos = |request: &Request| request.ignore_eos;
    let some = requests.iter().any(eos) && !requests.iter().all(eos);
    some.then_some("some requests alone that ignore stop tokens")
}

fn config(case: &Case) -> SchedulerConfig {
    let given: Value = case.config.clone();
    let names = [
        "chunked_prefill_size",
        "max_prefill_tokens",
        "prefill_max_requests",
        "max_running_requests",
        "page_size",
        "schedule_policy",
        "enable_mixed_chunk",
        "schedule_conservativeness",
        "prefill_decode_interval",
        "prefill_decode_interval_min_bs",
        "enable_priority_scheduling",
        "disable_priority_preemption",
        "priority_scheduling_preemption_threshold",
        "retraction_policy",
        "disable_radix_cache",
    ];
    let mut set: Value = names.iter().map(|&name| (name.to_owned(), given[name].clone())).collect();
    set["ignore_eos"] = case.recorded.requests.iter().any(|request| request.ignore_eos).into();
    serde_json::from_value(json!({ "sglang": set }))
        .unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn requests(case: &Case) -> Vec<ReplayRequest> {
    let all = &case.recorded.requests;
    let request = |request: &Request| ReplayRequest {
        arrival_step: request.arrival_step,
        prompt_tokens: request.prompt,
        output_tokens: request.output,
        max_tokens: request.max_tokens.unwrap_or(request.output),
        // The larger number is the more urgent one there; who has none comes last.
        priority: request.priority.map_or(i32::MAX, |priority| -(priority as i32)),
        block_ids: request.prefix_group.map_or(Vec::new(), |group| {
            let known = request.prefix_len.unwrap_or(0).min(request.prompt);
            (0..u64::from(known)).map(|k| (group << 32) | k).collect()
        }),
        parent: request.parent.as_ref().map(|parent| {
            let place = all.iter().position(|request| request.id == *parent);
            (place.expect("a parent is there"), request.parent_tokens.unwrap_or(0))
        }),
        ..ReplayRequest::default()
    };
    all.iter().map(request).collect()
}

fn play(case: &Case, reference: bool) {
    let recorded = &case.recorded.config;
    let engine = EngineInfo {
        kv_block_tokens: 1,
        kv_blocks: recorded.kv_tokens,
        max_model_len: recorded.max_model_len,
        prefix_caching: true,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    };
    let config = config(case);
    assert!(config.problems(&engine).is_empty(), "{}", case.name);
    let replay = Replay::new(config.build(&engine), &engine, requests(case), reference);
    let replay = if recorded.overlap { replay.planned_ahead() } else { replay };
    let mut golden = case.recorded.steps.iter().peekable();
    for ours in replay {
        // Both jump over turns in which nobody is there, though not over the same ones.
        while golden.next_if(|step| step.step < ours.step && step.kind == "none").is_some() {}
        let Some(step) = golden.next_if(|step| step.step == ours.step) else {
            let empty = ours.scheduled.is_empty() && ours.decodes == 0;
            assert!(empty, "{}: no step {}", case.name, ours.step);
            continue;
        };
        compare(case, step, &ours, reference);
    }
    assert!(golden.all(|step| step.kind == "none"), "{}: ended early", case.name);
}

fn compare(case: &Case, golden: &Step, ours: &StepRecord, reference: bool) {
    let turn = golden.step;
    let same = |what: &str, ours: String, golden: String| {
        let path = if reference { "reference" } else { "fast" };
        let turn = format!("{}, turn {turn}, {path} path", case.name);
        assert_eq!(ours, golden, "{turn}: {what} (ours, SGLang's)");
    };
    let listed = |prefill: bool| prefill || reference;
    let entries: Vec<String> = ours
        .scheduled
        .iter()
        .filter(|entry| listed(entry.prefill))
        .map(|entry| {
            let id = &case.recorded.requests[entry.request.index()].id;
            let kind = if entry.prefill { "prefill" } else { "decode" };
            format!("{id} {kind} {} after {}", entry.tokens, entry.computed_before)
        })
        .collect();
    let recorded: Vec<String> = golden
        .scheduled
        .iter()
        .filter(|entry| listed(entry.kind == "prefill"))
        .map(|entry| {
            format!(
                "{} {} {} after {}",
                entry.id, entry.kind, entry.num_tokens, entry.computed_before
            )
        })
        .collect();
    same("scheduled", format!("{entries:?}"), format!("{recorded:?}"));
    let decodes = golden.scheduled.iter().filter(|entry| entry.kind == "decode").count();
    same("decodes", ours.decodes.to_string(), decodes.to_string());
    let mut preempted: Vec<&str> = ours
        .preempted
        .iter()
        .map(|request| case.recorded.requests[request.index()].id.as_str())
        .collect();
    let by_priority = golden.preempted_by_priority.iter();
    let mut gone: Vec<&str> = by_priority.chain(&golden.retracted).map(String::as_str).collect();
    preempted.sort_unstable();
    gone.sort_unstable();
    same("preempted", format!("{preempted:?}"), format!("{gone:?}"));
    let free = golden.free_tokens as u64 + golden.evictable_tokens;
    let page = u64::from(case.recorded.config.page_size);
    same("free pages", ours.free_blocks.to_string(), (free / page).to_string());
    same("waiting", ours.waiting.to_string(), golden.num_waiting.to_string());
    same("running", ours.running.to_string(), golden.num_running.to_string());
}

#[test]
fn golden_sglang_in_a_replica() {
    let Some(folder) = folder_of("sglang") else { return };
    let (mut cases, mut steps) = (0, 0);
    for path in cases_in(&folder) {
        let case = Case::read(&path);
        if let Some(why) = beyond(&case) {
            say(&format!("golden sglang in a replica: {} is left out: {why}", case.name));
            continue;
        }
        play(&case, true);
        play(&case, false);
        cases += 1;
        steps += case.recorded.steps.len();
    }
    assert!(cases > 0, "some cases need no more than a replay has");
    say(&format!(
        "golden sglang in a replica: {cases} cases, {steps} steps, all equal, both paths"
    ));
}
