//! Distributions as benchmarks describe them.

use crate::workload::streams::{Draws, Stream};
use crate::workload::variates::{exponential, normal};
use crate::workload::zipf::Zipf;

/// A distribution of numbers of 0 or more, rounded to whole ones and clipped to `[min, max]`.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) shape: Shape,
    pub(super) min: f64,
    pub(super) max: f64,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Constant(f64),
    /// Whole numbers, both ends included.
    Uniform(f64, f64),
    Normal {
        mean: f64,
        sd: f64,
    },
    /// Mean and standard deviation of the logarithm.
    Lognormal {
        mu: f64,
        sigma: f64,
    },
    Zipf(Zipf),
    Poisson {
        mean: f64,
    },
}

impl Values {
    pub(super) fn new(shape: Shape) -> Values {
        Values { shape, min: 0.0, max: f64::from(u32::MAX) }
    }

    pub(super) fn constant(value: f64) -> Values {
        Values::new(Shape::Constant(value))
    }

    /// A lognormal with this mean and standard deviation of its values.
    pub(super) fn lognormal(mean: f64, sd: f64) -> Shape {
        let square = libm::log(1.0 + (sd / mean) * (sd / mean));
        Shape::Lognormal { mu: libm::log(mean) - square / 2.0, sigma: square.sqrt() }
    }

    /// The value of a key.
    pub(super) fn draw(&self, stream: Stream, key: u64) -> u32 {
        let draws = &mut stream.at(key);
        let value = match &self.shape {
            Shape::Constant(value) => *value,
            Shape::Uniform(min, max) => min + draws.below((max - min) as u64 + 1) as f64,
            Shape::Normal { mean, sd } => mean + sd * normal(draws),
            Shape::Lognormal { mu, sigma } => libm::exp(mu + sigma * normal(draws)),
            Shape::Zipf(zipf) => f64::from(zipf.draw(draws)),
            Shape::Poisson { mean } => poisson(draws, *mean),
        };
        libm::rint(value).clamp(self.min, self.max).clamp(0.0, f64::from(u32::MAX)) as u32
    }
}

/// How many arrivals of a process of rate 1 come within `mean`.
fn poisson(draws: &mut Draws, mean: f64) -> f64 {
    let (mut count, mut time) = (0.0, exponential(draws));
    while time < mean {
        count += 1.0;
        time += exponential(draws);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::streams::Purpose;

    #[test]
    fn means_and_ends_are_those_that_were_asked_for() {
        let stream = Stream::new(5, Purpose::Prompt);
        let of = |values: &Values| -> (f64, u32, u32) {
            let all: Vec<u32> = (0..20_000).map(|key| values.draw(stream, key)).collect();
            let mean = all.iter().map(|&one| f64::from(one)).sum::<f64>() / all.len() as f64;
            (mean, *all.iter().min().expect("some"), *all.iter().max().expect("some"))
        };
        assert_eq!(of(&Values::constant(7.0)), (7.0, 7, 7));
        let (mean, min, max) = of(&Values::new(Shape::Uniform(3.0, 9.0)));
        assert!((mean - 6.0).abs() < 0.05 && (min, max) == (3, 9), "{mean}");
        let clipped = Values { min: 90.0, ..Values::new(Shape::Normal { mean: 100.0, sd: 20.0 }) };
        let (mean, min, _) = of(&clipped);
        assert!(min == 90 && mean > 101.0, "{mean}");
        let (mean, ..) = of(&Values::new(Values::lognormal(1000.0, 400.0)));
        assert!((mean - 1000.0).abs() < 15.0, "{mean}");
        let (mean, ..) = of(&Values::new(Shape::Poisson { mean: 12.0 }));
        assert!((mean - 12.0).abs() < 0.1, "{mean}");
        let zipf = Values { max: 50.0, ..Values::new(Shape::Zipf(Zipf::new(1 << 20, 1.5))) };
        let (_, min, max) = of(&zipf);
        assert_eq!((min, max), (1, 50));
    }
}
