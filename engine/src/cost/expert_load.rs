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

impl ExpertExchange {
    /// As a scenario has it.
    pub const fn name(self) -> &'static str {
        match self {
            ExpertExchange::AllgatherReducescatter => "allgather_reducescatter",
            ExpertExchange::AllToAll => "all_to_all",
            ExpertExchange::DeepepHighThroughput => "deepep_high_throughput",
            ExpertExchange::DeepepLowLatency => "deepep_low_latency",
        }
    }
}

/// How much experts differ in how often they are chosen, unless a scenario says otherwise: the standard
/// deviation over the mean. Fitted on half of the configurations of aiconfigurator's collection of
/// InferenceMAX (Apache-2.0): models of 128 to 512 experts with 4 to 512 users, whose steps of 16 to 128 tokens
/// take 5 to 25 % less than if all experts were chosen alike, and those of 4 and of 512 as long.
const CV: f64 = 0.84;
/// Models of fewer experts are taken to choose them alike: of those nothing was measured.
const MANY: u32 = 32;

/// Whether a model of so many experts is taken to choose some more often than others.
pub fn experts_vary(count: u32) -> bool {
    count >= MANY
}

/// How evenly tokens choose experts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ExpertChoice {
    /// As of models that were measured: varied by 0.84 where there are 32 experts or more, else alike.
    #[default]
    Typical,
    /// Some more often than others: the standard deviation of an expert's share over the mean, 0 where all
    /// are alike. Popular and unpopular experts lie anywhere, so the busiest rank gets more than the mean.
    Varied(f64),
    /// The busiest rank gets so many times the mean, at least 1; experts differ as is typical.
    Imbalance(f64),
    /// By these shares, one for each expert; they need not sum to 1.
    Shares(Vec<f64>),
}

/// What the ranks of a deployment get to do, and which experts are woken by it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    /// The load of the busiest rank as a multiple of the mean: the others wait for it.
    pub(super) busiest: f64,
    /// How much experts differ: the squared standard deviation of a share over the mean.
    pub(super) variance: f64,
    /// The chances of the busiest rank's experts to be among those that a token goes to, where each is known.
    pub(super) chances: Option<std::sync::Arc<[f64]>>,
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

    /// What the busiest of `ranks` ranks gets of `count` experts, of which a token goes to `per_token`. No
    /// rank gets more than all.
    pub(super) fn spread(&self, count: u32, per_token: u32, ranks: u32) -> Spread {
        let ranks = ranks.max(1);
        let apart = |busiest: f64, cv: f64| Spread {
            busiest: busiest.clamp(1.0, f64::from(ranks)),
            variance: cv * cv,
            chances: None,
        };
        let typical = if experts_vary(count) { CV } else { 0.0 };
        let varied = |cv: f64| {
            // The sum of so many shares differs from rank to rank like one over the root of their number.
            let each = f64::from(count) / f64::from(ranks);
            apart(1.0 + cv / each.sqrt() * largest_of(ranks), cv)
        };
        match self {
            ExpertChoice::Typical => varied(typical),
            ExpertChoice::Varied(cv) => varied(*cv),
            ExpertChoice::Imbalance(most) => apart(*most, typical),
            ExpertChoice::Shares(shares) => busiest_by_shares(shares, per_token, ranks),
        }
    }
}

/// The expected largest of so many draws from a normal distribution, in standard deviations.
fn largest_of(ranks: u32) -> f64 {
    // Of 1, 2, 4, 8 and so on (Harter, Biometrika 48, 1961); between them by the logarithm.
    const LARGEST: [f64; 8] = [0.0, 0.564, 1.029, 1.424, 1.766, 2.070, 2.343, 2.594];
    let place = libm::log2(f64::from(ranks)).min((LARGEST.len() - 1) as f64);
    let below = (place as usize).min(LARGEST.len() - 2);
    LARGEST[below] + (place - below as f64) * (LARGEST[below + 1] - LARGEST[below])
}

fn busiest_by_shares(shares: &[f64], per_token: u32, ranks: u32) -> Spread {
    let chances = chances(shares, per_token);
    // Experts lie on ranks in a row, vLLM's `linear` placement.
    let each = chances.len().div_ceil(ranks as usize).max(1);
    let load = |held: &[f64]| held.iter().sum::<f64>();
    let busiest = chances.chunks(each).max_by(|a, b| load(a).total_cmp(&load(b)));
    let busiest = busiest.unwrap_or_default();
    let mean = load(&chances) / f64::from(ranks);
    let most = if mean > 0.0 { load(busiest) / mean } else { 1.0 };
    Spread { busiest: most.max(1.0), variance: 0.0, chances: Some(busiest.into()) }
}

/// The chance of each expert to be among the `per_token` that a token goes to.
fn chances(shares: &[f64], per_token: u32) -> Vec<f64> {
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
    chances.into_iter().map(|chance| chance.min(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_rank_is_that_of_the_most_chosen_experts() {
        let shares = ExpertChoice::Shares(vec![3.0, 3.0, 1.0, 1.0]);
        // Experts 0 and 1 are on rank 0: 6 of 8, where 4 is even.
        let spread = shares.spread(4, 1, 2);
        assert!((spread.busiest - 1.5).abs() < 1e-12);
        assert_eq!(spread.chances.as_deref(), Some(&[0.375; 2][..]));
        assert_eq!(shares.spread(4, 1, 1).busiest, 1.0);
        assert!((ExpertChoice::zipf(8, 0.0).spread(8, 2, 4).busiest - 1.0).abs() < 1e-12);
        let given = ExpertChoice::Imbalance(1.3).spread(8, 2, 4);
        assert_eq!((given.busiest, given.chances), (1.3, None));
        // No rank gets more than all, and one rank has all there is.
        assert_eq!(ExpertChoice::Imbalance(8.0).spread(8, 2, 4).busiest, 4.0);
        assert_eq!(ExpertChoice::Imbalance(8.0).spread(8, 2, 1).busiest, 1.0);
    }

    #[test]
    fn the_more_ranks_the_busier_the_busiest() {
        let busiest = |cv, ranks| ExpertChoice::Varied(cv).spread(256, 8, ranks).busiest;
        assert_eq!(busiest(0.84, 1), 1.0);
        assert_eq!(busiest(0.0, 8), 1.0);
        // 64 experts a rank differ by 0.84 / 8 in their sum, and the largest of four is 1.03 of that above.
        assert!((busiest(0.84, 4) - 1.108).abs() < 1e-3, "{}", busiest(0.84, 4));
        assert!(busiest(0.84, 8) > busiest(0.84, 6) && busiest(0.84, 6) > busiest(0.84, 4));
        assert!((largest_of(1000) - 2.594).abs() < 1e-12);
    }

    /// Popular experts are chosen once a token at most: 128 experts, 8 a token, the first of 8 ranks.
    #[test]
    fn popular_experts_are_apart() {
        let [most, less] =
            [2.0, 0.3].map(|power| ExpertChoice::zipf(128, power).spread(128, 8, 8).busiest);
        assert!(1.0 < less && less < 8.0 && most < 8.0, "{less} {most}");
    }

    #[test]
    fn nobody_is_chosen_twice_by_one_token() {
        let chances = chances(&[8.0, 1.0, 1.0], 2);
        assert_eq!(chances[0], 1.0);
        assert!((chances.iter().sum::<f64>() - 2.0).abs() < 1e-9, "{chances:?}");
        assert!((chances[1] - 0.5).abs() < 1e-9);
    }
}
