//! How tokens get to experts that are spread over ranks, and how evenly they choose them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How data-parallel ranks that share experts exchange tokens, by the names of vLLM's
/// `--all2all-backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpertExchange {
    /// Every rank gathers the tokens of all, and the sums are scattered back: vLLM's default.
    #[default]
    AllgatherReducescatter,
    /// Each token goes to each of its experts' ranks, a copy an expert, and a result comes back.
    AllToAll,
    /// DeepEP's kernels for prefills: a token goes once to each rank that has some of its experts,
    /// in fp8, and a sum comes back in 16 bits.
    DeepepHighThroughput,
    /// DeepEP's kernels for decodes: a copy an expert, in fp8, at a fixed time that is lower the fewer
    /// ranks there are.
    DeepepLowLatency,
}

/// How evenly tokens choose experts.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpertChoice {
    /// All alike; the busiest rank gets so many times the mean, at least 1.
    Imbalance(f64),
    /// By these shares, one for each expert; they need not sum to 1.
    Shares(Vec<f64>),
}

impl Default for ExpertChoice {
    fn default() -> ExpertChoice {
        ExpertChoice::Imbalance(1.0)
    }
}

/// The way to experts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpertLoad {
    /// How tokens get there.
    pub exchange: ExpertExchange,
    /// How evenly they choose.
    pub choice: ExpertChoice,
}

impl ExpertChoice {
    /// Shares that fall as the `exponent`-th power of an expert's place in the order of popularity: 0
    /// is even. That order is dealt out to 64 heaps in turn, so that the popular ones are not
    /// neighbours, which share a rank.
    pub fn zipf(experts: u32, exponent: f64) -> ExpertChoice {
        const HEAPS: u32 = 64;
        let heaps = experts.clamp(1, HEAPS);
        let each = experts.div_ceil(heaps).max(1);
        // Expert number n is the `n % each`-th of heap `n / each`.
        let place = |n: u32| n % each * heaps + n / each + 1;
        let share = |n: u32| libm::pow(f64::from(place(n)), -exponent);
        ExpertChoice::Shares((0..experts).map(share).collect())
    }

    /// The load of the busiest of `ranks` ranks as a multiple of the mean, and the chances of its
    /// experts to be among the `per_token` that a token goes to, where those differ. No rank gets
    /// more than all.
    pub(super) fn busiest(&self, per_token: u32, ranks: u32) -> (f64, Option<Vec<f64>>) {
        let ranks = ranks.max(1);
        let Some(chances) = self.chances(per_token) else {
            let ExpertChoice::Imbalance(most) = self else { return (1.0, None) };
            return (most.clamp(1.0, f64::from(ranks)), None);
        };
        // Experts lie on ranks in a row, vLLM's `linear` placement.
        let each = chances.len().div_ceil(ranks as usize).max(1);
        let load = |held: &[f64]| held.iter().sum::<f64>();
        let busiest = chances.chunks(each).max_by(|a, b| load(a).total_cmp(&load(b)));
        let busiest = busiest.unwrap_or_default();
        let mean = load(&chances) / f64::from(ranks);
        let most = if mean > 0.0 { load(busiest) / mean } else { 1.0 };
        (most.max(1.0), Some(busiest.to_vec()))
    }

    /// The chance of each expert to be among the `per_token` that a token goes to; `None` where all
    /// are alike.
    fn chances(&self, per_token: u32) -> Option<Vec<f64>> {
        let ExpertChoice::Shares(shares) = self else { return None };
        let sum: f64 = shares.iter().sum();
        // No expert is chosen twice by one token: what is above 1 goes to the others.
        let mut chances: Vec<f64> = shares.iter().map(|s| s / sum * f64::from(per_token)).collect();
        for _ in 0..shares.len() {
            let above: f64 = chances.iter().map(|chance| (chance - 1.0).max(0.0)).sum();
            let below: f64 = chances.iter().filter(|chance| **chance < 1.0).sum();
            if above < 1e-12 || below <= 0.0 {
                break;
            }
            for chance in &mut chances {
                *chance = if *chance < 1.0 { *chance * (1.0 + above / below) } else { 1.0 };
            }
        }
        Some(chances.into_iter().map(|chance| chance.min(1.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_rank_is_that_of_the_most_chosen_experts() {
        let shares = ExpertChoice::Shares(vec![3.0, 3.0, 1.0, 1.0]);
        // Experts 0 and 1 are on rank 0: 6 of 8, where 4 is even.
        let (most, chances) = shares.busiest(1, 2);
        assert!((most - 1.5).abs() < 1e-12);
        assert_eq!(chances, Some(vec![0.375; 2]));
        assert_eq!(shares.busiest(1, 1).0, 1.0);
        assert!((ExpertChoice::zipf(8, 0.0).busiest(2, 4).0 - 1.0).abs() < 1e-12);
        assert_eq!(ExpertChoice::Imbalance(1.3).busiest(2, 4), (1.3, None));
        // No rank gets more than all, and one rank has all there is.
        assert_eq!(ExpertChoice::Imbalance(8.0).busiest(2, 4).0, 4.0);
        assert_eq!(ExpertChoice::Imbalance(8.0).busiest(2, 1).0, 1.0);
    }

    /// Popular experts are chosen once a token at most: 128 experts, 8 a token, the first of 8 ranks.
    #[test]
    fn popular_experts_are_apart() {
        let (most, _) = ExpertChoice::zipf(128, 2.0).busiest(8, 8);
        let (less, _) = ExpertChoice::zipf(128, 0.3).busiest(8, 8);
        assert!(1.0 < less && less < 8.0 && most < 8.0, "{less} {most}");
    }

    #[test]
    fn nobody_is_chosen_twice_by_one_token() {
        let chances = ExpertChoice::Shares(vec![8.0, 1.0, 1.0]).chances(2).unwrap();
        assert_eq!(chances[0], 1.0);
        assert!((chances.iter().sum::<f64>() - 2.0).abs() < 1e-9, "{chances:?}");
        assert!((chances[1] - 0.5).abs() < 1e-9);
        assert_eq!(ExpertChoice::default().chances(2), None);
    }
}
