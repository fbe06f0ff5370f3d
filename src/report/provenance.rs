//! Where a measured run's figures came from, for people.

use crate::result::RunResult;
use crate::shown::{count, duration, percent};

/// Where a measured run's figures came from and how far they hold, line by line; nothing for a
/// simulation.
pub fn provenance(run: &RunResult) -> Vec<String> {
    let Some(measured) = &run.measured else { return Vec::new() };
    let mut lines = vec![
        String::new(),
        format!(
            "{}: {} read as {}, granularity {}; first-token deadline: {}",
            run.label,
            measured.file,
            measured.format,
            measured.granularity,
            measured.deadlines.ttft.as_deref().unwrap_or("none")
        ),
    ];
    // Histograms have no tokens to judge.
    if !measured.deadlines.tbt.is_empty() {
        lines.push(format!(
            "  later tokens: {} each ({}); fluid from index {} on, for {} of requests ({})",
            duration(measured.deadlines.tbt_s),
            measured.deadlines.tbt,
            measured.deadlines.fluid_index,
            percent(measured.deadlines.fluid_share),
            measured.deadlines.fluidity
        ));
    }
    let mut list = |name: &str, items: &[String]| {
        if !items.is_empty() {
            lines.push(format!("  {name}: {}", items.join("; ")));
        }
    };
    list("exact", &measured.exact);
    list("bounds", &measured.bounds);
    if let Some(bounds) = &measured.fluidity_bounds {
        let range = |low: Option<f64>, high: Option<f64>| match (low, high) {
            (Some(low), Some(high)) => format!("{} to {}", percent(low), percent(high)),
            _ => "not known".to_owned(),
        };
        let mut text = format!(
            "fluid requests {}, deadlines missed {}",
            range(bounds.fluid_request_share_at_least, bounds.fluid_request_share_at_most),
            range(bounds.service_miss_rate_at_least, bounds.service_miss_rate_at_most)
        );
        if let Some(even) = bounds.fluid_request_share_estimate {
            text += &format!(
                "; {} fluid if the chunks of a request carry as many tokens each (an estimate)",
                percent(even)
            );
        }
        list("fluidity within", &[text]);
    }
    list("unknown", &run.unknown);
    if let Some((p50, p99)) = measured.client_queue_s.and_then(|d| Some((d.p50?, d.p99?))) {
        let text = format!(
            "P50 {}, P99 {} before sending; in no other latency here",
            duration(p50),
            duration(p99)
        );
        list("waited in the client", &[text]);
    }
    if let Some((p50, p99)) = measured.first_answer_s.and_then(|d| Some((d.p50?, d.p99?))) {
        let text = format!(
            "P50 {}, P99 {} after sending; TTFT is that of the first token thought",
            duration(p50),
            duration(p99)
        );
        list("first token of the answer", &[text]);
    }
    list("ended otherwise", &ends(run));
    list("contradicts itself", &measured.contradictions);
    list("notes", &measured.notes);
    lines
}

/// Requests that were not answered to the end, by who ended them.
fn ends(run: &RunResult) -> Vec<String> {
    let counts = run.summary.requests;
    let each = [
        (counts.rejected, "turned away by the server"),
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.unfinished, "cut off by the end of the measurement"),
        (counts.cancelled, "cancelled by the client (left out of every share)"),
    ];
    each.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))).collect()
}
