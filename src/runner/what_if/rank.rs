//! Which change is best: the promise first, then what it costs, then the stall.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::{Advice, WhatIf};
use crate::order;

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
    /// As near to the promise as before, the stall no longer, and at least a twentieth more tokens a
    /// second.
    MoreTokens,
    /// The stall is at least a tenth shorter, but the worst stall of any kind is not, or the promise
    /// is nearer for some at the cost of others (the mean fluidity-index falls, or this stall takes
    /// half as long again): it only moved.
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
        use Effect::*;
        matches!(self, KeepsPromise | NearerToPromise | ShorterStall | MoreTokens)
    }
}

/// A stall counts as shorter when it takes a tenth less.
const SHORTER: f64 = 0.9;
/// Text is choppier when the mean fluidity-index falls by more than this.
const CHOPPIER: f64 = 0.05;
/// A run serves less when it is a twentieth less, and more when it is a twentieth more.
const SERVES_LESS: f64 = 0.95;
const MORE_TOKENS: f64 = 1.05;

/// A stall that takes half as long again is no price for a promise that stays broken.
const LONGER: f64 = 1.5;

/// Kept, not known, broken; then how far from being kept, at the least and at the most, in whole
/// percent, since less is one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    verdict: u8,
    least: u32,
    most: u32,
}

impl Distance {
    fn of(figures: &Figures) -> Distance {
        let percent = |part: f64| libm::round(part * 100.0) as u32;
        let (least, most) = figures.promise.range();
        match figures.promise.kept {
            Some(true) => Distance { verdict: 0, least: 0, most: 0 },
            None => Distance { verdict: 1, least: percent(least), most: percent(most) },
            Some(false) => Distance { verdict: 2, least: percent(least), most: percent(most) },
        }
    }

    fn is_kept(self) -> bool {
        self.verdict == 0
    }

    /// Which of two is nearer to the promise; a tie where that is not known.
    fn compare(self, other: Distance) -> Ordering {
        match (self.is_kept(), other.is_kept()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) if self.most < other.least => Ordering::Less,
            (false, false) if self.least > other.most => Ordering::Greater,
            (false, false) => Ordering::Equal,
        }
    }
}

/// The place of each in the order of what is known: those whose bounds overlap share one.
fn places(of: &[Distance]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..of.len()).collect();
    order::sort_by_key(&mut order, |&index| of[index]);
    let mut places = vec![0; of.len()];
    let (mut place, mut upto): (usize, Option<Distance>) = (0, None);
    for index in order {
        let one = of[index];
        match upto {
            Some(before) if before.verdict == one.verdict && one.least <= before.most => {
                upto = Some(Distance { most: before.most.max(one.most), ..before });
            }
            _ => {
                place += 1;
                upto = Some(one);
            }
        }
        places[index] = place;
    }
    places
}

/// Puts changes in order and says what they are worth.
pub(super) fn rank(was: WhatIf, mut tried: Vec<WhatIf>, notes: Vec<String>) -> Advice {
    let before = was.figures.clone().expect("the run as it was has figures");
    for one in &mut tried {
        let after = one.figures.as_ref().expect("it was simulated");
        one.effect = effect(&before, after);
        one.helps = one.effect.helps();
        if one.gives_up.is_empty() && tokens(after) < SERVES_LESS * tokens(&before) {
            one.gives_up = "load: fewer tokens a second".to_owned();
        }
    }
    let distance = |one: &WhatIf| Distance::of(one.figures.as_ref().expect("it was simulated"));
    // Whether the promise is at most half as far away, or kept, for all that is offered.
    let was_far = Distance::of(&before).least;
    let is_cure = |one: &WhatIf| one.helps && !one.less_load && distance(one).most * 2 <= was_far;
    let without = tried.iter().any(is_cure);
    let places = places(&tried.iter().map(distance).collect::<Vec<_>>());
    let placed = places.into_iter().zip(tried).map(|(place, one)| {
        // Who sends requests comes to be served: sending fewer away is the cure where it alone keeps
        // the promise, and the last resort otherwise.
        let last = one.less_load && (without || !distance(&one).is_kept());
        Placed { last, place, one }
    });
    let mut placed: Vec<Placed> = placed.collect();
    order::sort_by(&mut placed, compare);
    let mut tried: Vec<WhatIf> = placed.into_iter().map(|placed| placed.one).collect();
    let keeps_promise = before.promise.kept;
    tried.insert(0, was);
    let needed = keeps_promise != Some(true);
    let best = tried.get(1).filter(|first| first.helps && needed).map(|_| 1);
    Advice { keeps_promise, tried, best, stall_counts: true, notes }
}

fn effect(before: &Figures, after: &Figures) -> Effect {
    let (was, is) = (Distance::of(before), Distance::of(after));
    match is.compare(was) {
        Ordering::Less if is.is_kept() => return Effect::KeepsPromise,
        Ordering::Less if choppier(before, after) || stall(after) > LONGER * stall(before) => {
            return Effect::MovedStall;
        }
        Ordering::Less => return Effect::NearerToPromise,
        Ordering::Greater if was.is_kept() && is.verdict == 2 => return Effect::BreaksPromise,
        Ordering::Greater => return Effect::FurtherFromPromise,
        Ordering::Equal => {}
    }
    // Every token was in time, and requests were turned away: no stall is to be cured.
    let in_time = before.rejected > 0 && before.worst_stall.is_none() && !was.is_kept();
    if in_time || stall(after) > SHORTER * stall(before) {
        let more = tokens(after) >= MORE_TOKENS * tokens(before) && tokens(before) > 0.0;
        let as_short = stall(after) <= stall(before);
        return if more && as_short { Effect::MoreTokens } else { Effect::None };
    }
    // Where nothing was late before, nothing can have moved.
    let moved = worst(after) > SHORTER * worst(before) && worst(after) > 0.0;
    let moved = moved || text_stalls(before, after);
    if moved { Effect::MovedStall } else { Effect::ShorterStall }
}

/// Whether the mean fluidity-index falls noticeably: some are better off at the cost of all.
fn choppier(before: &Figures, after: &Figures) -> bool {
    let index = |figures: &Figures| figures.fluidity_index.unwrap_or(0.0);
    index(after) < index(before) - CHOPPIER
}

fn tokens(figures: &Figures) -> f64 {
    figures.output_tokens_per_s.unwrap_or(0.0)
}

/// How long the stall was, at least.
fn stall(figures: &Figures) -> f64 {
    figures.stall_s.or(figures.stall_at_least_s).unwrap_or(f64::INFINITY)
}

/// The longest wait for a first token.
fn first_token(figures: &Figures) -> f64 {
    figures.worst_first_token_s.unwrap_or(0.0)
}

/// Whether text now stands still beyond its deadline for half as long again as it did.
fn text_stalls(before: &Figures, after: &Figures) -> bool {
    let gap = |figures: &Figures| figures.worst_gap_s.unwrap_or(0.0);
    after.gap_beyond_s > 0.0 && gap(after) > LONGER * gap(before)
}

/// How far the worst stall of any kind went beyond its deadline.
fn worst(figures: &Figures) -> f64 {
    figures.worst_stall.map_or(0.0, |stall| stall.beyond_s)
}

/// A change with its place by the promise.
struct Placed {
    /// Whether it comes after all others that help.
    last: bool,
    place: usize,
    one: WhatIf,
}

/// Waits up to this long count as one and the same; longer ones do where they are less than twice as
/// long.
const ALIKE_S: f64 = 0.1;

/// How long a wait is, roughly.
fn size(wait_s: f64) -> u32 {
    libm::ceil(libm::log2((wait_s / ALIKE_S).clamp(1.0, f64::MAX))) as u32
}

/// Tokens a second, roughly: in steps of a twentieth.
fn pace(figures: &Figures) -> u32 {
    libm::round(libm::log(tokens(figures).max(1.0)) / libm::log(MORE_TOKENS)) as u32
}

/// Whether it helps at all, then the promise, what is given up for it, GPUs and dollars, whether it
/// takes another scheduler; then, roughly, the worst stall of any kind and the one looked at, how many
/// settings it takes, roughly the wait for first tokens and the tokens a second; then the stalls exactly.
fn compare(a: &Placed, b: &Placed) -> Ordering {
    let (last, place, other_last, other_place) = (a.last, a.place, b.last, b.place);
    let (a, b) = (&a.one, &b.one);
    let figures = |one: &WhatIf| one.figures.clone().expect("it was simulated");
    let (one, other) = (figures(a), figures(b));
    let cents = |figures: &Figures| {
        figures.usd_per_hour.map(|usd| libm::round(usd * 100.0) as u64).unwrap_or(0)
    };
    let does_nothing = |one: &WhatIf| !one.helps;
    does_nothing(a)
        .cmp(&does_nothing(b))
        .then(last.cmp(&other_last))
        .then(place.cmp(&other_place))
        .then(a.gives_up.is_empty().cmp(&b.gives_up.is_empty()).reverse())
        .then(one.gpus.cmp(&other.gpus))
        .then(cents(&one).cmp(&cents(&other)))
        .then(a.other_scheduler.cmp(&b.other_scheduler))
        .then(size(worst(&one)).cmp(&size(worst(&other))))
        .then(size(stall(&one)).cmp(&size(stall(&other))))
        .then(a.set.len().cmp(&b.set.len()))
        .then(size(first_token(&one)).cmp(&size(first_token(&other))))
        .then(pace(&one).cmp(&pace(&other)).reverse())
        .then(worst(&one).total_cmp(&worst(&other)))
        .then(stall(&one).total_cmp(&stall(&other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::Shortfall;
    use crate::runner::what_if::figures::WorstStall;

    fn figures(kept: bool, shortfall: f64, stall_s: f64) -> Figures {
        Figures {
            promise: Shortfall {
                kept: Some(kept),
                most: shortfall,
                at_least: None,
                term: String::new(),
                short: String::new(),
            },
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
            gap_beyond_s: 0.0,
            tbt_p99_s: None,
            tbt_p99_at_least_s: None,
            ttft_p99_s: None,
            ttft_p99_at_least_s: None,
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
            other_scheduler: false,
            less_load: false,
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
        assert_eq!(advice.keeps_promise, Some(true));
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

    fn open(least: f64, most: f64, stall_s: f64) -> Figures {
        let mut open = figures(false, most, stall_s);
        (open.promise.kept, open.promise.at_least) = (None, Some(least));
        open
    }

    #[test]
    fn what_is_not_known_lies_between_kept_and_broken() {
        let advice = ranked(
            figures(false, 0.1, 10.0),
            vec![one("unknown", open(0.0, 0.9, 1.0)), one("kept", figures(true, 0.0, 9.0))],
        );
        assert_eq!(names(&advice), ["as it was", "kept", "unknown"]);
        // It may be further from the promise as well: the shorter stall is all that is known.
        assert_eq!(advice.tried[2].effect, Effect::ShorterStall);
        let advice = ranked(open(0.0, 0.9, 1.0), vec![one("kept", figures(true, 0.0, 9.0))]);
        assert_eq!((advice.keeps_promise, advice.best), (None, Some(1)));
    }

    #[test]
    fn of_bounds_that_overlap_the_cheaper_comes_first() {
        let mut less = one("less load", open(0.0, 0.5, 1.0));
        less.gives_up = "load".to_owned();
        let tried = vec![less, one("seats", open(0.1, 0.8, 2.0)), one("far", open(0.85, 0.9, 1.0))];
        let advice = ranked(figures(false, 0.95, 10.0), tried);
        assert_eq!(names(&advice), ["as it was", "seats", "less load", "far"]);
        assert_eq!(advice.tried[1].effect, Effect::NearerToPromise);
    }

    #[test]
    fn a_little_nearer_at_the_cost_of_a_far_longer_stall_is_no_help() {
        let advice =
            ranked(figures(false, 0.99, 5.0), vec![one("few", figures(false, 0.97, 21.0))]);
        assert_eq!(advice.tried[1].effect, Effect::MovedStall);
        assert_eq!(advice.best, None);
    }

    #[test]
    fn a_setting_comes_before_another_scheduler_at_the_same_price() {
        let mut swap = one("swap", figures(true, 0.0, 0.1));
        swap.other_scheduler = true;
        let setting = one("setting", figures(true, 0.0, 0.5));
        let advice = ranked(figures(false, 0.4, 10.0), vec![swap, setting]);
        assert_eq!(names(&advice), ["as it was", "setting", "swap"]);
    }

    #[test]
    fn more_tokens_help_where_neither_promise_nor_stall_changes() {
        let with =
            |tokens| Figures { output_tokens_per_s: Some(tokens), ..figures(false, 1.0, 10.0) };
        let advice = ranked(with(100.0), vec![one("less", with(104.0)), one("more", with(105.0))]);
        assert_eq!(names(&advice), ["as it was", "more", "less"]);
        assert_eq!(advice.tried[1].effect, Effect::MoreTokens);
        assert!(!advice.tried[2].helps);
    }

    #[test]
    fn a_promise_nearer_for_some_at_the_cost_of_all_is_no_help() {
        let smooth =
            |share, index| Figures { fluidity_index: Some(index), ..figures(false, share, 1.0) };
        let advice = ranked(
            smooth(0.8, 0.6),
            vec![one("some", smooth(0.7, 0.3)), one("all", smooth(0.75, 0.58))],
        );
        assert_eq!(names(&advice), ["as it was", "all", "some"]);
        assert_eq!(advice.tried[2].effect, Effect::MovedStall);
    }

    #[test]
    fn fewer_tokens_a_second_are_a_price_too() {
        let with = |tokens, stall| Figures {
            output_tokens_per_s: Some(tokens),
            ..figures(true, 0.0, stall)
        };
        let was = Figures { output_tokens_per_s: Some(100.0), ..figures(false, 0.5, 10.0) };
        let advice = ranked(was, vec![one("slow", with(90.0, 0.1)), one("fast", with(99.0, 1.0))]);
        assert_eq!(names(&advice), ["as it was", "fast", "slow"]);
        assert!(advice.tried[1].gives_up.is_empty() && !advice.tried[2].gives_up.is_empty());
    }

    #[test]
    fn fewer_requests_are_the_cure_where_nothing_else_comes_near() {
        let fewer = |figures| WhatIf { less_load: true, ..one("fewer", figures) };
        let first = |tried| names(&ranked(figures(false, 0.6, 10.0), tried))[1].to_owned();
        let kept = || figures(true, 0.0, 0.1);
        // A change that halves the way to the promise comes before, a smaller one does not.
        assert_eq!(first(vec![fewer(kept()), one("router", figures(false, 0.3, 5.0))]), "router");
        assert_eq!(first(vec![fewer(kept()), one("router", figures(false, 0.4, 5.0))]), "fewer");
        // Nor do fewer requests come first where they do not keep the promise either.
        let nearer = figures(false, 0.2, 1.0);
        assert_eq!(first(vec![fewer(nearer), one("seats", figures(false, 0.5, 9.0))]), "seats");
    }

    #[test]
    fn a_first_token_that_comes_sooner_at_the_cost_of_the_text_only_moved() {
        let with = |wait, gap| Figures {
            worst_stall: Some(WorstStall { length_s: wait, beyond_s: wait, first_token: true }),
            worst_gap_s: Some(gap),
            gap_beyond_s: gap - 0.05,
            ..figures(false, 0.9, wait)
        };
        let after = |gap| ranked(with(20.0, 0.5), vec![one("budget", with(10.0, gap))]);
        assert_eq!(after(4.0).tried[1].effect, Effect::MovedStall);
        assert_eq!(after(0.6).tried[1].effect, Effect::ShorterStall);
    }

    #[test]
    fn of_stalls_that_are_all_short_the_one_that_serves_more_comes_first() {
        let with = |worst: f64, wait: f64, tokens: f64| Figures {
            worst_stall: Some(WorstStall { length_s: worst, beyond_s: worst, first_token: false }),
            worst_first_token_s: Some(wait),
            output_tokens_per_s: Some(tokens),
            ..figures(true, 0.0, worst)
        };
        let was = Figures { output_tokens_per_s: Some(5_200.0), ..figures(false, 0.5, 2.9) };
        let tried = vec![
            one("seats", with(0.03, 10.4, 5_150.0)),
            one("conservative", with(0.05, 4.0, 5_700.0)),
        ];
        assert_eq!(names(&ranked(was, tried))[1], "conservative");
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
