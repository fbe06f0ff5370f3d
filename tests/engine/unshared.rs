//! Prefix caching where no request begins like another: blocks are counted until somebody is preempted,
//! and the run is the same as with every block named.

use metron_sim::runner::{PlayOptions, Prepared, Simulate, Simulator, SlowPath, prepare};
use metron_sim::scenario::{Document, Files};
use metron_sim::sim::Outcome;

/// A load whose figures follow from a number.
fn load(number: u32) -> Prepared {
    let blocks = [160, 220, 400, 900, 4000][(number % 5) as usize];
    let scheduler = [
        "vllm-v1: {max_num_batched_tokens: 256}",
        "vllm-v1: {max_num_seqs: 12, watermark: 0.05}",
        "vllm-v1: {version: '0.10', max_num_batched_tokens: 512}",
        "vllm-v1: {scheduler_reserve_full_isl: false, long_prefill_token_threshold: 64}",
        "sglang: {chunked_prefill_size: 256}",
        "sglang: {schedule_policy: lpm, max_running_requests: 12}",
    ][(number / 5 % 6) as usize];
    let ahead = (number / 30).is_multiple_of(2);
    let (replicas, pipeline) = [(1, 1), (2, 1), (1, 2)][(number / 60 % 3) as usize];
    let workload = match number % 7 {
        0 => {
            "{requests: 60, arrivals: {closed_loop: {users: 14, think_time: 200ms}}, lengths: \
              {prompt: {lognormal: {mean: 300, sigma: 0.8}}, output: {lognormal: {mean: 120, sigma: 0.8}}}}"
        }
        1 => {
            "{requests: 60, arrivals: {all_at_once: {}}, lengths: \
              {prompt: {lognormal: {mean: 300, sigma: 0.8}}, output: {lognormal: {mean: 120, sigma: 0.8}}}}"
        }
        _ => {
            "{requests: 80, arrivals: {poisson: {rate: 9}}, lengths: \
              {prompt: {lognormal: {mean: 300, sigma: 0.8}}, output: {lognormal: {mean: 120, sigma: 0.8}}}}"
        }
    };
    // Its queue is not shared out to lanes.
    let pipeline = if scheduler.starts_with("sglang") { 1 } else { pipeline };
    let text = format!(
        "engine: {{profile: {{fixed: {{iteration: 10ms}}}}, kv_blocks: {blocks}, max_model_len: 2048, \
         async_scheduling: {ahead}}}\nreplicas: {replicas}\nparallelism: {{pipeline: {pipeline}}}\n\
         schedulers: [{{{scheduler}}}]\nworkload: {workload}\n"
    );
    let document = Document::from_text("by hand", &text, Files::none()).expect("YAML");
    prepare(&document, Some(u64::from(number)), 1).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn played(prepared: &Prepared, by: &dyn Simulate) -> Outcome {
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    let (experiment, requests) = (&prepared.experiment, &prepared.requests);
    let outcome = by.simulate(experiment, &experiment.schedulers[0], requests, options);
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn counted_blocks_are_as_good_as_named_ones() {
    let (mut preempted, mut found, mut undisturbed) = (0, 0, 0);
    for number in 0..240 {
        let prepared = load(number);
        let fast = played(&prepared, &Simulator);
        let slow = played(&prepared, &SlowPath(&Simulator));
        assert!(fast == slow, "load {number}: {:?} and {:?}", fast.kv, slow.kv);
        preempted += u32::from(fast.kv.preemptions > 0);
        found += u32::from(fast.kv.prefix_hit_tokens > 0);
        undisturbed += u32::from(fast.kv.preemptions == 0);
    }
    assert!(preempted > 30 && found > 20 && undisturbed > 30, "{preempted} {found} {undisturbed}");
}
