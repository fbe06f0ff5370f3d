//! What the workload tests share.

use std::path::{Path, PathBuf};

use metron_sim::time::Span;
use metron_sim::workload::*;

use crate::shared::shared;

pub(super) const LIMITS: Limits = Limits { max_model_len: 1_000_000, kv_block_tokens: 16 };

pub(super) fn seconds(s: f64) -> Span {
    Span::from_secs_f64(s).unwrap()
}

pub(super) fn dist(shape: Shape) -> Dist {
    Dist { shape, min: None, max: None }
}

pub(super) fn independent(prompt: Shape, output: Shape) -> Lengths {
    Lengths::Independent { prompt: dist(prompt), output: dist(output) }
}

pub(super) fn requests(n: u32) -> Amount {
    Amount { requests: Some(n), duration: None }
}

pub(super) const UNBOUNDED: Amount = Amount { requests: None, duration: None };

pub(super) fn synthetic(arrivals: Arrivals, lengths: Lengths, amount: Amount) -> WorkloadSpec {
    WorkloadSpec {
        source: Source::Synthetic { arrivals, lengths },
        amount,
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    }
}

pub(super) fn trace(file: &Path) -> WorkloadSpec {
    WorkloadSpec {
        source: Source::Trace(TraceSpec {
            file: file.to_owned(),
            format: None,
            time_scale: 1.0,
            arrivals: None,
            by_answers: false,
            keeps_times: false,
            gap_cap: None,
        }),
        amount: UNBOUNDED,
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    }
}

pub(super) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces").join(name)
}

/// A file of the published traces.
pub(super) fn published(name: &str) -> Option<PathBuf> {
    shared(&format!("data/{name}"))
}

pub(super) struct Stats {
    pub mean: f64,
    pub cv: f64,
    sorted: Vec<f64>,
}

impl Stats {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Stats {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let variance = sorted.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        Stats { mean, cv: variance.sqrt() / mean, sorted }
    }

    /// Linear interpolation between order statistics.
    pub(super) fn quantile(&self, p: f64) -> f64 {
        let place = (self.sorted.len() - 1) as f64 * p;
        let below = place as usize;
        let above = (below + 1).min(self.sorted.len() - 1);
        self.sorted[below] + (self.sorted[above] - self.sorted[below]) * (place - below as f64)
    }
}

pub(super) fn prompts(workload: &Workload) -> Stats {
    Stats::of(workload.requests.iter().map(|r| f64::from(r.prompt_tokens)))
}

pub(super) fn outputs(workload: &Workload) -> Stats {
    Stats::of(workload.requests.iter().map(|r| f64::from(r.output_tokens)))
}

/// Seconds between arrivals.
pub(super) fn gaps(workload: &Workload) -> Stats {
    let pairs = workload.requests.windows(2);
    Stats::of(pairs.map(|pair| pair[1].arrival.since(pair[0].arrival).as_secs_f64()))
}

#[track_caller]
pub(super) fn assert_near(got: f64, expected: f64, relative: f64) {
    assert!((got / expected - 1.0).abs() <= relative, "got {got}, expected {expected}");
}
