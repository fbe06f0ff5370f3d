//! Figures that one run leads in and another pays with.

use super::share::tells_tokens;
use super::smoothness::LONG_TAIL;
use super::{Names, alike};
use crate::metrics::Latency;
use crate::order;
use crate::result::RunResult;
use crate::shown::{duration, join, three_digits};

/// A figure to lead in or to pay with: its name, itself, the most extreme sample beside it, and
/// whether more is better.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) value: fn(&RunResult) -> Option<f64>,
    worst: fn(&RunResult) -> Option<f64>,
    worst_name: &'static str,
    higher_is_better: bool,
}

pub(super) const TTFT: Figure = Figure {
    what: "P99 TTFT",
    value: |run| run.summary.known(Latency::Ttft, |of| of.p99),
    worst: |run| run.summary.known(Latency::Ttft, |of| of.max),
    worst_name: "longest TTFT",
    higher_is_better: false,
};

pub(super) const TBT: Figure = Figure {
    what: "P99 TBT",
    value: p99_tbt,
    worst: longest_tbt,
    worst_name: "longest gap",
    higher_is_better: false,
};

pub(super) const E2E: Figure = Figure {
    what: "P99 end-to-end latency",
    value: |run| run.summary.known(Latency::E2e, |of| of.p99),
    worst: |run| run.summary.known(Latency::E2e, |of| of.max),
    worst_name: "longest end-to-end latency",
    higher_is_better: false,
};

pub(super) const THROUGHPUT: Figure = Figure {
    what: "throughput",
    value: |run| run.summary.throughput.as_ref()?.output_tokens_per_s,
    worst: |_| None,
    worst_name: "",
    higher_is_better: true,
};

impl Figure {
    pub(super) fn show(&self, value: f64) -> String {
        if self.higher_is_better {
            format!("{} tokens/s", three_digits(value))
        } else {
            duration(value)
        }
    }

    /// The runs that have the figure, the best one first; none where that of one is not known because
    /// observation ended: it may be the best.
    pub(super) fn ranked<'a>(&self, runs: &[&'a RunResult]) -> Vec<(f64, &'a RunResult)> {
        let open =
            |run: &&RunResult| run.summary.latency_bounds.is_some() && (self.value)(run).is_none();
        if runs.iter().any(open) {
            return Vec::new();
        }
        let mut known: Vec<(f64, &RunResult)> =
            runs.iter().filter_map(|run| Some(((self.value)(run)?, *run))).collect();
        order::sort_by(&mut known, |a, b| match self.higher_is_better {
            true => b.0.total_cmp(&a.0),
            false => a.0.total_cmp(&b.0),
        });
        known
    }

    /// The worst sample of a run where it is [`LONG_TAIL`] times another's.
    pub(super) fn terrible<'a>(
        &self,
        run: &'a RunResult,
        others: &[&'a RunResult],
    ) -> Option<(f64, f64, &'a RunResult)> {
        let own = (self.worst)(run)?;
        let others = others.iter().filter(|other| !std::ptr::eq(**other, run));
        let worst = others.filter_map(|other| Some(((self.worst)(other)?, *other)));
        let (least, whose) = worst.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (own >= LONG_TAIL * least && least > 0.0).then_some((own, least, whose))
    }
}

/// What the smoothest run gives up; `None` where no figure can tell.
pub(super) fn price<'a>(
    best: &'a RunResult,
    others: &[&'a RunResult],
    names: &Names<'a>,
) -> Option<String> {
    let (mut paid, mut held) = (Vec::new(), Vec::new());
    for figure in [TTFT, E2E, THROUGHPUT] {
        let Some(own) = (figure.value)(best) else { continue };
        let Some(&(other, whose)) = figure.ranked(others).first() else { continue };
        let worse = if figure.higher_is_better { own < other } else { own > other };
        if worse && !alike(own, other) {
            paid.push(format!(
                "a {} of {} against {} ({})",
                figure.what,
                figure.show(own),
                figure.show(other),
                names.name(whose)
            ));
        } else if let Some((own, other, whose)) = figure.terrible(best, others) {
            paid.push(format!(
                "a {} of {} against {} ({})",
                figure.worst_name,
                duration(own),
                duration(other),
                names.name(whose)
            ));
        } else {
            held.push(figure.what.to_owned());
        }
    }
    let name = names.name(best);
    match (paid.is_empty(), &held[..]) {
        (false, _) => Some(format!("{name} pays with {}.", join(&paid))),
        (true, []) => None,
        (true, [one]) => Some(format!(
            "{name} pays nothing for it here: its {one} is the best or within 5 % of it."
        )),
        (true, held) => Some(format!(
            "{name} pays nothing for it here: its {} are the best or within 5 % of it.",
            join(held)
        )),
    }
}

/// Which of several equally fluid runs leads in what, by more than 5 %; figures of one leader
/// together.
pub(super) fn leads<'a>(equals: &[&'a RunResult], names: &Names<'a>) -> Vec<String> {
    let mut by_leader: Vec<(&str, Vec<String>)> = Vec::new();
    for figure in [TTFT, TBT, E2E, THROUGHPUT] {
        let known = figure.ranked(equals);
        let [(first, leader), (next, _), ..] = known[..] else { continue };
        if alike(first, next) {
            continue;
        }
        let degree = if figure.higher_is_better { "highest" } else { "lowest" };
        let mut said = format!(
            "the {degree} {} ({}, next {})",
            figure.what,
            figure.show(first),
            figure.show(next)
        );
        if let Some((own, other, whose)) = figure.terrible(leader, equals) {
            said += &format!(
                ", but a {} of {}, against {} ({})",
                figure.worst_name,
                duration(own),
                duration(other),
                names.name(whose)
            );
        }
        let name = names.name(leader);
        match by_leader.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figures)) => figures.push(said),
            None => by_leader.push((name, vec![said])),
        }
    }
    by_leader.iter().map(|(name, figures)| format!("{name} has {}", join(figures))).collect()
}

pub(super) fn p99_tbt(run: &RunResult) -> Option<f64> {
    run.summary.known(Latency::Tbt, |of| of.p99).filter(|_| tells_tokens(run))
}

pub(super) fn longest_tbt(run: &RunResult) -> Option<f64> {
    run.summary.known(Latency::Tbt, |of| of.max)
}
