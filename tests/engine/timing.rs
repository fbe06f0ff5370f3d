//! When things happen: small systems whose every instant is worked out by hand.

use crate::alike::{Setup, play};
use crate::small::{ENGINE, request, simulate, workload};
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::fleet::Routing;
use metron_sim::ids::ReplicaId;
use metron_sim::request::{Request, RequestId};
use metron_sim::scheduler::{EngineInfo, Hit, Scheduler, SchedulerConfig, Step};
use metron_sim::sim::{Outcome, Rejection, SimError, SimOptions};
use metron_sim::time::{Span, Time};
use metron_sim::trace::Status;

/// Every iteration takes as long, and some host time besides.
struct Constant {
    gpu: Span,
    host: Span,
}

const FIVE_MS: Constant = Constant { gpu: Span::from_millis(5), host: Span::ZERO };

impl CostModel for Constant {
    fn time(&self, _: &BatchShape<'_>) -> IterationTime {
        IterationTime { gpu: self.gpu, host: self.host }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// One replica with iterations of 5 ms.
fn plain() -> Setup<'static> {
    Setup {
        luck: None,
        cost: &FIVE_MS,
        engine: ENGINE,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling: false,
        horizon: None,
    }
}

fn token_times_ms(outcome: &Outcome, request: usize) -> Vec<f64> {
    let row = &outcome.trace.requests[request];
    outcome.trace.token_times(row).map(|at| at.as_nanos() as f64 / 1e6).collect()
}

/// TTFT of requests of 16 prompt and 500 output tokens that arrive `gap_us` apart, in iterations
/// of 5 ms, in the mean.
fn mean_ttft_iterations(gap_us: u64) -> f64 {
    let requests = (0..4000).map(|k| request(Span::from_micros(k * gap_us), 16, 500)).collect();
    let outcome = simulate(&FIVE_MS, ENGINE, r#"{"sarathi": {}}"#, false, requests);
    let ttft = |row: &metron_sim::trace::RequestRow| row.first_token.since(row.arrival);
    let sum: Span = outcome.trace.requests.iter().map(ttft).sum();
    sum.as_secs_f64() / 0.005 / outcome.trace.requests.len() as f64
}

#[test]
fn an_arrival_is_visible_to_the_first_decision_at_or_after_its_time() {
    // Arrivals spread evenly over the iteration in flight wait half of it and run in the next.
    let spread = mean_ttft_iterations(100_137);
    assert!((spread - 1.5).abs() < 0.02, "mean TTFT of {spread} iterations");
    // Arrivals at the very end of an iteration wait for nothing.
    assert_eq!(mean_ttft_iterations(100_000), 1.0);
}

#[test]
fn a_step_planned_ahead_lets_an_arrival_run_two_steps_later() {
    let requests = || vec![request(Span::ZERO, 16, 100), request(Span::from_millis(12), 16, 2)];
    let v1 = r#"{"vllm-v1": {}}"#;
    let sync = simulate(&FIVE_MS, ENGINE, v1, false, requests());
    // Arrives in the step of 10 to 15 ms, runs in that of 15 to 20.
    assert_eq!(token_times_ms(&sync, 1), [20.0, 25.0]);
    let planned = simulate(&FIVE_MS, ENGINE, v1, true, requests());
    // The step of 15 to 20 ms was planned at 10.
    assert_eq!(token_times_ms(&planned, 1), [25.0, 30.0]);
}

#[test]
fn asynchronous_steps_hide_host_time_and_synchronous_ones_add_it() {
    let cost = Constant { gpu: Span::from_millis(5), host: Span::from_millis(2) };
    let v1 = r#"{"vllm-v1": {}}"#;
    let one = || vec![request(Span::ZERO, 16, 3)];
    let sync = simulate(&cost, ENGINE, v1, false, one());
    assert_eq!(token_times_ms(&sync, 0), [7.0, 14.0, 21.0]);
    let planned = simulate(&cost, ENGINE, v1, true, one());
    assert_eq!(token_times_ms(&planned, 0), [5.0, 10.0, 15.0]);
    // Host time longer than the GPU's paces the steps; tokens come at the end of the GPU part.
    let slow_host = Constant { gpu: Span::from_millis(5), host: Span::from_millis(8) };
    let planned = simulate(&slow_host, ENGINE, v1, true, one());
    assert_eq!(token_times_ms(&planned, 0), [5.0, 13.0, 21.0]);
}

#[test]
fn an_answer_that_ends_by_eos_occupies_one_step_more_when_planned_ahead() {
    let v1 = r#"{"vllm-v1": {"max_num_seqs": 1}}"#;
    let two = |max_tokens| {
        let first = Request { max_tokens, ..request(Span::ZERO, 16, 2) };
        vec![first, request(Span::ZERO, 16, 1)]
    };
    // Known to end: the step after is planned without it, but its seat is free only then.
    // Steps: prefill 0-5, decode 5-10; planned at 5 for 10-15: nothing; planned again at 10.
    let by_length = simulate(&FIVE_MS, ENGINE, v1, true, two(2));
    assert_eq!(token_times_ms(&by_length, 1), [15.0]);
    // Ended by EOS at 10: the step of 10-15, planned at 5, still computes it.
    let by_eos = simulate(&FIVE_MS, ENGINE, v1, true, two(50));
    assert_eq!(token_times_ms(&by_eos, 0), [5.0, 10.0]);
    assert_eq!(token_times_ms(&by_eos, 1), [20.0]);
    assert_eq!(by_eos.iterations.total(), by_length.iterations.total() + 1);
}

#[test]
fn a_prefill_of_its_own_stalls_every_decode_and_a_chunk_does_not() {
    let requests = || vec![request(Span::ZERO, 16, 6), request(Span::from_millis(7), 1000, 2)];
    // vllm-v0: the prefill takes the step of 10 to 15 ms alone.
    let v0 = simulate(&FIVE_MS, ENGINE, r#"{"vllm-v0": {}}"#, false, requests());
    assert_eq!(token_times_ms(&v0, 0), [5.0, 10.0, 20.0, 25.0, 30.0, 35.0]);
    assert_eq!(token_times_ms(&v0, 1), [15.0, 20.0]);
    // sarathi: 511 + 489 tokens beside the decode, a token of the first request in every step.
    let sarathi = simulate(&FIVE_MS, ENGINE, r#"{"sarathi": {}}"#, false, requests());
    assert_eq!(token_times_ms(&sarathi, 0), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
    assert_eq!(token_times_ms(&sarathi, 1), [20.0, 25.0]);
}

#[test]
fn a_preempted_answer_keeps_its_tokens_and_stalls() {
    // 4 blocks of 16 tokens: two requests of 30 + 8 tokens need 3 each in the end.
    let engine = EngineInfo { kv_blocks: 4, ..ENGINE };
    let requests = vec![request(Span::ZERO, 30, 8), request(Span::ZERO, 30, 8)];
    let sarathi = r#"{"sarathi": {}}"#;
    let outcome = simulate(&FIVE_MS, engine, sarathi, false, requests);
    // After step 1 no block is free, and the policy wants one for every decode: in steps 2 and 3
    // the later request is preempted, finds its 2 blocks free again (31 and 32 tokens) and is
    // computed anew in the same step. In step 4 it has 33 tokens, needs 3 blocks, and waits until
    // the first has ended with step 8.
    let alone: Vec<f64> = (1..=8).map(|step| 5.0 * f64::from(step)).collect();
    assert_eq!(token_times_ms(&outcome, 0), alone);
    assert_eq!(token_times_ms(&outcome, 1), [5.0, 10.0, 15.0, 45.0, 50.0, 55.0, 60.0, 65.0]);
    assert_eq!(outcome.kv.preemptions, 3);
    assert_eq!(outcome.trace.requests[1].preemptions, 3);
}

#[test]
fn what_no_replica_could_ever_hold_is_rejected_and_counted() {
    let engine = EngineInfo { kv_blocks: 100, max_model_len: 2000, ..ENGINE };
    let requests = vec![
        request(Span::ZERO, 2000, 1),
        request(Span::ZERO, 1500, 300),
        request(Span::ZERO, 1500, 10),
        request(Span::ZERO, 100, 10),
    ];
    let sarathi = r#"{"sarathi": {}}"#;
    let outcome = simulate(&FIVE_MS, engine, sarathi, false, requests);
    // Usable: 100 blocks less a watermark of one: 99 x 16 = 1584 tokens, 1500 + 10 - 1 fits.
    let rejections =
        [(RequestId(0), Rejection::PromptTooLong), (RequestId(1), Rejection::NeverFits)];
    assert_eq!(outcome.rejections, rejections);
    let statuses = outcome.trace.requests.iter().map(|row| row.status);
    use Status::{Completed, Rejected};
    assert!(statuses.eq([Rejected, Rejected, Completed, Completed]));
    let v0 = r#"{"vllm-v0": {"max_num_batched_tokens": 1024}}"#;
    let outcome = simulate(&FIVE_MS, engine, v0, false, vec![request(Span::ZERO, 1500, 10)]);
    assert_eq!(outcome.rejections, [(RequestId(0), Rejection::PromptOverBudget)]);

    // All 100 blocks would hold these, and the limit that is given does not.
    let held_back = |scheduler: &str| {
        let requests = vec![request(Span::ZERO, 1590, 5)];
        simulate(&FIVE_MS, engine, scheduler, false, requests).rejections
    };
    assert_eq!(held_back(sarathi), [(RequestId(0), Rejection::OverLimit("the watermark"))]);
    let tgi = |tokens: u32| format!(r#"{{"tgi": {{"max_batch_total_tokens": {tokens}}}}}"#);
    assert_eq!(
        held_back(&tgi(800)),
        [(RequestId(0), Rejection::OverLimit("max_batch_total_tokens"))]
    );
    let slots = r#"{"llama-cpp": {"n_parallel": 2}}"#;
    assert_eq!(held_back(slots), [(RequestId(0), Rejection::OverLimit("its slot of n_parallel"))]);
}

#[test]
fn the_horizon_ends_observation_and_loses_nobody() {
    let requests = vec![
        request(Span::ZERO, 16, 100),
        request(Span::ZERO, 16, 3),
        request(Span::from_millis(60), 16, 3),
    ];
    let workload = workload(requests);
    let horizon = Some(Span::from_millis(52));
    for async_scheduling in [false, true] {
        let setup = Setup {
            luck: None,
            cost: &FIVE_MS,
            engine: ENGINE,
            replicas: 1,
            routing: Routing::default(),
            async_scheduling,
            horizon,
        };
        let config = SchedulerConfig::by_name("sarathi").unwrap();
        let make = || config.build(&ENGINE);
        let outcome = play(&setup, &make, &mut workload.arriving(), SimOptions::default()).unwrap();
        let trace = &outcome.trace;
        assert_eq!(trace.requests.len(), 2, "what arrives after the horizon is not offered");
        assert_eq!(trace.requests[0].status, Status::Unfinished);
        assert_eq!(trace.requests[0].tokens, 10, "tokens at 5, 10, ... 50 ms");
        assert_eq!(trace.requests[1].status, Status::Completed);
        assert_eq!(trace.end, Time::ZERO + Span::from_millis(52));
    }
}

#[test]
fn a_policy_that_runs_nothing_is_an_error_and_not_a_hang() {
    struct Idle;
    impl Scheduler for Idle {
        fn schedule(&mut self, _: &mut Step<'_>) {}
    }
    let setup = plain();
    let workload = workload(vec![request(Span::from_millis(3), 16, 1)]);
    let make = || -> Box<dyn Scheduler> { Box::new(Idle) };
    let error = play(&setup, &make, &mut workload.arriving(), SimOptions::default()).unwrap_err();
    assert!(matches!(error, SimError::Stuck { at, count: 1, first: RequestId(0), .. }
        if at == Time::ZERO + Span::from_millis(3)));
    assert!(error.to_string().contains("stuck"), "{error}");
}

/// Prompts that are begun hold the memory, and none of them gets the blocks of its next chunk.
#[test]
fn a_policy_that_lacks_memory_says_what_is_free_and_what_is_needed() {
    struct Greedy {
        says_why: bool,
    }
    impl Scheduler for Greedy {
        fn schedule(&mut self, step: &mut Step<'_>) {
            let running: Vec<_> = step.running().collect();
            for request in running {
                step.run(request, 32);
            }
            while let Some(request) = step.waiting_at(0) {
                if !step.admit(request, 32, 0, Hit::default()) {
                    break;
                }
            }
            if self.says_why {
                step.hold_for_blocks(7);
            }
        }
    }
    for (says_why, needed) in [(false, 2), (true, 7)] {
        let setup = Setup { engine: EngineInfo { kv_blocks: 5, ..ENGINE }, ..plain() };
        let requests = vec![request(Span::ZERO, 64, 1), request(Span::ZERO, 64, 1)];
        let workload = workload(requests);
        let make = || -> Box<dyn Scheduler> { Box::new(Greedy { says_why }) };
        for reference in [false, true] {
            let options = SimOptions { reference, ..SimOptions::default() };
            let error = play(&setup, &make, &mut workload.arriving(), options).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "stuck at 5.00 ms on replica 0: from then on the scheduler runs nothing although \
                     requests are there (2; the first is request 0), none is in flight and no arrival \
                     changes that; it last held back for want of KV blocks: 1 of 5 free, and the \
                     request whose turn it is needs {needed}; requests that do not run hold the rest; \
                     give it more memory, or a lower watermark"
                )
            );
        }
    }
}

#[test]
#[should_panic(expected = "`needs` return `Needs { deadlines: true, ..Needs::default() }`")]
fn a_policy_that_reads_deadlines_unasked_is_told_what_to_write() {
    struct Unasked;
    impl Scheduler for Unasked {
        fn schedule(&mut self, step: &mut Step<'_>) {
            if let Some(request) = step.waiting_at(0) {
                let _ = step.standing(request);
            }
        }
    }
    let setup = plain();
    let workload = workload(vec![request(Span::ZERO, 16, 1)]);
    let make = || -> Box<dyn Scheduler> { Box::new(Unasked) };
    let _ = play(&setup, &make, &mut workload.arriving(), SimOptions::default());
}

/// A policy that takes back what it has admitted, for ever.
#[test]
fn a_policy_that_preempts_without_end_is_an_error_and_not_a_hang() {
    struct Fickle;
    impl Scheduler for Fickle {
        fn schedule(&mut self, step: &mut Step<'_>) {
            let running: Vec<_> = step.running().collect();
            for request in running {
                step.preempt(request);
            }
            if let Some(request) = step.waiting_at(0) {
                assert!(step.admit(request, 1, 0, Hit::default()), "there is memory");
            }
        }
    }
    for replicas in [1, 3] {
        let setup = Setup {
            luck: None,
            cost: &FIVE_MS,
            engine: ENGINE,
            replicas,
            routing: Routing::default(),
            async_scheduling: false,
            horizon: None,
        };
        let requests = (0..7).map(|k| request(Span::from_millis(k), 16, 1)).collect();
        let workload = workload(requests);
        let make = || -> Box<dyn Scheduler> { Box::new(Fickle) };
        let end = |reference| {
            let options = SimOptions { reference, ..SimOptions::default() };
            play(&setup, &make, &mut workload.arriving(), options).unwrap_err()
        };
        let error = end(false);
        assert!(
            matches!(error, SimError::Thrashing { replica: ReplicaId(0), first: RequestId(0), .. }),
            "{error}"
        );
        assert_eq!(error, end(true));
    }
}
