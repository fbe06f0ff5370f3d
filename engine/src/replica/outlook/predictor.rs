//! How predictions of an iteration's time are wrong, as far as a scenario says.

use crate::time::{Span, Time};

/// What a prediction differs by from the time that an iteration takes: `1 + bias`, and by up to
/// `spread` more or less, evenly at random for each decision. The default is right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predictor {
    /// Above -1: -0.2 for predictions that are a fifth too short.
    pub bias: f64,
    /// From 0 to below 1.
    pub spread: f64,
    /// What the random part is drawn by.
    pub seed: u64,
}

impl Predictor {
    /// What is predicted, in a decision at this instant, of an iteration that takes `actual`. At least
    /// a nanosecond.
    pub(super) fn of(&self, decided: Time, actual: Span) -> Span {
        if self.bias == 0.0 && self.spread == 0.0 {
            return actual;
        }
        let share = 1.0 + self.bias;
        let off = self.spread * (2.0 * unit(self.seed ^ mixed(decided.as_nanos())) - 1.0);
        let ns = actual.as_nanos() as f64 * (share * (1.0 + off));
        Span::from_nanos((ns.round() as u64).max(1))
    }
}

/// From 0 to below 1, of a key.
fn unit(key: u64) -> f64 {
    (mixed(key) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mixed(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    #[test]
    fn a_right_one_says_what_comes() {
        assert_eq!(Predictor::default().of(Time::from_nanos(7), ms(10)), ms(10));
    }

    #[test]
    fn a_bias_is_the_same_every_time() {
        let short = Predictor { bias: -0.2, ..Predictor::default() };
        assert_eq!(short.of(Time::ZERO, ms(10)), ms(8));
        assert_eq!(short.of(Time::from_nanos(1), ms(10)), ms(8));
    }

    #[test]
    fn a_spread_is_even_around_the_truth_and_keyed_by_instant_and_seed() {
        let wrong = Predictor { spread: 0.2, seed: 3, ..Predictor::default() };
        let at = |ns| wrong.of(Time::from_nanos(ns), ms(1000)).as_nanos() as f64 / 1e9;
        let all: Vec<f64> = (0..10_000).map(at).collect();
        assert!(all.iter().all(|one| (0.8..=1.2).contains(one)));
        assert!(all.iter().any(|one| *one < 0.81) && all.iter().any(|one| *one > 1.19));
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
        assert_eq!(at(5), at(5));
        let other = Predictor { seed: 4, ..wrong };
        assert_ne!(other.of(Time::ZERO, ms(1000)), wrong.of(Time::ZERO, ms(1000)));
    }
}
