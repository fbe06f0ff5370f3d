//! How predictions of iterations' times, and of answers' lengths, are wrong, as far as a scenario says.

use crate::request::RequestId;
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
    /// The same of how long an answer will be, from 0 to below 1, evenly at random for each request;
    /// `None` where nobody predicts it.
    pub answer_spread: Option<f64>,
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

impl Predictor {
    /// How long the answer of a request is predicted to be, by its number in the whole run, where anybody
    /// predicts that: at least a token, and no more than it asked for.
    pub(super) fn answer(
        &self,
        number: RequestId,
        (output, max_tokens): (u32, u32),
    ) -> Option<u32> {
        let spread = self.answer_spread?;
        let key = self.seed ^ mixed(u64::from(number.0) ^ ANSWERS);
        let off = spread * (2.0 * unit(key) - 1.0);
        let tokens = (f64::from(output) * (1.0 + off)).round() as u32;
        Some(tokens.clamp(1, max_tokens.max(1)))
    }
}

/// Keeps the errors of answers apart from those of iterations.
const ANSWERS: u64 = 0xa45e_1e57;

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
    fn an_answers_length_is_predicted_within_its_spread_and_the_same_for_a_request() {
        let of = |spread, number| {
            let predictor = Predictor { answer_spread: spread, seed: 9, ..Predictor::default() };
            predictor.answer(RequestId(number), (1000, 1200))
        };
        assert_eq!((of(None, 0), of(Some(0.0), 0)), (None, Some(1000)));
        let all: Vec<u32> = (0..2000).filter_map(|number| of(Some(0.3), number)).collect();
        assert!(all.iter().all(|one| (700..=1200).contains(one)));
        assert!(all.contains(&1200), "no more than it asked for");
        assert!(all.iter().any(|&one| one < 710));
        assert_eq!(of(Some(0.3), 5), of(Some(0.3), 5));
        assert_ne!(of(Some(0.3), 5), of(Some(0.3), 6));
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
