//! Data-parallel ranks that share experts: a step begins on all of them at once, lasts as long as the
//! slowest rank's, and is priced by what the others compute.

use crate::alike::Setup;
use crate::small::{ENGINE, request, workload};
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::explain::{
    Blame, Cause, Index, Memory, RecordedPool, Recording, culprits, victims,
};
use metron_sim::fleet::{FleetSetup, PoolSetup, RouterKind, Routing};
use metron_sim::request::{Request, RequestId};
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::time::Span;

/// A millisecond for each token of a rank's batch, and a tenth for each of the others'.
struct ByTokens;

impl CostModel for ByTokens {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let beside = shape.tokens_beside().unwrap_or(0);
        let gpu = Span::from_micros(1000 * shape.tokens() + 100 * beside);
        IterationTime { gpu, host: Span::ZERO }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// Two ranks that take requests in turn.
fn played(requests: &[Request], horizon: Option<Span>, async_scheduling: bool) -> Outcome {
    let config = SchedulerConfig::by_name("vllm-v1").expect("it is built in");
    played_by(&config, requests, horizon, async_scheduling)
}

fn played_by(
    config: &SchedulerConfig,
    requests: &[Request],
    horizon: Option<Span>,
    async_scheduling: bool,
) -> Outcome {
    let setup = Setup {
        luck: None,
        cost: &ByTokens,
        engine: ENGINE,
        replicas: 2,
        routing: Routing { router: RouterKind::RoundRobin, seed: 1, notes_held: false },
        async_scheduling,
        horizon,
    };
    let make = || config.build(&ENGINE);
    let run = |reference| {
        let fleet = setup.fleet(&make);
        let pools = fleet.pools.iter().map(|pool| PoolSetup { lockstep: 2, ..*pool }).collect();
        let fleet = FleetSetup { pools, ..fleet };
        let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
        let workload = workload(requests.to_vec());
        play_fleet(&fleet, &mut workload.arriving(), options).expect("nobody is stuck")
    };
    let (fast, slow) = (run(false), run(true));
    assert_eq!(fast, slow, "both paths give the same");
    fast
}

fn at(ms: u64) -> Span {
    Span::from_millis(ms)
}

fn ends_us(outcome: &Outcome, rank: usize) -> Vec<u64> {
    let log = &outcome.log.as_ref().expect("it was kept")[rank];
    log.iter().map(|iteration| iteration.end.as_nanos() / 1000).collect()
}

#[test]
fn a_step_lasts_as_long_as_the_slowest_ranks() {
    // Rank 0 has 100 tokens of a prompt, rank 1 has 10: 100 ms and a tenth of 10 beside them. Then a
    // token each, 1 ms and a tenth.
    let requests = [request(Span::ZERO, 100, 3), request(Span::ZERO, 10, 4)];
    let outcome = played(&requests, None, false);
    assert_eq!(ends_us(&outcome, 0), [101_000, 102_100, 103_200]);
    // When rank 0 has no request left it brings no token: 1 ms alone.
    assert_eq!(ends_us(&outcome, 1), [101_000, 102_100, 103_200, 104_200]);
    let log = &outcome.log.as_ref().expect("it was kept")[1];
    let beside: Vec<Option<u64>> = log.iter().map(|iteration| iteration.beside).collect();
    assert_eq!(beside, [Some(100), Some(1), Some(1), Some(0)]);
}

#[test]
fn who_arrives_at_an_idle_rank_waits_for_the_step_of_the_others() {
    // Rank 1 is idle until 5 ms; the step of rank 0 ends at 50 ms.
    let requests = [request(Span::ZERO, 50, 2), request(at(5), 10, 1)];
    for planned_ahead in [false, true] {
        let outcome = played(&requests, None, planned_ahead);
        // 10 ms, and a tenth for the token of rank 0.
        assert_eq!(ends_us(&outcome, 0), [50_000, 60_100], "{planned_ahead}");
        assert_eq!(ends_us(&outcome, 1), [60_100]);
    }
}

/// TensorRT-LLM's ranks: one that has a prompt lets it wait while the other only decodes.
#[test]
fn prompts_wait_for_those_of_other_ranks() {
    let requests =
        [request(Span::ZERO, 100, 6), request(Span::ZERO, 10, 6), request(at(50), 20, 1)];
    let config = |balance: bool| {
        let parameters = serde_json::json!({"tensorrt-llm": {
            "attention_dp_enable_balance": balance, "attention_dp_timeout_iters": 3,
            "attention_dp_batching_wait_iters": 0,
        }});
        serde_json::from_value::<SchedulerConfig>(parameters).expect("parameters")
    };
    // Its 20 tokens come beside a decode, 21 ms and a tenth of the other's: at once, or two steps later.
    let at_once = played_by(&config(false), &requests, None, false);
    assert_eq!(ends_us(&at_once, 0)[..4], [101_000, 122_100, 123_200, 124_300]);
    let balanced = played_by(&config(true), &requests, None, false);
    assert_eq!(ends_us(&balanced, 0)[..4], [101_000, 102_100, 103_200, 124_300]);
    // Where the other rank has nothing to do nobody waits.
    let alone = [request(Span::ZERO, 100, 6), request(Span::ZERO, 10, 1), request(at(50), 20, 1)];
    let balanced = played_by(&config(true), &alone, None, false);
    assert_eq!(ends_us(&balanced, 0)[..2], [101_000, 122_000]);
}

#[test]
fn the_wait_for_a_slower_rank_has_a_name() {
    let requests = [request(Span::ZERO, 100, 3), request(Span::ZERO, 10, 4)];
    let outcome = played(&requests, None, false);
    let memory = Memory { block_tokens: 16, blocks: 1000, watermark_blocks: 0 };
    let pool = RecordedPool {
        name: None,
        replicas: 2,
        cost: &ByTokens,
        planned_ahead: false,
        by_turns: false,
        in_step: 2,
        caches: None,
        tiers: false,
        loads_in_step: false,
        memory,
    };
    let recording = Recording {
        entered: &[],
        turns: &[],
        trace: &outcome.trace,
        log: outcome.log.as_deref().expect("it was kept"),
        pools: vec![pool],
    };
    let index = Index::new(recording);
    let gap = index.gap(RequestId(1), 0).expect("it got a token");
    // Of 101 ms rank 1 takes 10 and a tenth of 100 itself.
    assert_eq!(gap.split[Cause::LockstepWait], 81_000_000, "{:?}", gap.split);
    assert_eq!(gap.split.iter().map(|(_, ns)| ns).sum::<u64>(), 101_000_000);
    let slowest = index.gap(RequestId(0), 0).expect("it got a token");
    assert_eq!(slowest.split[Cause::LockstepWait], 0);
    // The long prompt of the slowest rank is to blame for all of it, and for nothing later: from then on
    // both ranks decode.
    let found: Vec<(RequestId, Cause, u64, u64)> = culprits(&index, RequestId(1), 0)
        .iter()
        .map(|one| (one.request, one.cause, one.ns, one.tokens))
        .collect();
    assert_eq!(found, [(RequestId(0), Cause::LockstepWait, 81_000_000, 100)]);
    let blame = Blame::new(&index);
    assert_eq!(blame.given[0][Cause::LockstepWait], 81_000_000);
    assert_eq!(blame.given[1][Cause::LockstepWait], 0);
    let of = victims(&index, &blame, &[RequestId(0), RequestId(1)]);
    assert_eq!(of[0].delayed, [(RequestId(1), 81_000_000)]);
    assert_eq!(of[1].delayed, []);
}
