//! Tiers behind KV blocks: times worked out by hand, what a session finds in memory without end, who shares
//! what, and when a load is not worth it. Steps of vLLM's own tier are replayed in `offload.rs`, and the
//! fast path stands beside the slow one in the swarm.

use metron_sim::explain::{Cause, Index};
use metron_sim::ids::RequestId;
use metron_sim::runner::recording;
use metron_sim::trace::KvLoad;

use crate::played::{experiment, ms, play};

/// Iterations of 10 ms, blocks of 16 tokens of 1 MB each.
fn fixed(blocks: u32, tiers: &str, load: &str, more: &str) -> String {
    format!(
        "engine:\n  profile: {{fixed: {{iteration: 10ms}}}}\n  kv_block_tokens: 16\n  kv_blocks: {blocks}\n  \
         max_model_len: 512\n  async_scheduling: false\n  prefix_caching: true\n  kv_tiers: [{tiers}]\n  \
         kv_load: {{bytes_per_token: 1MB{load}}}\nschedulers: [vllm-v1: {{max_num_batched_tokens: 512}}]\n{more}"
    )
}

/// The first and the last prompt are one of four blocks; what comes between takes all the blocks.
const AGAIN: &str = "workload:\n  trace: {file: tests/data/traces/again.jsonl, format: jsonl}\n";
const HOST: &str = "{capacity: 10GB, read_bandwidth: 1GB/s, latency: 1ms}";

#[test]
fn a_prompt_that_had_to_go_comes_back_by_the_time_of_its_bytes() {
    let text = fixed(13, HOST, "", AGAIN);
    let output = play(&text, false);
    let trace = &output.outcome.trace;
    let first: Vec<f64> = trace.requests.iter().map(|row| ms(row.first_token)).collect();
    // The last one loads 64 tokens of 1 MB at 1 GB/s after 1 ms, and computes its last token again.
    assert_eq!(first, [10.0, 1010.0, 2075.0]);
    let [KvLoad { request, begun, landed, context, tokens, from_below, bytes, .. }] =
        trace.kv_loads[..]
    else {
        panic!("one load: {:?}", trace.kv_loads);
    };
    assert_eq!((request, context, tokens, from_below), (RequestId(2), 0, 64, 0));
    assert_eq!(([begun, landed].map(ms), bytes), ([2000.0, 2065.0], 64_000_000));
    let of = output.result.kv_tiers.clone().unwrap();
    assert_eq!((of.loads, of.tokens, of.load_s.mean), (1, 64, Some(0.065)));
    // Every prompt was written: 4 and 12 blocks.
    assert_eq!((of.tiers[0].read_bytes, of.tiers[0].written_bytes), (64_000_000, 256_000_000));
    let experiment = experiment(&text);
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gap = index.gap(RequestId(2), 0).expect("it got a token");
    assert_eq!((gap.split[Cause::KvLoad], gap.split[Cause::Own]), (65_000_000, 10_000_000));
    assert_eq!(gap.split.total().as_nanos(), 75_000_000);
}

#[test]
fn without_a_tier_it_is_computed_again() {
    let with = fixed(13, HOST, "", AGAIN);
    let without: String =
        with.lines().filter(|line| !line.contains("kv_")).collect::<Vec<_>>().join("\n");
    let without =
        without.replace("max_model_len", "kv_block_tokens: 16\n  kv_blocks: 13\n  max_model_len");
    let output = play(&without, false);
    assert_eq!(ms(output.outcome.trace.requests[2].first_token), 2010.0);
    assert!(output.outcome.trace.kv_loads.is_empty() && output.result.kv_tiers.is_none());
}

/// A host's memory of twelve blocks holds the second prompt alone: the first comes back from below.
#[test]
fn what_the_host_has_no_room_for_comes_from_below() {
    let two = "{capacity: 192MB, read_bandwidth: 1GB/s}, \
               {name: ssd, capacity: 10GB, read_bandwidth: 500MB/s, latency: 2ms}";
    let output = play(&fixed(13, two, "", AGAIN), false);
    let trace = &output.outcome.trace;
    let [load] = trace.kv_loads[..] else { panic!("one load: {:?}", trace.kv_loads) };
    assert_eq!((load.tokens, load.from_below), (64, 64));
    // 2 ms and 128 ms up to the host, 64 ms to the GPU.
    assert_eq!([load.begun, load.landed].map(ms), [2000.0, 2194.0]);
    let tiers = output.result.kv_tiers.unwrap().tiers;
    let names: Vec<(&str, u64)> = tiers.iter().map(|t| (t.name.as_str(), t.read_bytes)).collect();
    assert_eq!(names, [("host", 64_000_000), ("ssd", 64_000_000)]);
}

#[test]
fn what_takes_longer_to_bring_is_computed_where_the_scenario_says_so() {
    // 64 tokens take 65 ms to bring and a step of 10 ms to compute.
    let output = play(&fixed(13, HOST, ", recompute: if-faster", AGAIN), false);
    assert!(output.outcome.trace.kv_loads.is_empty());
    assert_eq!(ms(output.outcome.trace.requests[2].first_token), 2010.0);
    let fast = "{capacity: 10GB, read_bandwidth: 100GB/s}";
    let output = play(&fixed(13, fast, ", recompute: if-faster", AGAIN), false);
    assert_eq!(output.outcome.trace.kv_loads.len(), 0, "a part of a step is a part of 10 ms");
    let output = play(&fixed(13, fast, ", min_tokens: 65", AGAIN), false);
    assert!(output.outcome.trace.kv_loads.is_empty(), "too few tokens");
}

/// Sessions that the GPU has no room for, with memory behind it that has: each turn finds all whole blocks of
/// the one before, as it would with memory without end.
#[test]
fn with_room_enough_behind_the_gpu_nothing_is_computed_twice() {
    let sessions = "workload:\n  sessions:\n    count: 12\n    arrivals: {poisson: {rate: 4}}\n    \
                    first_prompt: {fixed: 150}\n    turns: {fixed: 4}\n    new_tokens: {uniform: {min: 9, max: 40}}\n    \
                    output: {uniform: {min: 5, max: 30}}\n    gap: {fixed: 3s}\n";
    let tier = "{capacity: 100GB, read_bandwidth: 10GB/s}";
    let output = play(&fixed(60, tier, ", prompt_only: false", sessions), false);
    let of = output.result.sessions.unwrap();
    assert_eq!(of.missed_tokens.evicted, 0, "{of:?}");
    assert!(of.hit_tokens.tiers > of.prompt_tokens / 4, "{of:?}");
    let without = play(&fixed(60, "{capacity: 20MB, read_bandwidth: 10GB/s}", "", sessions), false);
    let less = without.result.sessions.unwrap();
    assert!(less.missed_tokens.evicted > less.prompt_tokens / 4, "{less:?}");
}

/// One prompt over and over, to two replicas in turn: each loads what the other stored where the store is
/// one, and computes it itself where it is not.
#[test]
fn replicas_find_in_a_shared_store_what_others_computed() {
    let twice = "replicas: 2\nrouter: round-robin\nworkload:\n  requests: 2\n  arrivals: {constant: {rate: 1}}\n  \
                 lengths: {prompt: {fixed: 100}, output: {fixed: 2}}\n  prefix_groups: {count: 1, tokens: 96, share: 1.0}\n";
    let tiers = |scope: &str| {
        format!(
            "{{capacity: 1GB, read_bandwidth: 1GB/s}}, \
             {{capacity: 10GB, read_bandwidth: 1GB/s, scope: {scope}}}"
        )
    };
    let from_below = |scope: &str| {
        let output = play(&fixed(60, &tiers(scope), "", twice), false);
        let loads = &output.outcome.trace.kv_loads;
        loads.iter().map(|load| load.from_below).sum::<u32>()
    };
    assert_eq!((from_below("cluster"), from_below("replica")), (96, 0));
}

/// Somebody decodes when a prompt's KV is to come: beside its load his tokens go on; where the step waits for it,
/// he waits as well, and the prompt has its token sooner than after the step that ran when its KV came.
#[test]
fn a_load_that_its_step_waits_for_holds_up_everyone_in_it() {
    let text = "workload:\n  trace: {file: tests/data/traces/again-beside.jsonl, format: jsonl}\n";
    let played = |overlap: &str| {
        let text = fixed(13, HOST, &format!(", overlap: {overlap}"), text);
        let output = play(&text, false);
        let experiment = experiment(&text);
        let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
        let gap = |request, token| {
            let gap = index.gap(RequestId(request), token).expect("it got a token");
            let causes = [Cause::StepInFlight, Cause::KvLoad, Cause::Own, Cause::BatchGrowth];
            causes.map(|cause| gap.split[cause] / 1_000_000)
        };
        let [load] = output.outcome.trace.kv_loads[..] else { panic!("one load") };
        assert_eq!((ms(load.begun), ms(load.landed)), (2000.0, 2065.0));
        let first = ms(output.outcome.trace.requests[3].first_token);
        // Its tenth token came at 2 s.
        (first, gap(3, 0), gap(2, 10))
    };
    assert_eq!(played("steps"), (2080.0, [10, 65, 10, 0], [0, 0, 10, 0]));
    assert_eq!(played("nothing"), (2075.0, [5, 65, 10, 0], [0, 65, 10, 0]));
}

/// Somebody comes while the third prompt's KV is on its way into blocks that he would need: no step runs that he could wait
/// for. 45 ms for the load, a step for the other's token, and his own.
#[test]
fn a_wait_while_nothing_runs_is_no_step_in_flight() {
    let text = "workload:\n  trace: {file: tests/data/traces/again-idle.jsonl, format: jsonl}\n";
    let text = fixed(13, HOST, "", text);
    let output = play(&text, false);
    let experiment = experiment(&text);
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gap = index.gap(RequestId(3), 0).expect("it got a token");
    let causes = [Cause::StepInFlight, Cause::KvLoad, Cause::NoKvBlocks, Cause::Own];
    assert_eq!(causes.map(|cause| gap.split[cause] / 1_000_000), [0, 45, 10, 10]);
    assert_eq!(gap.split.total().as_nanos(), 65_000_000);
}

/// Loads that begin together go over one after the other, in the order in which they were let in.
#[test]
fn a_way_has_one_copy_at_a_time() {
    let text = "workload:\n  trace: {file: tests/data/traces/again-twice.jsonl, format: jsonl}\n";
    let output = play(&fixed(25, HOST, "", text), false);
    let loads = &output.outcome.trace.kv_loads;
    let times: Vec<[f64; 2]> = loads.iter().map(|load| [load.begun, load.landed].map(ms)).collect();
    assert_eq!(times, [[2000.0, 2065.0], [2000.0, 2130.0]]);
}
