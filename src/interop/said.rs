//! What figures of a measured run are worth: exact, a bound, or not known.

use std::collections::BTreeMap;

use super::measured::{Granularity, Measured};
use super::promise::Slos;
use crate::metrics::Summary;
use crate::report::{ClassResult, SloResult, SloTerm, slo};

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

    /// Every chunk holds a token at least, so tokens that share its time only add hits and slack.
    fn of_chunks(&mut self, measured: &Measured) {
        if measured.extra_chunks {
            self.unknown.push(
                "tbt_s and fluidity of tokens: those given are of chunks, some of which are no \
                 token"
                    .to_owned(),
            );
            return;
        }
        for text in [
            "tbt_s: of chunks; no quantile of the tokens' is larger",
            "fluidity.index, fluidity.fluid_request_share, fluidity.fluid_tokens_per_s, \
             fluidity.tbt_tokens_per_s: of chunks; the tokens' are no smaller",
            "fluidity.service_miss_rate, fluidity.p99_miss_rate_by_tbt_ms: of chunks; the tokens' \
             are no larger",
        ] {
            self.bounds.push(text.to_owned());
        }
    }
}

/// Whether the promise was kept, as far as that can be known.
pub(super) fn verdict(
    slos: &Slos,
    summary: &Summary,
    bounds: Option<&crate::report::GapBounds>,
    classes: Option<&BTreeMap<String, ClassResult>>,
) -> SloResult {
    let mut terms = slo::judge(&slos.common, summary).terms;
    for name in &slos.own {
        let Some(class) = classes.and_then(|classes| classes.get(name)) else { continue };
        let of_class = class.slo.terms.iter();
        terms.extend(of_class.map(|term| SloTerm { class: Some(name.clone()), ..term.clone() }));
    }
    let mut unknown: Option<String> = None;
    for term in &mut terms {
        let known = match term.metric.as_str() {
            "fluid_request_share" if summary.fluidity.is_none() => {
                let known = bounds.filter(|_| term.class.is_none()).and_then(|bounds| {
                    let least = bounds.fluid_request_share_at_least.unwrap_or(0.0);
                    let most = bounds.fluid_request_share_at_most.unwrap_or(1.0);
                    if least >= term.bound {
                        Some(true)
                    } else {
                        (most < term.bound).then_some(false)
                    }
                });
                known.ok_or_else(|| "the share of fluid requests is not known".to_owned())
            }
            "tbt_s" if summary.tbt_s.is_none() => {
                Err("times between tokens are not known".to_owned())
            }
            "ttft_s" | "tpot_s" if summary.ttft_s.count == 0 && summary.e2e_s.count > 0 => {
                Err("the times of tokens are not known".to_owned())
            }
            _ => term.met.ok_or_else(|| slo::no_verdict(summary)),
        };
        unknown = unknown.or(known.as_ref().err().cloned());
        term.met = known.ok();
    }
    SloResult::of(terms, || unknown.unwrap_or_default())
}
