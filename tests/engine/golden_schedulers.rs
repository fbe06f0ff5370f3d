//! Every step of the golden files, replayed: what the real systems' own scheduler code did.
//!
//! `METRON_GOLDEN=<folder>` points at another folder of the same shape.

use std::collections::BTreeMap;

use crate::golden::{
    Case, Entry, GoldenStep, cases, cases_of, folder_of, recorded_runs, small_cases,
};
use crate::golden_sglang;
use crate::shared::say;
use metron_sim::scheduler::{Capability, Proof, Recorded, SchedulerConfig};
use metron_sim::sim::StepRecord;

/// The folders of golden cases by capability, each of which a test below replays.
const FOLDERS: [&str; 7] = ["async", "spec", "pipeline", "hybrid", "multiturn", "pd", "offload"];

#[test]
fn golden_schedulers_by_the_reference_path() {
    let Some(cases) = cases() else { return };
    let steps: usize = cases.iter().map(compare_every_entry).sum();
    report("schedulers (reference path)", cases.len(), steps);
}

#[test]
fn golden_schedulers_by_the_fast_path() {
    let Some(cases) = cases() else { return };
    let steps: usize = cases.iter().map(compare_iterations).sum();
    report("schedulers (fast path)", cases.len(), steps);
}

#[test]
fn golden_schedulers_in_the_checkout() {
    let cases = small_cases();
    assert!(cases.len() >= 5, "the compact cases are part of the checkout");
    let steps: usize =
        cases.iter().map(|case| compare_every_entry(case).min(compare_iterations(case))).sum();
    report("schedulers (compact)", cases.len(), steps);
}

/// Asynchronous scheduling: two batches out.
#[test]
fn golden_async() {
    replay_folder("async");
}

/// Drafts, in the synchronous engine.
#[test]
fn golden_spec() {
    replay_folder("spec");
}

/// Pipelines: as many batches out as stages, or one more.
#[test]
fn golden_pipeline() {
    replay_folder("pipeline");
}

/// The ends of disaggregated prefill and decode.
#[test]
fn golden_pd() {
    replay_folder("pd");
}

/// A tier of host memory behind the blocks.
#[test]
fn golden_offload() {
    replay_folder("offload");
}

/// Models with several groups of layers in one pool.
#[test]
fn golden_hybrid() {
    replay_folder("hybrid");
}

/// What the program, and the documentation, say is proven is what is replayed here: as many cases and steps
/// for each version and capability.
#[test]
fn the_counts_said_are_those_replayed() {
    type Key = (&'static str, String, Recorded, Capability);
    let mut found: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    let mut count = |name, version: String, recorded, capability, steps| {
        let key = (name, version, recorded, capability);
        let so_far = found.entry(key).or_default();
        *so_far = (so_far.0 + 1, so_far.1 + steps);
    };
    if std::env::var_os("METRON_GOLDEN").is_some() {
        say("SKIPPED: golden counts: METRON_GOLDEN points at other cases");
        return;
    }
    let Some(cases) = cases() else { return };
    let mut all: Vec<(&str, Case)> = cases.into_iter().map(|case| ("", case)).collect();
    for folder in FOLDERS {
        let Some(cases) = cases_of(folder) else { return };
        all.extend(cases.into_iter().map(|case| (folder, case)));
    }
    for (folder, case) in &all {
        let (name, version) = case.recorded_of();
        for capability in case.capabilities(folder) {
            count(name, version.clone(), Recorded::Code, capability, case.steps.len());
        }
    }
    for folder in ["golden", "golden-async", "golden-sessions"] {
        let Some(cases) = recorded_runs(folder) else { return };
        for case in &cases {
            let ahead = folder == "golden-async";
            let steps = match ahead {
                false => case.steps.len(),
                true => case.steps.iter().filter(|step| !step.entries().is_empty()).count(),
            };
            for capability in case.capabilities("") {
                let capability = match capability {
                    Capability::Synchronous if ahead => Capability::Asynchronous,
                    other => other,
                };
                count("vllm-v1", "0.32".to_owned(), Recorded::Server, capability, steps);
            }
        }
    }
    let Some(folder) = folder_of("sglang") else { return };
    for path in golden_sglang::cases_in(&folder) {
        let case = golden_sglang::Case::read(&path);
        let on = |name: &str| case.config[name] == true;
        let steps = case.recorded.steps.len();
        let capabilities = [
            (!on("overlap"), Capability::Synchronous),
            (on("overlap"), Capability::Asynchronous),
            (!on("disable_radix_cache"), Capability::PrefixCaching),
            (on("enable_priority_scheduling"), Capability::Priorities),
        ];
        for (_, capability) in capabilities.into_iter().filter(|(on, _)| *on) {
            count("sglang", "0.5.23".to_owned(), Recorded::Code, capability, steps);
        }
    }
    let replayed = |name: &str| found.keys().any(|key| key.0 == name);
    let proofs = |config: &SchedulerConfig| {
        let name = config.name();
        config.proofs().iter().map(move |proof| {
            let Proof { version, recorded, capability, cases, steps } = *proof;
            let key = (name, version.to_owned(), recorded, capability);
            (key, (cases as usize, steps as usize))
        })
    };
    let said: BTreeMap<Key, (usize, usize)> = SchedulerConfig::all()
        .filter(|config| replayed(config.name()))
        .flat_map(|config| proofs(&config).collect::<Vec<_>>())
        .collect();
    assert_eq!(said, found, "`PROOFS` of the policies (left) and what is replayed (right)");
    assert!(replayed("vllm-v1") && replayed("sarathi"));
}

/// Every entry of every step by the reference path, every iteration by the fast one.
fn replay_folder(name: &str) {
    let Some(cases) = cases_of(name) else { return };
    let (mut replayed, mut steps) = (0, 0);
    let only = std::env::var("METRON_CASE").ok();
    for case in &cases {
        if only.as_ref().is_some_and(|only| !case.name.contains(only)) {
            continue;
        }
        replayed += 1;
        steps += compare_every_entry(case).min(compare_iterations(case));
    }
    report(name, replayed, steps);
}

/// Follow-up turns, whose prompts begin with prompts and answers before them.
#[test]
fn golden_multiturn() {
    replay_folder("multiturn");
}

/// Runs of a real vLLM 0.32 server: what it decided, step by step.
#[test]
fn golden_server_runs() {
    let Some(cases) = recorded_runs("golden") else { return };
    let both = |case: &Case| compare_every_entry(case).min(compare_iterations(case));
    let steps = cases.iter().map(both).sum();
    report("server runs", cases.len(), steps);
}

#[test]
fn golden_server_runs_planned_ahead() {
    let Some(cases) = recorded_runs("golden-async") else { return };
    let both = |case: &Case| compare_plans(case, true).min(compare_plans(case, false));
    let steps = cases.iter().map(both).sum();
    report("server runs (planned ahead)", cases.len(), steps);
}

/// The same of conversations: ids of blocks of prompts and answers.
#[test]
fn golden_server_sessions() {
    let Some(cases) = recorded_runs("golden-sessions") else { return };
    let both = |case: &Case| compare_every_entry(case).min(compare_iterations(case));
    let steps = cases.iter().map(both).sum();
    report("server sessions", cases.len(), steps);
}

fn report(name: &str, cases: usize, steps: usize) {
    let line = format!("golden {name}: {cases} cases, {steps} steps, all equal");
    say(&line);
}

/// Who, in which order, how many tokens, computed before, emission, preemptions in order,
/// finishes, free blocks.
fn compare_every_entry(case: &Case) -> usize {
    let mut replay = case.replay(true);
    for golden in &case.steps {
        let ours = replay.next().unwrap_or_else(|| panic!("{}: ended early", case.name));
        let listed: Vec<_> = ours.scheduled.iter().map(|s| case.entry(s)).collect();
        same(case, golden, "scheduled", &listed, &golden.entries());
        same(case, golden, "preempted", &case.ids(&ours.preempted), &golden.preempted);
        same(case, golden, "finished", &case.ids(&ours.finished), &golden.finished);
        compare_counts(case, golden, &ours);
    }
    assert!(replay.next().is_none(), "{}: goes on after the last golden step", case.name);
    case.steps.len()
}

/// The same at the granularity of an iteration: decodes are counted, not listed.
fn compare_iterations(case: &Case) -> usize {
    let mut replay = case.replay(false);
    for golden in &case.steps {
        let ours = replay.next().unwrap_or_else(|| panic!("{}: ended early", case.name));
        // Where decodes are counted together nobody asks what became of a chunk.
        let without_fate = |entry: Entry| match ours.scheduled.iter().all(|s| s.became.is_none()) {
            true => Entry { emits: entry.emits.min(1), fate: None, ..entry },
            false => entry,
        };
        let chunks = ours.scheduled.iter().filter(|s| s.prefill).map(|s| case.entry(s));
        let golden_chunks = golden.entries().into_iter().filter(|e| e.kind == "prefill");
        let (chunks, golden_chunks) = (chunks.map(without_fate), golden_chunks.map(without_fate));
        let (chunks, golden_chunks): (Vec<_>, Vec<_>) = (chunks.collect(), golden_chunks.collect());
        same(case, golden, "chunks", &chunks, &golden_chunks);
        let decodes = golden.entries().iter().filter(|e| e.kind == "decode").count();
        same(case, golden, "decodes", &(ours.decodes as usize), &decodes);
        same(case, golden, "preempted", &case.ids(&ours.preempted), &golden.preempted);
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let finished = sorted(case.ids(&ours.finished));
        same(case, golden, "finished", &finished, &sorted(golden.finished.clone()));
        compare_counts(case, golden, &ours);
    }
    assert!(replay.next().is_none(), "{}: goes on after the last golden step", case.name);
    case.steps.len()
}

/// What a server's log says of its plans: who, how many tokens, preemptions in order, free blocks.
/// It has no turns that plan nothing, and ends with some that only read what has come.
fn compare_plans(case: &Case, reference: bool) -> usize {
    let mut replay = case.replay(reference).plans_alone();
    let mut steps = 0;
    for golden in case.steps.iter().filter(|step| !step.entries().is_empty()) {
        let ours = replay.next().unwrap_or_else(|| panic!("{}: ended early", case.name));
        same(case, golden, "step", &ours.step, &golden.step);
        let plan = |e: &Entry| (e.id.clone(), e.tokens, e.computed_before);
        let theirs = golden.entries();
        if reference {
            let listed: Vec<_> = ours.scheduled.iter().map(|s| plan(&case.entry(s))).collect();
            let theirs: Vec<_> = theirs.iter().map(plan).collect();
            same(case, golden, "scheduled", &listed, &theirs);
        } else {
            let decodes = theirs.iter().filter(|e| e.kind == "decode").count();
            same(case, golden, "decodes", &(ours.decodes as usize), &decodes);
        }
        same(case, golden, "preempted", &case.ids(&ours.preempted), &golden.preempted);
        let free = golden.free_blocks_after_schedule;
        same(case, golden, "free blocks", &ours.free_blocks, &free);
        steps += 1;
    }
    steps
}

fn compare_counts(case: &Case, golden: &GoldenStep, ours: &StepRecord) {
    same(case, golden, "step", &ours.step, &golden.step);
    let free = golden.free_blocks_after_schedule;
    same(case, golden, "free blocks", &ours.free_blocks, &free);
    // nano-vllm keeps a prompt that was cut at the head of its queue; here it runs.
    let cut = if case.is_nano() { ours.prefilling } else { 0 };
    same(case, golden, "waiting", &(ours.waiting + cut), &golden.num_waiting);
    same(case, golden, "running", &(ours.running - cut), &golden.num_running);
    if let Some([theirs, ours]) = case.transferred(golden, ours) {
        same(case, golden, "transfers", &ours, &theirs);
    }
    if case.overlaps() {
        same(case, golden, "processed", &ours.processed, &golden.processed);
    }
    same(case, golden, "ignored", &case.ids(&ours.dropped), &golden.ignored);
}

fn same<T: PartialEq + std::fmt::Debug>(
    case: &Case,
    golden: &GoldenStep,
    what: &str,
    ours: &T,
    theirs: &T,
) {
    assert!(
        ours == theirs,
        "{} step {}: {what}\n  ours   {ours:?}\n  golden {theirs:?}",
        case.name,
        golden.step
    );
}
