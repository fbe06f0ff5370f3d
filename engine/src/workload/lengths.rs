//! Prompt and output lengths, drawn.

use std::sync::Arc;

use super::streams::{Draws, Purpose, Stream};
use super::tables::{self, TableData};
use super::zipf::Zipf;
use super::{Dist, LengthTable, Lengths, Shape, WorkloadError, trace_files, variates};

/// The steepest Zipf's law that is taken; nearly every value is its smallest long before.
const ZIPF_THETA_MAX: f64 = 50.0;

/// Draws pairs of lengths. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LengthSampler {
    prompts: Stream,
    outputs: Stream,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Independent {
        prompt: DistSampler,
        output: DistSampler,
    },
    Table(&'static TableData),
    /// Pairs of a file, in order and again from the start.
    Pairs {
        pairs: Arc<[(u32, u32)]>,
        next: usize,
    },
}

impl LengthSampler {
    /// Checks a description; reads its file, where it names one. `field` is its place in a
    /// scenario.
    pub(crate) fn new(
        lengths: &Lengths,
        field: &str,
        seed: u64,
        warnings: &mut Vec<super::Warning>,
    ) -> Result<LengthSampler, WorkloadError> {
        let kind = match lengths {
            Lengths::Independent { prompt, output } => Kind::Independent {
                prompt: DistSampler::new(prompt, &format!("{field}.prompt"))?,
                output: DistSampler::new(output, &format!("{field}.output"))?,
            },
            Lengths::Table(table) => Kind::Table(match table {
                LengthTable::Chat => &tables::CHAT,
                LengthTable::Summarisation => &tables::SUMMARISATION,
                LengthTable::LongForm => &tables::LONG_FORM,
                LengthTable::Code => &tables::CODE,
            }),
            Lengths::File(path) => {
                Kind::Pairs { pairs: trace_files::read_pairs(path, warnings)?.into(), next: 0 }
            }
        };
        Ok(LengthSampler {
            prompts: Stream::new(seed, Purpose::Prompt),
            outputs: Stream::new(seed, Purpose::Output),
            kind,
        })
    }

    /// Whether a pair of lengths depends on how many were drawn before it.
    pub(crate) fn takes_turns(&self) -> bool {
        matches!(self.kind, Kind::Pairs { .. })
    }

    /// Prompt and output tokens of the request with this key, both at least 1.
    #[inline]
    pub(crate) fn draw(&mut self, key: u64) -> (u32, u32) {
        match &mut self.kind {
            Kind::Independent { prompt, output } => {
                (prompt.draw(self.prompts, key), output.draw(self.outputs, key))
            }
            Kind::Table(table) => {
                let u = self.prompts.at(key).unit();
                let v = self.outputs.at(key).unit();
                (
                    table_value(&table.prompt, u),
                    table_value(&table.output_by_prompt_tenth[(u * 10.0) as usize], v),
                )
            }
            Kind::Pairs { pairs, next } => {
                let pair = pairs[*next];
                *next = if *next + 1 == pairs.len() { 0 } else { *next + 1 };
                pair
            }
        }
    }
}

fn table_value(column: &tables::Column, u: f64) -> u32 {
    let above = tables::GRID.partition_point(|&p| p <= u);
    let (p0, p1) = (tables::GRID[above - 1], tables::GRID[above]);
    let (v0, v1) = (f64::from(column[above - 1]), f64::from(column[above]));
    whole_tokens(v0 + (v1 - v0) * ((u - p0) / (p1 - p0)))
}

/// Nearest whole number of tokens (the even one when two are as near), within 1 and `u32::MAX`.
pub(super) fn whole_tokens(value: f64) -> u32 {
    libm::rint(value).clamp(1.0, f64::from(u32::MAX)) as u32
}

/// One distribution, made ready.
#[derive(Clone, Debug)]
pub(super) struct DistSampler {
    shape: ShapeSampler,
    min: u32,
    max: u32,
}

#[derive(Clone, Debug)]
enum ShapeSampler {
    Fixed(u32),
    Uniform {
        min: u32,
        values: u64,
    },
    /// `exp(mu + sigma z)`.
    Lognormal {
        mu: f64,
        sigma: f64,
    },
    /// `ln(1 - 1 / mean)`.
    Geometric {
        log_miss: f64,
    },
    Zipf {
        min: u32,
        zipf: Zipf,
    },
    Quantiles(Arc<[(f64, f64)]>),
}

impl DistSampler {
    pub(super) fn new(dist: &Dist, field: &str) -> Result<DistSampler, WorkloadError> {
        let min = dist.min.unwrap_or(1).max(1);
        let max = dist.max.unwrap_or(u32::MAX);
        if min > max {
            return Err(WorkloadError::spec(
                field,
                format!("expected min <= max and max >= 1, found min {min} and max {max}"),
            ));
        }
        Ok(DistSampler { shape: ShapeSampler::new(&dist.shape, field)?, min, max })
    }

    #[inline]
    pub(super) fn draw(&self, stream: Stream, key: u64) -> u32 {
        let tokens = match &self.shape {
            ShapeSampler::Fixed(tokens) => *tokens,
            shape => shape.draw(&mut stream.at(key)),
        };
        tokens.clamp(self.min, self.max)
    }
}

impl ShapeSampler {
    fn new(shape: &Shape, field: &str) -> Result<ShapeSampler, WorkloadError> {
        let wrong = |expected: String| Err(WorkloadError::spec(field, expected));
        Ok(match *shape {
            Shape::Fixed(tokens) => ShapeSampler::Fixed(tokens),
            Shape::Uniform { min, max } => {
                if min > max {
                    return wrong(format!("uniform: expected min <= max, found {min} and {max}"));
                }
                ShapeSampler::Uniform { min, values: u64::from(max) - u64::from(min) + 1 }
            }
            Shape::Lognormal { mean, sigma } => {
                if !(mean > 0.0 && mean.is_finite()) {
                    return wrong(format!("lognormal: expected a mean above 0, found {mean}"));
                }
                if !(0.0..=100.0).contains(&sigma) {
                    return wrong(format!(
                        "lognormal: expected sigma from 0 to 100, found {sigma}"
                    ));
                }
                // The mean of exp(mu + sigma z) is exp(mu + sigma^2 / 2).
                ShapeSampler::Lognormal { mu: libm::log(mean) - sigma * sigma / 2.0, sigma }
            }
            Shape::Geometric { mean } => {
                if !(mean >= 1.0 && mean.is_finite()) {
                    return wrong(format!("geometric: expected a mean of 1 or more, found {mean}"));
                }
                ShapeSampler::Geometric { log_miss: libm::log1p(-1.0 / mean) }
            }
            Shape::Zipf { min, max, theta } => {
                if min > max {
                    return wrong(format!("zipf: expected min <= max, found {min} and {max}"));
                }
                if !(0.0..=ZIPF_THETA_MAX).contains(&theta) {
                    return wrong(format!(
                        "zipf: expected theta from 0 to {ZIPF_THETA_MAX}, found {theta}"
                    ));
                }
                let values = (max - min).saturating_add(1);
                ShapeSampler::Zipf { min, zipf: Zipf::new(values, theta) }
            }
            Shape::Quantiles(ref points) => {
                if points.is_empty() {
                    return wrong("quantiles: expected at least one point".to_owned());
                }
                for &(p, value) in points {
                    if !((0.0..=1.0).contains(&p) && value >= 0.0 && value.is_finite()) {
                        return wrong(format!(
                            "quantiles: expected probabilities from 0 to 1 and values of 0 or \
                             more, found {p}: {value}"
                        ));
                    }
                }
                for pair in points.windows(2) {
                    if pair[0].0 >= pair[1].0 || pair[0].1 > pair[1].1 {
                        return wrong(format!(
                            "quantiles: expected points that ascend, found {}: {} before {}: {}",
                            pair[0].0, pair[0].1, pair[1].0, pair[1].1
                        ));
                    }
                }
                ShapeSampler::Quantiles(points.as_slice().into())
            }
        })
    }

    fn draw(&self, draws: &mut Draws) -> u32 {
        match self {
            ShapeSampler::Fixed(tokens) => *tokens,
            ShapeSampler::Uniform { min, values } => min + draws.below(*values) as u32,
            ShapeSampler::Lognormal { mu, sigma } => {
                whole_tokens(libm::exp(mu + sigma * variates::normal(draws)))
            }
            ShapeSampler::Geometric { log_miss } => {
                // A mean of 1 makes this minus infinity, and the quotient 0.
                let misses = libm::floor(libm::log(draws.open_unit()) / log_miss);
                whole_tokens(1.0 + misses)
            }
            ShapeSampler::Zipf { min, zipf } => min + (zipf.draw(draws) - 1),
            ShapeSampler::Quantiles(points) => {
                let u = draws.unit();
                let above = points.partition_point(|&(p, _)| p <= u);
                whole_tokens(if above == 0 {
                    points[0].1
                } else if above == points.len() {
                    points[above - 1].1
                } else {
                    let ((p0, v0), (p1, v1)) = (points[above - 1], points[above]);
                    v0 + (v1 - v0) * ((u - p0) / (p1 - p0))
                })
            }
        }
    }
}
