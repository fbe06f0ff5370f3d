//! What requests get that have the system to themselves: a promise that those do not keep, no load
//! keeps.

use serde_json::json;

use super::file::Alone;
use super::knob::Knob;
use crate::metrics::{Latency, Measure};
use crate::promise::Term;
use crate::runner::Requests;
use crate::scenario::SchedulerRun;
use crate::search::goal::Goal;
use crate::search::probe::{Load, Offered, Probe, SearchError, Study};
use crate::search::size::FleetSize;
use crate::time::Time;
use crate::workload::Workload;

/// As many requests tell what the others get.
const REQUESTS_MAX: usize = 10_000;
/// What lies between two arrivals, in seconds: the first that keeps them apart is taken.
const GAPS_S: [u64; 3] = [60, 3_600, 86_400];

/// Plays the scenario's requests one at a time. `None` where they cannot be kept apart, or time
/// ran out. What it finds decides only if the requests of every seed agree.
///
/// # Errors
/// When the requests cannot be drawn or the run is stuck.
pub(super) fn alone(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    knob: Knob,
    seeds: &[u64],
) -> Result<Option<Alone>, SearchError> {
    // What a load must bring about, such as a throughput, is no matter of single requests.
    let goal = Goal { assertions: Vec::new(), ..study.goal.clone() };
    let study = Study { goal: &goal, ..study };
    let Some(probe) = one_at_a_time(study, scheduler, study.experiment.seed)? else {
        return Ok(None);
    };
    let judged = goal.judge(&probe.result);
    let mut decides = !judged.broken.is_empty();
    let breaks = |probe: Option<Probe>| probe.is_some_and(|probe| !probe.broken.is_empty());
    for &seed in seeds {
        decides = decides && breaks(one_at_a_time(study, scheduler, seed)?) && {
            // A policy may wait for company: then more of it helps.
            let offered = knob.offered(knob.range().from);
            let size = FleetSize::of(study.experiment);
            breaks(study.probe(scheduler, &Load { offered, size, seed })?)
        };
    }
    let summary = &probe.result.summary;
    let broken_terms = goal.counted(&probe.result.slo).filter(|term| term.met == Some(false));
    Ok(Some(Alone {
        requests: summary.requests.offered,
        rejected: summary.requests.rejected,
        fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
        ttft_in_time_share: summary.ttft_in_time_share,
        ttft_p99_s: summary.known(Latency::Ttft, |of| of.p99),
        decides,
        in_words: broken_terms.map(Term::sentence).collect(),
        broken: judged.broken.iter().map(|told| told.replace(" = ", " is ")).collect(),
        warnings: probe.result.warnings.clone(),
    }))
}

fn one_at_a_time(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
) -> Result<Option<Probe>, SearchError> {
    let size = FleetSize::of(study.experiment);
    if study.experiment.workload.users().is_some() {
        return study.probe(scheduler, &Load { offered: Offered::Users(1), size, seed });
    }
    let mut experiment = study.as_it_is()?;
    (experiment.horizon, experiment.measure) = (None, Measure::default());
    experiment.seed = seed;
    let (requests, _) = Requests::of(&experiment)?;
    let Requests::Open(mut workload) = requests else { return Ok(None) };
    workload.requests.truncate(REQUESTS_MAX);
    workload.blocks.truncate(REQUESTS_MAX);
    workload.sessions.truncate(REQUESTS_MAX);
    workload.turns.truncate(REQUESTS_MAX);
    study.found_or_played(scheduler, &json!({"one at a time": seed}), || {
        for gap in GAPS_S {
            space_out(&mut workload, gap);
            let requests = Requests::Open(workload.clone());
            let Some(probe) = study.play(&experiment, &requests, scheduler)? else {
                return Ok(None);
            };
            let longest = probe.result.summary.e2e_s.max.unwrap_or(0.0);
            if longest < gap as f64 {
                return Ok(Some(probe));
            }
        }
        Ok(None)
    })
}

fn space_out(workload: &mut Workload, gap_s: u64) {
    let gap = gap_s * 1_000_000_000;
    for (request, place) in workload.requests.iter_mut().zip(0u64..) {
        request.arrival = Time::from_nanos(place * gap);
    }
}
