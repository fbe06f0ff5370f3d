//! The requests.

use super::check::Check;
use super::day;
use super::lengths::lengths;
use super::sessions::sessions;
use crate::excerpt::quoted;
use crate::scenario::raw;
use crate::time::Span;
use crate::units::Duration;
use crate::workload::{
    Amount, Arrivals, ClassSpec, MAX_REQUESTS as REQUESTS_MAX, MaxTokens, Piece, PrefixGroups,
    Source, TraceFormat, TraceSpec, WorkloadSpec, trace_has_gaps,
};
use crate::yaml::Path;

/// Slowest and fastest rate, requests a second.
pub(super) const RATE_RANGE: (f64, f64) = (1e-6, 1e6);

/// The workload, whole; and as a scenario has it with every default filled in, a stand-in in the place
/// of a trace that is not there.
pub(super) fn workload(
    check: &mut Check<'_>,
    given: &raw::Workload,
) -> Option<(WorkloadSpec, raw::Workload)> {
    let path = Path::root().key("workload");
    let before = check.problems.len();
    let max_tokens = max_tokens(check, &path.key("max_tokens"), given.max_tokens);
    let prefix_groups =
        given.prefix_groups.map(|groups| prefix_groups(check, &path.key("prefix_groups"), groups));
    let classes = classes(check, &path, given.classes.as_deref().unwrap_or_default());
    if let Some(own) = &given.sessions {
        let (source, amount, mut filled) = sessions(check, &path, given, own);
        filled.max_tokens.get_or_insert(raw::MaxTokens::Exact);
        let spec = WorkloadSpec { source: source?, amount, max_tokens, classes, prefix_groups };
        if check.problems.len() == before && !check.is_cut(&path) {
            too_long(check, &path, &spec);
        }
        return Some((spec, filled));
    }
    let (source, mut filled) = match &given.trace {
        Some(trace) => traced(check, &path, given, trace),
        None => (drawn(check, &path, given), given.clone()),
    };
    let amount = amount(check, &path, &filled, source.as_ref());
    filled.duration = filled.duration.or(amount.duration.map(Duration));
    filled.max_tokens.get_or_insert(raw::MaxTokens::Exact);
    let spec = WorkloadSpec { source: source?, amount, max_tokens, classes, prefix_groups };
    if check.problems.len() == before && !check.is_cut(&path) {
        too_long(check, &path, &spec);
    }
    Some((spec, filled))
}

/// The requests of a trace, or of what stands in for it.
fn traced(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Workload,
    trace: &raw::Trace,
) -> (Option<Source>, raw::Workload) {
    for (name, both) in
        [("arrivals", given.arrivals.is_some()), ("lengths", given.lengths.is_some())]
    {
        if both {
            let trace_key = check.root().locate(&path.key("trace")).span();
            let problem = check
                .at(&path.key(name), format!("expected either `trace` or `{name}`, found both"))
                .label("and this")
                .other(trace_key, "this")
                .help("a trace brings its own arrivals and lengths: keep one of the two");
            check.problems.push(problem);
        }
    }
    let found = trace_source(check, path, trace);
    let filled = match &found {
        // The scenario says what is run.
        Some(Found::StandIn(one)) => raw::Workload {
            requests: given.requests.or(one.requests),
            arrivals: Some(one.arrivals.clone()),
            lengths: Some(one.lengths.clone()),
            trace: None,
            ..given.clone()
        },
        _ => given.clone(),
    };
    let source = found.and_then(|found| match found {
        Found::Trace(trace) => Some(Source::Trace(trace)),
        Found::StandIn(one) => one.drawn,
    });
    (source, filled)
}

/// Requests drawn from arrivals and lengths.
fn drawn(check: &mut Check<'_>, path: &Path, given: &raw::Workload) -> Option<Source> {
    for (name, there, help) in [
        ("arrivals", given.arrivals.is_some(), "such as `{poisson: {rate: 2.0}}`"),
        (
            "lengths",
            given.lengths.is_some() || every_class_has_lengths(given),
            "such as `{prompt: {fixed: 512}, output: {fixed: 128}}` or `{table: chat}`",
        ),
    ] {
        if !there {
            let message = format!("`{name}` is missing");
            let help = format!("{help}; or give a `trace`");
            check.missing(path, &[name, "trace"], message, &help);
        }
    }
    let arrivals = given.arrivals.as_ref().map(|a| arrivals(check, &path.key("arrivals"), a));
    let lengths = match &given.lengths {
        Some(given) => lengths(check, &path.key("lengths"), given),
        None => first_class_lengths(check, path, given),
    };
    Some(Source::Synthetic { arrivals: arrivals?, lengths: lengths? })
}

fn every_class_has_lengths(given: &raw::Workload) -> bool {
    let classes = given.classes.as_deref().unwrap_or_default();
    !classes.is_empty() && classes.iter().all(|c| c.lengths.is_some())
}

/// Where every class has lengths of its own, the workload's are never drawn from: the first
/// class's stand for them. Their problems are reported with the class.
fn first_class_lengths(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Workload,
) -> Option<crate::workload::Lengths> {
    if !every_class_has_lengths(given) {
        return None;
    }
    let first = given.classes.as_ref()?.first()?.lengths.as_ref()?;
    let before = check.problems.len();
    let first_path = check.element(&path.key("classes"), 0).key("lengths");
    let lengths = lengths(check, &first_path, first);
    check.problems.truncate(before);
    lengths
}

/// What there is of a trace.
enum Found {
    /// The file.
    Trace(TraceSpec),
    /// What stands in for it.
    StandIn(Box<InItsPlace>),
}

/// What stands in for a trace.
struct InItsPlace {
    /// Its requests; `None` where something is wrong with them.
    drawn: Option<Source>,
    /// How many of them.
    requests: Option<u32>,
    /// When they arrive: the stand-in's arrivals, at the pace that is asked of the trace.
    arrivals: raw::Arrivals,
    /// How long they are.
    lengths: raw::Lengths,
}

fn trace_source(check: &mut Check<'_>, path: &Path, trace: &raw::Trace) -> Option<Found> {
    let path = path.key("trace");
    let time_scale = trace
        .time_scale
        .map_or(1.0, |scale| check.positive(&path.key("time_scale"), scale, 1e-6, 1e6));
    let own = trace.arrivals.as_ref().map(|a| arrivals(check, &path.key("arrivals"), a));
    let stand_in = trace.stand_in.as_ref().map(|s| {
        let path = path.key("stand_in");
        let requests = s.requests.map(|n| check.whole(&path.key("requests"), n, 1, REQUESTS_MAX));
        let arrivals = arrivals(check, &path.key("arrivals"), &s.arrivals);
        let lengths = lengths(check, &path.key("lengths"), &s.lengths);
        (requests, arrivals, lengths, s)
    });
    let file = check.file_path(&trace.file);
    if let Some(why) = check.why_not_a_trace(&file) {
        let download = trace
            .download
            .as_ref()
            .map_or(String::new(), |from| format!("; download it from {from}"));
        let help = format!("{}{download}", check.looked_for(&file));
        let Some((requests, arrivals, lengths, raw)) = stand_in else {
            check.report(&path.key("file"), format!("`{}` {why}", trace.file), &help);
            return None;
        };
        check.warnings.push(format!(
            "{}: `{}` {why}: drawing requests from `stand_in` instead ({help})",
            path.key("file"),
            trace.file
        ));
        if let raw::Arrivals::Day(raw::Day { file: Some(_), .. }) = &raw.arrivals
            && time_scale != 1.0
        {
            let message = "a file of rates cannot be scaled with the trace that it stands in for";
            let help = "leave `time_scale` out, or give `peak` and `trough`";
            check.report(
                &path.key("stand_in").key("arrivals").key("day").key("file"),
                message,
                help,
            );
        }
        // A trace's times divided are a stand-in's rates multiplied.
        let raw_arrivals = scaled(&raw.arrivals, time_scale);
        let arrivals = match time_scale {
            1.0 => arrivals,
            _ => self::arrivals(check, &path.key("stand_in").key("arrivals"), &raw_arrivals),
        };
        return Some(Found::StandIn(Box::new(InItsPlace {
            drawn: lengths.map(|lengths| Source::Synthetic { arrivals, lengths }),
            requests,
            arrivals: raw_arrivals,
            lengths: raw.lengths.clone(),
        })));
    }
    let format = match trace.format {
        None | Some(raw::Format::Auto) => None,
        Some(raw::Format::Azure) => Some(TraceFormat::Azure),
        Some(raw::Format::Vidur | raw::Format::Splitwise) => Some(TraceFormat::Vidur),
        Some(raw::Format::Mooncake) => Some(TraceFormat::Mooncake),
        Some(raw::Format::Weka) => Some(TraceFormat::Weka),
        Some(raw::Format::BurstGpt) => Some(TraceFormat::BurstGpt),
        Some(raw::Format::Conversations) => Some(TraceFormat::Conversations),
        Some(raw::Format::VllmMultiTurn) => Some(TraceFormat::VllmMultiTurn),
        Some(raw::Format::InferencePerf) => Some(TraceFormat::InferencePerf),
        Some(raw::Format::ServeGen) => Some(TraceFormat::ServeGen),
        Some(raw::Format::Jsonl) => Some(TraceFormat::Jsonl),
        Some(raw::Format::Csv) => Some(TraceFormat::Csv),
    };
    let by_answers = match trace.gaps {
        Some(raw::TraceGaps::Trace | raw::TraceGaps::Answers) => true,
        Some(raw::TraceGaps::Arrivals) => false,
        None => trace_has_gaps(&file, format),
    };
    let gap_cap = trace.gap_cap.map(|cap| check.time(&path.key("gap_cap"), cap));
    if gap_cap.is_some() && !by_answers {
        let message = "requests come at their own times, not a gap after an answer";
        let help = "`gaps: trace` plays a file that has gaps by its answers";
        check.report(&path.key("gap_cap"), message, help);
    }
    let keeps_times = trace.gaps == Some(raw::TraceGaps::Answers);
    let spec =
        TraceSpec { file, format, time_scale, arrivals: own, by_answers, keeps_times, gap_cap };
    Some(Found::Trace(spec))
}

/// The same arrivals at `factor` times the rate, where there is one.
fn scaled(given: &raw::Arrivals, factor: f64) -> raw::Arrivals {
    let mut arrivals = given.clone();
    match &mut arrivals {
        raw::Arrivals::Poisson(p) | raw::Arrivals::Constant(p) => p.rate *= factor,
        raw::Arrivals::Gamma(p) | raw::Arrivals::Weibull(p) => p.rate *= factor,
        raw::Arrivals::Piecewise(pieces) => {
            for piece in pieces {
                piece.rate *= factor;
                piece.ramp_to = piece.ramp_to.map(|rate| rate * factor);
            }
        }
        raw::Arrivals::Day(day) => {
            for rate in [&mut day.peak, &mut day.trough] {
                *rate = rate.map(|rate| rate * factor);
            }
        }
        raw::Arrivals::AllAtOnce(_) | raw::Arrivals::ClosedLoop(_) => {}
    }
    arrivals
}

pub(super) fn arrivals(check: &mut Check<'_>, path: &Path, given: &raw::Arrivals) -> Arrivals {
    let rate = |check: &mut Check<'_>, path: &Path, rate: f64| {
        check.positive(&path.key("rate"), rate, RATE_RANGE.0, RATE_RANGE.1)
    };
    let cv = |check: &mut Check<'_>, path: &Path, cv: f64| {
        check.positive(&path.key("cv"), cv, 0.01, 100.0)
    };
    match given {
        raw::Arrivals::Poisson(p) => {
            Arrivals::Poisson { rate: rate(check, &path.key("poisson"), p.rate) }
        }
        raw::Arrivals::Constant(p) => {
            Arrivals::Constant { rate: rate(check, &path.key("constant"), p.rate) }
        }
        raw::Arrivals::Gamma(p) => {
            let path = path.key("gamma");
            Arrivals::Gamma { rate: rate(check, &path, p.rate), cv: cv(check, &path, p.cv) }
        }
        raw::Arrivals::Weibull(p) => {
            let path = path.key("weibull");
            Arrivals::Weibull { rate: rate(check, &path, p.rate), cv: cv(check, &path, p.cv) }
        }
        raw::Arrivals::AllAtOnce(_) => Arrivals::AllAtOnce,
        raw::Arrivals::ClosedLoop(c) => {
            let path = path.key("closed_loop");
            Arrivals::ClosedLoop {
                users: check.whole(&path.key("users"), c.users, 1, REQUESTS_MAX),
                think_time: c
                    .think_time
                    .map_or(Span::ZERO, |t| check.time(&path.key("think_time"), t)),
            }
        }
        raw::Arrivals::Piecewise(pieces) => {
            Arrivals::Piecewise(piecewise(check, &path.key("piecewise"), pieces))
        }
        raw::Arrivals::Day(given) => Arrivals::Piecewise(day::day(check, &path.key("day"), given)),
    }
}

fn piecewise(check: &mut Check<'_>, path: &Path, given: &[raw::Piece]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (i, piece) in given.iter().enumerate() {
        let path = check.element(path, i);
        // A pause is a rate of 0.
        let mut rate_of = |name: &str, rate: f64| match rate {
            0.0 => 0.0,
            _ if rate > 0.0 => check.number(&path.key(name), rate, RATE_RANGE.0, RATE_RANGE.1),
            _ => check.number(&path.key(name), rate, 0.0, RATE_RANGE.1),
        };
        let rate = rate_of("rate", piece.rate);
        let ramp_to = piece.ramp_to.map_or(rate, |to| rate_of("ramp_to", to));
        let length = check.time_above_zero(&path.key("for"), piece.length);
        pieces.push(Piece { length, rate, ramp_to });
    }
    if pieces.is_empty() {
        let help = "such as `[{for: 60s, rate: 2.0}]`";
        check.nothing_in(path, &[], "expected at least one piece, found an empty list", help);
    } else if given.iter().all(|p| p.rate == 0.0 && p.ramp_to.unwrap_or(0.0) == 0.0)
        && !check.is_cut(path)
    {
        check.report(path, "no request would ever arrive: every rate is 0", "");
    }
    let total = pieces.iter().try_fold(0u64, |sum, p| sum.checked_add(p.length.as_nanos()));
    if total.is_none_or(|ns| ns > u64::MAX / 4) {
        check.report(path, "expected at most 100 years, all pieces together", "");
    }
    pieces
}

fn amount(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Workload,
    source: Option<&Source>,
) -> Amount {
    let requests = given.requests.map(|n| check.whole(&path.key("requests"), n, 1, REQUESTS_MAX));
    let mut duration = given.duration.map(|d| check.time_above_zero(&path.key("duration"), d));
    let neither = requests.is_none() && duration.is_none();
    match source {
        Some(Source::Synthetic { arrivals: Arrivals::Piecewise(pieces), .. }) if neither => {
            // The pieces say how long they last.
            let ns = pieces.iter().fold(0u64, |sum, p| sum.saturating_add(p.length.as_nanos()));
            duration = Some(Span::from_nanos(ns));
        }
        Some(Source::Synthetic { arrivals: Arrivals::AllAtOnce, .. }) if requests.is_none() => {
            check.missing(
                path,
                &["requests"],
                "`requests` is missing: how many requests arrive at once?",
                "`duration` does not end arrivals that all come at time 0",
            );
        }
        Some(Source::Trace(_)) => {}
        // Without a readable source the user hears of that first, but this is missing all the same.
        _ if neither && given.trace.is_none() => check.missing(
            path,
            &["requests", "duration", "trace"],
            "neither `requests` nor `duration` is given: when do arrivals end?",
            "such as `requests: 1000` or `duration: 10min`",
        ),
        _ => {}
    }
    Amount { requests, duration }
}

/// Rates so low that a run would take centuries, or so high that it would never fit.
fn too_long(check: &mut Check<'_>, path: &Path, spec: &WorkloadSpec) {
    let (arrivals, what, path) = match &spec.source {
        Source::Synthetic { arrivals, .. } => (arrivals, "requests", path.clone()),
        Source::Sessions(sessions) => (&sessions.arrivals, "sessions", path.key("sessions")),
        Source::Trace(_) => return,
    };
    let rate = match arrivals {
        Arrivals::Poisson { rate }
        | Arrivals::Gamma { rate, .. }
        | Arrivals::Weibull { rate, .. }
        | Arrivals::Constant { rate } => *rate,
        Arrivals::Piecewise(pieces) => {
            pieces.iter().map(|p| p.rate.max(p.ramp_to)).fold(0.0, f64::max)
        }
        Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. } => return,
    };
    let seconds = spec.amount.duration.map(Span::as_secs_f64);
    match spec.amount.requests {
        Some(requests) if seconds.is_none() => {
            const TEN_YEARS_S: f64 = 10.0 * 365.0 * 86_400.0;
            let expected_s = f64::from(requests) / rate;
            if rate > 0.0 && expected_s > TEN_YEARS_S {
                check.report(
                    &path.key(if what == "requests" { what } else { "count" }),
                    format!(
                        "{requests} {what} at {rate} a second would take {:.0} years",
                        expected_s / (365.0 * 86_400.0)
                    ),
                    "a run may last ten years",
                );
            }
        }
        None => {
            let expected = seconds.unwrap_or(0.0) * rate;
            if expected > f64::from(REQUESTS_MAX) {
                check.report(
                    &path.key("duration"),
                    format!("about {expected:.0} {what} would arrive"),
                    &format!(
                        "a run may have {REQUESTS_MAX}: lower the rate, or give `{}`",
                        if what == "requests" { what } else { "count" }
                    ),
                );
            }
        }
        Some(_) => {}
    }
}

fn max_tokens(check: &mut Check<'_>, path: &Path, given: Option<raw::MaxTokens>) -> MaxTokens {
    match given {
        None | Some(raw::MaxTokens::Exact) => MaxTokens::Exact,
        Some(raw::MaxTokens::Model) => MaxTokens::Model,
        Some(raw::MaxTokens::Fixed(n)) => {
            MaxTokens::Fixed(check.whole(&path.key("fixed"), n, 1, u32::MAX))
        }
        Some(raw::MaxTokens::Factor(factor)) => {
            let path = path.key("factor");
            if factor < 1.0 {
                check.expected(
                    &path,
                    "at least 1: a declared length is no less than the true one",
                    factor,
                );
                return MaxTokens::Exact;
            }
            MaxTokens::Factor(check.number(&path, factor, 1.0, 1e6))
        }
    }
}

fn prefix_groups(check: &mut Check<'_>, path: &Path, given: raw::PrefixGroups) -> PrefixGroups {
    PrefixGroups {
        count: check.whole(&path.key("count"), given.count, 1, REQUESTS_MAX),
        tokens: check.whole(&path.key("tokens"), given.tokens, 1, 100_000_000),
        share: given.share.map_or(1.0, |share| check.share(&path.key("share"), share)),
    }
}

fn classes(check: &mut Check<'_>, workload: &Path, given: &[raw::Class]) -> Vec<ClassSpec> {
    let path = workload.key("classes");
    let mut classes: Vec<ClassSpec> = Vec::new();
    for (i, class) in given.iter().enumerate() {
        let path = check.element(&path, i);
        if class.name.trim().is_empty() {
            check.report(&path.key("name"), "expected a name, found an empty text", "");
        }
        if let Some(first) = classes.iter().position(|c| c.name == class.name) {
            let named = check.element(&workload.key("classes"), first).key("name");
            let other = check.root().locate(&named).span();
            let problem = check
                .at(&path.key("name"), format!("two classes are named `{}`", quoted(&class.name)))
                .label("again here")
                .other(other, "first here")
                .help("give each class a name of its own");
            check.problems.push(problem);
        }
        let share =
            class.share.map_or(1.0, |share| check.number(&path.key("share"), share, 0.0, 1e9));
        let lengths = class.lengths.as_ref().and_then(|l| lengths(check, &path.key("lengths"), l));
        classes.push(ClassSpec {
            name: class.name.clone(),
            share,
            priority: class.priority.unwrap_or(0),
            lengths,
        });
    }
    if !classes.is_empty() && given.iter().all(|c| c.share == Some(0.0)) && !check.is_cut(&path) {
        let help = "shares need not sum to 1, but one must be above 0";
        check.report(&path, "no class would get a request: every share is 0", help);
    }
    classes
}
