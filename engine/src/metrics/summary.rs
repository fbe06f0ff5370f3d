//! What an evaluation yields: the metric part of a run in the result file.
//!
//! Names, units and nesting are those of the result's JSON. A figure that cannot be given is
//! `None`: written as `null` when there was nothing to measure (no request completed) or when it
//! was not asked for (the full figures), and left out of the file altogether when the source of
//! the trace cannot know it (see [`Knowledge`](super::Knowledge)).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// Every metric of a set of requests. Flatten it into a larger record with `#[serde(flatten)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Summary {
    /// How many requests, by how they ended.
    pub requests: RequestCounts,
    /// Makespan in seconds, from the first arrival to the last token. 0 when there is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Arrivals per second, wanted and drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_rate_per_s: Option<ArrivalRate>,
    /// Tokens served.
    pub tokens: TokenCounts,
    /// Work done per second of the makespan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    /// Time to first token of all that got one: queueing and prefill included.
    pub ttft_s: Distribution,
    /// First tokens that came by their deadline `D_p`, over the requests that should have got one;
    /// null where none was due, or where observation ended too soon to tell.
    #[serde(default)]
    pub ttft_in_time_share: Option<f64>,
    /// Bounds of that share where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_in_time_bounds: Option<Bounds>,
    /// Time between tokens, pooled over all that were delivered: one sample a token after a first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tbt_s: Option<Distribution>,
    /// Time per output token: the mean gap of one completed request of at least two tokens.
    pub tpot_s: Distribution,
    /// Arrival to last token of completed requests.
    pub e2e_s: Distribution,
    /// End-to-end latency over output tokens, of completed requests.
    pub normalized_latency_s_per_token: Distribution,
    /// Arrival to the first batch that held any of the request's tokens, of all that were in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_delay_s: Option<Distribution>,
    /// How steadily tokens came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fluidity: Option<Fluidity>,
    /// Requests that kept every bound; only there when bounds for single requests were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput: Option<Goodput>,
    /// What the latencies above can become once all requests are answered; absent where all ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_bounds: Option<Box<LatencyBounds>>,
}

/// Latencies over all requests that were still to be answered when observation ended as well:
/// those have waited for as long as they have, and may wait for any length of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBounds {
    /// Of `ttft_s`.
    pub ttft_s: LatencyRange,
    /// Of `tbt_s`; null where token times or the lengths of answers are not known.
    pub tbt_s: Option<LatencyRange>,
    /// Of `tpot_s`.
    pub tpot_s: LatencyRange,
    /// Of `e2e_s`.
    pub e2e_s: LatencyRange,
    /// Of `normalized_latency_s_per_token`.
    pub normalized_latency_s_per_token: LatencyRange,
    /// Of `scheduling_delay_s`; absent where the source of the trace cannot know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_delay_s: Option<LatencyRange>,
}

/// Bounds of each figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyRange {
    /// No less than this.
    pub lower: Distribution,
    /// No more than this; null where there is no upper bound.
    pub upper: Distribution,
}

impl LatencyRange {
    /// Bounds of a rate that is one over a figure of it; `None` where nothing bounds the rate.
    pub fn rate(&self, figure: impl Fn(&Distribution) -> Option<f64>) -> Option<Bounds> {
        let least = figure(&self.lower).filter(|&seconds| seconds > 0.0)?;
        let lower = figure(&self.upper).map_or(0.0, |most| 1.0 / most);
        Some(Bounds { lower, upper: 1.0 / least })
    }
}

impl Summary {
    /// A summary of what is known by bounds alone; counts are to be filled in.
    pub fn of_bounds(bounds: LatencyBounds) -> Summary {
        Summary {
            requests: RequestCounts::default(),
            duration_s: None,
            arrival_rate_per_s: None,
            tokens: TokenCounts::default(),
            throughput: None,
            ttft_s: Distribution::default(),
            ttft_in_time_share: None,
            ttft_in_time_bounds: None,
            tbt_s: None,
            tpot_s: Distribution::default(),
            e2e_s: Distribution::default(),
            normalized_latency_s_per_token: Distribution::default(),
            scheduling_delay_s: None,
            fluidity: None,
            goodput: None,
            latency_bounds: Some(Box::new(bounds)),
        }
    }

    /// One figure of a latency over all requests that were offered; `None` where it is not known, as
    /// that of requests that were still open when observation ended.
    pub fn known(
        &self,
        latency: Latency,
        figure: impl Fn(&Distribution) -> Option<f64>,
    ) -> Option<f64> {
        let (least, most) = self.within(latency, figure);
        least.filter(|_| least == most)
    }

    /// The least and the most that such a figure can be; the same where it is known.
    pub fn within(
        &self,
        latency: Latency,
        figure: impl Fn(&Distribution) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let Some(bounds) = &self.latency_bounds else {
            let known = match latency {
                Latency::Ttft => figure(&self.ttft_s),
                Latency::Tbt => self.tbt_s.as_ref().and_then(figure),
                Latency::Tpot => figure(&self.tpot_s),
                Latency::E2e => figure(&self.e2e_s),
                Latency::SchedulingDelay => self.scheduling_delay_s.as_ref().and_then(figure),
            };
            return (known, known);
        };
        let range = match latency {
            Latency::Ttft => Some(bounds.ttft_s),
            Latency::Tbt => bounds.tbt_s,
            Latency::Tpot => Some(bounds.tpot_s),
            Latency::E2e => Some(bounds.e2e_s),
            Latency::SchedulingDelay => bounds.scheduling_delay_s,
        };
        range.map_or((None, None), |range| (figure(&range.lower), figure(&range.upper)))
    }
}

/// How many requests, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// All that were sent: the sum of `completed`, `unfinished`, `rejected`, `failed`, `timed_out` and
    /// `cancelled`.
    pub offered: u64,
    /// Answered to the end.
    pub completed: u64,
    /// Cut off by the end of observation.
    pub unfinished: u64,
    /// Turned away, or dropped by a policy.
    pub rejected: u64,
    /// Failed for another reason of the server's.
    #[serde(default)]
    pub failed: u64,
    /// Given up because the answer took too long.
    #[serde(default)]
    pub timed_out: u64,
    /// Cancelled by the client; left out of every share.
    #[serde(default)]
    pub cancelled: u64,
    /// Of the unfinished, those that a continuation could have made fluid.
    #[serde(default)]
    pub censored: u64,
}

impl RequestCounts {
    /// Those that shares are over: what the client itself cancelled says nothing of the server.
    pub fn judged(&self) -> u64 {
        self.offered.saturating_sub(self.cancelled)
    }
}

/// Least and most that a figure can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// No less than this.
    pub lower: f64,
    /// No more than this.
    pub upper: f64,
}

impl Bounds {
    /// Both, where both are known.
    pub fn of(lower: Option<f64>, upper: Option<f64>) -> Option<Bounds> {
        Some(Bounds { lower: lower?, upper: upper? })
    }

    /// The value, where the bounds leave but one.
    pub fn value(self) -> Option<f64> {
        (self.lower == self.upper).then_some(self.lower)
    }
}

/// Arrivals per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArrivalRate {
    /// The rate that the workload asks for; null for a trace, a closed loop or all at once.
    pub nominal: Option<f64>,
    /// `(n - 1) / (last arrival - first arrival)`; null for fewer than two distinct instants.
    pub realised: Option<f64>,
    /// Users of a closed loop, who send when they have been answered: then the server sets the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
}

/// Tokens served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCounts {
    /// Prompt tokens of the requests that got a first token.
    pub prompt: u64,
    /// Output tokens emitted, those of unfinished and dropped requests included.
    pub output: u64,
}

/// Work done per second of the makespan; null when the makespan is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Output tokens per second.
    pub output_tokens_per_s: Option<f64>,
    /// Completed requests per second.
    pub requests_per_s: Option<f64>,
}

/// A distribution of latencies in seconds. All but `count` are null when `count` is 0.
///
/// Quantiles interpolate linearly between order statistics (Hyndman-Fan type 7) and are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// How steadily tokens came: the fluidity-index (Etalon, arXiv 2407.07000) and what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Fluidity {
    /// The fluidity-index over requests.
    pub index: FluidityIndex,
    /// Requests whose index reaches the threshold, over all that were offered and that the client did
    /// not cancel.
    pub fluid_request_share: Option<f64>,
    /// Missed deadlines over all deadlines, of all requests together; null without deadlines.
    pub service_miss_rate: Option<f64>,
    /// Full figure: 1 / P99 over requests of the smallest TBT deadline that a request keeps.
    pub fluid_tokens_per_s: Option<f64>,
    /// 1 / mean TPOT.
    pub tpot_tokens_per_s: Option<f64>,
    /// 1 / P99 TBT.
    pub tbt_tokens_per_s: Option<f64>,
    /// Full figure: P99 over requests of the miss rate for TBT deadlines of 1 to 100 ms.
    pub p99_miss_rate_by_tbt_ms: Option<Vec<(u32, f64)>>,
    /// Bounds of the figures above that are null because they are not known: observation ended
    /// before some answers did, or a file does not tell when each token came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<FluidityBounds>,
}

/// Bounds of fluidity figures; a figure that is known stands there as well, with both bounds equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FluidityBounds {
    /// Of `fluid_request_share`.
    pub fluid_request_share: Option<Bounds>,
    /// Of the mean fluidity-index.
    pub index_mean: Option<Bounds>,
    /// Of `service_miss_rate`.
    pub service_miss_rate: Option<Bounds>,
    /// Of the 1st percentile of the fluidity-index.
    #[serde(default)]
    pub index_p1: Option<Bounds>,
    /// Of its 5th percentile.
    #[serde(default)]
    pub index_p5: Option<Bounds>,
    /// Of its median.
    #[serde(default)]
    pub index_p50: Option<Bounds>,
    /// Of `tpot_tokens_per_s`.
    #[serde(default)]
    pub tpot_tokens_per_s: Option<Bounds>,
    /// Of `tbt_tokens_per_s`.
    #[serde(default)]
    pub tbt_tokens_per_s: Option<Bounds>,
}

/// The fluidity-index over requests: the low quantiles are the worst-served users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FluidityIndex {
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// 1st percentile.
    pub p1: Option<f64>,
    /// 5th percentile.
    pub p5: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
}

/// Requests that kept every bound given for a single request. Figures are null where requests that
/// were not answered yet decide; then there are bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodput {
    /// How many.
    pub requests: Option<u64>,
    /// Over all that were offered and that the client did not cancel.
    pub share: Option<f64>,
    /// Per second of the makespan.
    pub requests_per_s: Option<f64>,
    /// Bounds of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<GoodputBounds>,
}

/// Bounds of goodput.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoodputBounds {
    /// Of how many.
    pub requests: Option<Bounds>,
    /// Of the share.
    pub share: Option<Bounds>,
    /// Of the rate.
    pub requests_per_s: Option<Bounds>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Deadlines, FirstToken, Knowledge, Options, RequestBounds, evaluate};
    use crate::time::Span;
    use crate::trace::TokenTrace;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Run {
        scheduler: String,
        #[serde(flatten)]
        summary: Summary,
    }

    fn of_no_request(knows: Knowledge) -> Summary {
        let ttft = FirstToken::Fixed(Span::ZERO);
        let deadlines = Deadlines::new(ttft, Span::from_millis(25), 0.9).unwrap();
        let bounds = Some(RequestBounds::default());
        let options = Options { knows, bounds, full: true, ..Options::new(deadlines) };
        evaluate(&TokenTrace::default(), &options)
    }

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_names_are_those_of_the_result_file() {
        let summary = of_no_request(Knowledge::default());
        let run = Run { scheduler: "sarathi".to_owned(), summary };
        let json = serde_json::to_value(&run).unwrap();
        assert_eq!(
            keys(&json),
            [
                "scheduler",
                "requests",
                "duration_s",
                "arrival_rate_per_s",
                "tokens",
                "throughput",
                "ttft_s",
                "ttft_in_time_share",
                "tbt_s",
                "tpot_s",
                "e2e_s",
                "normalized_latency_s_per_token",
                "scheduling_delay_s",
                "fluidity",
                "goodput"
            ]
        );
        assert_eq!(
            keys(&json["requests"]),
            [
                "offered",
                "completed",
                "unfinished",
                "rejected",
                "failed",
                "timed_out",
                "cancelled",
                "censored"
            ]
        );
        assert_eq!(keys(&json["arrival_rate_per_s"]), ["nominal", "realised"]);
        assert_eq!(keys(&json["tokens"]), ["prompt", "output"]);
        assert_eq!(keys(&json["throughput"]), ["output_tokens_per_s", "requests_per_s"]);
        assert_eq!(
            keys(&json["tbt_s"]),
            ["count", "mean", "min", "p50", "p90", "p95", "p99", "p999", "max"]
        );
        assert_eq!(json["tbt_s"]["count"], 0);
        assert!(json["tbt_s"]["p99"].is_null());
        assert_eq!(
            keys(&json["fluidity"]),
            [
                "index",
                "fluid_request_share",
                "service_miss_rate",
                "fluid_tokens_per_s",
                "tpot_tokens_per_s",
                "tbt_tokens_per_s",
                "p99_miss_rate_by_tbt_ms"
            ]
        );
        assert_eq!(keys(&json["fluidity"]["index"]), ["mean", "p1", "p5", "p50"]);
        assert_eq!(serde_json::from_value::<Run>(json).unwrap(), run);
        let schema = serde_json::to_value(schemars::schema_for!(Run)).unwrap();
        assert!(schema["properties"]["fluidity"].is_object());
    }

    #[test]
    fn what_the_source_cannot_know_is_left_out() {
        let knows = Knowledge { token_times: false, arrivals: false, scheduling: false };
        let json = serde_json::to_value(of_no_request(knows)).unwrap();
        assert_eq!(
            keys(&json),
            [
                "requests",
                "tokens",
                "ttft_s",
                "ttft_in_time_share",
                "tpot_s",
                "e2e_s",
                "normalized_latency_s_per_token",
                "goodput"
            ]
        );
        assert_eq!(serde_json::from_value::<Summary>(json).unwrap(), of_no_request(knows));
    }
}
