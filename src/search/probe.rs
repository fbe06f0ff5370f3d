//! One point of a search: a scheduler, a load, a seed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bisect::Shown;
use super::cache::Cache;
use super::depends::build;
use super::goal::{Goal, Terms};
use super::settled::{Settling, longer};
use super::size::FleetSize;
use super::steady::{Steadiness, steadiness};
use super::watch::Watch;
use crate::inert::seed_is_inert;
use crate::result::{Assertion, RunResult};
use crate::runner::{
    EndingTerms, Hopeless, Requests, RunError, RunInput, RunOptions, Simulate, Watched,
    run_scheduler_watched,
};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Outcome;
use crate::workload::WorkloadError;

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The requests cannot be drawn.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A simulation could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What was asked makes no sense for this scenario.
    #[error("{0}")]
    NoSense(String),
}

/// What to simulate, and what counts as holding.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// The scenario.
    pub experiment: &'a Experiment,
    /// The simulator.
    pub simulate: &'a dyn Simulate,
    /// What a run must achieve.
    pub goal: &'a Goal,
    /// Simulations finished before, and where to keep new ones.
    pub kept: Option<Kept<'a>>,
    /// Watches how far it has come, and ends it when its time is up.
    pub watch: &'a Watch,
    /// Most runs that may go on at once where threads allow.
    pub at_once: usize,
}

/// Simulations finished before, found by what they depend on.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Where they are.
    pub cache: &'a Cache,
    /// The resolved scenario and the contents of the files that it reads.
    pub scenario: &'a Value,
}

/// What is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Offered {
    /// This many times the scenario's arrivals a second.
    Times(f64),
    /// This many users of a closed loop.
    Users(u32),
}

/// A load to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// What is offered.
    pub offered: Offered,
    /// To how large a fleet.
    pub size: FleetSize,
    /// Of every random stream.
    pub seed: u64,
    /// How much of it is played.
    pub played: Length,
    /// A larger fleet than the scenario's gets as many requests a replica, but no more than these in all,
    /// nor fewer than the scenario has.
    pub requests_max: u32,
}

impl Load {
    /// All of a load.
    pub fn whole(offered: Offered, size: FleetSize, seed: u64) -> Load {
        Load { offered, size, seed, played: Length::Whole, requests_max: u32::MAX }
    }
}

/// How much of a load is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// All of it, to the last token.
    Whole,
    /// All of it, unless the promise is broken for certain before: the verdict is the same.
    UntilBroken,
    /// Likewise, and of its requests this share alone: a look ahead, which shows nothing.
    Glimpse(f64),
}

/// A load this much above what can be served...
const ABOVE: f64 = 1.25;
/// ...leaves a fifth of its requests behind; half of that is no chance.
const LEFT_BEHIND: f64 = 0.1;
/// Makes a seed another one, far from those of a search.
const OTHER_REQUESTS: u64 = 0x9e37_79b9_7f4a_7c15;

/// What came of a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// What of the goal was not kept.
    pub broken: Vec<String>,
    /// What of it is not known to be kept or broken.
    pub open: Vec<String>,
    /// Whether the backlog grew to the end.
    pub steadiness: Steadiness,
    /// What was seen of sessions that begin at a rate; `None` where there are none, and of a run that was
    /// ended.
    #[serde(default)]
    pub settling: Option<Settling>,
    /// Arrivals a second as they came about; `None` of fewer than two, and of a run that was ended.
    pub requests_per_s: Option<f64>,
    /// Requests that were to be played.
    pub requests: u64,
    /// The run's figures; `None` where it was ended because its promise was broken for certain.
    pub result: Option<RunResult>,
}

impl Probe {
    /// Whether the load is shown to be held: the goal is kept, by a system that keeps up. A run
    /// that leaves open whether the goal is kept shows nothing.
    pub fn held(&self) -> bool {
        self.broken.is_empty() && self.open.is_empty() && !self.steadiness.growing
    }

    /// What the run shows of the load.
    pub fn shows(&self) -> Shown {
        match self.held() {
            true => Shown::Holds,
            false if self.broken.is_empty() && !self.steadiness.growing => Shown::Nothing,
            false => Shown::Fails,
        }
    }

    /// What was seen of sessions that began for too short a time to tell.
    pub(super) fn unsettled(&self) -> Option<Settling> {
        self.settling.filter(|settling| !settling.settles())
    }

    /// The same where nothing else speaks against the load.
    pub(super) fn only_unsettled(&self) -> Option<Settling> {
        let nothing_else =
            self.broken.is_empty() && self.open.len() == 1 && !self.steadiness.growing;
        self.unsettled().filter(|_| nothing_else)
    }

    /// Whether nothing but growth of the backlog speaks against the load.
    fn only_grows(&self) -> bool {
        self.steadiness.growing && self.broken.is_empty()
    }
}

impl Study<'_> {
    /// Plays one scheduler on one load; `None` when the time was up before it ended. The requests of
    /// a replica stay as many as in the scenario: with more replicas the run has more requests, and
    /// lasts as long. Of sessions that hold there are as many as it takes to tell, where there can be.
    ///
    /// # Errors
    /// When the requests cannot be drawn or the run is stuck.
    pub fn probe(
        &self,
        scheduler: &SchedulerRun,
        load: &Load,
    ) -> Result<Option<Probe>, SearchError> {
        let offered = match load.offered {
            Offered::Times(factor) => json!({"times": factor.to_bits()}),
            Offered::Users(users) => json!({"users": users}),
        };
        let mut what =
            json!({"offered": offered, "replicas": load.size.of_pools(), "seed": load.seed});
        if load.requests_max < u32::MAX {
            what["requests_max"] = json!(load.requests_max);
        }
        match load.played {
            Length::Whole => {}
            Length::UntilBroken => what["until"] = json!("broken"),
            Length::Glimpse(share) => what["glimpse"] = json!(share.to_bits()),
        }
        self.found_or_played(scheduler, &what, || {
            let ends = load.played != Length::Whole;
            let mut experiment = self.at(load)?;
            let mut probe = loop {
                let (requests, _) = Requests::of(&experiment)?;
                let played = self.play_until(&experiment, &requests, scheduler, ends)?;
                let Some(probe) = played else { return Ok(None) };
                match longer(&experiment, &probe) {
                    Some(longer) => experiment = longer,
                    None => break probe,
                }
            };
            if probe.only_grows() && experiment.workload.is_stationary() {
                let Some(grows) = self.grows_above(scheduler, load, &experiment)? else {
                    return Ok(None);
                };
                probe.steadiness.growing = grows;
            }
            Ok(Some(probe))
        })
    }

    /// Whether other requests, at a load a quarter higher, are more than can be served: as they must
    /// be where the backlog grows not by chance.
    fn grows_above(
        &self,
        scheduler: &SchedulerRun,
        load: &Load,
        played: &Experiment,
    ) -> Result<Option<bool>, SearchError> {
        let Offered::Times(factor) = load.offered else { return Ok(Some(false)) };
        let above = Load {
            offered: Offered::Times(ABOVE * factor),
            seed: load.seed ^ OTHER_REQUESTS,
            ..load.clone()
        };
        let mut experiment = self.at(&above)?;
        if experiment.workload.source.sessions().is_some() {
            // They must last to be seen to pile up.
            experiment.workload.amount = played.workload.lengthened(ABOVE).amount;
        }
        let (requests, _) = Requests::of(&experiment)?;
        let probe = self.play(&experiment, &requests, scheduler)?;
        let overloaded = |seen: Steadiness| seen.growing && seen.left_behind > LEFT_BEHIND;
        Ok(probe.map(|probe| overloaded(probe.steadiness)))
    }

    /// A simulation that was finished before, or that is played and kept now.
    pub(super) fn found_or_played(
        &self,
        scheduler: &SchedulerRun,
        what: &Value,
        play: impl FnOnce() -> Result<Option<Probe>, SearchError>,
    ) -> Result<Option<Probe>, SearchError> {
        let Some(kept) = self.kept else { return play() };
        let key = json!({
            "build": build(), "scenario": kept.scenario, "scheduler": scheduler.label,
            "goal": format!("{:?}", self.goal), "load": what,
        });
        let found = kept.cache.find(&key).and_then(|mut found| found.pop());
        if let Some(probe) = found.and_then(|value| serde_json::from_value(value).ok()) {
            return Ok(Some(probe));
        }
        let probe = play()?;
        if let Some(probe) = &probe {
            let value = serde_json::to_value(probe).expect("a result is plain data");
            kept.cache.keep(&key, &[value]);
        }
        Ok(probe)
    }

    /// Plays these requests, unless the time is up before they end.
    pub(super) fn play(
        &self,
        experiment: &Experiment,
        requests: &Requests,
        scheduler: &SchedulerRun,
    ) -> Result<Option<Probe>, SearchError> {
        self.play_until(experiment, requests, scheduler, false)
    }

    /// The same; where `ends`, a run also ends when its promise is broken for certain.
    pub(super) fn play_until(
        &self,
        experiment: &Experiment,
        requests: &Requests,
        scheduler: &SchedulerRun,
        ends: bool,
    ) -> Result<Option<Probe>, SearchError> {
        let input = RunInput { experiment, requests };
        let terms = EndingTerms {
            shares: self.goal.terms != Terms::Bounds,
            bounds: self.goal.terms != Terms::Fluidity,
        };
        let hopeless = if ends { Hopeless::of(input, terms)? } else { None };
        let hopeless = hopeless.as_ref();
        let full_metrics = self.goal.assertions.iter().any(Assertion::needs_full_metrics);
        let options = RunOptions { full_metrics, alike: self.at_once, ..RunOptions::default() };
        let played = self.watch.play(|progress| {
            let watched = Watched { progress: Some(progress), hopeless };
            run_scheduler_watched(input, scheduler, options, self.simulate, watched)
        })?;
        let count = requests.count(experiment);
        let Some(output) = played else {
            let broken = hopeless.and_then(Hopeless::broken);
            return Ok(broken.map(|broken| Probe {
                broken: vec![broken.to_owned()],
                open: Vec::new(),
                steadiness: Steadiness::default(),
                settling: None,
                requests_per_s: None,
                requests: count.unwrap_or_default(),
                result: None,
            }));
        };
        let mut judged = self.goal.judge(&output.result);
        let mut steadiness = steadiness(&output.outcome, experiment.workload.is_stationary());
        // Users who wait for an answer bring no more requests than are answered.
        let users = experiment.workload.users().is_some();
        steadiness.growing &= !users;
        let settling = match users {
            true => None,
            false => Settling::of(&output.outcome, experiment.measure),
        };
        judged.open.extend(settling.filter(|one| !one.settles()).map(|one| one.told()));
        Ok(Some(Probe {
            broken: judged.broken,
            open: judged.open,
            steadiness,
            settling,
            requests_per_s: realised(&output.outcome),
            requests: output.result.summary.requests.offered,
            result: Some(output.result),
        }))
    }

    /// The scenario under a load.
    pub(super) fn at(&self, load: &Load) -> Result<Experiment, SearchError> {
        let mut experiment = self.experiment.clone();
        let more = load.size.apply(&mut experiment)?;
        let workload = &experiment.workload;
        let mut scaled = match load.offered {
            Offered::Times(factor) => {
                let scaled = workload.scaled(factor).ok_or_else(no_rate)?;
                if more > 1.0 { scaled.lengthened(more) } else { scaled }
            }
            // More users bring more requests by themselves.
            Offered::Users(users) => workload.with_users(users).ok_or_else(no_rate)?,
        };
        let amount = &mut scaled.amount;
        let own = self.experiment.workload.amount.requests;
        amount.requests =
            amount.requests.zip(own).map(|(all, own)| all.min(load.requests_max.max(own)));
        experiment.workload = match load.played {
            Length::Glimpse(share) => scaled.shortened(share),
            _ => scaled,
        };
        experiment.seed = load.seed;
        Ok(experiment)
    }

    /// The scenario's own arrivals a second: as stated, or as a trace has them.
    ///
    /// # Errors
    /// When the requests cannot be drawn or have no rate.
    pub fn base_rate_per_s(&self) -> Result<f64, SearchError> {
        let (requests, _) = Requests::of(&self.as_it_is()?)?;
        let workload = match &requests {
            Requests::Open(workload) => workload,
            Requests::Closed(source) => {
                let rate = source.sessions_per_s().filter(|rate| *rate > 0.0);
                return rate.ok_or_else(no_rate);
            }
        };
        let realised = || {
            let (first, last) = (workload.requests.first()?, workload.requests.last()?);
            let span = last.arrival.since(first.arrival).as_secs_f64();
            (span > 0.0).then(|| (workload.requests.len() - 1) as f64 / span)
        };
        let rate = workload.nominal_rate_per_s.or_else(realised);
        rate.filter(|rate| *rate > 0.0).ok_or_else(no_rate)
    }

    /// The scenario's own load.
    ///
    /// # Errors
    /// When it has no rate to scale.
    pub(super) fn as_it_is(&self) -> Result<Experiment, SearchError> {
        let offered = match self.experiment.workload.users() {
            Some(users) => Offered::Users(users),
            None => Offered::Times(1.0),
        };
        let size = FleetSize::of(self.experiment);
        self.at(&Load::whole(offered, size, self.experiment.seed))
    }

    /// Whether another seed gives other requests: those of a trace are the same.
    ///
    /// # Errors
    /// When the requests cannot be drawn.
    pub fn seed_matters(&self) -> Result<bool, SearchError> {
        let one = self.as_it_is()?;
        let other = Experiment { seed: one.seed.wrapping_add(1), ..one.clone() };
        let drawn = |experiment| -> Result<_, SearchError> { Ok(Requests::of(experiment)?.0) };
        match (drawn(&one)?, drawn(&other)?) {
            (Requests::Open(a), Requests::Open(b)) => {
                Ok(a.requests != b.requests || a.blocks != b.blocks || a.block_ids != b.block_ids)
            }
            (requests, _) => Ok(!seed_is_inert(self.experiment, &requests)),
        }
    }
}

/// Arrivals a second as they came about.
fn realised(outcome: &Outcome) -> Option<f64> {
    let arrivals = || outcome.trace.requests.iter().map(|row| row.arrival);
    let span = arrivals().max()?.since(arrivals().min()?).as_secs_f64();
    let gaps = outcome.trace.requests.len() as f64 - 1.0;
    (span > 0.0 && gaps > 0.0).then_some(gaps / span)
}

fn no_rate() -> SearchError {
    SearchError::NoSense(
        "the workload has no arrival rate to scale and no users to count: a capacity search needs \
         poisson, gamma, weibull, constant or piecewise arrivals, a trace, or closed_loop users"
            .to_owned(),
    )
}
