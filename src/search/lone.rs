//! Requests that have the system to themselves.

use serde_json::json;

use super::probe::{Length, Load, Offered, Probe, SearchError, Study};
use super::size::FleetSize;
use crate::metrics::{Latency, Measure};
use crate::runner::Requests;
use crate::scenario::SchedulerRun;
use crate::time::Time;
use crate::workload::Workload;

/// What lies between two arrivals, in seconds: the first that keeps them apart is taken.
const GAPS_S: [u64; 3] = [60, 3_600, 86_400];

/// What became of requests that were alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lone {
    /// How many there were.
    pub requests: u64,
    /// Of these, how many were rejected.
    pub rejected: u64,
    /// How many first tokens came after their deadline, rejected ones apart.
    pub late: u64,
    /// How many of the others were not fluid.
    pub choppy: u64,
    /// P99 of their time to first token.
    pub ttft_p99_s: Option<f64>,
    /// The median of their time per token.
    pub tpot_p50_s: Option<f64>,
}

/// Plays some requests of the scenario alone. `None` where they cannot be kept apart, or time ran out.
///
/// # Errors
/// When the requests cannot be drawn or the run is stuck.
pub(super) fn lone(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
    most: usize,
) -> Result<Option<Lone>, SearchError> {
    let users = study.experiment.workload.users().is_some();
    let probe = match users {
        false => one_at_a_time(study, scheduler, seed, Length::Whole, most)?,
        true => {
            let all = study.experiment.workload.amount.requests.unwrap_or(u32::MAX);
            let share = (most as f64 / f64::from(all.max(1))).min(1.0);
            let size = FleetSize::of(study.experiment);
            let whole = Load::whole(Offered::Users(1), size, seed);
            let mut experiment = study.at(&Load { played: Length::Glimpse(share), ..whole })?;
            (experiment.horizon, experiment.measure) = (None, Measure::default());
            let (requests, _) = Requests::of(&experiment)?;
            study.play(&experiment, &requests, scheduler)?
        }
    };
    let Some(run) = probe.and_then(|probe| probe.result) else { return Ok(None) };
    let summary = &run.summary;
    let (requests, rejected) = (summary.requests.offered, summary.requests.rejected);
    let missing = |share: Option<f64>| {
        share.map_or(0, |share| ((1.0 - share) * requests as f64).round() as u64)
    };
    let late = missing(summary.ttft_in_time_share).saturating_sub(rejected);
    let fluid = summary.fluidity.as_ref().and_then(|of| of.fluid_request_share);
    Ok(Some(Lone {
        requests,
        rejected,
        late,
        choppy: missing(fluid).saturating_sub(rejected + late),
        ttft_p99_s: summary.known(Latency::Ttft, |of| of.p99),
        tpot_p50_s: summary.known(Latency::Tpot, |of| of.p50),
    }))
}

/// Plays the first `most` requests of the scenario one at a time. `None` where they cannot be kept apart, or
/// time ran out.
///
/// # Errors
/// When the requests cannot be drawn or the run is stuck.
pub(super) fn one_at_a_time(
    study: Study<'_>,
    scheduler: &SchedulerRun,
    seed: u64,
    played: Length,
    most: usize,
) -> Result<Option<Probe>, SearchError> {
    if study.experiment.workload.users().is_some() {
        let size = FleetSize::of(study.experiment);
        let load = Load { played, ..Load::whole(Offered::Users(1), size, seed) };
        return study.probe(scheduler, &load);
    }
    let ends = played != Length::Whole;
    let mut experiment = study.as_it_is()?;
    (experiment.horizon, experiment.measure) = (None, Measure::default());
    experiment.seed = seed;
    let (requests, _) = Requests::of(&experiment)?;
    let Requests::Open(mut workload) = requests else { return Ok(None) };
    workload.requests.truncate(most);
    workload.blocks.truncate(most);
    workload.sessions.truncate(most);
    workload.turns.truncate(most);
    study.found_or_played(scheduler, &json!({"one at a time": seed, "until broken": ends}), || {
        for gap in GAPS_S {
            space_out(&mut workload, gap);
            let requests = Requests::Open(workload.clone());
            let Some(probe) = study.play_until(&experiment, &requests, scheduler, ends)? else {
                return Ok(None);
            };
            let longest = probe.result.as_ref().and_then(|run| run.summary.e2e_s.max);
            // One that was ended soon may have had no company yet: of the next gap it is known.
            let apart = longest.is_some_and(|longest| longest < gap as f64);
            let none = probe.result.as_ref().is_some_and(|run| run.summary.e2e_s.count == 0);
            if apart || none || probe.result.is_none() && gap == GAPS_S[GAPS_S.len() - 1] {
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
