//! By which rule drafts are accepted.

use crate::catalog::{AcceptanceFigures, AcceptancePreset};
use crate::ids::{ClassId, RequestId};

use super::chance::{Chance, For, OfRequest, Row, in_a_row};
use super::copying::Copying;
use super::rounds::Rounds;
use super::spread::Spread;

/// How many drafts are accepted: by one rule, or by one for each class of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// One, or one for each class in their order.
    rules: Vec<AcceptanceRule>,
}

impl Acceptance {
    /// By one rule for all requests.
    pub fn of_all(rule: AcceptanceRule) -> Acceptance {
        Acceptance { rules: vec![rule] }
    }

    /// By a rule for each class, in the order of their numbers.
    ///
    /// # Panics
    /// Without rules.
    pub fn by_class(rules: Vec<AcceptanceRule>) -> Acceptance {
        assert!(!rules.is_empty(), "there is a class at least");
        Acceptance { rules }
    }

    /// That of a class.
    #[inline]
    pub(super) fn rule(&self, class: ClassId) -> &AcceptanceRule {
        self.rules.get(class.index()).unwrap_or(&self.rules[0])
    }
}

/// A rule for all drafts of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptanceRule(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// The chance of each draft of a step, given that those before it were accepted; none beyond.
    ByPlace(ByPlace),
    /// Requests differ: each has one chance for all of its drafts.
    ByRequest(Spread),
    /// Stretches of an answer copy what was there before.
    Copying(Copying),
    /// As recorded.
    Rounds(Rounds),
}

/// Why a preset does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is published for 1 to {most} tokens at a time")]
pub struct PresetError {
    /// The most tokens that it has figures of.
    pub most: u32,
}

impl AcceptanceRule {
    /// Every draft has the same chance, given that those before it in its step were accepted.
    pub fn rate(rate: f64, tokens: u32) -> AcceptanceRule {
        AcceptanceRule::by_position(&vec![rate; tokens as usize])
    }

    /// The chance of each draft by its place in a step, given that those before it were accepted;
    /// drafts beyond the last are not.
    pub fn by_position(rates: &[f64]) -> AcceptanceRule {
        AcceptanceRule(Rule::ByPlace(ByPlace::new(rates)))
    }

    /// Of `tokens` drafts so many that a step gives `length` tokens in the mean, the model's own
    /// included: the whole part is always accepted and one more with the rest as its chance. It is the
    /// schedule of least variance, vLLM's (`rejection_sample_method: synthetic` with
    /// `synthetic_acceptance_length`; 3.78 with seven drafts: always two, a third with .78).
    pub fn length(length: f64, tokens: u32) -> AcceptanceRule {
        let accepted = length - 1.0;
        let rates: Vec<f64> = (0..tokens).map(|place| accepted - f64::from(place)).collect();
        AcceptanceRule::by_position(&rates)
    }

    /// As it was recorded.
    pub fn rounds(rounds: Rounds) -> AcceptanceRule {
        AcceptanceRule(Rule::Rounds(rounds))
    }

    /// As published, where `tokens` are drafted at a time.
    ///
    /// # Errors
    /// When it was published for fewer.
    pub fn preset(preset: &AcceptancePreset, tokens: u32) -> Result<AcceptanceRule, PresetError> {
        let rule = match &preset.acceptance {
            AcceptanceFigures::Lengths(lengths) => {
                if tokens as usize > lengths.len() {
                    return Err(PresetError { most: lengths.len() as u32 });
                }
                let rates = rates_of(&lengths[..tokens as usize]);
                return Ok(AcceptanceRule::by_position(&rates));
            }
            AcceptanceFigures::Rate { mean, sd } => Rule::ByRequest(Spread::new(*mean, *sd)),
            AcceptanceFigures::Copying(figures) => Rule::Copying(Copying::new(figures)),
        };
        Ok(AcceptanceRule(rule))
    }

    /// Drafts accepted in a step of the request whose draws these are.
    #[inline]
    pub(super) fn accepted(
        &self,
        draws: OfRequest,
        request: RequestId,
        position: u32,
        drafts: u32,
    ) -> u32 {
        match &self.0 {
            Rule::ByPlace(rates) => rates.accepted(draws, position, drafts),
            Rule::ByRequest(spread) => spread.accepted(draws, position, drafts),
            Rule::Copying(copying) => copying.accepted(draws, position, drafts),
            Rule::Rounds(rounds) => rounds.accepted(request, position, drafts),
        }
    }
}

/// Chances by a draft's place in its step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ByPlace {
    /// Up to the last that can be accepted.
    chances: Box<[Chance]>,
    /// The first so many are surely accepted, and need no draw.
    sure: u32,
}

impl ByPlace {
    fn new(rates: &[f64]) -> ByPlace {
        let possible = rates.iter().map(|&rate| Chance::of(rate));
        let chances: Box<[Chance]> =
            possible.take_while(|chance| *chance != Chance::NONE).collect();
        let sure = chances.iter().take_while(|chance| **chance == Chance::SURE).count() as u32;
        ByPlace { chances, sure }
    }

    #[inline]
    fn accepted(&self, draws: OfRequest, position: u32, drafts: u32) -> u32 {
        let sure = self.sure.min(drafts);
        let Some(chances) = self.chances.get(sure as usize..) else { return sure };
        let from = position.wrapping_add(sure);
        let chances = &chances[..chances.len().min((drafts - sure) as usize)];
        let mut row = draws.row(For::Draft, from);
        let held = match chances {
            [] => 0,
            [one] => u32::from(one.takes(row.draw())),
            some => several(some, row),
        };
        sure + held
    }
}

/// How many in a row are taken.
#[inline(never)]
fn several(chances: &[Chance], mut row: Row) -> u32 {
    in_a_row(chances.len() as u32, |place| chances[place as usize].takes(row.draw()))
}

/// The chances of drafts, each given those before it, that make up the last of these mean lengths,
/// which are those of 1, 2, ... drafts at a time and count the model's own token.
///
/// What a draft adds is the chance that it and all before it are accepted, so that it falls from draft
/// to draft and is never below 0; measured lengths scatter, and are pooled where it is not so, which
/// keeps their sum.
fn rates_of(lengths: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, f64)> = Vec::new();
    let mut before = 1.0;
    for &length in lengths {
        pools.push((length - before, 1.0));
        before = length;
        while let [.., low, high] = pools[..]
            && (low.0 * high.1 < high.0 * low.1 || high.0 < 0.0)
        {
            pools.truncate(pools.len() - 2);
            pools.push((low.0 + high.0, low.1 + high.1));
        }
    }
    let all = pools.iter().flat_map(|&(sum, count)| {
        std::iter::repeat_n((sum / count).clamp(0.0, 1.0), count as usize)
    });
    let mut rates = Vec::new();
    let mut before = 1.0;
    for all in all {
        rates.push(if before > 0.0 { all / before } else { 0.0 });
        before = all;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_apart_into_chances() {
        // Qwen3.5-397B, MTP, thinking: .93, .80, .66, ... of each draft and all before it.
        let rates = rates_of(&[1.93, 2.73, 3.39, 3.97]);
        let mut all = 1.0;
        let sums: Vec<f64> = rates
            .iter()
            .map(|rate| {
                all *= rate;
                all
            })
            .collect();
        for (sum, told) in sums.iter().zip([0.93, 0.80, 0.66, 0.58]) {
            assert!((sum - told).abs() < 1e-9, "{sums:?}");
        }
        // Where a further draft seems to cost tokens those before it bear it.
        let rates = rates_of(&[1.79, 2.27, 2.49, 2.54, 2.55, 2.55, 2.54, 2.58]);
        let mut all = 1.0;
        let sum: f64 = rates
            .iter()
            .map(|rate| {
                all *= rate;
                all
            })
            .sum();
        assert!((sum - 1.58).abs() < 1e-9, "{sum}");
        assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "{rates:?}");
    }

    #[test]
    fn a_length_is_made_up_with_the_least_variance() {
        let AcceptanceRule(Rule::ByPlace(rates)) = AcceptanceRule::length(3.78, 7) else {
            panic!("chances by place");
        };
        let shares: Vec<f64> = rates.chances.iter().map(|rate| rate.share()).collect();
        assert_eq!(shares[..2], [1.0, 1.0]);
        assert!((shares[2] - 0.78).abs() < 1e-12);
        assert_eq!((shares.len(), rates.sure), (3, 2), "what lies beyond is never accepted");
    }
}
