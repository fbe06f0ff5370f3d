//! Which scheduler, and why: the comparison in a few plain sentences.
//!
//! A pure function of the published figures. A sentence is said only when the figures bear it out,
//! and carries them.

mod conditions;
mod figures;
mod share;
mod smoothness;

use std::collections::BTreeMap;

pub(crate) use share::{as_a_sample, evidence};

use crate::metrics::Bounds;
use crate::promise::{KEPT_SHARE, Term};
use crate::result::RunResult;
use crate::result::features::{all_comparable, comparable_runs, why_not_comparable};
use crate::shown::{join, percent};

/// Below this relative difference two figures count as equal.
const ALIKE: f64 = 0.05;

/// From this share on nearly all first tokens came in time.
const NEARLY_ALL: f64 = 0.99;

/// The sentences for these runs of one scenario; none for no runs.
pub fn verdict(runs: &[RunResult]) -> Vec<String> {
    let names = Names::of(runs);
    let mut sentences = Vec::new();
    if runs.is_empty() {
        return sentences;
    }
    if runs.iter().all(|run| run.summary.requests.completed == 0) {
        sentences.push(nothing_completed(runs));
    } else if let [run] = runs {
        sentences.push(alone(run, &names));
        sentences.extend(first_tokens(runs, &names));
        sentences.extend(smoothness::tail_of_one(run));
    } else {
        sentences.push(promise(runs, &names));
        sentences.extend(first_tokens(runs, &names));
        sentences.extend(ranking(runs, &names));
    }
    sentences.extend(conditions::conditions(runs, &names));
    sentences
}

/// Who is smoothest, among those that can be compared.
fn ranking<'a>(runs: &'a [RunResult], names: &Names<'a>) -> Vec<String> {
    let why_not = why_not_comparable(runs);
    if why_not.is_empty() {
        return smoothness::compare(runs, names);
    }
    let mut sentences: Vec<String> = why_not.iter().map(|why| as_sentence(why)).collect();
    for group in comparable_runs(runs).iter().filter(|group| group.len() > 1) {
        let own = Names::of(group);
        sentences.push(format!("Among {}:", own.list(&group.iter().collect::<Vec<_>>())));
        sentences.extend(smoothness::compare(group, &own));
    }
    sentences
}

fn as_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// How runs are called: by scheduler where that is enough, by label otherwise.
struct Names<'a> {
    /// Runs of each scheduler.
    of_scheduler: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn of(runs: &'a [RunResult]) -> Names<'a> {
        let mut of_scheduler = BTreeMap::new();
        for run in runs {
            *of_scheduler.entry(run.scheduler.as_str()).or_insert(0) += 1;
        }
        Names { of_scheduler }
    }

    fn name(&self, run: &'a RunResult) -> &'a str {
        let same = self.of_scheduler.get(run.scheduler.as_str());
        if same.is_some_and(|runs| *runs > 1) { &run.label } else { &run.scheduler }
    }

    /// `a`, `a and b`, `a, b and c`.
    fn list(&self, runs: &[&'a RunResult]) -> String {
        join(&runs.iter().map(|run| self.name(run).to_owned()).collect::<Vec<_>>())
    }
}

fn nothing_completed(runs: &[RunResult]) -> String {
    let counts = runs[0].summary.requests;
    if counts.offered == 0 {
        return "No request was offered, so there is nothing to compare.".to_owned();
    }
    let measured = runs.iter().all(|run| run.measured.is_some());
    let who = match (runs.len(), measured) {
        (1, _) => "",
        (_, true) => " in any file",
        (_, false) => " under any scheduler",
    };
    let ends = |run: &RunResult| {
        let counts = run.summary.requests;
        let mut ends = vec![format!("{} were rejected", counts.rejected)];
        let others = [
            (counts.failed, "failed"),
            (counts.timed_out, "timed out"),
            (counts.cancelled, "were cancelled by the client"),
        ];
        ends.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        ends.push(format!("{} were unfinished when observation ended", counts.unfinished));
        format!("of {} offered, {}", counts.offered, join(&ends))
    };
    let alike = runs.iter().all(|run| run.summary.requests == counts);
    let told = match alike {
        true => ends(&runs[0]),
        false => {
            let each = runs.iter().map(|run| format!("{} ({})", ends(run), run.label));
            each.collect::<Vec<_>>().join("; ")
        }
    };
    format!("No request completed{who}: {told}.")
}

fn alone(run: &RunResult, names: &Names<'_>) -> String {
    let name = names.name(run);
    match run.slo.met {
        Some(true) => {
            let terms: Vec<String> = run.slo.terms.iter().map(Term::in_words).collect();
            format!("{name} keeps the SLO: {}.", join(&terms))
        }
        Some(false) => format!("{name} misses the SLO: {}.", lacks(run)),
        None => format!("No verdict on {name}: {}.", open(run)),
    }
}

/// Where first tokens came after their deadline and the promise does not ask for that: how many did
/// not.
fn first_tokens(runs: &[RunResult], names: &Names<'_>) -> Option<String> {
    let asked = |run: &RunResult| {
        let terms = || run.slo.terms.iter();
        terms().any(|term| term.metric == KEPT_SHARE || term.metric == "ttft_s")
    };
    let share = |run: &RunResult| {
        let summary = &run.summary;
        let bounds = summary.ttft_in_time_bounds;
        match (summary.ttft_in_time_share, bounds) {
            (Some(share), _) => (share < NEARLY_ALL).then(|| percent(share)),
            (None, Some(Bounds { upper, .. })) => {
                (upper < NEARLY_ALL).then(|| format!("at most {}", percent(upper)))
            }
            (None, None) => None,
        }
    };
    let late: Vec<String> = runs
        .iter()
        .filter(|run| !asked(run))
        .filter_map(|run| {
            let of =
                if runs.len() == 1 { String::new() } else { format!(" ({})", names.name(run)) };
            Some(format!("{}{of}", share(run)?))
        })
        .collect();
    (!late.is_empty()).then(|| {
        format!(
            "First tokens in time: {}; the SLO judges when text flows, and does not bound TTFT.",
            join(&late)
        )
    })
}

/// Why there is no verdict on a run, and what is known.
fn open(run: &RunResult) -> String {
    let open = run.slo.open().filter(|term| term.lower.is_some());
    let known: Vec<String> = open.map(Term::in_words).collect();
    let why = run.slo.why.as_deref().unwrap_or("its figures do not decide it");
    if known.is_empty() { why.to_owned() } else { format!("{why}; {}", join(&known)) }
}

/// Who keeps the SLO; where nobody does, who comes closest and what it lacks.
fn promise(runs: &[RunResult], names: &Names<'_>) -> String {
    let that = |met: Option<bool>| runs.iter().filter(move |run| run.slo.met == met);
    let (keep, miss) =
        (that(Some(true)).collect::<Vec<_>>(), that(Some(false)).collect::<Vec<_>>());
    let unknown: Vec<&RunResult> = that(None).collect();
    if !unknown.is_empty() {
        return promise_as_far_as_known(&keep, &miss, &unknown, names);
    }
    let noun = if runs.iter().all(|run| run.measured.is_some()) { "file" } else { "scheduler" };
    if miss.is_empty() {
        let all = if runs.len() == 2 { "Both" } else { "All" };
        return format!("{all} {noun}s keep the SLO.");
    }
    if !keep.is_empty() {
        let verb = if keep.len() == 1 { "keeps" } else { "keep" };
        let lack: Vec<String> = miss
            .iter()
            .map(|run| format!("{} does not: {}", names.name(run), lacks(run)))
            .collect();
        return format!("{} {verb} the SLO; {}.", names.list(&keep), lack.join("; "));
    }
    let none = if runs.len() == 2 { "Neither" } else { "No" };
    let best = share::best(&runs.iter().collect::<Vec<_>>());
    let best = best.filter(|_| all_comparable(runs));
    let closest = match best {
        Some(best) => format!("; {} comes closest: {}", names.name(best), lacks(best)),
        None => format!("; {}, for one: {}", names.name(&runs[0]), lacks(&runs[0])),
    };
    format!("{none} {noun} keeps the SLO{closest}.")
}

/// The same where there is no verdict on some.
fn promise_as_far_as_known<'a>(
    keep: &[&'a RunResult],
    miss: &[&'a RunResult],
    unknown: &[&'a RunResult],
    names: &Names<'a>,
) -> String {
    let mut parts = Vec::new();
    if !keep.is_empty() {
        let verb = if keep.len() == 1 { "keeps" } else { "keep" };
        parts.push(format!("{} {verb} the SLO", names.list(keep)));
    }
    parts.extend(miss.iter().map(|run| format!("{} does not: {}", names.name(run), lacks(run))));
    let open = |run: &&'a RunResult| format!("no verdict on {}: {}", names.name(run), open(run));
    parts.extend(unknown.iter().map(open));
    let mut text = parts.join("; ");
    // A list of runs may begin the sentence, and so may this.
    if let Some(rest) = text.strip_prefix("no verdict") {
        text = format!("No verdict{rest}");
    }
    text.push('.');
    text
}

fn lacks(run: &RunResult) -> String {
    join(&run.slo.broken().map(Term::in_words).collect::<Vec<_>>())
}

/// Whether two figures differ by less than [`ALIKE`].
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= ALIKE * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests;
