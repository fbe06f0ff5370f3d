//! What a token or request file states of a run besides its rows, so that `evaluate` needs nothing
//! retyped: the promise, the rate that was asked for, which requests count, and how many there are
//! (by which a file that was cut off is told).

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::metrics::{Latency, Measure, Statistic};
use crate::promise::{BOUNDED, Bound, Slo, TtftDeadline};
use crate::time::Span;

/// Facts of one run, as JSON in the `run` column of its first row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatedRun {
    /// Runs in the file.
    pub runs: u64,
    /// Requests of this run.
    pub requests: u64,
    /// Arrivals a second that the workload asked for, as text so that no digit is lost.
    pub nominal_rate_per_s: Option<String>,
    /// Whether the full figures were worked out.
    pub full_metrics: bool,
    /// Requests that arrived this soon after the first do not count.
    pub skip_first_ns: u64,
    /// Nor do those this close to the last.
    pub skip_last_ns: u64,
    /// When observation ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ns: Option<u64>,
    /// Class names by index.
    pub classes: Vec<String>,
    /// The promise to all.
    pub slo: StatedSlo,
    /// Promises to classes that have their own, in the scenario's order.
    pub class_slos: Vec<(String, StatedSlo)>,
    /// Pools whose requests have a promise of their own, which the rows do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Where a live server was measured: how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<StatedLive>,
}

/// What the client of a live server knows of its measurement, and the rows do not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatedLive {
    /// What a row with a time is.
    pub hold: RowsHold,
    /// How many there are.
    pub rows: u64,
    /// Prompt tokens that the server said were cached; null where it does not say.
    pub cached_tokens: Option<u64>,
    /// Why this measures the client and not the server, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_measurement: Option<String>,
    /// What makes the same prompts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts_seed: Option<u64>,
}

/// What a row with a time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowsHold {
    /// A token.
    #[default]
    Tokens,
    /// Of some requests a chunk; how many tokens all of them hold is the server's word.
    Chunks,
    /// Of some requests a chunk, and nobody says how many tokens all of them hold.
    Uncounted,
}

/// A promise. First tokens' deadlines stand in the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatedSlo {
    /// The first token's deadline as the scenario puts it; null where that is not known.
    pub ttft: Value,
    /// Deadline of each later token.
    pub tbt_ns: u64,
    /// The fluidity-index of a fluid request, as text.
    pub fluid_index: String,
    /// The share of requests that must be fluid, as text.
    pub fluid_share: String,
    /// Whether first tokens must come in time for a request to count in it.
    #[serde(default)]
    pub first_tokens_promised: bool,
    /// Bounds: metric, statistic, nanoseconds.
    pub bounds: Vec<(String, String, u64)>,
}

impl StatedRun {
    /// As one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// Reads what [`to_json`](StatedRun::to_json) wrote; `None` when it is something else.
    pub fn from_json(text: &str) -> Option<StatedRun> {
        let stated: StatedRun = serde_json::from_str(text).ok()?;
        let sound = stated.slo.sound() && stated.class_slos.iter().all(|(_, slo)| slo.sound());
        let rate = stated
            .nominal_rate_per_s
            .as_ref()
            .is_none_or(|rate| finite(rate).is_some_and(|rate| rate >= 0.0));
        (sound && rate).then_some(stated)
    }

    /// The rate that the workload asked for.
    pub fn nominal_rate_per_s(&self) -> Option<f64> {
        self.nominal_rate_per_s.as_ref().and_then(|rate| finite(rate))
    }

    /// Which requests count.
    pub fn window(&self) -> Measure {
        Measure {
            skip_first: Span::from_nanos(self.skip_first_ns),
            skip_last: Span::from_nanos(self.skip_last_ns),
        }
    }
}

impl StatedSlo {
    /// The promise as text, with its first-token deadline as the scenario puts it.
    pub fn of(slo: &Slo, ttft: Value) -> StatedSlo {
        let bound = |bound: &Bound| {
            let (metric, stat) = (bound.latency.name(), bound.stat.name());
            (metric.to_owned(), stat.to_owned(), bound.at_most.as_nanos())
        };
        StatedSlo {
            ttft,
            tbt_ns: slo.tbt.as_nanos(),
            fluid_index: slo.fluid_index.to_string(),
            fluid_share: slo.fluid_share.to_string(),
            first_tokens_promised: slo.first_tokens_promised,
            bounds: slo.bounds.iter().map(bound).collect(),
        }
    }

    fn sound(&self) -> bool {
        let share = |text: &str| finite(text).is_some_and(|value| (0.0..=1.0).contains(&value));
        self.tbt_ns > 0
            && share(&self.fluid_index)
            && share(&self.fluid_share)
            && self
                .bounds
                .iter()
                .all(|(metric, stat, _)| latency(metric).is_some() && statistic(stat).is_some())
    }

    /// In the form of a scenario's. Its first-token deadline is not looked at.
    pub fn slo(&self) -> Slo {
        let bound = |(metric, stat, at_most): &(String, String, u64)| {
            Some(Bound {
                latency: latency(metric)?,
                stat: statistic(stat)?,
                at_most: Span::from_nanos(*at_most),
            })
        };
        Slo {
            ttft: TtftDeadline::Fixed(Span::ZERO),
            tbt: Span::from_nanos(self.tbt_ns),
            fluid_index: finite(&self.fluid_index).unwrap_or(1.0),
            fluid_share: finite(&self.fluid_share).unwrap_or(1.0),
            first_tokens_promised: self.first_tokens_promised,
            bounds: self.bounds.iter().filter_map(bound).collect(),
        }
    }
}

fn latency(name: &str) -> Option<Latency> {
    BOUNDED.into_iter().find(|latency| latency.name() == name)
}

fn statistic(name: &str) -> Option<Statistic> {
    Statistic::ALL.into_iter().find(|stat| stat.name() == name)
}

fn finite(text: &str) -> Option<f64> {
    f64::from_str(text).ok().filter(|value| value.is_finite())
}
