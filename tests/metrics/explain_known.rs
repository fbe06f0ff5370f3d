//! Small systems with one known cause each: what is diagnosed, with numbers worked out by hand.
//!
//! An iteration takes 5 ms, 1 ms for each decode and 10 µs for each prefill token.

use crate::small::ENGINE;
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::explain::{
    Blame, Cause, Culprit, Index, Memory, Misses, RecordedPool, Recording, Split, culprits, victims,
};
use metron_sim::ids::LaneId;
use metron_sim::metrics::{Deadlines, FirstToken, Options, per_request};
use metron_sim::request::{Request, RequestId};
use metron_sim::scheduler::EngineInfo;
use metron_sim::sim::Outcome;
use metron_sim::time::Span;

pub(crate) struct Linear;

impl CostModel for Linear {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let tokens: u64 = shape.chunks().iter().map(|chunk| u64::from(chunk.tokens)).sum();
        let us = 5_000 + 1_000 * u64::from(shape.decodes().requests()) + 10 * tokens;
        IterationTime { gpu: Span::from_micros(us), host: Span::ZERO }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

fn request(arrival_us: u64, prompt_tokens: u32, output_tokens: u32) -> Request {
    crate::small::request(Span::from_micros(arrival_us), prompt_tokens, output_tokens)
}

fn simulate(scheduler: &str, kv_blocks: u32, requests: Vec<Request>) -> Outcome {
    crate::small::simulate(&Linear, EngineInfo { kv_blocks, ..ENGINE }, scheduler, false, requests)
}

fn index(outcome: &Outcome) -> Index<'_> {
    let log = outcome.log.as_deref().unwrap();
    let memory = Memory { block_tokens: 16, blocks: outcome.kv.blocks, watermark_blocks: 0 };
    let planned_ahead = false;
    let pools = vec![RecordedPool {
        name: None,
        replicas: 1,
        cost: &Linear,
        planned_ahead,
        by_turns: false,
        in_step: 1,
        caches: None,
        tiers: false,
        loads_in_step: false,
        memory,
    }];
    let recording = Recording { trace: &outcome.trace, entered: &[], turns: &[], log, pools };
    Index::new(recording)
}

/// Microseconds by cause, causes without any left out.
pub(crate) fn us(split: &Split) -> Vec<(Cause, u64)> {
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
    let index = index(&outcome);
    // Prefill of 32 tokens until 5.32 ms, a decode step of two until 12.32, then chunks of 510, 510
    // and 4.
    let gap = index.gap(RequestId(0), 2).unwrap();
    assert_eq!((gap.from.as_nanos(), gap.to.as_nanos()), (12_320_000, 24_420_000));
    let parts =
        [(Cause::Own, 6_000), (Cause::BatchGrowth, 1_000), (Cause::PrefillInterference, 5_100)];
    assert_eq!(us(&gap.split), parts);
    let culprit = Culprit {
        request: RequestId(2),
        cause: Cause::PrefillInterference,
        ns: 5_100_000,
        tokens: 510,
    };
    assert_eq!(culprits(&index, RequestId(0), 2), [culprit]);
    // The prompt itself: in flight from 10 to 12.32; alone 10.1, 10.1 and 5.04; two decodes in
    // each.
    let first = index.gap(RequestId(2), 0).unwrap();
    let parts =
        [(Cause::Own, 25_240), (Cause::DecodesAlongside, 6_000), (Cause::StepInFlight, 2_320)];
    assert_eq!(us(&first.split), parts);
    // 5.1 + 5.1 + 0.04 ms for each of two.
    let blame = Blame::new(&index);
    assert_eq!(blame.given[2][Cause::PrefillInterference], 20_480_000);
    assert_eq!(blame.delayed_at_once[2], 2);
    // Half of it for each.
    let of = victims(&index, &blame, &[RequestId(2)]).remove(0);
    assert_eq!(of.delayed, [(RequestId(0), 10_240_000), (RequestId(1), 10_240_000)]);
}

#[test]
fn a_long_prompt_computed_alone() {
    let outcome = long_prompt(r#"{"vllm-v0": {}}"#);
    let index = index(&outcome);
    // 5 + 10.24 ms for the prompt, then the decode step of 7 ms.
    let gap = index.gap(RequestId(0), 2).unwrap();
    let parts = [(Cause::Own, 6_000), (Cause::BatchGrowth, 1_000), (Cause::PrefillOnly, 15_240)];
    assert_eq!(us(&gap.split), parts);
    let culprit =
        Culprit { request: RequestId(2), cause: Cause::PrefillOnly, ns: 15_240_000, tokens: 1024 };
    assert_eq!(culprits(&index, RequestId(1), 2), [culprit]);
    assert_eq!(Blame::new(&index).given[2][Cause::PrefillOnly], 2 * 15_240_000);
}

#[test]
fn misses_are_charged_to_what_goes_beyond_the_pace() {
    let outcome = long_prompt(r#"{"sarathi": {"chunk_size": 512}}"#);
    let index = index(&outcome);
    let first = FirstToken::Fixed(Span::from_millis(6));
    let options = Options::new(Deadlines::new(first, Span::from_millis(10), 0.9).unwrap());
    let misses = Misses::new(&index, &options);
    // Slack 0.68, 3.68, 1.58 ms; then 12.1 ms against 11.58: one miss. The pace of 10 ms pays for
    // own 6 and growth 1, so what is beyond it is interference.
    let counts = |split: Split| split.iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>();
    for request in [RequestId(0), RequestId(1)] {
        let (missed, by_cause) = misses.of(request);
        assert_eq!((missed, counts(by_cause)), (1, vec![(Cause::PrefillInterference, 1)]));
    }
    // 33.56 ms against 6: 3 misses. Beyond the 6: own 19.24, decodes 6, in flight 2.32 of 27.56,
    // that is 2.09, 0.65 and 0.25 misses.
    let (missed, by_cause) = misses.of(RequestId(2));
    assert_eq!(missed, 3);
    assert_eq!(counts(by_cause), [(Cause::Own, 2), (Cause::DecodesAlongside, 1)]);
    let judged = per_request(&outcome.trace, &options);
    assert_eq!(judged.iter().map(|m| m.tally.missed).collect::<Vec<_>>(), [1, 1, 3]);
    assert_eq!(misses.sum(index.requests()).0, 5);
}

#[test]
fn one_seat() {
    let requests = vec![request(0, 16, 3), request(1_000, 16, 1)];
    let outcome = simulate(r#"{"sarathi": {"max_num_seqs": 1}}"#, 10_000, requests);
    let index = index(&outcome);
    // Prefill until 5.16 ms, decode steps of 6 until 11.16 and 17.16, then 5.16 of its own.
    let first = index.gap(RequestId(1), 0).unwrap();
    let parts = [(Cause::Own, 5_160), (Cause::StepInFlight, 4_160), (Cause::NoSeat, 12_000)];
    assert_eq!(us(&first.split), parts);
    let culprit =
        Culprit { request: RequestId(0), cause: Cause::NoSeat, ns: 12_000_000, tokens: 0 };
    let in_flight =
        Culprit { request: RequestId(0), cause: Cause::StepInFlight, ns: 4_160_000, tokens: 16 };
    assert_eq!(culprits(&index, RequestId(1), 0), [culprit, in_flight]);
    assert_eq!(Blame::new(&index).given[0][Cause::NoSeat], 12_000_000);
}

#[test]
fn memory_that_runs_out() {
    // Five blocks of 16 tokens. Two requests take one block each for the prompt and a second for
    // the next 16 tokens; the third goes to request 0, and request 1 is preempted after token 16.
    let requests = vec![request(0, 16, 30), request(0, 16, 30)];
    let outcome = simulate(r#"{"sarathi": {"watermark": 0.0}}"#, 5, requests);
    assert_eq!(outcome.kv.preemptions, 1);
    let index = index(&outcome);
    // Request 0 decodes alone for 13 decode steps of 6 ms. Then 33 tokens are computed anew.
    let gap = index.gap(RequestId(1), 17).unwrap();
    let parts = [(Cause::PreemptedWaiting, 78_000), (Cause::Recompute, 5_330)];
    assert_eq!(us(&gap.split), parts);
    let culprit = Culprit {
        request: RequestId(0),
        cause: Cause::PreemptedWaiting,
        ns: 78_000_000,
        tokens: 0,
    };
    let again =
        Culprit { request: RequestId(0), cause: Cause::Recompute, ns: 5_330_000, tokens: 0 };
    assert_eq!(culprits(&index, RequestId(1), 17), [culprit, again]);
    assert_eq!(Blame::new(&index).given[0][Cause::PreemptedWaiting], 78_000_000);
}

#[test]
fn a_burst_over_the_token_budget() {
    let requests = (0..4).map(|_| request(0, 512, 1)).collect();
    let outcome = simulate(r#"{"sarathi": {"chunk_size": 512}}"#, 10_000, requests);
    let index = index(&outcome);
    // 10.12 ms each, one after the other.
    for k in 0..4_u32 {
        let split = index.gap(RequestId(k), 0).unwrap().split;
        assert_eq!(split[Cause::NoTokenBudget], u64::from(k) * 10_120_000);
        assert_eq!(split[Cause::Own], 10_120_000);
        assert_eq!(split.total().as_nanos(), u64::from(k + 1) * 10_120_000);
    }
    // Each step's budget went to one prompt: the first kept three waiting, the third one.
    let blame = Blame::new(&index);
    let given = blame.given.iter().map(|by| by[Cause::NoTokenBudget] / 1_000).collect::<Vec<_>>();
    assert_eq!(given, [30_360, 20_240, 10_120, 0]);
    let named: Vec<_> =
        culprits(&index, RequestId(3), 0).iter().map(|c| (c.request, c.ns, c.tokens)).collect();
    assert_eq!(
        named,
        [
            (RequestId(0), 10_120_000, 512),
            (RequestId(1), 10_120_000, 512),
            (RequestId(2), 10_120_000, 512)
        ]
    );
    let of = victims(&index, &blame, &[RequestId(0)]).remove(0);
    assert_eq!(
        of.delayed,
        [(RequestId(1), 10_120_000), (RequestId(2), 10_120_000), (RequestId(3), 10_120_000)]
    );
}

#[test]
fn a_token_budget_shared_by_decodes_and_a_prompt() {
    // Two answers run when, at 10 ms, a prompt of 1,024 tokens and one of 32 arrive. Steps of 512
    // tokens from 12.32 ms on: 2 decodes and 510, 510 and 4 tokens of the first; the second gets
    // no chunk in the first two and its 32 tokens in the third.
    let mut requests = vec![request(0, 16, 100), request(0, 16, 100)];
    requests.extend([request(10_000, 1024, 1), request(10_000, 32, 1)]);
    let outcome = simulate(r#"{"sarathi": {"chunk_size": 512}}"#, 10_000, requests);
    let index = index(&outcome);
    let first = index.gap(RequestId(3), 0).unwrap();
    assert_eq!(first.split[Cause::StepInFlight], 2_320_000);
    // Two steps of 5 + 2 + 5.1 ms.
    assert_eq!(first.split[Cause::NoTokenBudget], 24_200_000);
    // 510 of the 512 tokens, and one each: 24.2 / 512 = 0.047265625 ms.
    let budget = |culprit: &&Culprit| culprit.cause == Cause::NoTokenBudget;
    let named = culprits(&index, RequestId(3), 0);
    let named: Vec<_> = named.iter().filter(budget).map(|c| (c.request, c.ns, c.tokens)).collect();
    assert_eq!(named[0], (RequestId(2), 24_105_469, 1020));
    assert_eq!(named[1..], [(RequestId(0), 47_266, 0), (RequestId(1), 47_265, 0)]);
}

#[test]
fn behind_a_head_that_lacks_memory() {
    // Eight blocks of 16 tokens. Request 0 holds four (64 tokens) until it ends; request 1 needs
    // five and finds four free; request 2 needs one and stands behind it.
    let requests = vec![request(0, 49, 4), request(1_000, 80, 1), request(1_000, 16, 1)];
    let outcome = simulate(r#"{"sarathi": {"watermark": 0.0, "chunk_size": 512}}"#, 8, requests);
    let index = index(&outcome);
    // 5.49 ms of prefill, then decode steps of 6 until 11.49, 17.49 and 23.49; in flight from 1.
    let head = index.gap(RequestId(1), 0).unwrap().split;
    assert_eq!((head[Cause::StepInFlight], head[Cause::NoKvBlocks]), (4_490_000, 18_000_000));
    let behind = index.gap(RequestId(2), 0).unwrap().split;
    assert_eq!(behind[Cause::StepInFlight], 4_490_000);
    assert_eq!((behind[Cause::NoKvBlocks], behind[Cause::HeadOfLine]), (0, 18_000_000));
    let culprit =
        Culprit { request: RequestId(1), cause: Cause::HeadOfLine, ns: 18_000_000, tokens: 0 };
    assert_eq!(culprits(&index, RequestId(2), 0)[0], culprit);
    let given = Blame::new(&index).given;
    assert_eq!(given[1][Cause::HeadOfLine], 18_000_000);
    assert_eq!(given[0][Cause::NoKvBlocks], 18_000_000);
}

#[test]
fn memory_is_shared_by_blocks() {
    // Ten blocks of 16: request 0 holds one block until its answer outgrows it, request 1 holds
    // seven for its prompt of 100 tokens; request 2 needs five.
    let requests = vec![request(0, 10, 5), request(0, 100, 5), request(1_000, 80, 1)];
    let outcome = simulate(r#"{"sarathi": {"watermark": 0.0, "chunk_size": 512}}"#, 10, requests);
    let index = index(&outcome);
    assert_eq!(index.blocks_held(LaneId(0))[..5], [8, 8, 8, 8, 8]);
    // Four decode steps of 7 ms; one block of eight against seven of eight.
    let wait = index.gap(RequestId(2), 0).unwrap().split[Cause::NoKvBlocks];
    assert_eq!(wait, 28_000_000);
    let memory = |culprit: &&Culprit| culprit.cause == Cause::NoKvBlocks;
    let named = culprits(&index, RequestId(2), 0);
    let named: Vec<_> = named.iter().filter(memory).map(|c| (c.request, c.ns)).collect();
    assert_eq!(named, [(RequestId(1), 24_500_000), (RequestId(0), 3_500_000)]);
}

#[test]
fn a_batch_that_grows() {
    // Eight answers decode together: 5 ms and 1 each, of which one alone would take 6.
    let requests = (0..8).map(|_| request(0, 16, 4)).collect();
    let outcome = simulate(r#"{"sarathi": {"chunk_size": 512}}"#, 10_000, requests);
    let index = index(&outcome);
    let gap = index.gap(RequestId(3), 2).unwrap();
    assert_eq!(us(&gap.split), [(Cause::Own, 6_000), (Cause::BatchGrowth, 7_000)]);
    assert!(culprits(&index, RequestId(3), 2).is_empty(), "nobody's doing");
}

#[test]
fn an_answer_of_one_token_has_no_gap_between() {
    let outcome = simulate(r#"{"sarathi": {}}"#, 10_000, vec![request(0, 16, 1)]);
    let index = index(&outcome);
    assert_eq!(index.gaps(RequestId(0)).len(), 1);
    assert_eq!(index.gap(RequestId(0), 1), None);
    assert_eq!(us(&index.totals_of(RequestId(0)).all()), [(Cause::Own, 5_160)]);
}
