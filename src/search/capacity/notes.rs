//! What makes the numbers of a capacity search weak, and what to do about it.

use super::SeedSearch;
use super::file::{Alone, Capacity, SeedCapacity};
use super::knob::Knob;
use crate::promise::{FLUID_SHARE, KEPT_SHARE, Term};
use crate::result::RunResult;
use crate::search::interval::Border;
use crate::search::probe::Study;
use crate::search::settled::Settling;
use crate::shown::{duration, join, percent, three_digits};
use crate::time::Span;
use crate::workload::Source;

/// An interval this wide, as a share of its mean, says little.
const WIDE: f64 = 0.25;
/// A quantile, or a share, should rest on this many samples beyond it.
const TAIL_SAMPLES: f64 = 10.0;
/// The arrivals should last this many times a request's stay.
const STAYS: f64 = 5.0;

/// A user of a closed loop should have this many turns.
const TURNS: f64 = 10.0;

/// What makes the numbers weak.
pub(super) fn notes(
    study: Study<'_>,
    searches: &[SeedSearch],
    alone: Option<&Alone>,
    knob: Knob,
) -> Vec<String> {
    if let Some(alone) = alone.filter(|alone| alone.decides) {
        return vec![impossible(alone)];
    }
    let mut notes = Vec::new();
    let unit = knob.unit();
    let cut = searches.iter().filter(|search| !search.found.complete).count();
    if cut > 0 {
        notes.push(format!(
            "time ran out: {cut} of {} searches were cut short; {}",
            searches.len(),
            known_by_then(searches, unit)
        ));
    }
    let ended = || searches.iter().filter(|search| search.found.complete);
    if let Some(search) = ended().find(|search| search.found.holds().is_none()) {
        let tried = || search.found.tried.iter().map(|tried| tried.0);
        let lowest = tried().reduce(f64::min).unwrap_or_default();
        let highest = tried().reduce(f64::max).unwrap_or_default();
        let why = match search.worst() {
            Some(probe) if !probe.broken.is_empty() => probe.broken.join(", "),
            Some(probe) if !probe.open.is_empty() => {
                format!("the run ends before it is known ({})", probe.open.join(", "))
            }
            _ => "the queue keeps growing".to_owned(),
        };
        let from = tried().next().unwrap_or_default();
        let shown = if search.open.is_some() { "shown to hold" } else { "held" };
        notes.push(match knob {
            Knob::Rate { .. } if highest > from => format!(
                "not {shown} at any rate tried, from {} to {} {}: {why}",
                three_digits(lowest),
                three_digits(highest),
                knob.unit()
            ),
            Knob::Rate { .. } => format!(
                "not {shown} at {} {}, nor at lower rates down to {}: {why}; higher ones were not tried",
                three_digits(from),
                knob.unit(),
                three_digits(lowest)
            ),
            Knob::Users { .. } if highest > from => format!(
                "not {shown} with any number of users tried, from {lowest:.0} to {highest:.0}: {why}"
            ),
            Knob::Users { .. } => {
                format!("not {shown} even with {lowest:.0} users: {why}; more were not tried")
            }
        });
        return notes;
    }
    if let Some(search) = ended().find(|search| search.found.ends().is_none()) {
        let highest = search.found.holds().unwrap_or_default();
        let amount = knob.searched().amount();
        notes.push(format!("held at every {amount} up to {highest:.0} {unit}: no limit found"));
        let steady = search.best.as_ref().map(|best| best.steadiness);
        if let Some(steady) = steady.filter(|one| !knob.whole() && one.arrivals_s < one.mean_stay_s)
        {
            notes.push(format!(
                "the run is too short for a limit: all requests come within {} there, and one stays {}: take more of \
                 them",
                duration(steady.arrivals_s),
                duration(steady.mean_stay_s)
            ));
        }
        return notes;
    }
    if searches.iter().any(|search| search.found.only_grows()) {
        notes.push(
            "not stable above: the queue grows as long as requests keep coming, and the promise \
             still holds there only because the run ends; the number is where growth begins, in \
             arrivals as they came about"
                .to_owned(),
        );
    }
    let open = |search: &SeedSearch| {
        let from = search.found.unknown()?;
        Some((from, search.found.fails(), search.found.open.first()?.clone()))
    };
    if let Some((from, fails, open)) = searches.iter().find_map(open) {
        let load = |load: f64| match knob.whole() {
            true => format!("{load:.0}"),
            false => three_digits(load),
        };
        let to = match fails {
            Some(fails) => format!("to {} {unit}, which did not hold", load(fails)),
            None => "on: no load above is known not to hold".to_owned(),
        };
        notes.push(format!(
            "above, the run ends before it is known whether the promise is kept ({open}): nothing \
             is shown from {} {unit} {to}",
            load(from)
        ));
    }
    let Some(best) = searches.iter().find_map(|search| search.best.as_ref()) else { return notes };
    let Some(run) = &best.result else { return notes };
    for term in study.goal.counted(&run.slo) {
        // Classes with a promise of their own have a term of the same words each.
        notes.extend(weak_term(term, run).filter(|note| !notes.contains(note)));
    }
    let steady = best.steadiness;
    if let Some(settling) = best.settling {
        notes.extend(settled(study, &settling));
    } else if !knob.whole() && steady.arrivals_s < STAYS * steady.mean_stay_s {
        notes.push(format!(
            "the run is too short for a steady state: at capacity arrivals last {:.1} s and a \
             request stays {:.1} s; take {:.0} times the requests",
            steady.arrivals_s,
            steady.mean_stay_s,
            (STAYS * steady.mean_stay_s / steady.arrivals_s.max(1e-9)).ceil().max(2.0)
        ));
    }
    notes
}

/// What is special about sessions that begin at a rate.
fn settled(study: Study<'_>, settling: &Settling) -> Vec<String> {
    let experiment = study.experiment;
    let (starts, stay) = (duration(settling.starts_s), duration(settling.stay_s));
    let own = experiment.workload.amount.requests.filter(|own| settling.begun > *own);
    let more = own.map(|own| {
        format!(
            "{} sessions were played at capacity, not the scenario's {own}: before the last one begins, \
             others must have ended, and one lasts {stay}",
            settling.begun
        )
    });
    let skipped = experiment.measure.skip_first.as_secs_f64() >= settling.stay_s / 2.0;
    let fills = (!skipped && settling.starts_s < STAYS * settling.stay_s).then(|| {
        format!(
            "sessions begin for {starts} at capacity and one lasts {stay}: until the first ones end fewer are \
             under way, and those requests count: `measure: {{skip_first: {:.0}s}}` leaves them out",
            settling.stay_s.ceil()
        )
    });
    more.into_iter().chain(fills).collect()
}

/// A promise that single requests break.
fn impossible(alone: &Alone) -> String {
    let all = alone.requests;
    let rejected = (alone.rejected > 0)
        .then(|| format!("; {} of {all} requests are rejected", alone.rejected));
    let late = alone.ttft_in_time_share.and_then(|share| {
        let late = ((1.0 - share) * all as f64).round() - alone.rejected as f64;
        (late > 0.0).then(|| {
            let share = percent(late / all as f64);
            format!("; {late:.0} of {all} first tokens ({share}) come after their deadline")
        })
    });
    // What would have to be promised instead is what they got.
    let ttft = alone.broken.iter().any(|told| told.starts_with("ttft_s"));
    let nearest = alone.ttft_p99_s.filter(|_| ttft && alone.rejected == 0).map(|needed| {
        format!(
            "; nearest change: promise the first token within {} or more, or let `metron-sim plan` find \
             GPUs that are fast enough",
            duration(needed)
        )
    });
    format!(
        "no load keeps this promise: even with one request at a time, {}{}",
        join(&alone.in_words),
        rejected.into_iter().chain(late).chain(nearest).collect::<String>()
    )
}

/// What searches that were cut short know: the least that held, the most that did not.
fn known_by_then(searches: &[SeedSearch], unit: &str) -> String {
    let least = |of: fn(&SeedCapacity) -> Option<f64>, pick: fn(f64, f64) -> f64| {
        searches.iter().filter_map(|search| of(&search.found)).reduce(pick).map(three_digits)
    };
    let unknown = searches.iter().any(|search| search.found.unknown().is_some());
    match (least(SeedCapacity::holds, f64::min), least(SeedCapacity::fails, f64::max)) {
        (Some(held), Some(failed)) => format!("{held} {unit} held, {failed} did not"),
        (Some(held), None) if unknown => format!("{held} {unit} held, of more it is not known"),
        (Some(held), None) => format!("{held} {unit} held, and nothing more was tried"),
        (None, Some(failed)) => format!("{failed} {unit} did not hold, and nothing less was tried"),
        (None, None) => "nothing is known by then".to_owned(),
    }
}

/// What is special about the users of a closed loop.
pub(super) fn users(study: Study<'_>) -> Vec<String> {
    let experiment = study.experiment;
    let workload = &experiment.workload;
    let Some(users) = workload.users() else { return Vec::new() };
    let mut notes = Vec::new();
    let long_enough = experiment.horizon.is_none_or(|end| end.as_secs_f64() >= 60.0);
    if experiment.measure.skip_first == Span::ZERO && long_enough {
        notes.push(
            "all users ask at once at the start, and those requests count: `measure: {skip_first: \
             30s}` leaves out what arrives in the first 30 s"
                .to_owned(),
        );
    }
    let turns = workload.amount.requests.map(|all| f64::from(all) / f64::from(users.max(1)));
    if let Some(turns) = turns.filter(|turns| *turns < TURNS) {
        notes.push(format!(
            "each user asks {} times: with so few turns the start weighs much; take {:.0} requests",
            three_digits(turns),
            TURNS * f64::from(users)
        ));
    }
    if matches!(workload.source, Source::Trace(_)) {
        notes.push(
            "the requests are those of the trace, however many users there are: more users have \
             fewer turns"
                .to_owned(),
        );
    }
    notes
}

/// What the runs of all schedulers warn of, each once.
pub(super) fn warnings(all: &[Capacity]) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for capacity in all {
        for warning in &capacity.warnings {
            let said = format!("{}: {warning}", capacity.label);
            if !warnings.contains(&said) {
                warnings.push(said);
            }
        }
    }
    warnings
}

/// Says when a share or a quantile rests on few samples.
fn weak_term(term: &Term, run: &RunResult) -> Option<String> {
    let summary = &run.summary;
    let (beyond, samples, what) = match (term.metric.as_str(), term.stat.as_deref()) {
        (FLUID_SHARE, _) => {
            (1.0 - term.bound, summary.requests.offered, "the share of fluid requests".to_owned())
        }
        (KEPT_SHARE, _) => (
            1.0 - term.bound,
            summary.requests.offered,
            "the share of requests that keep the promise".to_owned(),
        ),
        (metric, Some(stat)) => {
            let beyond = match stat {
                "p90" => 0.1,
                "p95" => 0.05,
                "p99" => 0.01,
                "p999" => 0.001,
                _ => return None,
            };
            let samples = match metric {
                "ttft_s" => summary.ttft_s.count,
                "tpot_s" => summary.tpot_s.count,
                "e2e_s" => summary.e2e_s.count,
                _ => summary.tbt_s.as_ref().map_or(0, |tbt| tbt.count),
            };
            (beyond, samples, format!("{metric}.{stat}"))
        }
        _ => return None,
    };
    let tail = beyond * samples as f64;
    (beyond > 0.0 && tail < TAIL_SAMPLES).then(|| {
        format!(
            "the run is too short for {what}: it rests on the worst {tail:.1} of {samples} \
             samples; take {:.0} times the requests",
            (TAIL_SAMPLES / tail.max(1e-3)).ceil()
        )
    })
}

/// What to say where the seeds leave the border open.
pub(super) fn wide(border: &Border) -> Option<String> {
    border.half_width.filter(|off| *off > WIDE * border.mean)?;
    Some(format!(
        "{} seeds leave the number open, between {} and {}: give more of them (--seeds {}), or more \
         requests",
        border.count,
        three_digits(border.lower),
        three_digits(border.upper?),
        border.count * 2 + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_interval_is_said_and_never_reaches_below_nothing() {
        let of = |brackets: &[(f64, f64)]| {
            let ends = brackets.iter().map(|&(held, failed)| (held, Some(failed)));
            Border::of(&ends.collect::<Vec<_>>(), false).expect("some")
        };
        assert_eq!(wide(&of(&[(2.0, 2.1)])), None);
        assert_eq!(wide(&of(&[(2.0, 2.1), (2.02, 2.1)])), None);
        let said = wide(&of(&[(1.0, 1.1), (3.0, 3.1)])).expect("wide");
        assert!(said.contains("between 0 and 14.8") && said.contains("--seeds 5"), "{said}");
    }
}
