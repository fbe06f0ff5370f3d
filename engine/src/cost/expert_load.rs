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
    /// Shares that fall as the `exponent`-th power of an expert's rank among `experts`: 0 is even.
    pub fn zipf(experts: u32, exponent: f64) -> ExpertChoice {
        let share = |rank: u32| libm::pow(f64::from(rank), -exponent);
        ExpertChoice::Shares((1..=experts).map(share).collect())
    }

    /// The load of the busiest of `ranks` ranks as a multiple of the mean. Experts are dealt out to
    /// ranks in turn, as vLLM's `round_robin` placement does, so that the most popular ones are
    /// apart.
    pub(super) fn imbalance(&self, ranks: u32) -> f64 {
        match self {
            ExpertChoice::Imbalance(most) => most.max(1.0),
            ExpertChoice::Shares(shares) => {
                let ranks = ranks.max(1) as usize;
                let load = |rank: usize| shares.iter().skip(rank).step_by(ranks).sum::<f64>();
                let most = (0..ranks).map(load).fold(0.0, f64::max);
                let mean = shares.iter().sum::<f64>() / ranks as f64;
                if mean > 0.0 { most / mean } else { 1.0 }
            }
        }
    }

    /// The chance of each expert to be among the `per_token` that a token goes to; `None` where all
    /// are alike.
    pub(super) fn chances(&self, per_token: u32) -> Option<Vec<f64>> {
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
    fn the_busiest_rank_is_that_of_the_most_popular_expert() {
        let shares = ExpertChoice::Shares(vec![4.0, 1.0, 2.0, 1.0]);
        // Experts 0 and 2 are on rank 0: 6 of 8, where 4 is even.
        assert!((shares.imbalance(2) - 1.5).abs() < 1e-12);
        assert_eq!(shares.imbalance(1), 1.0);
        assert_eq!(ExpertChoice::zipf(8, 0.0).imbalance(4), 1.0);
        assert_eq!(ExpertChoice::Imbalance(1.3).imbalance(4), 1.3);
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
