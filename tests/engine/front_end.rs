//! A front end before the engine: a client's first token is later, in the sum and in its causes.

use metron_sim::explain::{Cause, Index};
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator, recording};
use metron_sim::scenario::{Document, Experiment, Files};
use metron_sim::sim::Outcome;

const SCENARIO: &str = "\
engine: {profile: {step_law: {iteration_us: 4000, prefill_token_us: 20}}, kv_blocks: 4000, max_model_len: 4096}
schedulers: [vllm-v1: {max_num_seqs: 16}]
replicas: REPLICAS
workload:
  requests: 90
  arrivals: ARRIVALS
  lengths: {prompt: {uniform: {min: 10, max: 400}}, output: {uniform: {min: 1, max: 30}}}
";

fn play(replicas: u32, arrivals: &str, front_end: &str, reference: bool) -> (Experiment, Outcome) {
    let text = SCENARIO.replace("REPLICAS", &replicas.to_string()).replace("ARRIVALS", arrivals);
    let document = Document::from_text("front end", &text, Files::any("")).expect("YAML");
    let sets = [format!("engine.front_end={front_end}")];
    let document = document.with(&sets).expect("a scenario");
    let experiment = document.resolve(None).expect("it resolves").experiment;
    let (requests, _) = Requests::of(&experiment).expect("drawn");
    let options = PlayOptions { reference, keep_log: true, ..PlayOptions::default() };
    let outcome = Simulator.simulate(&experiment, &experiment.schedulers[0], &requests, options);
    (experiment.clone(), outcome.expect("it runs"))
}

const BURST: &str = "all_at_once";
const OPEN: &str = "{poisson: {rate: 40}}";
const USERS: &str = "{closed_loop: {users: 12, think_time: 100ms}}";

/// The way back to the client lies behind the engine: nobody waits longer for a batch because of it.
#[test]
fn the_way_back_is_no_wait_for_a_batch() {
    let delays = |front_end: &str| {
        let (_, outcome) = play(1, OPEN, front_end, false);
        let trace = &outcome.trace;
        let began = |row| trace.scheduled(row).expect("it was in a batch");
        let rows = trace.requests.iter();
        let delays: Vec<u64> =
            rows.clone().map(|row| began(row).since(row.arrival).as_nanos()).collect();
        let first: Vec<u64> =
            rows.map(|row| row.first_token.since(row.arrival).as_nanos()).collect();
        (delays, first)
    };
    let ((at_once, first), (later, first_later)) = (delays("{}"), delays("{after: 20ms}"));
    assert_eq!(at_once, later);
    assert_eq!(first.iter().map(|ns| ns + 20_000_000).collect::<Vec<u64>>(), first_later);
}

#[test]
fn its_time_is_part_of_the_first_gap_to_the_nanosecond() {
    for (replicas, arrivals) in [(1, BURST), (1, OPEN), (3, OPEN), (2, USERS)] {
        let front_end = "{before: 3ms, after: 1500us, request: 800us}";
        let (experiment, outcome) = play(replicas, arrivals, front_end, false);
        let index = Index::new(recording(&experiment, &experiment.schedulers[0], &outcome));
        assert_eq!(outcome.entered.len(), 90);
        let mut longest = 0;
        for request in index.requests() {
            let row = &outcome.trace.requests[request.index()];
            let first = &index.gaps(request)[0];
            let entered = outcome.entered[request.index()].since(row.arrival).as_nanos();
            assert_eq!(first.split.total(), row.first_token.since(row.arrival), "{request}");
            assert_eq!(first.split[Cause::FrontEnd], entered, "{request}");
            assert!(entered >= 4_500_000, "{entered}");
            longest = longest.max(entered);
        }
        if arrivals == BURST {
            // 90 requests, .8 ms each, the last behind 89 others.
            assert_eq!(longest, 4_500_000 + 89 * 800_000);
        }
    }
}

#[test]
fn both_paths_agree_and_no_time_is_no_front_end() {
    for (replicas, arrivals) in [(1, BURST), (3, OPEN), (2, USERS)] {
        let front_end = "{before: 3ms, after: 1ms, request: 700us}";
        let (_, fast) = play(replicas, arrivals, front_end, false);
        let (_, slow) = play(replicas, arrivals, front_end, true);
        assert_eq!(fast, slow, "{replicas} {arrivals}");
        let (_, none) = play(replicas, arrivals, "{}", false);
        assert!(none.entered.is_empty());
    }
}

/// Without a queue a front end shifts an open run's answers, and changes nothing else.
#[test]
fn a_constant_delay_shifts_every_token() {
    let (_, none) = play(1, OPEN, "{}", false);
    let (_, some) = play(1, OPEN, "{before: 3ms, after: 2ms}", false);
    for (a, b) in none.trace.requests.iter().zip(&some.trace.requests) {
        assert_eq!((a.arrival, a.tokens), (b.arrival, b.tokens));
        assert_eq!(b.first_token.since(a.first_token).as_nanos(), 5_000_000);
    }
}
