//! Keys of the requests: arrivals, lengths, traces, classes, shared prefixes.

use serde_json::Value as Json;

use super::Effect::{Always, Unless};
use super::{Entry, Facts, Written};
use crate::fleet::RouterKind;
use crate::runner::Requests;
use crate::scheduler::Feature;
use crate::time::Time;
use crate::units::Duration;
use crate::workload::{Arrivals, Shape, Source};

const SHAPE: Entry = ("", Always("the shape of the lengths"));
const GAPS: Entry = ("", Always("how long it is from an answer to the next turn"));

/// Every key of the requests.
pub(super) const TABLE: &[Entry] = &[
    ("Scenario.workload", Always("the requests")),
    ("Workload.requests", Always("where arrivals end")),
    ("Workload.duration", Unless(duration)),
    ("Workload.arrivals", Always("when requests arrive")),
    ("Workload.lengths", Unless(lengths)),
    ("Workload.trace", Always("the requests")),
    ("Workload.sessions", Always("the requests")),
    ("Sessions.preset", Always("figures of the other keys")),
    ("Sessions.count", Always("where sessions end to begin")),
    ("Sessions.duration", Unless(session_duration)),
    ("Sessions.arrivals", Always("when sessions begin")),
    ("Sessions.concurrency", Always("when sessions begin")),
    ("Sessions.shared_prefix", Always("first prompts are longer by it")),
    ("Sessions.first_prompt", SHAPE.1),
    ("Sessions.turns", SHAPE.1),
    ("Sessions.new_tokens", Unless(later_turns)),
    ("Sessions.output", SHAPE.1),
    ("Sessions.gap", Unless(later_turns)),
    ("Sessions.keep_reasoning", Unless(keep_reasoning)),
    ("Sessions.reasoning", Unless(reasoning)),
    ("Sessions.max_context", Always("said of full contexts, which the run shows")),
    ("MaxContext.compact", Always("judged with `max_context`")),
    ("Compact.to", Always("judged with `max_context`")),
    ("Concurrency.users", Always("how many sessions are under way")),
    ("Concurrency.think_time", Always("when sessions begin")),
    ("SharedPrefix.count", Always("judged with the whole of it")),
    ("SharedPrefix.tokens", Always("first prompts are longer by it")),
    ("Gap.fixed", GAPS.1),
    ("Gap.uniform", GAPS.1),
    ("Gap.exponential", GAPS.1),
    ("Gap.lognormal", GAPS.1),
    ("Gap.mixture", GAPS.1),
    ("Gap.share", Unless(gap_share)),
    ("Gap.kind", Always("turns are told apart by it")),
    ("Gap.max", Unless(gap_max)),
    ("GapUniform.min", GAPS.1),
    ("GapUniform.max", GAPS.1),
    ("GapExponential.mean", GAPS.1),
    ("GapLognormal.mean", GAPS.1),
    ("GapLognormal.sigma", GAPS.1),
    ("Workload.max_tokens", Unless(max_tokens)),
    ("Workload.classes", Always("its keys are judged one by one")),
    ("Workload.prefix_groups", Unless(prefix_groups)),
    ("MaxTokens.fixed", Always("judged with `max_tokens`")),
    ("MaxTokens.factor", Always("judged with `max_tokens`")),
    ("Arrivals.poisson", Always("when requests arrive")),
    ("Arrivals.gamma", Always("when requests arrive")),
    ("Arrivals.weibull", Always("when requests arrive")),
    ("Arrivals.constant", Always("when requests arrive")),
    ("Arrivals.all_at_once", Always("when requests arrive")),
    ("Arrivals.piecewise", Always("when requests arrive")),
    ("Arrivals.day", Always("when requests arrive")),
    ("Arrivals.closed_loop", Always("when requests arrive")),
    ("Rate.rate", Always("when requests arrive")),
    ("RateAndCv.rate", Always("when requests arrive")),
    ("RateAndCv.cv", Always("when requests arrive")),
    ("Piece.for", Always("when requests arrive, and their nominal rate")),
    ("Piece.rate", Always("when requests arrive, and their nominal rate")),
    ("Piece.ramp_to", Always("when requests arrive, and their nominal rate")),
    ("Day.peak", Always("when requests arrive, and their nominal rate")),
    ("Day.trough", Always("when requests arrive, and their nominal rate")),
    ("Day.shape", Always("when requests arrive, and their nominal rate")),
    ("Day.file", Always("when requests arrive, and their nominal rate")),
    ("ClosedLoop.users", Always("how many ask at once")),
    ("ClosedLoop.think_time", Unless(think_time)),
    ("Lengths.prompt", SHAPE.1),
    ("Lengths.output", SHAPE.1),
    ("Lengths.table", SHAPE.1),
    ("Lengths.file", SHAPE.1),
    ("Dist.fixed", SHAPE.1),
    ("Dist.uniform", SHAPE.1),
    ("Dist.lognormal", SHAPE.1),
    ("Dist.geometric", SHAPE.1),
    ("Dist.zipf", SHAPE.1),
    ("Dist.quantiles", SHAPE.1),
    ("Dist.min", Unless(clamp)),
    ("Dist.max", Unless(clamp)),
    ("Uniform.min", SHAPE.1),
    ("Uniform.max", SHAPE.1),
    ("Lognormal.mean", SHAPE.1),
    ("Lognormal.sigma", SHAPE.1),
    ("Lognormal.min", Unless(clamp)),
    ("Lognormal.max", Unless(clamp)),
    ("Geometric.mean", SHAPE.1),
    ("Geometric.min", Unless(clamp)),
    ("Geometric.max", Unless(clamp)),
    ("Zipf.min", SHAPE.1),
    ("Zipf.max", SHAPE.1),
    ("Zipf.theta", SHAPE.1),
    ("Trace.file", Always("the requests")),
    ("Trace.format", Always("says what a file is; a wrong one is refused")),
    ("Trace.time_scale", Unless(time_scale)),
    ("Trace.arrivals", Unless(trace_arrivals)),
    ("Trace.gaps", Always("how a file is played; one without gaps is refused")),
    ("Trace.gap_cap", Always("gaps end there, and which the file has the run shows")),
    ("Trace.download", Always("words for people")),
    ("Trace.stand_in", Always("kept for when the file is not there")),
    ("StandIn.requests", Unless(stand_in_requests)),
    ("StandIn.arrivals", Always("kept for when the file is not there")),
    ("StandIn.lengths", Always("kept for when the file is not there")),
    ("Class.name", Always("what it is called")),
    ("Class.share", Unless(class_share)),
    ("Class.priority", Unless(class_priority)),
    ("Class.lengths", Unless(class_lengths)),
    ("Class.slo", Unless(class_without_requests)),
    ("Class.promise", Unless(class_without_requests)),
    ("PrefixGroups.count", Always("judged with the whole of it")),
    ("PrefixGroups.tokens", Always("judged with the whole of it")),
    ("PrefixGroups.share", Always("judged with the whole of it")),
];

fn duration(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let at_once = facts.experiment.workload.source.arrivals() == Some(&Arrivals::AllAtOnce);
    let amount = facts.experiment.workload.amount;
    // As many as were asked for, the last of them before the duration ends.
    let all_before = || {
        let Requests::Open(workload) = facts.requests else { return None };
        let (asked, ends) = (amount.requests?, amount.duration?);
        let last = workload.requests.last()?.arrival;
        (workload.requests.len() == asked as usize && last.since(Time::ZERO) < ends)
            .then(|| format!("all {asked} requests arrive before it ends"))
    };
    at_once
        .then(|| "all requests arrive at time 0, before any duration ends".to_owned())
        .or_else(all_before)
}

/// Sessions that all have begun before it ends.
fn session_duration(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let workload = &facts.experiment.workload;
    if workload.source.arrivals() == Some(&Arrivals::AllAtOnce) {
        return Some("all sessions begin at time 0, before any duration ends".to_owned());
    }
    let Requests::Closed(source) = facts.requests else { return None };
    let (asked, ends) = (workload.amount.requests?, workload.amount.duration?);
    let starts = source.starts();
    let last = starts.last()?;
    (starts.len() == asked as usize && last.since(Time::ZERO) < ends)
        .then(|| format!("all {asked} sessions begin before it ends"))
}

/// Whether no session can have a second turn.
fn one_turn(facts: &Facts<'_>) -> bool {
    let sessions = facts.experiment.workload.source.sessions();
    sessions.is_some_and(|sessions| {
        sessions.turns.max == Some(1) || sessions.turns.shape == Shape::Fixed(1)
    })
}

fn later_turns(facts: &Facts<'_>, _: &Written) -> Option<String> {
    one_turn(facts).then(|| "sessions have one turn".to_owned())
}

fn keep_reasoning(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if key.value == true {
        return None;
    }
    let share = facts.experiment.workload.source.sessions()?.dropped_reasoning;
    (share == 0.0)
        .then(|| "`reasoning` is 0: nothing is dropped".to_owned())
        .or_else(|| later_turns(facts, key))
}

fn reasoning(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let sessions = facts.experiment.workload.source.sessions()?;
    let dropped = sessions.dropped_reasoning > 0.0 || key.value.as_f64() == Some(0.0);
    (!dropped)
        .then(|| "prompts keep it: `keep_reasoning: false` would drop it".to_owned())
        .or_else(|| later_turns(facts, key))
}

fn gap_share(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let gaps = &facts.experiment.workload.source.sessions()?.gap;
    (gaps.len() == 1)
        .then(|| "the mixture has one part".to_owned())
        .or_else(|| later_turns(facts, key))
}

fn gap_max(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let around = facts.around(key)?;
    let time = |of: &Json| serde_json::from_value::<Duration>(of.clone()).ok();
    let longest = match (around.get("fixed"), around.get("uniform")) {
        (Some(fixed), _) => time(fixed),
        (_, Some(uniform)) => uniform.get("max").and_then(time),
        _ => None,
    };
    longest
        .filter(|&longest| time(&key.value).is_some_and(|most| most >= longest))
        .map(|longest| format!("no gap is above {longest}"))
        .or_else(|| later_turns(facts, key))
}

fn lengths(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let classes = &facts.experiment.workload.classes;
    let of_workload = key.path == "workload.lengths";
    let all_own = !classes.is_empty() && classes.iter().all(|class| class.lengths.is_some());
    (of_workload && all_own).then(|| "every class has lengths of its own".to_owned())
}

fn think_time(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if key.value.as_str().is_none_or(|text| text.starts_with('0')) {
        return None;
    }
    let users = match facts.experiment.workload.source.arrivals() {
        Some(Arrivals::ClosedLoop { users, .. }) => *users,
        _ => return None,
    };
    let requests = facts.experiment.workload.amount.requests?;
    (requests <= users).then(|| format!("{users} users send {requests} requests: none asks twice"))
}

/// The fewest and the most tokens that a shape gives before it is clamped.
fn range_of(shape: &str, figures: &Json) -> Option<(f64, f64)> {
    let figure = |name: &str| figures.get(name).and_then(Json::as_f64);
    match shape {
        "fixed" => figures.as_f64().map(|tokens| (tokens, tokens)),
        "uniform" | "zipf" => Some((figure("min")?, figure("max")?)),
        "lognormal" if figure("sigma") == Some(0.0) => {
            let mean = libm::rint(figure("mean")?);
            Some((mean, mean))
        }
        "geometric" if figure("mean") == Some(1.0) => Some((1.0, 1.0)),
        "lognormal" | "geometric" => Some((1.0, f64::INFINITY)),
        "quantiles" => {
            let points =
                figures.as_object()?.iter().filter(|(name, _)| name.parse::<f64>().is_ok());
            let tokens: Vec<f64> = points.filter_map(|(_, tokens)| tokens.as_f64()).collect();
            let least = tokens.iter().copied().fold(f64::INFINITY, f64::min);
            let most = tokens.iter().copied().fold(0.0, f64::max);
            Some((libm::rint(least).max(1.0), libm::rint(most).max(1.0)))
        }
        _ => None,
    }
}

/// `min` and `max`, beside a shape or inside it.
fn clamp(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let around = facts.around(key)?;
    let (parent, name) = key.path.rsplit_once('.')?;
    let shape = parent.rsplit('.').next()?;
    let (least, most) = match range_of(shape, around) {
        Some(range) => range,
        None => around.as_object()?.iter().find_map(|(shape, of)| range_of(shape, of))?,
    };
    let value = key.value.as_f64()?;
    match name {
        "min" if value <= least => Some(format!("no length is below {least}")),
        "max" if value >= most => Some(format!("no length is above {most}")),
        _ => None,
    }
}

/// Whether requests are drawn because the trace's file is not there.
fn stands_in(facts: &Facts<'_>) -> bool {
    matches!(facts.experiment.workload.source, Source::Synthetic { .. })
}

fn time_scale(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if key.value.as_f64() == Some(1.0) {
        return None;
    }
    match &facts.experiment.workload.source {
        Source::Trace(trace) if trace.arrivals.is_some() => {
            Some("`trace.arrivals` says when requests arrive, not the file".to_owned())
        }
        Source::Synthetic {
            arrivals: Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. }, ..
        } => Some("the stand-in's arrivals have no rate".to_owned()),
        _ => None,
    }
}

fn trace_arrivals(facts: &Facts<'_>, _: &Written) -> Option<String> {
    stands_in(facts)
        .then(|| "the file is not there: the stand-in has arrivals of its own".to_owned())
}

fn stand_in_requests(facts: &Facts<'_>, _: &Written) -> Option<String> {
    (stands_in(facts) && facts.wrote("workload.requests"))
        .then(|| "`workload.requests` says how many".to_owned())
}

fn max_tokens(facts: &Facts<'_>, key: &Written) -> Option<String> {
    // What holds unless it is written.
    if key.value == "exact" {
        return None;
    }
    let looked_at = !facts.none_uses(Feature::DeclaredLengths)
        || !facts.none_uses(Feature::AsyncScheduling)
        || facts.chooses_by(&RouterKind::LeastTokens);
    let fixed = key.value.get("fixed").and_then(Json::as_u64);
    let cuts = fixed.is_some_and(|tokens| facts.requests.may_be_cut_to(tokens));
    (!looked_at && !cuts)
        .then(|| format!("{} looks not at it, and it cuts no answer", facts.schedulers()))
}

fn prefix_groups(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let groups = facts.experiment.workload.prefix_groups?;
    let block = facts.experiment.fleet().iter().map(|pool| pool.engine.kv_block_tokens).min()?;
    if facts.none_uses(Feature::PrefixCaching) {
        return Some(match facts.any_has(Feature::PrefixCaching) {
            true => "`engine.prefix_caching` is false: nothing is found again".to_owned(),
            false => format!("no prefix caching of {} is modelled", facts.schedulers()),
        });
    }
    if groups.share == 0.0 {
        return Some("its share is 0".to_owned());
    }
    if groups.tokens < block {
        let tokens = groups.tokens;
        return Some(format!(
            "{tokens} tokens fill no KV block of {block}, and only those are shared"
        ));
    }
    (!facts.shares_prefixes()).then(|| "no two prompts share a whole KV block of them".to_owned())
}

fn class_share(facts: &Facts<'_>, _: &Written) -> Option<String> {
    if facts.experiment.workload.classes.len() == 1 {
        return Some("there is one class".to_owned());
    }
    let named = facts.requests.known().is_some_and(|workload| workload.names_classes);
    named.then(|| "the trace says which request is of which class".to_owned())
}

fn class_priority(facts: &Facts<'_>, key: &Written) -> Option<String> {
    // What holds unless it is written.
    if key.value == 0 {
        return None;
    }
    if facts.none_uses(Feature::Priorities) {
        let able = facts.any_has(Feature::Priorities);
        let help = if able { ": `policy: priority` would look at it" } else { "" };
        return Some(format!("{} goes by arrival{help}", facts.schedulers()));
    }
    (!facts.priorities_differ()).then(|| "all requests have the same priority".to_owned())
}

fn class_lengths(facts: &Facts<'_>, key: &Written) -> Option<String> {
    match facts.experiment.workload.source {
        Source::Trace(_) => Some("lengths come from the trace".to_owned()),
        Source::Synthetic { .. } | Source::Sessions(_) => class_without_requests(facts, key),
    }
}

fn class_without_requests(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let place = key.index_in("workload.classes")?;
    let name = &facts.experiment.workload.classes.get(place)?.name;
    let workload = facts.requests.known()?;
    let class = workload.classes.iter().position(|known| known == name);
    let any = class.is_some_and(|class| {
        workload.requests.iter().any(|request| request.class.index() == class)
    });
    (!any).then(|| format!("no request is of class `{}`", crate::excerpt::quoted(name)))
}
