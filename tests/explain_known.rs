//! Small systems with one known cause each: what is diagnosed, with numbers worked out by hand.
//!
//! An iteration takes 5 ms, 1 ms for each decode and 10 µs for each prefill token.

use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::explain::{Attribution, Blame, Cause, Culprit, Misses, Recording, Split, culprits};
use metron_sim::metrics::{Deadlines, FirstToken, Options, per_request};
use metron_sim::request::{BlockIds, Request};
use metron_sim::scheduler::{EngineInfo, SchedulerConfig};
use metron_sim::sim::{Outcome, Routing, Setup, SimOptions, play};
use metron_sim::time::{Span, Time};
use metron_sim::workload::Workload;

struct Linear;

impl CostModel for Linear {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let tokens: u64 = shape.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum();
        let us = 5_000 + 1_000 * u64::from(shape.decodes) + 10 * tokens;
        IterationTime { gpu: Span::from_micros(us), host: Span::ZERO }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

fn request(arrival_us: u64, prompt_tokens: u32, output_tokens: u32) -> Request {
    Request {
        arrival: Time::ZERO + Span::from_micros(arrival_us),
        prompt_tokens,
        output_tokens,
        max_tokens: output_tokens,
        priority: 0,
        class: 0,
        blocks: BlockIds::default(),
    }
}

fn simulate(scheduler: &str, kv_blocks: u32, requests: Vec<Request>) -> Outcome {
    let engine = EngineInfo {
        kv_block_tokens: 16,
        kv_blocks,
        max_model_len: 8192,
        prefix_caching: false,
        large_gpu: false,
    };
    let config: SchedulerConfig = serde_json::from_str(scheduler).unwrap();
    let setup = Setup {
        cost: &Linear,
        engine,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling: false,
        horizon: None,
    };
    let workload = Workload { requests, classes: vec![String::new()], ..Workload::default() };
    let options = SimOptions { keep_log: true, ..SimOptions::default() };
    play(&setup, &|| config.build(&engine), &mut workload.arriving(), options).unwrap()
}

fn attribution(outcome: &Outcome) -> Attribution<'_> {
    let log = outcome.log.as_deref().unwrap();
    Attribution::new(Recording { trace: &outcome.trace, log, cost: &Linear, planned_ahead: false })
}

/// Microseconds by cause, causes without any left out.
fn us(split: &Split) -> Vec<(Cause, u64)> {
    split.iter().filter(|(_, ns)| *ns > 0).map(|(cause, ns)| (cause, ns / 1_000)).collect()
}

/// Two answers run when a prompt of 1,024 tokens arrives at 10 ms.
fn long_prompt(scheduler: &str) -> Outcome {
    let requests = vec![request(0, 16, 100), request(0, 16, 100), request(10_000, 1024, 1)];
    simulate(scheduler, 10_000, requests)
}

#[test]
fn a_long_prompt_in_chunks_beside_steady_decodes() {
    let outcome = long_prompt(r#"{"sarathi": {"chunk_size": 512}}"#);
    let attribution = attribution(&outcome);
    // Prefill of 32 tokens until 5.32 ms, a beat of two until 12.32, then chunks of 510, 510 and 4.
    let gap = attribution.gap(0, 2).unwrap();
    assert_eq!((gap.from.as_nanos(), gap.to.as_nanos()), (12_320_000, 24_420_000));
    let parts =
        [(Cause::Own, 6_000), (Cause::BatchGrowth, 1_000), (Cause::PrefillInterference, 5_100)];
    assert_eq!(us(&gap.split), parts);
    let culprit =
        Culprit { request: 2, cause: Cause::PrefillInterference, ns: 5_100_000, tokens: 510 };
    assert_eq!(culprits(&attribution, 0, 2), [culprit]);
    // The prompt itself: in flight from 10 to 12.32; alone 10.1, 10.1 and 5.04; two decodes in each.
    let first = attribution.gap(2, 0).unwrap();
    let parts =
        [(Cause::Own, 25_240), (Cause::DecodesAlongside, 6_000), (Cause::StepInFlight, 2_320)];
    assert_eq!(us(&first.split), parts);
    // 5.1 + 5.1 + 0.04 ms for each of two.
    let given = Blame::new(&attribution).given[2];
    assert_eq!((given.prefill_ns, given.delayed_at_once), (20_480_000, 2));
}

#[test]
fn a_long_prompt_computed_alone() {
    let outcome = long_prompt(r#"{"vllm-v0": {}}"#);
    let attribution = attribution(&outcome);
    // 5 + 10.24 ms for the prompt, then the beat of 7 ms.
    let gap = attribution.gap(0, 2).unwrap();
    let parts = [(Cause::Own, 6_000), (Cause::BatchGrowth, 1_000), (Cause::PrefillOnly, 15_240)];
    assert_eq!(us(&gap.split), parts);
    let culprit = Culprit { request: 2, cause: Cause::PrefillOnly, ns: 15_240_000, tokens: 1024 };
    assert_eq!(culprits(&attribution, 1, 2), [culprit]);
    assert_eq!(Blame::new(&attribution).given[2].prefill_ns, 2 * 15_240_000);
}

#[test]
fn misses_are_charged_to_what_goes_beyond_the_pace() {
    let outcome = long_prompt(r#"{"sarathi": {"chunk_size": 512}}"#);
    let attribution = attribution(&outcome);
    let first = FirstToken::Fixed(Span::from_millis(6));
    let options = Options::new(Deadlines::new(first, Span::from_millis(10), 0.9).unwrap());
    let misses = Misses::new(&attribution, &options);
    // Slack 0.68, 3.68, 1.58 ms; then 12.1 ms against 11.58: one miss. The pace of 10 ms pays for
    // own 6 and growth 1, so what is beyond it is interference.
    let counts = |split: Split| split.iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>();
    for request in [0, 1] {
        let (missed, by_cause) = misses.of(request);
        assert_eq!((missed, counts(by_cause)), (1, vec![(Cause::PrefillInterference, 1)]));
    }
    // 33.56 ms against 6: 3 misses. Beyond the 6: own 19.24, decodes 6, in flight 2.32 of 27.56,
    // that is 2.09, 0.65 and 0.25 misses.
    let (missed, by_cause) = misses.of(2);
    assert_eq!(missed, 3);
    assert_eq!(counts(by_cause), [(Cause::Own, 2), (Cause::DecodesAlongside, 1)]);
    let judged = per_request(&outcome.trace, &options);
    assert_eq!(judged.iter().map(|m| m.tally.missed).collect::<Vec<_>>(), [1, 1, 3]);
    assert_eq!(misses.total().0, 5);
}

#[test]
fn one_seat() {
    let requests = vec![request(0, 16, 3), request(1_000, 16, 1)];
    let outcome = simulate(r#"{"sarathi": {"max_num_seqs": 1}}"#, 10_000, requests);
    let attribution = attribution(&outcome);
    // Prefill until 5.16 ms, beats of 6 until 11.16 and 17.16, then 5.16 of its own.
    let first = attribution.gap(1, 0).unwrap();
    let parts = [(Cause::Own, 5_160), (Cause::StepInFlight, 4_160), (Cause::NoSeat, 12_000)];
    assert_eq!(us(&first.split), parts);
    let culprit = Culprit { request: 0, cause: Cause::NoSeat, ns: 12_000_000, tokens: 0 };
    assert_eq!(culprits(&attribution, 1, 0), [culprit]);
    assert_eq!(Blame::new(&attribution).given[0].seat_ns, 12_000_000);
}

#[test]
fn memory_that_runs_out() {
    // Five blocks of 16 tokens. Two requests take one block each for the prompt and a second for
    // the next 16 tokens; the third goes to request 0, and request 1 is preempted after token 16.
    let requests = vec![request(0, 16, 30), request(0, 16, 30)];
    let outcome = simulate(r#"{"sarathi": {"watermark": 0.0}}"#, 5, requests);
    assert_eq!(outcome.kv.preemptions, 1);
    let attribution = attribution(&outcome);
    // Request 0 decodes alone for 13 beats of 6 ms. Then 33 tokens are computed anew.
    let gap = attribution.gap(1, 17).unwrap();
    let parts = [(Cause::PreemptedWaiting, 78_000), (Cause::Recompute, 5_330)];
    assert_eq!(us(&gap.split), parts);
    let culprit = Culprit { request: 0, cause: Cause::PreemptedWaiting, ns: 78_000_000, tokens: 0 };
    assert_eq!(culprits(&attribution, 1, 17), [culprit]);
    assert_eq!(Blame::new(&attribution).given[0].kv_ns, 78_000_000);
}

#[test]
fn a_burst_over_the_token_budget() {
    let requests = (0..4).map(|_| request(0, 512, 1)).collect();
    let outcome = simulate(r#"{"sarathi": {"chunk_size": 512}}"#, 10_000, requests);
    let attribution = attribution(&outcome);
    // 10.12 ms each, one after the other.
    for k in 0..4_u32 {
        let split = attribution.gap(k, 0).unwrap().split;
        assert_eq!(split[Cause::NoTokenBudget], u64::from(k) * 10_120_000);
        assert_eq!(split[Cause::Own], 10_120_000);
        assert_eq!(split.total().as_nanos(), u64::from(k + 1) * 10_120_000);
    }
}
