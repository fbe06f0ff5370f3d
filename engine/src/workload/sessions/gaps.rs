//! How long it takes from an answer to the turn after it.

use super::spec::{Gap, GapKind, GapShape};
use crate::time::Span;
use crate::workload::streams::{Draws, Stream};
use crate::workload::{WorkloadError, variates};

/// Draws gaps.
#[derive(Clone, Debug)]
pub(super) struct GapSampler {
    parts: Vec<Part>,
    stream: Stream,
}

#[derive(Clone, Debug)]
struct Part {
    /// The share of all gaps that are of this kind or of one before it.
    up_to: f64,
    kind: GapKind,
    shape: Shape,
    max_ns: f64,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Fixed(f64),
    Uniform { min: f64, width: f64 },
    Exponential { mean: f64 },
    Lognormal { mu: f64, sigma: f64 },
}

/// Longest gap, a year: times of a run hold many of them.
const GAP_MAX_NS: f64 = 365.0 * 86_400e9;

impl GapSampler {
    pub(super) fn new(gaps: &[Gap], stream: Stream) -> Result<GapSampler, WorkloadError> {
        let wrong = |message: &str| Err(WorkloadError::spec("sessions.gap", message));
        let total: f64 = gaps.iter().map(|gap| gap.share).sum();
        if gaps.iter().any(|gap| !(gap.share >= 0.0 && gap.share.is_finite())) {
            return wrong("expected shares of 0 or more");
        }
        if total <= 0.0 || total.is_nan() {
            return wrong("expected a gap whose share is above 0");
        }
        let ns = |span: Span| span.as_nanos() as f64;
        let mut sum = 0.0;
        let mut parts = Vec::with_capacity(gaps.len());
        for gap in gaps {
            sum += gap.share;
            let shape = match gap.shape {
                GapShape::Fixed(span) => Shape::Fixed(ns(span)),
                GapShape::Uniform { min, max } if min > max => {
                    return wrong("uniform: expected min <= max");
                }
                GapShape::Uniform { min, max } => {
                    Shape::Uniform { min: ns(min), width: ns(max) - ns(min) }
                }
                GapShape::Exponential { mean } => Shape::Exponential { mean: ns(mean) },
                GapShape::Lognormal { mean, sigma } => {
                    if mean == Span::ZERO || !(0.0..=100.0).contains(&sigma) {
                        return wrong(
                            "lognormal: expected a mean above 0, and sigma from 0 to 100",
                        );
                    }
                    Shape::Lognormal { mu: libm::log(ns(mean)) - sigma * sigma / 2.0, sigma }
                }
            };
            let max_ns = gap.max.map_or(GAP_MAX_NS, ns).min(GAP_MAX_NS);
            parts.push(Part { up_to: sum / total, kind: gap.kind, shape, max_ns });
        }
        Ok(GapSampler { parts, stream })
    }

    /// The gap with this key, and who is waited for.
    pub(super) fn draw(&self, key: u64) -> (Span, GapKind) {
        let mut draws = self.stream.at(key);
        let chosen = match &self.parts[..] {
            [one] => one,
            parts => {
                let u = draws.unit();
                let last = parts.len() - 1;
                &parts[parts.partition_point(|part| part.up_to <= u).min(last)]
            }
        };
        let ns = libm::rint(chosen.shape.draw(&mut draws)).clamp(0.0, chosen.max_ns);
        (Span::from_nanos(ns as u64), chosen.kind)
    }
}

impl Shape {
    fn draw(self, draws: &mut Draws) -> f64 {
        match self {
            Shape::Fixed(ns) => ns,
            Shape::Uniform { min, width } => min + width * draws.unit(),
            Shape::Exponential { mean } => mean * variates::exponential(draws),
            Shape::Lognormal { mu, sigma } => libm::exp(mu + sigma * variates::normal(draws)),
        }
    }
}
