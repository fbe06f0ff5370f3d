//! Two ranks that step together: what is diagnosed, with numbers worked out by hand.
//!
//! A batch takes 5 ms, 1 ms for each decode and 10 µs for each prefill token; a step lasts as long
//! as the longer of the two batches. Requests go to the ranks in turn.

use crate::explain_known::{Linear, us};
use crate::small::{ENGINE, request, workload};
use metron_sim::explain::{
    Blame, Cause, Index, Memory, RecordedPool, Recording, culprits, victims,
};
use metron_sim::fleet::{FleetSetup, PoolSetup, Role, Routing};
use metron_sim::request::{Request, RequestId};
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::time::Span;

/// Requests of 16 tokens, by arrival in microseconds and output.
fn short(arrival_us: u64, output_tokens: u32) -> Request {
    request(Span::from_micros(arrival_us), 16, output_tokens)
}

fn simulate(scheduler: &str, requests: Vec<Request>) -> Outcome {
    let config: SchedulerConfig = serde_json::from_str(scheduler).expect("a scheduler");
    let make = || config.build(&ENGINE);
    let pool = PoolSetup {
        lockstep: 2,
        cost: &Linear,
        engine: ENGINE,
        replicas: 2,
        role: Role::Both,
        async_scheduling: false,
        luck: None,
        answers_end_at: None,
        outlook: None,
        tiers: None,
        make: &make,
    };
    let fleet = FleetSetup {
        pools: vec![pool],
        routing: Routing::default(),
        controllers: &Vec::new,
        disaggregation: None,
        horizon: None,
    };
    let options = SimOptions { reference: false, keep_log: true, ..SimOptions::default() };
    play_fleet(&fleet, &mut workload(requests).arriving(), options).expect("nobody is stuck")
}

fn index(outcome: &Outcome) -> Index<'_> {
    let log = outcome.log.as_deref().expect("kept");
    let memory = Memory { block_tokens: 16, blocks: 10_000, watermark_blocks: 0 };
    let pool = RecordedPool {
        name: None,
        replicas: 2,
        cost: &Linear,
        planned_ahead: false,
        by_turns: false,
        in_step: 2,
        caches: None,
        tiers: false,
        loads_in_step: false,
        memory,
    };
    Index::new(Recording {
        trace: &outcome.trace,
        entered: &[],
        turns: &[],
        log,
        pools: vec![pool],
    })
}

/// A prompt of 1,024 tokens runs on rank 0 until 15.24 ms, then 16 tokens on rank 1 until 20.4, then
/// 16 on both until 25.56.
#[test]
fn a_step_of_another_rank_is_nobodys_doing() {
    let long = request(Span::ZERO, 1024, 1);
    let requests = vec![long, short(1_000, 1), short(17_000, 1), short(18_000, 1)];
    let outcome = simulate(r#"{"vllm-v1": {}}"#, requests);
    let index = index(&outcome);
    let blame = Blame::new(&index);
    for (arrived, in_flight) in [(1, 14_240), (2, 3_400), (3, 2_400)] {
        let gap = index.gap(RequestId(arrived), 0).expect("a first token");
        assert_eq!(us(&gap.split), [(Cause::Own, 5_160), (Cause::StepInFlight, in_flight)]);
        // Rank 1 has run nothing when the second comes, and rank 0 nothing since the first was done
        // when the third does. Only the fourth comes while its own rank runs.
        let named: Vec<(RequestId, u64)> = culprits(&index, RequestId(arrived), 0)
            .iter()
            .map(|culprit| (culprit.request, culprit.ns))
            .collect();
        let expected: &[(RequestId, u64)] =
            if arrived == 3 { &[(RequestId(1), 2_400_000)] } else { &[] };
        assert_eq!(named, expected);
    }
    let given: Vec<u64> = blame.given.iter().map(|given| given[Cause::StepInFlight]).collect();
    assert_eq!(given, [0, 2_400_000, 0, 0]);
    let of = victims(&index, &blame, &[RequestId(0), RequestId(1)]);
    assert_eq!(of[0].delayed, []);
    assert_eq!(of[1].delayed, [(RequestId(3), 2_400_000)]);
}

/// nano-vLLM decodes two of those that it runs, and leaves the others out of the batch. What those
/// wait while the batch of the other rank lasts longer, no request of their own took from them.
#[test]
fn the_wait_for_a_longer_batch_is_not_want_of_token_budget() {
    let requests = (0..24).map(|n| short(n * 1_500, 3 + (n % 5) as u32)).collect();
    let outcome = simulate(r#"{"nano-vllm": {"max_num_seqs": 2}}"#, requests);
    let index = index(&outcome);
    let seen = index.totals().all();
    assert!(seen[Cause::LockstepWait] > 0 && seen[Cause::NoTokenBudget] > 0);
    let given = Blame::new(&index).given;
    let given: u64 = given.iter().map(|given| given[Cause::NoTokenBudget]).sum();
    assert_eq!(given, seen[Cause::NoTokenBudget]);
}
