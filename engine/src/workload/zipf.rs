//! Zipf's law on 1..=n, whatever n, in constant time and memory.

use super::streams::Draws;

/// Probability of k proportional to `k^-theta`, k in 1..=n, exactly: rejection-inversion of
/// Hörmann and Derflinger, "Rejection-inversion to generate variates from monotone discrete
/// distributions", ACM TOMACS 6 (1996).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zipf {
    n: f64,
    theta: f64,
    /// The hat's integral at 1.5, less the probability of 1.
    low: f64,
    /// The hat's integral at n + 0.5.
    high: f64,
    /// Values nearer than this below their integer need no second look.
    sure: f64,
}

impl Zipf {
    pub(crate) fn new(n: u32, theta: f64) -> Zipf {
        debug_assert!(n >= 1 && theta >= 0.0);
        let mut zipf = Zipf { n: f64::from(n), theta, low: 0.0, high: 0.0, sure: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.n + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn draw(&self, draws: &mut Draws) -> u32 {
        loop {
            let u = self.high + draws.unit() * (self.low - self.high);
            let x = self.inverse(u);
            let k = libm::floor(x + 0.5).clamp(1.0, self.n);
            if k - x <= self.sure || u >= self.integral(k + 0.5) - self.weight(k) {
                return k as u32;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        libm::exp(-self.theta * libm::log(x))
    }

    /// `(x^(1-theta) - 1) / (1 - theta)`, and `log x` at theta = 1, without a jump between.
    fn integral(&self, x: f64) -> f64 {
        let log_x = libm::log(x);
        let y = (1.0 - self.theta) * log_x;
        let slope = if y.abs() > 1e-8 { libm::expm1(y) / y } else { 1.0 + y / 2.0 };
        slope * log_x
    }

    fn inverse(&self, u: f64) -> f64 {
        // Rounding may push it past -1, where there is no logarithm.
        let t = (u * (1.0 - self.theta)).max(-1.0);
        let slope = if t.abs() > 1e-8 { libm::log1p(t) / t } else { 1.0 - t / 2.0 };
        libm::exp(slope * u)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::streams::{Purpose, Stream};

    #[test]
    fn frequencies_follow_the_law() {
        for (n, theta) in [(1, 1.0), (2, 0.5), (10, 0.0), (10, 1.0), (20, 0.9999999999), (50, 2.5)]
        {
            let zipf = Zipf::new(n, theta);
            let stream = Stream::new(11, Purpose::Prompt);
            let tries = 200_000u32;
            let mut counts = vec![0u32; n as usize];
            for key in 0..tries {
                counts[zipf.draw(&mut stream.at(u64::from(key))) as usize - 1] += 1;
            }
            let total: f64 = (1..=n).map(|k| libm::pow(f64::from(k), -theta)).sum();
            for (k, &count) in (1..=n).zip(&counts) {
                let p = libm::pow(f64::from(k), -theta) / total;
                let deviation = (p * (1.0 - p) / f64::from(tries)).sqrt();
                let error = (f64::from(count) / f64::from(tries) - p).abs();
                assert!(error <= 4.5 * deviation + 1e-12, "n {n} theta {theta} k {k}: {error}");
            }
        }
    }

    #[test]
    fn wide_ranges_and_steep_laws_stay_inside() {
        for theta in [0.0, 0.99, 1.0, 1.2, 5.0, 50.0] {
            let zipf = Zipf::new(1_000_000, theta);
            for key in 0..2000 {
                let k = zipf.draw(&mut Stream::new(5, Purpose::Prompt).at(key));
                assert!((1..=1_000_000).contains(&k));
            }
        }
    }
}
