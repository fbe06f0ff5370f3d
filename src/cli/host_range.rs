//! What the range of the engine's own time, from machine to machine, makes of verdicts and capacities.
//!
//! Where another machine turns a verdict around, its run gets a warning, so that results carry it too.

use crate::cli::backend::{Backend, Loaded};
use crate::cli::error::Error;
use crate::cli::error::Error::Usage;
use crate::progress::Progress;
use crate::result::RunResult;
use crate::runner::{RunInput, RunOptions, run_experiment};
use crate::scenario::Experiment;
use crate::search::{Capacity, CapacityOptions, Study, find_capacity};

/// The experiment at both ends of its range.
///
/// # Errors
/// When no profile has a range, or an end cannot be priced.
fn ends(experiment: &Experiment) -> Result<Vec<(f64, Experiment)>, Error> {
    let Some(range) = experiment.host_range() else {
        let why = "--host-range: the profile says nothing of other machines; give it `host_range: \
                   [least, most]`, multiples of its `host` and `step_gap`";
        return Err(Usage(why.to_owned()));
    };
    let at = |times: f64| match experiment.with_host_time(times) {
        Ok(other) => Ok((times, other)),
        Err(error) => Err(Usage(format!("--host-range: at {times} times: {error}"))),
    };
    range.into_iter().map(at).collect()
}

/// Up to so many iterations of all runs together both ends are played without being asked for: a moment.
const PLAYED_UNASKED: u64 = 300_000;

/// Whether a verdict holds on other machines.
pub(super) enum Elsewhere {
    /// It does at both ends.
    Holds(String),
    /// The machine decides.
    Differs(String),
}

/// Whether verdicts are looked at on other machines where nobody asks for it. Not with schedulers of the
/// caller's own, which may count how often they are asked.
pub(super) fn is_a_moment(loaded: &Loaded, runs: &[RunResult]) -> bool {
    let iterations = |run: &RunResult| run.iterations.as_ref().map_or(0, |one| one.count);
    loaded.experiment.host_range().is_some()
        && loaded.experiment.schedulers.iter().all(|run| run.config.is_built_in())
        && runs.iter().map(iterations).sum::<u64>() <= PLAYED_UNASKED
}

/// Of each scheduler, whether its verdict holds at both ends.
///
/// # Errors
/// As of a run.
pub(super) fn verdicts(
    loaded: &Loaded,
    runs: &[RunResult],
    options: RunOptions,
    backend: &dyn Backend,
) -> Result<Vec<Elsewhere>, Error> {
    let options = RunOptions { keep_log: false, ..options };
    let mut found = Vec::new();
    for (times, experiment) in ends(&loaded.experiment)? {
        let input = RunInput { experiment: &experiment, requests: &loaded.requests };
        let progress = Progress::new(experiment.schedulers.len());
        let outputs = run_experiment(input, options, backend, &progress)?;
        let met = outputs.iter().map(|output| output.result.slo.met).collect::<Vec<_>>();
        found.push((times, met));
    }
    let words = |met: Option<bool>| match met {
        Some(true) => "keeps the SLO",
        Some(false) => "misses the SLO",
        None => "gets no verdict",
    };
    let sentence = |(place, run): (usize, &RunResult)| {
        let other = found.iter().filter(|(_, met)| met[place] != run.slo.met);
        let other: Vec<String> = other
            .map(|(times, met)| {
                format!("{} at {times} times the engine's own time", words(met[place]))
            })
            .collect();
        let label = &run.label;
        match other.as_slice() {
            [] => Elsewhere::Holds(format!(
                "{label} {} with {} to {} times the engine's own time as well",
                words(run.slo.met),
                found[0].0,
                found[1].0
            )),
            other => Elsewhere::Differs(format!(
                "the machine decides: it {} here, and {}",
                words(run.slo.met),
                other.join(" and ")
            )),
        }
    };
    Ok(runs.iter().enumerate().map(sentence).collect())
}

/// That capacities are those of one machine, where others are known to differ.
pub(super) fn of_one_machine(experiment: &Experiment) -> Option<String> {
    let [least, most] = experiment.host_range()?;
    Some(format!(
        "on other machines the engine's own time is {least} to {most} times as long: --host-range searches \
         there too"
    ))
}

/// A note for each scheduler: the capacity at both ends, one seed each.
///
/// # Errors
/// As of the search.
pub(super) fn capacities(
    study: Study<'_>,
    scenario: &serde_json::Value,
    options: &CapacityOptions,
    found: &[Capacity],
) -> Result<Vec<String>, Error> {
    // A size for a load is that of the profile's own machine.
    let options = CapacityOptions {
        seeds: 1,
        for_rate: None,
        for_users: None,
        pool: None,
        ..options.clone()
    };
    let mut at = Vec::new();
    for (times, experiment) in ends(study.experiment)? {
        let other = Study { experiment: &experiment, kept: None, ..study };
        let file = find_capacity(other, scenario.clone(), &options)?;
        let unit = file.searched.unit();
        let values: Vec<Option<f64>> =
            file.schedulers.iter().map(|c| c.border().map(|border| border.mean)).collect();
        at.push((times, unit, values));
    }
    let [(most_host, unit, slow), (least_host, _, fast)] = [&at[1], &at[0]];
    let note = |(place, capacity): (usize, &Capacity)| {
        let value =
            |value: Option<f64>| value.map_or("none".to_owned(), crate::shown::three_digits);
        format!(
            "{}: {} to {} {unit} on machines with {most_host} to {least_host} times the engine's own time \
             (one seed)",
            capacity.label,
            value(slow[place]),
            value(fast[place])
        )
    };
    Ok(found.iter().enumerate().map(note).collect())
}
