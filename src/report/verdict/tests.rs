use super::*;
use crate::explain::{ByCause, Cause};
use crate::ids::ReplicaId;
use crate::promise::{Sense, Term, judge};
use crate::result::fixture::{around, judged, run, stalling_run};
use crate::result::{KvResult, PoolResult, PoolServed, StallsResult};

fn said(runs: &[RunResult]) -> String {
    verdict(runs).join(" ")
}

#[test]
fn names_the_smoother_one_with_its_reason_and_its_price() {
    let said = said(&[stalling_run("vllm-v0"), run("sarathi")]);
    for part in [
        "sarathi keeps the SLO; vllm-v0 does not: 61.4 % of requests are fluid (99.0 % asked).",
        "sarathi gives smoother text: 99.2 % of its requests are fluid, against 61.4 % for vllm-v0.",
        "vllm-v0's P99 TBT is 412 ms, against 23.5 ms: 31.0 % of its iterations are prefills alone",
        "sarathi pays with a P99 TTFT of 450 ms against 310 ms (vllm-v0).",
    ] {
        assert!(said.contains(part), "lacks {part:?}:\n{said}");
    }
}

#[test]
fn the_order_of_schedulers_does_not_change_the_answer() {
    let forward = verdict(&[stalling_run("vllm-v0"), run("sarathi")]);
    let backward = verdict(&[run("sarathi"), stalling_run("vllm-v0")]);
    assert_eq!(forward, backward);
}

#[test]
fn a_cause_is_named_only_when_the_iterations_show_it() {
    let mut stalling = stalling_run("orca");
    stalling.iterations.as_mut().expect("there").prefill_only = 0;
    stalling.iterations.as_mut().expect("there").mixed = 12_300;
    let said = said(&[stalling, run("sarathi")]);
    assert!(!said.contains("prefills alone"), "{said}");
    assert!(
        said.contains("orca's P99 TBT is 412 ms, against 23.5 ms."),
        "larger prefills are not shown: {said}"
    );
    let mut large = stalling_run("orca");
    let iterations = large.iterations.as_mut().expect("there");
    (iterations.prefill_only, iterations.mixed) = (0, 1_000);
    let said = super::verdict(&[large, run("sarathi")]).join(" ");
    assert!(
        said.contains("carries 1,024 prompt tokens on average, against 341, and the decodes"),
        "{said}"
    );
}

#[test]
fn a_tie_is_called_a_tie() {
    let said = said(&[run("sarathi"), run("vllm-v1")]);
    assert!(said.contains("Both schedulers keep the SLO."), "{said}");
    assert!(said.contains("they do equally well: 99.2 % of requests are fluid"), "{said}");
    assert!(said.contains("does not tell them apart"), "{said}");
    assert!(!said.contains("pays"), "{said}");
}

#[test]
fn a_tie_in_fluidity_is_broken_by_latency() {
    let mut quick = run("vllm-v1");
    quick.summary.ttft_s = around(0.05, 0.2);
    let said = said(&[run("sarathi"), quick]);
    assert!(said.contains("vllm-v1 has the lowest P99 TTFT (200 ms, next 450 ms)"), "{said}");
}

#[test]
fn nobody_keeps_the_slo() {
    let mut better = stalling_run("sarathi");
    better.summary.fluidity.as_mut().expect("there").fluid_request_share = Some(0.93);
    better.slo = judged(&better.summary);
    let said = said(&[stalling_run("vllm-v0"), better]);
    assert!(
        said.contains(
            "Neither scheduler keeps the SLO; sarathi comes closest: 93.0 % of requests are fluid"
        ),
        "{said}"
    );
}

#[test]
fn a_broken_bound_is_named() {
    let mut run = run("sarathi");
    run.slo.terms.push(Term {
        class: None,
        pool: None,
        metric: "ttft_s".to_owned(),
        stat: Some("p99".to_owned()),
        sense: Sense::AtMost,
        bound: 0.4,
        value: Some(0.45),
        lower: None,
        upper: None,
        met: Some(false),
    });
    run.slo.met = Some(false);
    let said = said(&[run]);
    assert!(
        said.contains("sarathi misses the SLO: P99 TTFT is 450 ms (400 ms allowed)."),
        "{said}"
    );
}

#[test]
fn a_single_scheduler_gets_its_own_sentences() {
    let even = said(&[run("sarathi")]);
    assert!(even.contains("sarathi keeps the SLO: 99.2 % of requests are fluid"), "{even}");
    assert!(even.contains("Tokens come evenly: P99 TBT is 23.5 ms, the median 11.2 ms."), "{even}");
    let said = said(&[stalling_run("vllm-v0")]);
    assert!(said.contains("vllm-v0 misses the SLO"), "{said}");
    assert!(said.contains("39.2 times the median: 31.0 % of its iterations"), "{said}");
    assert!(!said.contains("against"), "nobody to compare with: {said}");
}

#[test]
fn nothing_completed_is_said_and_nothing_else_claimed() {
    let mut empty = run("vllm-v0");
    empty.summary.requests.completed = 0;
    empty.summary.requests.rejected = 1000;
    let said = said(&[empty.clone(), empty]);
    assert_eq!(
        said,
        "No request completed under any scheduler: of 1000 offered, 1000 were rejected and 0 were \
         unfinished when observation ended."
    );
    assert!(verdict(&[]).is_empty());
}

#[test]
fn rejections_above_one_percent_are_mentioned() {
    let mut rejecting = run("vllm-v0");
    rejecting.summary.requests.rejected = 10;
    assert!(!said(&[rejecting.clone()]).contains("rejected"), "exactly 1 % is not more than 1 %");
    rejecting.summary.requests.rejected = 11;
    let said = said(&[rejecting]);
    assert!(said.contains("Requests were rejected: 11 of 1,000, 1.1 % (vllm-v0)."), "{said}");
}

#[test]
fn a_queue_that_grew_is_mentioned_but_a_long_last_answer_is_not() {
    let mut slow = run("sarathi");
    slow.summary.duration_s = Some(999.0 / 1.98 + 120.0);
    assert!(!said(&[slow.clone()]).contains("faster than they were served"), "nobody waited");
    // What everybody waits for alike is no queue.
    let mut alike = around(109.0, 110.0);
    alike.min = Some(109.0);
    slow.summary.scheduling_delay_s = Some(alike);
    assert!(!said(&[slow.clone()]).contains("faster than they were served"), "a front end");
    slow.summary.scheduling_delay_s = Some(around(50.0, 110.0));
    let said = said(&[slow.clone()]);
    assert!(
        said.contains("after 505 s of arrivals, the rest took another 120 s (sarathi)"),
        "{said}"
    );
    assert!(said.contains("the P99 scheduling delay is 110 s (sarathi)"), "{said}");
    // Users of a closed loop send no faster than they are answered.
    let mut rate = slow.summary.arrival_rate_per_s.expect("known");
    rate.users = Some(8);
    slow.summary.arrival_rate_per_s = Some(rate);
    let said = self::said(&[slow]);
    assert!(said.contains("fewer users or more replicas") && !said.contains("lower the rate"));
}

#[test]
fn preemptions_are_mentioned_with_the_memory() {
    let mut tight = run("sarathi");
    let kv = tight.kv.as_mut().expect("there");
    (kv.preemptions, kv.peak_used, kv.blocks) = (17, 512, 512);
    let said = said(&[tight]);
    assert!(said.contains("preemptions: 17 at a peak of 512 of 512 blocks (sarathi)"));
}

#[test]
fn a_few_preemptions_do_not_explain_the_p99() {
    let mut few = stalling_run("vllm-v1");
    few.iterations.as_mut().expect("there").prefill_only = 0;
    few.summary.tbt_s.as_mut().expect("there").count = 255_000;
    few.kv.as_mut().expect("there").preemptions = 216;
    let unexplained = said(&[few.clone(), run("sarathi")]);
    assert!(!unexplained.contains("it preempted"), "{unexplained}");
    few.kv.as_mut().expect("there").preemptions = 2_550;
    let explained = said(&[few, run("sarathi")]);
    assert!(explained.contains("it preempted 2,550 times"), "{explained}");
}

#[test]
fn equal_schedulers_with_other_parameters_go_by_label() {
    let (mut a, mut b) = (run("sarathi"), stalling_run("sarathi"));
    a.label = "sarathi(chunk_size=256)".to_owned();
    b.label = "sarathi(chunk_size=8192)".to_owned();
    let said = said(&[a, b]);
    assert!(said.contains("sarathi(chunk_size=256) keeps the SLO"), "{said}");
}

#[test]
fn three_schedulers_read_as_a_list() {
    let mut orca = stalling_run("orca");
    orca.summary.fluidity.as_mut().expect("there").fluid_request_share = Some(0.8);
    orca.slo = judged(&orca.summary);
    let said = said(&[stalling_run("vllm-v0"), orca, run("sarathi")]);
    assert!(
        said.contains(
            "sarathi gives the smoothest text: 99.2 % of its requests are fluid, against 61.4 % \
             (vllm-v0) and 80.0 % (orca)."
        ),
        "{said}"
    );
}

#[test]
fn missing_figures_claim_nothing() {
    let (mut a, mut b) = (run("measured-a"), run("measured-b"));
    for run in [&mut a, &mut b] {
        run.summary.fluidity = None;
        run.summary.tbt_s = None;
        run.iterations = None;
        run.kv = None;
        run.slo = judged(&run.summary);
    }
    let said = said(&[a, b]);
    assert!(!said.contains("smoother"), "{said}");
}

#[test]
fn a_p99_is_not_praised_beside_a_long_stop() {
    let mut stopped = run("sarathi");
    stopped.summary.tbt_s.as_mut().expect("there").max = Some(0.42);
    let said = said(&[stopped.clone()]);
    assert!(!said.contains("come evenly"), "{said}");
    assert!(said.contains("but the longest is 420 ms, 37.5 times the median"), "{said}");
    let mut slower = run("vllm-v1");
    slower.summary.tbt_s = Some(around(0.0112, 0.047));
    let said = super::verdict(&[stopped, slower]).join(" ");
    assert!(
        said.contains("the lowest P99 TBT (23.5 ms, next 47.0 ms), but a longest gap of"),
        "{said}"
    );
}

/// A run of which the share of fluid requests is known within bounds.
fn within(scheduler: &str, lower: f64, upper: f64) -> RunResult {
    let mut run = run(scheduler);
    let fluidity = run.summary.fluidity.as_mut().expect("there");
    fluidity.fluid_request_share = None;
    fluidity.index = crate::metrics::FluidityIndex::default();
    fluidity.bounds = Some(crate::metrics::FluidityBounds {
        fluid_request_share: Some(crate::metrics::Bounds { lower, upper }),
        ..Default::default()
    });
    let slo = judge(&crate::result::fixture::slo(), &run.summary);
    run.slo = slo;
    run
}

#[test]
fn bounds_that_overlap_are_not_ranked_and_ones_that_do_not_are() {
    let said = said(&[within("a", 0.0, 0.85), within("b", 0.1, 0.9)]);
    for claim in ["smoother", "closest", "equally well", "none"] {
        assert!(!said.contains(claim), "{claim}: {said}");
    }
    assert!(said.contains("at most 85.0 % fluid, 99.0 % asked"), "{said}");
    let said = super::verdict(&[within("a", 0.0, 0.85), within("b", 0.9, 1.0)]).join(" ");
    assert!(said.contains("b gives smoother text: 90.0 % to 100.0 %"), "{said}");
    // A run that says nothing takes nothing from the others.
    let mut silent = run("c");
    silent.summary.fluidity = None;
    silent.slo = judged(&silent.summary);
    let said = super::verdict(&[stalling_run("vllm-v0"), run("sarathi"), silent]).join(" ");
    assert!(said.contains("sarathi gives smoother text: 99.2 %"), "{said}");
    assert!(said.contains("c is not ranked: its share of fluid requests is not known."), "{said}");
}

#[test]
fn text_is_judged_in_the_pool_that_has_the_requests_that_are_not_fluid() {
    let mut run = stalling_run("vllm-v1");
    let pool = |first: u32, share: f64, p50: f64, p99: f64| PoolResult {
        gpu: None,
        first_replica: ReplicaId(first),
        replicas: 1,
        gpus: 1,
        requests: 500,
        completed: 500,
        rejected: 0,
        output_tokens: 1,
        gpu_utilization: 0.5,
        kv: KvResult { blocks: 1, peak_used: 1, preemptions: 0, prefix_hit_tokens: 0 },
        usd_per_gpu_hour: None,
        served: Some(PoolServed {
            requests: 500,
            fluid_request_share: Some(share),
            tbt_p50_s: Some(p50),
            tbt_p99_s: Some(p99),
        }),
        slo: None,
    };
    let pools = [("fast", pool(0, 0.998, 0.01, 0.05)), ("cheap", pool(1, 0.23, 0.04, 0.06))];
    run.pools = Some(pools.map(|(name, pool)| (name.to_owned(), pool)).into());
    run.stalls = Some(StallsResult {
        first_token_ns: ByCause::new(),
        between_tokens_ns: ByCause::new(),
        missed: 900,
        misses: [
            (Cause::BatchGrowth, 600),
            (Cause::PrefillInterference, 200),
            (Cause::NoSeat, 100),
        ]
        .into(),
    });
    let told = said(&[run.clone()]);
    assert!(
        told.contains(
            "In pool cheap, which has 385 of the 386 requests that are not fluid, tokens come evenly: \
             P99 TBT is 60.0 ms, the median 40.0 ms; 600 of 900 missed deadlines come from decoding in a \
             batch instead of alone."
        ),
        "{told}"
    );
    run.pools = None;
    let told = said(&[run]);
    assert!(told.contains("times the median; 600 of 900 missed deadlines come from"), "{told}");
    assert!(!told.contains("prefills"), "{told}");
}
