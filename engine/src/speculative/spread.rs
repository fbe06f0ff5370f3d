//! Requests that differ in how well they are guessed.

use super::chance::{Chance, For, OfRequest, in_a_row};

/// As many kinds of requests are told apart.
const KINDS: usize = 256;

/// Chances drawn from a beta distribution, one for each request: its quantiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spread(Box<[Chance; KINDS]>);

impl Spread {
    /// Points at which the distribution's density is summed up.
    const POINTS: u32 = 1 << 14;

    /// Of a beta distribution with this mean, above 0 and below 1, and this standard deviation; one
    /// chance for all where it is 0.
    pub(super) fn new(mean: f64, sd: f64) -> Spread {
        let mut chances = Box::new([Chance::of(mean); KINDS]);
        let size = mean * (1.0 - mean) / (sd * sd) - 1.0;
        if !(sd > 0.0 && size > 0.0) {
            return Spread(chances);
        }
        let [a, b] = [mean * size, (1.0 - mean) * size];
        let point = |place: u32| (f64::from(place) + 0.5) / f64::from(Spread::POINTS);
        // Over that at the mean, so that neither all nor none of it leaves the range of numbers.
        let density = |x: f64| {
            let over =
                (a - 1.0) * libm::log(x / mean) + (b - 1.0) * libm::log((1.0 - x) / (1.0 - mean));
            libm::exp(over)
        };
        let whole: f64 = (0..Spread::POINTS).map(|place| density(point(place))).sum();
        let (mut below, mut place) = (0.0, 0);
        for (kind, chance) in chances.iter_mut().enumerate() {
            let share = (kind as f64 + 0.5) / KINDS as f64;
            while place < Spread::POINTS - 1 && below + density(point(place)) < share * whole {
                below += density(point(place));
                place += 1;
            }
            *chance = Chance::of(point(place));
        }
        Spread(chances)
    }

    /// That of the request whose draws these are.
    #[inline]
    pub(super) fn of(&self, draws: OfRequest) -> Chance {
        self.0[(draws.at(For::Request, 0) >> 56) as usize]
    }

    /// Apart, as of every rule but the commonest, which would pay for its registers.
    #[inline(never)]
    pub(super) fn accepted(&self, draws: OfRequest, position: u32, drafts: u32) -> u32 {
        let rate = self.of(draws);
        let mut row = draws.row(For::Draft, position);
        in_a_row(drafts, |_| rate.takes(row.draw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_have_the_mean_and_the_deviation() {
        for (mean, sd) in [(0.6, 0.09), (0.3, 0.2), (0.95, 0.01), (0.5, 0.0)] {
            let Spread(chances) = Spread::new(mean, sd);
            let shares: Vec<f64> = chances.iter().map(|chance| chance.share()).collect();
            let found = shares.iter().sum::<f64>() / KINDS as f64;
            let variance =
                shares.iter().map(|share| (share - found) * (share - found)).sum::<f64>();
            let deviation = (variance / KINDS as f64).sqrt();
            assert!((found - mean).abs() < 0.001, "{found} for {mean}");
            assert!((deviation - sd).abs() < 0.02 * sd + 1e-9, "{deviation} for {sd}");
        }
    }
}
