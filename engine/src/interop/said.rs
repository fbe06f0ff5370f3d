//! What figures of a measured run are worth: exact, a bound, or not known.

use std::collections::BTreeMap;

use super::measured::{Granularity, Measured};
use crate::metrics::Summary;
use crate::promise::{Promises, Term, Verdict, no_verdict};
use crate::result::ClassResult;

/// What is exact, what is a bound, what is not known.
#[derive(Default)]
pub(super) struct Said {
    pub(super) exact: Vec<String>,
    pub(super) bounds: Vec<String>,
    pub(super) unknown: Vec<String>,
}

impl Said {
    pub(super) fn of(measured: &Measured, summary: &Summary) -> Said {
        let mut said = Said::default();
        let exact = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let latencies = ["ttft_s", "tpot_s", "e2e_s", "normalized_latency_s_per_token"];
        match measured.granularity {
            Granularity::Token => {
                said.exact = exact(&latencies);
                said.exact.extend(["tbt_s".to_owned(), "fluidity".to_owned()]);
            }
            Granularity::Chunk if measured.is_uncounted() => {
                said.exact = exact(&["ttft_s", "e2e_s"]);
                said.of_uncounted();
            }
            Granularity::Chunk => {
                said.exact = exact(&latencies);
                said.of_chunks(measured);
            }
            Granularity::FirstLast => {
                said.exact = exact(&latencies);
                said.unknown.push("tbt_s: the file has first and last token times only".to_owned());
                said.unknown.push(
                    "fluidity: the file has first and last token times only; see its bounds"
                        .to_owned(),
                );
            }
            Granularity::Total => {
                said.exact = exact(&["e2e_s"]);
                for name in ["ttft_s", "tbt_s", "tpot_s", "normalized_latency_s_per_token"] {
                    said.unknown.push(format!("{name}: the file has total times only"));
                }
                said.unknown.push("fluidity: the file has total times only".to_owned());
                if measured.token_totals.is_none() {
                    said.unknown.push("tokens: the file has total times only".to_owned());
                }
            }
        }
        if summary.requests.unfinished > 0 && summary.latency_bounds.is_some() {
            // What came is exact; what becomes of the others is not known.
            let open = said.exact.drain(..);
            let why = "requests were open when observation ended";
            said.bounds.extend(open.map(|name| format!("{name}: {why}")));
        }
        if let Some(why) = measured.no_measurement() {
            let told = said.exact.drain(..).chain(said.bounds.drain(..));
            said.unknown.extend(told.map(|what| format!("{what}: {why}")));
        }
        if summary.duration_s.is_none() {
            for name in ["duration_s", "arrival_rate_per_s", "throughput"] {
                said.unknown
                    .push(format!("{name}: the file does not tell when requests were sent"));
            }
        }
        if summary.scheduling_delay_s.is_none() {
            said.unknown.push(
                "scheduling_delay_s: the file does not tell when requests were scheduled"
                    .to_owned(),
            );
        }
        said
    }

    /// Chunks may hold a token, several or none.
    fn of_uncounted(&mut self) {
        for name in [
            "tbt_s",
            "tpot_s",
            "normalized_latency_s_per_token",
            "fluidity",
            "tokens",
            "throughput.output_tokens_per_s",
        ] {
            let why = "the server states no token counts; those given take every chunk for one";
            self.unknown.push(format!("{name}: {why}"));
        }
    }

    /// Every chunk holds a token at least, so tokens that share its time only add hits and slack.
    fn of_chunks(&mut self, measured: &Measured) {
        if measured.extra_chunks {
            for name in [
                "tbt_s",
                "fluidity.fluid_tokens_per_s, fluidity.tbt_tokens_per_s, \
                 fluidity.p99_miss_rate_by_tbt_ms",
            ] {
                let why = "those given are of chunks, some of which are no token";
                self.unknown.push(format!("{name} of tokens: {why}"));
            }
            self.bounds.push(
                "fluidity.index, fluidity.fluid_request_share, fluidity.service_miss_rate: over all \
                 ways in which chunks can be tokens"
                    .to_owned(),
            );
            return;
        }
        for text in [
            "tbt_s: of chunks; no quantile of the tokens' is larger",
            "fluidity.fluid_tokens_per_s, fluidity.tbt_tokens_per_s: of chunks; the tokens' are no \
             smaller",
            "fluidity.p99_miss_rate_by_tbt_ms: of chunks; the tokens' are no larger",
            "fluidity.index, fluidity.fluid_request_share, fluidity.service_miss_rate: over all \
             ways in which the chunks can hold the tokens",
        ] {
            self.bounds.push(text.to_owned());
        }
    }
}

/// Whether the promise was kept, as far as that can be known.
pub(super) fn verdict(
    measured: &Measured,
    promises: &Promises,
    summary: &Summary,
    classes: Option<&BTreeMap<String, ClassResult>>,
    contradictions: &[String],
) -> Verdict {
    let of_class = |name: &str| classes?.get(name)?.verdict();
    let terms = promises.terms(summary, of_class);
    let mut verdict = settled(measured, summary, terms, contradictions);
    if let Some(why) = measured.no_measurement().filter(|_| verdict.met == Some(true)) {
        verdict.met = None;
        verdict.why = Some(why);
    }
    let pools = measured.stated.as_ref().map_or(&[][..], |stated| &stated.pools);
    if let Some(pool) = pools.first().filter(|_| verdict.met == Some(true)) {
        verdict.met = None;
        verdict.why =
            Some(format!("pool {pool} has a promise of its own, which the file does not tell"));
    }
    verdict
}

/// The verdict on these terms, with what stands against one.
pub(super) fn settled(
    measured: &Measured,
    summary: &Summary,
    mut terms: Vec<Term>,
    contradictions: &[String],
) -> Verdict {
    let mut unknown: Option<String> = None;
    for term in &mut terms {
        if let Some(why) = doubt(measured, summary, term) {
            term.met = None;
            unknown.get_or_insert(why.to_owned());
        }
    }
    if let Some(first) = contradictions.first() {
        terms.iter_mut().for_each(|term| term.met = None);
        unknown = Some(format!("the file contradicts itself ({first})"));
    }
    Verdict::of(terms, || unknown.unwrap_or_else(|| no_verdict(summary)))
}

/// Why a term's value does not decide it.
fn doubt(measured: &Measured, summary: &Summary, term: &mut Term) -> Option<&'static str> {
    let chunks = measured.granularity == Granularity::Chunk;
    match term.metric.as_str() {
        "fluid_request_share" if measured.granularity == Granularity::Total => {
            Some("the times of tokens are not known")
        }
        "tbt_s" | "tpot_s" if measured.is_uncounted() => Some("the server states no token counts"),
        "fluid_request_share" if measured.is_uncounted() && term.met.is_none() => {
            Some("the server states no token counts")
        }
        "tbt_s" if summary.tbt_s.is_none() => Some("times between tokens are not known"),
        "tbt_s" if chunks && measured.extra_chunks => {
            Some("some chunks are no token, so that times between tokens are not known")
        }
        // Tokens that share a chunk have gaps of 0, so that quantiles are no larger; the longest gap
        // is that of chunks.
        "tbt_s" if chunks && term.stat.as_deref() != Some("max") => {
            (term.lower, term.upper, term.value) = (Some(0.0), term.value.or(term.upper), None);
            (term.met != Some(true)).then_some("times between tokens are known by chunks only")
        }
        "ttft_s" | "tpot_s" if summary.ttft_s.count == 0 && summary.e2e_s.count > 0 => {
            Some("the times of tokens are not known")
        }
        _ => None,
    }
}
