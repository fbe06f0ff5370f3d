//! What goes wrong on request, the same in every run of one seed: for those who build gateways.

use std::time::Duration;

use super::answer::Trouble;

/// Faults that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Share of the requests that are answered with status 500.
    pub error_rate: f64,
    /// Share of the answers that pause in the middle, and for how long.
    pub stall: Option<(f64, Duration)>,
    /// Share of the answers whose connection breaks in the middle.
    pub disconnect_rate: f64,
    /// For so long after the start every request, and `/health`, is answered with 503.
    pub slow_start: Duration,
    /// Most requests at once; more are answered with 429.
    pub queue_limit: Option<usize>,
    /// Tokens in a chunk at least, but for the last.
    pub chunk_tokens: u32,
}

/// What is drawn for one request.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Error,
    Stall,
    StallAt,
    Disconnect,
    DisconnectAt,
}

impl Faults {
    /// Whether the request with this number fails at once.
    pub(super) fn fails(&self, seed: u64, number: u64) -> bool {
        unit(seed, number, Draw::Error) < self.error_rate
    }

    /// What goes wrong in its answer of so many tokens.
    pub(super) fn trouble(&self, seed: u64, number: u64, tokens: u32) -> Trouble {
        // Never before the first token, so that it is in the middle.
        let place =
            |draw| 1 + (unit(seed, number, draw) * f64::from(tokens.saturating_sub(1))) as u32;
        let stall = self.stall.filter(|(share, _)| unit(seed, number, Draw::Stall) < *share);
        let breaks = unit(seed, number, Draw::Disconnect) < self.disconnect_rate;
        Trouble {
            stall: stall.map(|(_, pause)| (place(Draw::StallAt), pause)),
            breaks_at: breaks.then(|| place(Draw::DisconnectAt).min(tokens.saturating_sub(1))),
        }
    }
}

/// A number in [0, 1) for a request and a purpose (SplitMix64).
fn unit(seed: u64, number: u64, draw: Draw) -> f64 {
    let mut z = seed ^ (number << 3 | draw as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_places_lie_in_the_answer() {
        let stall = Some((0.25, Duration::from_millis(5)));
        let faults = Faults { error_rate: 0.1, stall, disconnect_rate: 0.5, ..Faults::default() };
        let share = |what: &dyn Fn(u64) -> bool| (0..10_000).filter(|&n| what(n)).count();
        let near = |count: usize, expected: usize| count.abs_diff(expected) < 150;
        assert!(near(share(&|n| faults.fails(1, n)), 1000));
        assert!(near(share(&|n| faults.trouble(1, n, 9).stall.is_some()), 2500));
        assert!(near(share(&|n| faults.trouble(1, n, 9).breaks_at.is_some()), 5000));
        for n in 0..1000 {
            let trouble = faults.trouble(1, n, 9);
            assert!(trouble.breaks_at.is_none_or(|at| (1..9).contains(&at)));
            assert!(trouble.stall.is_none_or(|(at, _)| (1..9).contains(&at)));
        }
        assert_eq!(faults.trouble(1, 7, 1).breaks_at.unwrap_or(0), 0);
    }
}
