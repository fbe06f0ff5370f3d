//! What GuideLLM works out over a whole benchmark, held against its requests.

use std::collections::BTreeMap;
use std::io::Read;

use super::fault::Fault;
use super::json::Json;
use super::measured::Measured;
use super::parallel::reported;
use crate::shown::{count, duration};
use crate::trace::{Status, last_tokens};

/// The metrics that are read; each has a distribution of its successful requests.
const DISTRIBUTIONS: &[&str] = &[
    "request_latency",
    "time_to_first_token_ms",
    "inter_token_latency_ms",
    "time_per_output_token_ms",
    "requests_per_second",
    "prompt_token_count",
    "output_token_count",
    "total_token_count",
    "prompt_tokens_per_second",
    "output_tokens_per_second",
    "tokens_per_second",
    "request_totals",
];

/// Its lists of requests.
const LISTS: [&str; 3] = ["successful", "errored", "incomplete"];

/// Requests that stand in each list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed([u64; 3]);

impl Listed {
    /// Counts one in.
    pub(super) fn one(&mut self, list: &str) {
        if let Some(place) = LISTS.iter().position(|name| *name == list) {
            self.0[place] += 1;
        }
    }
}

/// Reads the figures, into `metrics.NAME.STATISTIC`.
pub(super) fn read<R: Read>(
    json: &mut Json<R>,
    all: &mut BTreeMap<String, f64>,
) -> Result<(), Fault> {
    if json.null()? {
        return Ok(());
    }
    json.object(DISTRIBUTIONS, |json, metric| {
        if !json.next_is(b'{')? {
            return json.skip();
        }
        if metric == "request_totals" {
            return json.object(&["successful", "errored", "incomplete", "total"], |json, list| {
                reported(json, &format!("metrics.request_totals.{list}"), all).map(drop)
            });
        }
        json.object(&["successful"], |json, _| {
            if !json.next_is(b'{')? {
                return json.skip();
            }
            json.object(&["mean", "median"], |json, stat| {
                reported(json, &format!("metrics.{metric}.{stat}"), all).map(drop)
            })
        })
    })
}

/// What of them, and of the benchmark's own `lasted` (its begin and end), does not fit the requests.
/// `counted` says that every answer's length is told.
pub(super) fn contradictions(
    measured: &Measured,
    listed: Listed,
    lasted: Option<(f64, f64)>,
    counted: bool,
) -> Vec<String> {
    let said = |name: &str| measured.reported.get(name).copied();
    let mut found = Vec::new();
    let sum: u64 = listed.0.iter().sum();
    let lists = LISTS.into_iter().zip(listed.0).chain([("total", sum)]);
    for (list, own) in lists {
        let name = format!("metrics.request_totals.{list}");
        if let Some(said) = said(&name).filter(|&said| said != own as f64) {
            found.push(format!("`{name}` is {said}, and {} are listed", count(own)));
        }
    }
    let took = said("duration");
    if let Some((began, ended)) = lasted {
        let lasted = ended - began;
        if lasted < 0.0 {
            found.push("`end_time` is before `start_time`".to_owned());
        } else if let Some(took) = took.filter(|took| !alike(*took, lasted, 1.1, 0.05)) {
            let (took, lasted) = (duration(took), duration(lasted));
            found.push(format!(
                "`duration` is {took}, and from `start_time` to `end_time` it is {lasted}"
            ));
        }
    }
    let of = Sums::of(measured);
    let per = |sum: f64, by: f64| (by > 0.0).then(|| (sum / by, sum / by));
    let rate = |sum: f64| took.and_then(|took| per(sum, took));
    // Of all tokens, or of the requests' own means: versions differ.
    let mean_ms = |seconds: f64, by: f64, means: f64| {
        let (of_tokens, of_requests) =
            (per(seconds * 1e3, by)?.0, per(means * 1e3, of.requests)?.0);
        Some((of_tokens.min(of_requests), of_tokens.max(of_requests)))
    };
    let gaps = mean_ms(of.decode_s, of.output - of.requests, of.gaps_s);
    let tokens = mean_ms(of.total_s, of.output, of.tokens_s);
    // Rates are means over windows of time, in some versions.
    let figures = [
        ("requests_per_second", rate(of.requests), 3.0, 0.0, false),
        ("prompt_tokens_per_second", rate(of.prompt), 3.0, 0.0, false),
        ("output_tokens_per_second", rate(of.output), 3.0, 0.0, true),
        ("tokens_per_second", rate(of.prompt + of.output), 3.0, 0.0, true),
        ("prompt_token_count", per(of.prompt, of.requests), 1.1, 1.0, false),
        ("output_token_count", per(of.output, of.requests), 1.1, 1.0, true),
        ("total_token_count", per(of.prompt + of.output, of.requests), 1.1, 1.0, true),
        ("inter_token_latency_ms", gaps, 1.5, 1.0, true),
        ("time_per_output_token_ms", tokens, 1.5, 1.0, true),
    ];
    for (metric, own, factor, slack, by_output) in figures {
        let name = format!("metrics.{metric}.mean");
        let (Some(said), Some((least, most))) = (said(&name), own) else { continue };
        let own = said.clamp(least, most);
        if (counted || !by_output) && !alike(said, own, factor, slack) {
            found.push(format!("`{name}` is {said}, and its requests give {own:.2}"));
        }
    }
    found
}

/// Whether neither is more than `factor` times the other, or they are within `slack`.
fn alike(a: f64, b: f64, factor: f64, slack: f64) -> bool {
    a.max(b) <= a.min(b) * factor || (a - b).abs() <= slack
}

/// Sums over the answered requests.
#[derive(Default)]
struct Sums {
    requests: f64,
    prompt: f64,
    output: f64,
    /// From the first token to the last, and from sending to the last.
    decode_s: f64,
    total_s: f64,
    /// Of each request's mean gap, and its mean time of a token.
    gaps_s: f64,
    tokens_s: f64,
}

impl Sums {
    fn of(measured: &Measured) -> Sums {
        let rows = measured.trace.requests.iter().zip(last_tokens(measured));
        let answered = rows.filter(|(row, _)| row.status == Status::Completed);
        answered.fold(Sums::default(), |sums, (row, last)| {
            let decode_s = last.since(row.first_token.min(last)).as_secs_f64();
            let total_s = last.since(row.arrival).as_secs_f64();
            let tokens = f64::from(row.tokens);
            Sums {
                requests: sums.requests + 1.0,
                prompt: sums.prompt + f64::from(row.prompt_tokens),
                output: sums.output + tokens,
                decode_s: sums.decode_s + decode_s,
                total_s: sums.total_s + total_s,
                gaps_s: sums.gaps_s + decode_s / (tokens - 1.0).max(1.0),
                tokens_s: sums.tokens_s + total_s / tokens.max(1.0),
            }
        })
    }
}
