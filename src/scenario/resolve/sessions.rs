//! Sessions of several turns.

use super::check::Check;
use super::lengths::dist;
use super::session_presets::fill_in;
use super::workload::arrivals;
use crate::scenario::raw;
use crate::time::Span;
use crate::units::Duration;
use crate::workload::{
    Amount, Arrivals, Dist, Gap, GapKind, GapShape, MAX_REQUESTS, MaxContext, SessionsSpec,
    SharedPrefix, Source,
};
use crate::yaml::Path;

/// Longest prefix and context, in tokens.
const TOKENS_MAX: u32 = 100_000_000;
/// Longest gap.
const GAP_MAX: Span = Span::from_nanos(365 * 86_400 * 1_000_000_000);

/// Sessions, how many of them, and as a scenario has them with every default filled in.
pub(super) fn sessions(
    check: &mut Check<'_>,
    workload: &Path,
    given: &raw::Workload,
    own: &raw::Sessions,
) -> (Option<Source>, Amount, raw::Workload) {
    let path = workload.key("sessions");
    alone(check, workload, given);
    let mut filled = own.clone();
    fill_in(&mut filled);
    let amount = amount(check, workload, &path, given, own);
    filled.duration = amount.duration.map(Duration);
    let spec = spec(check, &path, own, &mut filled);
    let source = spec.map(|spec| Source::Sessions(Box::new(spec)));
    let filled = raw::Workload { sessions: Some(filled), duration: None, ..given.clone() };
    (source, amount, filled)
}

/// Nothing else says what is asked.
fn alone(check: &mut Check<'_>, workload: &Path, given: &raw::Workload) {
    let other = [
        ("arrivals", given.arrivals.is_some(), "`sessions.arrivals` says when sessions begin"),
        (
            "lengths",
            given.lengths.is_some(),
            "`sessions` has `first_prompt`, `new_tokens` and `output`",
        ),
        ("trace", given.trace.is_some(), "a trace brings its own requests: keep one of the two"),
        ("requests", given.requests.is_some(), "`sessions.count` says how many sessions there are"),
        (
            "prefix_groups",
            given.prefix_groups.is_some(),
            "`sessions.shared_prefix` is what sessions share",
        ),
    ];
    for (name, there, help) in other {
        if there {
            let sessions = check.root().locate(&workload.key("sessions")).span();
            let problem = check
                .at(
                    &workload.key(name),
                    format!("expected either `sessions` or `{name}`, found both"),
                )
                .label("and this")
                .other(sessions, "this")
                .help(help);
            check.problems.push(problem);
        }
    }
    for (i, class) in given.classes.iter().flatten().enumerate() {
        if class.lengths.is_some() {
            let path = check.element(&workload.key("classes"), i).key("lengths");
            let help = "classes of sessions differ in priority and promise; `sessions` says how long turns are";
            check.report(&path, "expected no `lengths` in a class of sessions", help);
        }
    }
}

fn amount(
    check: &mut Check<'_>,
    workload: &Path,
    path: &Path,
    given: &raw::Workload,
    own: &raw::Sessions,
) -> Amount {
    let count = own.count.map(|n| check.whole(&path.key("count"), n, 1, MAX_REQUESTS));
    if own.duration.is_some() && given.duration.is_some() {
        let message = "`duration` is given here and in `sessions`";
        check.report(&workload.key("duration"), message, "keep one of the two");
    }
    let place = if own.duration.is_some() { path } else { workload };
    let duration = own.duration.or(given.duration);
    let mut duration = duration.map(|d| check.time_above_zero(&place.key("duration"), d));
    let neither = count.is_none() && duration.is_none();
    match &own.arrivals {
        Some(raw::Arrivals::Piecewise(pieces)) if neither => {
            let ns = pieces.iter().fold(0u64, |sum, p| sum.saturating_add(p.length.0.as_nanos()));
            duration = Some(Span::from_nanos(ns.max(1)));
        }
        Some(raw::Arrivals::Day(_)) if neither => {
            duration = Some(Span::from_nanos(86_400_000_000_000));
        }
        Some(raw::Arrivals::AllAtOnce(_)) if count.is_none() => check.missing(
            path,
            &["count"],
            "`count` is missing: how many sessions begin at once?",
            "`duration` does not end sessions that all begin at time 0",
        ),
        _ if neither => check.missing(
            path,
            &["count", "duration"],
            "neither `count` nor `duration` is given: when do sessions end to begin?",
            "such as `count: 500` or `duration: 10min`",
        ),
        _ => {}
    }
    Amount { requests: count, duration }
}

/// `filled` has the keys of a preset, and gets the defaults.
fn spec(
    check: &mut Check<'_>,
    path: &Path,
    own: &raw::Sessions,
    filled: &mut raw::Sessions,
) -> Option<SessionsSpec> {
    let arrivals = starts(check, path, own, filled);
    let shared_prefix = filled.shared_prefix.as_mut().map(|prefix| {
        let path = path.key("shared_prefix");
        let count = *prefix.count.get_or_insert(1);
        SharedPrefix {
            count: check.whole(&path.key("count"), count, 1, MAX_REQUESTS),
            tokens: check.whole(&path.key("tokens"), prefix.tokens, 1, TOKENS_MAX),
        }
    });
    let mut length = |name: &str, given: &Option<raw::Dist>, what: &str| -> Option<Dist> {
        match given {
            Some(given) => dist(check, &path.key(name), given),
            None => {
                check.missing(
                    path,
                    &[name, "preset"],
                    format!("`{name}` is missing: {what}"),
                    "such as `{fixed: 20}`, or `preset: agent` for figures of real sessions",
                );
                None
            }
        }
    };
    let first_prompt =
        length("first_prompt", &filled.first_prompt, "how many tokens has a first prompt?");
    let turns = length("turns", &filled.turns, "how many turns has a session?");
    let new_tokens =
        length("new_tokens", &filled.new_tokens, "how many tokens does a later turn add?");
    let output = length("output", &filled.output, "how many tokens have answers?");
    let gap = match &filled.gap {
        Some(gap) => Some(gaps(check, &path.key("gap"), gap)),
        None => {
            check.missing(
                path,
                &["gap", "preset"],
                "`gap` is missing: how long is it from an answer to the next turn?",
                "such as `{fixed: 5s}`, or `{fixed: 0s}` where nobody waits",
            );
            None
        }
    };
    let dropped_reasoning = reasoning(check, path, filled);
    let max_context = match filled.max_context.get_or_insert(raw::MaxContext::End) {
        raw::MaxContext::End => MaxContext::End,
        raw::MaxContext::TruncateOldest => MaxContext::TruncateOldest,
        raw::MaxContext::Compact(compact) => {
            let path = path.key("max_context").key("compact").key("to");
            let least = shared_prefix.map_or(1, |prefix: SharedPrefix| prefix.tokens);
            if compact.to < least {
                let message = format!(
                    "a summary of {} tokens has no room for the shared prefix of {least}",
                    compact.to
                );
                check.report(&path, message, "the shared prefix stays: raise `to` above it");
            }
            MaxContext::Compact { to: check.whole(&path, compact.to, 1, TOKENS_MAX) }
        }
    };
    Some(SessionsSpec {
        arrivals: arrivals?,
        shared_prefix,
        first_prompt: first_prompt?,
        turns: turns?,
        new_tokens: new_tokens?,
        output: output?,
        gap: gap?,
        dropped_reasoning,
        max_context,
    })
}

/// When sessions begin: by themselves, or when users have ended one.
fn starts(
    check: &mut Check<'_>,
    path: &Path,
    own: &raw::Sessions,
    filled: &mut raw::Sessions,
) -> Option<Arrivals> {
    match (&own.arrivals, own.concurrency) {
        (Some(_), Some(_)) => {
            let arrivals = check.root().locate(&path.key("arrivals")).span();
            let problem = check
                .at(&path.key("concurrency"), "expected either `arrivals` or `concurrency`, found both")
                .label("and this")
                .other(arrivals, "this")
                .help("sessions begin by themselves, at a rate, or when a user has ended one: keep one of the two");
            check.problems.push(problem);
            None
        }
        (Some(given), None) => Some(arrivals(check, &path.key("arrivals"), given)),
        (None, Some(users)) => {
            let path = path.key("concurrency");
            let think_time = users.think_time;
            filled.concurrency = None;
            filled.arrivals =
                Some(raw::Arrivals::ClosedLoop(raw::ClosedLoop { users: users.users, think_time }));
            Some(Arrivals::ClosedLoop {
                users: check.whole(&path.key("users"), users.users, 1, MAX_REQUESTS),
                think_time: think_time
                    .map_or(Span::ZERO, |t| check.time(&path.key("think_time"), t)),
            })
        }
        (None, None) => {
            check.missing(
                path,
                &["arrivals", "concurrency"],
                "neither `arrivals` nor `concurrency` is given: when do sessions begin?",
                "such as `arrivals: {poisson: {rate: 0.5}}` (sessions a second) or `concurrency: {users: 64}`",
            );
            None
        }
    }
}

fn reasoning(check: &mut Check<'_>, path: &Path, filled: &mut raw::Sessions) -> f64 {
    let keeps = *filled.keep_reasoning.get_or_insert(true);
    let share = filled.reasoning.map(|share| {
        let path = path.key("reasoning");
        if share == 1.0 {
            check.expected(&path, "a share from 0 to below 1: an answer is left", share);
        }
        check.share(&path, share)
    });
    match (keeps, share) {
        (true, _) => 0.0,
        (false, Some(share)) => share.min(0.999_999),
        (false, None) => {
            check.missing(
                path,
                &["reasoning"],
                "`reasoning` is missing: which part of an answer is dropped?",
                "such as `reasoning: 0.7`, or leave out `keep_reasoning`",
            );
            0.0
        }
    }
}

fn gaps(check: &mut Check<'_>, path: &Path, given: &raw::Gap) -> Vec<Gap> {
    let Some(parts) = &given.mixture else {
        if given.share.is_some() {
            let message = "expected no `share` of the only gap";
            check.report(&path.key("share"), message, "it is for the parts of a `mixture`");
        }
        return one_gap(check, path, given, 1.0).into_iter().collect();
    };
    let other = [
        ("fixed", given.fixed.is_some()),
        ("uniform", given.uniform.is_some()),
        ("exponential", given.exponential.is_some()),
        ("lognormal", given.lognormal.is_some()),
        ("share", given.share.is_some()),
        ("kind", given.kind.is_some()),
        ("max", given.max.is_some()),
    ];
    for (name, _) in other.into_iter().filter(|(_, there)| *there) {
        let message = format!("expected no `{name}` beside `mixture`");
        check.report(&path.key(name), message, "put it into the parts of the mixture");
    }
    let list = path.key("mixture");
    let mut gaps = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let path = check.element(&list, i);
        if part.mixture.is_some() {
            let message = "expected no mixture within a mixture";
            check.report(&path.key("mixture"), message, "one list of parts says the same");
            continue;
        }
        let share =
            part.share.map_or(1.0, |share| check.number(&path.key("share"), share, 0.0, 1e9));
        gaps.extend(one_gap(check, &path, part, share));
    }
    if parts.is_empty() {
        let help = "such as `[{share: 0.8, fixed: 2s, kind: tool}, {share: 0.2, fixed: 60s}]`";
        check.nothing_in(&list, &[], "expected at least one part, found an empty list", help);
    } else if parts.iter().all(|part| part.share == Some(0.0)) && !check.is_cut(&list) {
        check.report(&list, "no gap is ever drawn: every share is 0", "");
    }
    gaps
}

fn one_gap(check: &mut Check<'_>, path: &Path, given: &raw::Gap, share: f64) -> Option<Gap> {
    let shapes = [
        ("fixed", given.fixed.is_some()),
        ("uniform", given.uniform.is_some()),
        ("exponential", given.exponential.is_some()),
        ("lognormal", given.lognormal.is_some()),
    ];
    let chosen: Vec<&str> = shapes.iter().filter(|s| s.1).map(|s| s.0).collect();
    match chosen.as_slice() {
        [] => {
            let help = "one of `fixed`, `uniform`, `exponential`, `lognormal` and `mixture`";
            check.nothing_in(
                path,
                &shapes.map(|s| s.0),
                "expected a distribution of times, found none",
                help,
            );
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("expected one distribution, found both `{first}` and `{second}`");
            check.report(path, message, &format!("keep one of `{first}` and `{second}`"));
            return None;
        }
    }
    let mut time = |path: &Path, span: Duration| {
        if span.0 > GAP_MAX {
            check.expected(path, "at most a year", span);
        }
        span.0.min(GAP_MAX)
    };
    let shape = if let Some(span) = given.fixed {
        GapShape::Fixed(time(&path.key("fixed"), span))
    } else if let Some(of) = given.uniform {
        let path = path.key("uniform");
        let (min, max) = (time(&path.key("min"), of.min), time(&path.key("max"), of.max));
        if min > max {
            let message = format!("expected min <= max, found min {} above max {}", of.min, of.max);
            check.report(&path.key("min"), message, "");
        }
        GapShape::Uniform { min: min.min(max), max }
    } else if let Some(of) = given.exponential {
        GapShape::Exponential { mean: time(&path.key("exponential").key("mean"), of.mean) }
    } else {
        let of = given.lognormal?;
        let path = path.key("lognormal");
        let mean = time(&path.key("mean"), of.mean);
        if mean == Span::ZERO {
            check.expected(&path.key("mean"), "a time above 0", of.mean);
        }
        let sigma = check.number(&path.key("sigma"), of.sigma, 0.0, 10.0);
        GapShape::Lognormal { mean: mean.max(Span::from_nanos(1)), sigma }
    };
    let kind = match given.kind {
        Some(raw::GapKind::Tool) => GapKind::Tool,
        Some(raw::GapKind::User) | None => GapKind::User,
    };
    let max = given.max.map(|max| check.time(&path.key("max"), max));
    Some(Gap { share, kind, shape, max })
}
