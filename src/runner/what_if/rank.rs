//! Which change is best: the promise first, then what it costs, then the stall.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::{Advice, WhatIf};

/// What a change did to the promise and to the stall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The promise is kept, and was not before.
    KeepsPromise,
    /// The promise is still broken, but nearer.
    NearerToPromise,
    /// As near to the promise as before, or kept as before, and the stall at least a tenth shorter;
    /// so is the worst stall of any kind.
    ShorterStall,
    /// The stall is at least a tenth shorter, but the worst stall of any kind is not: it only moved.
    MovedStall,
    /// None of that.
    #[default]
    None,
    /// The promise is further than before.
    FurtherFromPromise,
    /// The promise was kept, and no longer is.
    BreaksPromise,
}

impl Effect {
    fn helps(self) -> bool {
        matches!(self, Effect::KeepsPromise | Effect::NearerToPromise | Effect::ShorterStall)
    }
}

/// A stall counts as shorter when it takes a tenth less.
const SHORTER: f64 = 0.9;

/// How far from the promise, in whole percent, and then the mean fluidity-index in whole percent:
/// less is one and the same. `None` where the promise is kept.
type Distance = (u32, u32);

fn distance(figures: &Figures) -> Distance {
    let percent = |share: f64| libm::round(share.clamp(0.0, 1.0) * 100.0) as u32;
    if figures.promise.kept {
        return (0, 0);
    }
    // A promise that is broken by a hair is broken all the same.
    let short = percent(figures.promise.shortfall).max(1);
    (short, 100 - percent(figures.fluidity_index.unwrap_or(0.0)))
}

/// Puts changes in order and says what they are worth.
pub(super) fn rank(was: WhatIf, mut tried: Vec<WhatIf>, notes: Vec<String>) -> Advice {
    let before = was.figures.clone().expect("the run as it was has figures");
    for one in &mut tried {
        let after = one.figures.as_ref().expect("it was simulated");
        one.effect = effect(&before, after);
        one.helps = one.effect.helps();
    }
    tried.sort_by(compare);
    let keeps_promise = before.promise.kept;
    tried.insert(0, was);
    let best = tried.get(1).filter(|first| first.helps && !keeps_promise).map(|_| 1);
    Advice { keeps_promise, tried, best, notes }
}

fn effect(before: &Figures, after: &Figures) -> Effect {
    let (was, is) = (distance(before), distance(after));
    match is.cmp(&was) {
        Ordering::Less if after.promise.kept => return Effect::KeepsPromise,
        Ordering::Less => return Effect::NearerToPromise,
        Ordering::Greater if before.promise.kept => return Effect::BreaksPromise,
        Ordering::Greater => return Effect::FurtherFromPromise,
        Ordering::Equal => {}
    }
    if stall(after) > SHORTER * stall(before) {
        return Effect::None;
    }
    let worst = |figures: &Figures| figures.worst_stall.map_or(0.0, |stall| stall.beyond_s);
    // Where nothing was late before, nothing can have moved.
    let moved = worst(after) > SHORTER * worst(before) && worst(after) > 0.0;
    if moved { Effect::MovedStall } else { Effect::ShorterStall }
}

/// How long the stall was, at least.
fn stall(figures: &Figures) -> f64 {
    figures.stall_s.or(figures.stall_at_least_s).unwrap_or(f64::INFINITY)
}

/// The promise, then what is given up for it, GPUs and dollars, then the stall.
fn compare(a: &WhatIf, b: &WhatIf) -> Ordering {
    let figures = |one: &WhatIf| one.figures.clone().expect("it was simulated");
    let (one, other) = (figures(a), figures(b));
    let cents = |figures: &Figures| {
        figures.usd_per_hour.map(|usd| libm::round(usd * 100.0) as u64).unwrap_or(0)
    };
    let does_nothing = |one: &WhatIf| !one.helps;
    distance(&one)
        .cmp(&distance(&other))
        .then(does_nothing(a).cmp(&does_nothing(b)))
        .then(a.gives_up.is_empty().cmp(&b.gives_up.is_empty()).reverse())
        .then(one.gpus.cmp(&other.gpus))
        .then(cents(&one).cmp(&cents(&other)))
        .then(stall(&one).total_cmp(&stall(&other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::what_if::figures::{Promise, WorstStall};

    fn figures(kept: bool, shortfall: f64, stall_s: f64) -> Figures {
        Figures {
            promise: Promise { kept, shortfall, term: String::new() },
            stall_s: Some(stall_s),
            stall_at_least_s: None,
            worst_s: None,
            worst_stall: Some(WorstStall {
                length_s: stall_s,
                beyond_s: stall_s,
                first_token: false,
            }),
            worst_first_token_s: None,
            worst_gap_s: None,
            tbt_p99_s: None,
            ttft_p99_s: None,
            fluid_request_share: None,
            fluidity_index: None,
            output_tokens_per_s: None,
            completed: 1,
            rejected: 0,
            preemptions: 0,
            gpus: 1,
            usd_per_hour: None,
        }
    }

    fn one(change: &str, figures: Figures) -> WhatIf {
        WhatIf {
            change: change.to_owned(),
            set: Vec::new(),
            why: String::new(),
            not_held: Vec::new(),
            gives_up: String::new(),
            figures: Some(figures),
            effect: Effect::None,
            helps: false,
        }
    }

    fn ranked(was: Figures, tried: Vec<WhatIf>) -> Advice {
        rank(one("as it was", was), tried, Vec::new())
    }

    fn names(advice: &Advice) -> Vec<&str> {
        advice.tried.iter().map(|one| one.change.as_str()).collect()
    }

    #[test]
    fn the_promise_comes_before_the_price_and_the_price_before_the_stall() {
        let two = |figures: Figures| Figures { gpus: 2, ..figures };
        let advice = ranked(
            figures(false, 0.4, 10.0),
            vec![
                one("shortest", figures(false, 0.4, 0.1)),
                one("dear", two(figures(true, 0.0, 1.0))),
                one("cheap", figures(true, 0.0, 5.0)),
                one("nearer", two(figures(false, 0.1, 9.0))),
                one("further", figures(false, 0.6, 0.01)),
            ],
        );
        assert_eq!(names(&advice), ["as it was", "cheap", "dear", "nearer", "shortest", "further"]);
        assert_eq!(advice.best, Some(1));
        let effects: Vec<Effect> = advice.tried.iter().map(|one| one.effect).collect();
        use Effect::*;
        let wanted =
            [None, KeepsPromise, KeepsPromise, NearerToPromise, ShorterStall, FurtherFromPromise];
        assert_eq!(effects, wanted);
    }

    #[test]
    fn a_kept_promise_needs_no_cure_and_what_breaks_it_is_none() {
        let advice = ranked(
            figures(true, 0.0, 1.0),
            vec![one("breaks", figures(false, 0.02, 0.1)), one("option", figures(true, 0.0, 0.5))],
        );
        assert!(advice.keeps_promise);
        assert_eq!(advice.best, None);
        assert_eq!(names(&advice), ["as it was", "option", "breaks"]);
        assert!(advice.tried[1].helps && !advice.tried[2].helps);
        assert_eq!(advice.tried[2].effect, Effect::BreaksPromise);
    }

    #[test]
    fn a_stall_that_only_moved_helps_nobody() {
        let mut moved = figures(false, 0.4, 0.1);
        moved.worst_stall = Some(WorstStall { length_s: 10.0, beyond_s: 9.5, first_token: true });
        let advice = ranked(figures(false, 0.4, 10.0), vec![one("moves", moved)]);
        assert_eq!(advice.tried[1].effect, Effect::MovedStall);
        assert_eq!((advice.tried[1].helps, advice.best), (false, None));
    }

    #[test]
    fn what_gives_something_up_comes_after_what_does_not() {
        let mut fewer = one("fewer users", figures(true, 0.0, 0.1));
        fewer.gives_up = "serves fewer".to_owned();
        let dear = Figures { gpus: 2, ..figures(true, 0.0, 0.5) };
        let advice = ranked(figures(false, 0.4, 10.0), vec![fewer, one("replica", dear)]);
        assert_eq!(names(&advice), ["as it was", "replica", "fewer users"]);
    }
}
