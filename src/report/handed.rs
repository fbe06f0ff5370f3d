//! Prefill and decode on replicas of their own, for people: where the time to the first token went,
//! stage by stage, and what it cost.

use crate::metrics::Distribution;
use crate::result::{ColocatedResult, Decider, DisaggregationResult, RunResult, TakenTime};
use crate::shown::{count, duration, percent, three_digits};

/// What a run's hand-overs say, line by line; nothing where each replica prefills and decodes.
pub(super) fn handed(run: &RunResult) -> Vec<String> {
    let Some(of) = &run.disaggregation else { return Vec::new() };
    let mut lines = vec![
        String::new(),
        format!(
            "{}: {} requests handed over, {} of KV; {} GPUs prefill ({} busy), {} decode ({} busy); \
             busiest link {}",
            run.label,
            count(of.handed_over),
            bytes(of.bytes),
            of.prefill.gpus,
            percent(of.prefill.gpu_utilization),
            of.decode.gpus,
            percent(of.decode.gpu_utilization),
            percent(of.busiest_link),
        ),
    ];
    if of.prefilled_where_answered > 0 {
        let all = of.prefilled_where_answered + of.handed_over;
        lines.push(format!(
            "  {} of {} prompts were computed where they were answered (decider)",
            count(of.prefilled_where_answered),
            count(all)
        ));
    }
    lines.extend(stages(of));
    lines.push(format!(
        "  KV memory held for hand-overs: {} of that where prompts are computed, {} of that where answers \
         are",
        percent(of.prefill.held_share),
        percent(of.decode.held_share)
    ));
    if of.lost > 0 {
        lines.push(format!("  {} requests' KV was gone before it was fetched (kv_lease)", of.lost));
    }
    if let Some(twin) = &of.colocated {
        lines.extend(beside(run, of, twin));
    }
    lines
}

/// TTFT by stage: means add up, percentiles do not.
fn stages(of: &DisaggregationResult) -> Option<String> {
    let stage = |name: &str, of: &Distribution| {
        Some(format!("{name} {} (P99 {})", duration(of.mean?), duration(of.p99?)))
    };
    let stages = [
        stage("queue", &of.ttft.queue_s)?,
        stage("prefill", &of.ttft.prefill_s)?,
        stage("wait for room where it decodes", &of.ttft.memory_s)?,
        stage("transfer", &of.ttft.transfer_s)?,
        stage("a seat, and the first decode step", &of.ttft.first_step_s)?,
    ];
    let whose = if of.prefilled_where_answered > 0 { " of those handed over" } else { "" };
    Some(format!("  mean TTFT{whose} by stage: {}", stages.join(", ")))
}

/// The twin on the same GPUs, and what decided.
fn beside(run: &RunResult, of: &DisaggregationResult, twin: &ColocatedResult) -> Vec<String> {
    let own = &run.summary;
    let pair = |name: &str, own: Option<f64>, other: Option<f64>| {
        Some(format!("{name} {} against {}", duration(own?), duration(other?)))
    };
    let p99 = |of: Option<&Distribution>| of.and_then(|of| of.p99);
    let figures = [
        pair("TTFT P99", own.ttft_s.p99, twin.ttft_s.p99),
        pair("TBT P99", p99(own.tbt_s.as_ref()), p99(twin.tbt_s.as_ref())),
        pair("TPOT P50", own.tpot_s.p50, twin.tpot_s.p50),
        pair("end to end P50", own.e2e_s.p50, twin.e2e_s.p50),
    ];
    let mut figures: Vec<String> = figures.into_iter().flatten().collect();
    let rate = own.throughput.and_then(|one| one.output_tokens_per_s);
    if let (Some(own), Some(other)) = (rate, twin.output_tokens_per_s) {
        figures.push(format!("{} against {} tokens/s", three_digits(own), three_digits(other)));
    }
    let promise = match (run.slo.met, twin.slo_met) {
        (Some(true), Some(false)) => "; apart they keep the promise, colocated they do not",
        (Some(false), Some(true)) => "; colocated they keep the promise, apart they do not",
        (Some(true), Some(true)) => "; both keep the promise",
        (Some(false), Some(false)) => "; neither keeps the promise",
        _ => "",
    };
    let gpus = of.prefill.gpus + of.decode.gpus;
    vec![
        format!(
            "  beside it the same {gpus} GPUs colocated ({}): {}{promise}",
            twin.router,
            figures.join(", ")
        ),
        format!("  {}", decided(of, twin)),
    ]
}

/// What took the most time with prefill and decode apart, in a sentence.
fn decided(of: &DisaggregationResult, twin: &ColocatedResult) -> String {
    let TakenTime { prefill_pool, decode_pool, decode_memory, link } = twin.taken_s;
    let (taken, what) = match twin.decided_by {
        Decider::PrefillPool => (
            prefill_pool,
            format!(
                "the prefill pool: prompts queued before its {} GPUs, {} busy",
                of.prefill.gpus,
                percent(of.prefill.gpu_utilization)
            ),
        ),
        Decider::DecodePool => (
            decode_pool,
            format!(
                "the decode pool: all answers are made by {} GPUs, slower than colocated",
                of.decode.gpus
            ),
        ),
        Decider::DecodeMemory => (
            decode_memory,
            "room where answers are made: requests waited there for KV blocks or a seat".to_owned(),
        ),
        Decider::Link => (link, format!("the link: KV was on its way, {} of it", bytes(of.bytes))),
    };
    match taken > 0.0 {
        true => format!("what decided: {what}; mean {} a request", duration(taken)),
        false => "what decided: nothing took time that colocated would have saved".to_owned(),
    }
}

/// Bytes in the unit that fits.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let found = units.iter().find(|(unit, _)| bytes as f64 >= *unit);
    match found {
        Some((unit, name)) => format!("{} {name}", three_digits(bytes as f64 / unit)),
        None => format!("{bytes} B"),
    }
}
