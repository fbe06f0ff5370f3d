//! Whose KV blocks are: what requests hold adds up to the simulator's own count of used blocks.

use metron_sim::explain::{HeldBlocks, HeldFor, Index};
use metron_sim::ids::{IterationNo, LaneId};
use metron_sim::playground::answer;
use metron_sim::progress::Progress;
use metron_sim::runner::{
    RunInput, RunOptions, Simulator, prepare::draw, recording, run_experiment,
};
use metron_sim::scenario::{Document, Files, bundled};
use serde_json::{Value, json};

/// Instants looked at, of each lane.
const INSTANTS: usize = 150;

/// Blocks that drafts are looked ahead for are held by nobody in particular.
const DRAFTS: u64 = 40;

/// What several requests found in a cache is there once, and counted for each: so what they hold apart from that
/// is no more than what is used, and with it no less.
#[test]
fn what_requests_hold_adds_up_to_the_blocks_in_use() {
    let (mut seen, mut exact, mut kept, mut coming) = (0, 0, 0, 0);
    for scenario in bundled() {
        let document = Document::from_text("scenario.yaml", scenario.text, Files::none());
        let document = document.expect("bundled");
        // Those that read files of requests are not here.
        let Ok(resolved) = document.resolve(None) else { continue };
        let Ok(prepared) = draw(&document, resolved, 1) else { continue };
        if prepared.requests.count(&prepared.experiment).is_some_and(|count| count > 20_000) {
            continue;
        }
        let input = RunInput { experiment: &prepared.experiment, requests: &prepared.requests };
        let options = RunOptions { jobs: 2, keep_log: true, ..RunOptions::default() };
        let progress = Progress::new(prepared.experiment.schedulers.len());
        let outputs = run_experiment(input, options, &Simulator, &progress).expect("runs");
        for (output, scheduler) in outputs.iter().zip(&prepared.experiment.schedulers) {
            let index = Index::new(recording(&prepared.experiment, scheduler, &output.outcome));
            for (lane, log) in (0..).map(LaneId).zip(output.outcome.log.iter().flatten()) {
                for at in (0..log.len()).step_by((log.len() / INSTANTS).max(1)) {
                    let number = IterationNo(at as u32);
                    let held = index.held(lane, number..number.next()).remove(0);
                    let of = |count: fn(&HeldBlocks) -> u32| -> u64 {
                        held.iter().map(|one| u64::from(count(one))).sum()
                    };
                    let (all, found) = (of(|one| one.blocks), of(|one| one.found));
                    let used = u64::from(log.at(number).kv_used);
                    let drafts = if log.has_drafts() { DRAFTS } else { 0 };
                    let what = format!("{}, {}, {at}: {held:?}", scenario.name, scheduler.label);
                    assert!(all - found <= used, "{} of {used}: {what}", all - found);
                    assert!(used <= all + drafts, "{all} of {used}: {what}");
                    seen += 1;
                    exact += u32::from(used == all);
                    let why = |why| held.iter().filter(|one| one.held_for == why).count();
                    kept += why(HeldFor::Fetch);
                    coming += why(HeldFor::Arrival);
                }
            }
        }
    }
    assert!(seen > 5_000 && exact > 3_000, "{seen}, {exact}");
    assert!(kept > 100 && coming > 100, "{kept}, {coming}");
}

/// The page is told the same, as changes from step to step.
#[test]
fn steps_tell_whose_blocks_are() {
    let text = "seed: 3\nmodel: llama-3.1-8b\ngpu: h100-sxm\n\
        engine: {profile: vllm-0.6, prefix_caching: false, kv_blocks: 500}\nschedulers: [vllm-v0, sarathi]\n\
        workload: {requests: 60, arrivals: {poisson: {rate: 6}}, lengths: {prompt: {lognormal: \
        {mean: 1500, sigma: 0.6}}, output: {lognormal: {mean: 150, sigma: 0.5}}}}\n";
    let (mut lost, mut most) = (0, 0);
    for scheduler in 0..2 {
        let mut from = 0;
        loop {
            let question = json!({"op": "steps", "scenario": {"text": text}, "scheduler": scheduler,
                "from": from, "count": 300});
            let told: Value =
                serde_json::from_str(&answer(&question.to_string(), &Files::none())).expect("JSON");
            let steps = told["steps"].as_array().expect("steps");
            let mut held = std::collections::BTreeMap::new();
            for step in steps {
                for change in step["held"].as_array().into_iter().flatten() {
                    let of = |place: usize| change[place].as_u64().expect("a number");
                    assert_eq!((of(2), change[3].as_str()), (0, Some("seat")));
                    held.insert(of(0), of(1));
                }
                held.retain(|_, blocks| *blocks > 0);
                assert_eq!(json!(held.values().sum::<u64>()), step["kv_used"], "{step}");
                for preempted in step["preempted"].as_array().into_iter().flatten() {
                    assert!(!held.contains_key(&preempted.as_u64().expect("a number")), "{step}");
                    lost += 1;
                }
                most = most.max(held.len());
            }
            from += steps.len();
            if steps.is_empty() || from >= told["iterations"].as_u64().expect("a number") as usize {
                break;
            }
        }
    }
    assert!(lost > 5 && most > 5, "{lost}, {most}");
}

/// In a pipeline each lane has requests of its own, and the blocks in use are those of all of them.
#[test]
fn lanes_of_a_pipeline_share_their_blocks() {
    let text = "seed: 3\nmodel: llama-3.1-8b\ngpu: h100-sxm\nengine: {profile: vllm-0.6}\n\
        parallelism: {pipeline: 2}\nschedulers: [sarathi: {chunk_size: 512}]\n\
        workload: {requests: 60, arrivals: {poisson: {rate: 4}}, lengths: {prompt: {lognormal: \
        {mean: 1500, sigma: 0.6}}, output: {lognormal: {mean: 60, sigma: 0.6}}}}\n";
    for lane in 0..2 {
        let question = json!({"op": "steps", "scenario": {"text": text}, "scheduler": 0,
            "replica": lane, "from": 200, "count": 400});
        let told: Value =
            serde_json::from_str(&answer(&question.to_string(), &Files::none())).expect("JSON");
        let steps = told["steps"].as_array().expect("steps");
        assert_eq!(steps.len(), 400);
        let mut held = std::collections::BTreeMap::new();
        for step in steps {
            for change in step["held"].as_array().into_iter().flatten() {
                held.insert(change[0].as_u64(), change[1].as_u64().expect("a number"));
            }
            assert_eq!(json!(held.values().sum::<u64>()), step["kv_used"], "{lane}: {step}");
        }
        assert!(held.len() > 10);
    }
}
