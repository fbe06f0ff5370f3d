//! What latencies and their figures are called.

use super::quantile::above_for_certain;
use super::summary::Distribution;

/// A latency of which a summary tells the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// To the first token.
    Ttft,
    /// Between two tokens.
    Tbt,
    /// Mean gap of a request.
    Tpot,
    /// To the last token.
    E2e,
    /// To the first batch.
    SchedulingDelay,
}

impl Latency {
    /// Its name; with `_s` behind it that of the member of a summary.
    pub fn name(self) -> &'static str {
        match self {
            Latency::Ttft => "ttft",
            Latency::Tbt => "tbt",
            Latency::Tpot => "tpot",
            Latency::E2e => "e2e",
            Latency::SchedulingDelay => "scheduling_delay",
        }
    }
}

/// One figure of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean.
    Mean,
    /// Smallest.
    Min,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// Largest.
    Max,
}

impl Statistic {
    /// All of them.
    pub const ALL: [Statistic; 8] = [
        Statistic::Mean,
        Statistic::Min,
        Statistic::P50,
        Statistic::P90,
        Statistic::P95,
        Statistic::P99,
        Statistic::P999,
        Statistic::Max,
    ];

    /// Its name, that of the member of a distribution.
    pub fn name(self) -> &'static str {
        match self {
            Statistic::Mean => "mean",
            Statistic::Min => "min",
            Statistic::P50 => "p50",
            Statistic::P90 => "p90",
            Statistic::P95 => "p95",
            Statistic::P99 => "p99",
            Statistic::P999 => "p999",
            Statistic::Max => "max",
        }
    }

    /// How many of `count` samples must lie above a bound for this figure to lie above it for certain,
    /// whatever the others are, and where there are fewer in the end. `None` of a mean or a least.
    pub fn above_for_certain(self, count: u64) -> Option<u64> {
        let thousandths = match self {
            Statistic::Mean | Statistic::Min => return None,
            Statistic::P50 => 500,
            Statistic::P90 => 900,
            Statistic::P95 => 950,
            Statistic::P99 => 990,
            Statistic::P999 => 999,
            Statistic::Max => 1000,
        };
        Some(above_for_certain(count, thousandths))
    }

    /// This figure of a distribution; `None` without samples.
    pub fn of(self, distribution: &Distribution) -> Option<f64> {
        match self {
            Statistic::Mean => distribution.mean,
            Statistic::Min => distribution.min,
            Statistic::P50 => distribution.p50,
            Statistic::P90 => distribution.p90,
            Statistic::P95 => distribution.p95,
            Statistic::P99 => distribution.p99,
            Statistic::P999 => distribution.p999,
            Statistic::Max => distribution.max,
        }
    }
}
