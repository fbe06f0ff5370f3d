//! Each replica keeps its own pace, by every router, both paths and the attribution.

use metron_sim::explain::{Blame, Cause, Index, Split};
use metron_sim::fleet::RouterKind;
use metron_sim::ids::ClassId;
use metron_sim::runner::recording;
use metron_sim::time::{Span, Time};
use serde_json::json;

use crate::pools::support::*;

#[test]
fn each_replica_has_the_pace_of_its_pool() {
    let output = played(TWO_PACES, &[]);
    // Round-robin: 0 and 2 on the quick one, whose prompts fit one chunk; 1 and 3 on the slow one.
    for request in [0, 2] {
        assert_eq!(token_times_ms(&output, request), [10.0, 20.0, 30.0]);
    }
    for request in [1, 3] {
        assert_eq!(token_times_ms(&output, request), [40.0, 80.0, 120.0]);
    }
    let pools = output.result.pools.as_ref().expect("there are pools");
    let of =
        |name: &str| (pools[name].first_replica.0, pools[name].requests, pools[name].completed);
    assert_eq!([of("quick"), of("slow")], [(0, 2, 2), (1, 2, 2)]);
    // 120 ms in all: one busy for a quarter, the other all the time.
    assert!((pools["quick"].gpu_utilization - 0.25).abs() < 1e-12);
    assert!((pools["slow"].gpu_utilization - 1.0).abs() < 1e-12);
    assert_eq!(output.outcome.gpu_busy, Span::from_millis(30 + 120));
}

#[test]
fn two_pools_in_the_other_order_are_the_other_way_round() {
    let pools = "pools=[{replicas: 2, engine: {profile: {fixed: {iteration: 40ms}}}}, \
                 {replicas: 1, engine: {profile: {fixed: {iteration: 10ms}}}}]";
    let output = played(TWO_PACES, &[pools]);
    let firsts: Vec<f64> = (0..4).map(|request| token_times_ms(&output, request)[0]).collect();
    assert_eq!(firsts, [40.0, 40.0, 10.0, 40.0]);
    assert!(output.result.pools.unwrap().keys().eq(["pool-0", "pool-1"]));
    // A name that is taken is nobody else's.
    let profile = "engine: {profile: {fixed: {iteration: 9ms}}}";
    let pools = format!(
        "pools=[{{replicas: 1, {profile}}}, {{replicas: 1, {profile}}}, \
         {{name: pool-0, replicas: 1, {profile}}}]"
    );
    let names = resolved(TWO_PACES, &[&pools]).experiment.pools;
    let names: Vec<&str> = names.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["pool-1", "pool-2", "pool-0"]);
}

#[test]
fn the_promise_is_one_for_all_and_by_the_slowest_pool() {
    for of in ["", ", of: sarathi"] {
        let ttft = format!("slo.ttft={{prefill_curve_plus: 5ms{of}}}");
        let output = played(TWO_PACES, &[&ttft]);
        let deadlines = output.judged_by.deadlines_of(ClassId(0));
        assert_eq!(deadlines.ttft(16), Span::from_millis(45), "{of}");
        let share = output.result.summary.fluidity.unwrap().fluid_request_share;
        // The slow one keeps the first deadline; its later tokens come every 40 ms, not 25.
        assert_eq!(share, Some(0.5));
    }
}

/// Fast and slow path, replicas played apart and together, to the last iteration.
#[test]
fn every_router_gives_the_same_by_both_paths() {
    let by_class = [
        "{class-to-pool: {chat: fast, batch: cheap}, within: least-requests}",
        "{class-to-pool: {chat: fast, batch: [1, 2, 3]}}",
    ];
    for router in RouterKind::NAMES.into_iter().chain(by_class) {
        for more in ["horizon=20s", "horizon=3s", "engine.prefix_caching=true"] {
            let router = format!("router={router}");
            let set = [router.as_str(), more, "workload.prefix_groups={count: 3, tokens: 300}"];
            let experiment = resolved(TWO_GPUS, &set).experiment;
            let (fast, slow) = (play(&experiment, false), play(&experiment, true));
            assert!(fast.outcome == slow.outcome, "{set:?}");
            assert_eq!(json!(fast.result), json!(slow.result), "{set:?}");
            let trace = &fast.outcome.trace;
            let replicas: Vec<bool> = (0..4)
                .map(|one| trace.requests.iter().any(|row| trace.replica_of(row).0 == one))
                .collect();
            // One of three prefixes stays where it was first: a fourth replica may stay empty.
            let stays = router == "router=production-stack";
            assert!(
                stays || replicas.iter().all(|there| *there),
                "{set:?}: each replica gets some"
            );
        }
    }
}

#[test]
fn every_gap_is_priced_by_the_model_of_its_own_replica() {
    for pools in [
        // As written: plain and in stages. Then two kinds, both plain.
        "",
        "pools=[{name: fast, replicas: 1, gpu: h100-sxm}, {name: cheap, replicas: 2, gpu: l40s}]",
    ] {
        let mut set = vec!["engine.kv_blocks=500", "router=least-tokens"];
        set.extend((!pools.is_empty()).then_some(pools));
        let experiment = resolved(TWO_GPUS, &set).experiment;
        let output = play(&experiment, false);
        let trace = &output.outcome.trace;
        let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
        let (mut seen, mut own) = (Split::ZERO, [Split::ZERO; 2]);
        for request in index.requests() {
            let row = &trace.requests[request.index()];
            let mut times: Vec<Time> = trace.token_times(row).collect();
            if row.status == metron_sim::trace::Status::Unfinished {
                times.push(trace.end.max(times.last().copied().unwrap_or(row.arrival)));
            }
            let gaps = index.gaps(request);
            assert_eq!(gaps.len(), times.len());
            let mut from = row.arrival;
            for (gap, &to) in gaps.iter().zip(&times) {
                assert_eq!((gap.from, gap.to), (from, to));
                assert_eq!(gap.split.total(), to.since(from), "request {request}: {gap:?}");
                seen += gap.split;
                own[experiment.pool_of(trace.replica_of(row)).unwrap().index()] += gap.split;
                from = to;
            }
        }
        let mut given = Split::ZERO;
        Blame::new(&index).given.iter().for_each(|&one| given += one);
        for cause in [Cause::PrefillInterference, Cause::PrefillOnly] {
            assert_eq!(given[cause], seen[cause], "blame is delay by {}", cause.name());
        }
        assert!(own.iter().all(|pool| pool[Cause::Own] > 0), "both pools decode");
        if pools.is_empty() {
            assert_eq!(own[0][Cause::PipelineBubble], 0, "the first pool has no stages");
            assert!(own[1][Cause::PipelineBubble] > 0, "the second has");
        }
    }
}

#[test]
fn a_lone_request_costs_the_prefill_of_the_gpu_that_it_is_sent_to() {
    let alone = |gpu: &str| {
        let pools = format!("pools=[{{replicas: 1, gpu: {gpu}}}]");
        let set = [
            &pools,
            "workload.requests=1",
            "workload.lengths={prompt: {fixed: 2000}, output: {fixed: 5}}",
        ];
        token_times_ms(&played(TWO_GPUS, &set), 0)
    };
    let both = played(
        TWO_GPUS,
        &[
            "pools=[{replicas: 1, gpu: h100-sxm}, {replicas: 1, gpu: l40s}]",
            "workload.requests=2",
            "workload.arrivals={all_at_once: {}}",
            "workload.lengths={prompt: {fixed: 2000}, output: {fixed: 5}}",
        ],
    );
    let shifted = |times: Vec<f64>| times.iter().map(|at| at - times[0]).collect::<Vec<f64>>();
    for (request, gpu) in [(0, "h100-sxm"), (1, "l40s")] {
        let (own, of_both) = (shifted(alone(gpu)), shifted(token_times_ms(&both, request)));
        assert!(own.iter().zip(&of_both).all(|(a, b)| (a - b).abs() < 1e-6), "{own:?} {of_both:?}");
    }
    assert!(token_times_ms(&both, 1)[0] > 2.0 * token_times_ms(&both, 0)[0]);
}

#[test]
fn a_class_goes_to_a_pool_by_its_name() {
    let router = "router={class-to-pool: {chat: fast, batch: cheap}}";
    let output = played(TWO_GPUS, &[router]);
    let trace = &output.outcome.trace;
    for row in &trace.requests {
        assert_eq!(
            trace.replica_of(row).0 < 2,
            row.class == ClassId(0),
            "replicas 0 and 1 are fast"
        );
    }
    let routes = output.outcome.routes.as_ref().expect("kept");
    assert!(routes.iter().all(|route| route.within_pool));
    // The same by numbers.
    let numbers = played(TWO_GPUS, &["router={class-to-pool: {chat: [0, 1], batch: [2, 3]}}"]);
    assert!(numbers.outcome.trace == output.outcome.trace);
}

#[test]
fn data_parallel_ranks_of_a_pool_are_replicas() {
    let one = resolved(
        TWO_GPUS,
        &["pools.fast.parallelism={data: 3}", "router={class-to-pool: {chat: fast, batch: cheap}}"],
    );
    assert_eq!(one.experiment.replicas, 8);
    let output = play(&one.experiment, false);
    let pools = output.result.pools.unwrap();
    assert_eq!((pools["fast"].replicas, pools["fast"].gpus), (6, 6));
    assert_eq!((pools["cheap"].first_replica.0, pools["cheap"].gpus), (6, 4));
    let trace = &output.outcome.trace;
    assert!(
        trace.requests.iter().all(|row| (trace.replica_of(row).0 < 6) == (row.class == ClassId(0)))
    );
}
