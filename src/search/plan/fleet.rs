//! A cell on a number of replicas: whether they hold the load, and the fewest that do.

use super::asked::Asked;
use super::bound::least_work_s;
use super::cells::ReplicaKind;
use super::search::PlanOptions;
use super::sessions::Pace;
use crate::runner::{Requests, Simulate};
use crate::scenario::{Document, Experiment, SchedulerRun};
use crate::search::goal::Goal;
use crate::search::probe::{Length, Load, Offered, Probe, SearchError, Study};
use crate::search::settled::Settling;
use crate::search::size::Steps;
use crate::search::watch::Watch;
use crate::workload::{Arrivals, Source};

/// What is served of the least possible work, by experience: where the search begins.
const SERVED: f64 = 0.6;
/// Requests of which the least work is told.
const SAMPLE: usize = 256;

/// A cell with what it costs and takes at the least.
pub(super) struct Cell<'a> {
    pub(super) kind: &'a ReplicaKind,
    pub(super) experiment: &'a Experiment,
    pub(super) scheduler: &'a SchedulerRun,
    /// Replicas, at the least.
    pub(super) least: u32,
}

pub(super) struct Question<'a> {
    pub(super) load: Asked,
    /// The scenario as it was read.
    pub(super) document: &'a Document,
    pub(super) shared: u32,
    /// What sessions are; `None` where requests belong to none.
    pub(super) pace: Option<&'a Pace>,
    /// What was set in every scenario.
    pub(super) set: Vec<String>,
    pub(super) seeds: &'a [u64],
    pub(super) goal: &'a Goal,
    pub(super) simulate: &'a dyn Simulate,
    pub(super) watch: &'a Watch,
    pub(super) options: &'a PlanOptions,
}

/// What is known of a fleet.
enum Held {
    Yes(Box<Probe>),
    No,
    /// Sessions keep the promise, and not as many of them are played as it takes to tell of such a rate.
    TooMany(Settling),
    TimeRanOut,
}

/// How the search for the fewest replicas ended.
pub(super) enum Fewest {
    /// With so many, and the run of the first seed.
    Found(u32, Box<Probe>),
    /// No fleet that may be tried holds the load.
    None,
    /// With more sessions than are played.
    TooMany(Settling),
    TimeRanOut,
}

impl Held {
    /// How a search ends that cannot go on.
    fn ended(self) -> Fewest {
        match self {
            Held::Yes(_) | Held::No => Fewest::None,
            Held::TooMany(settling) => Fewest::TooMany(settling),
            Held::TimeRanOut => Fewest::TimeRanOut,
        }
    }
}

impl Question<'_> {
    pub(super) fn study<'s>(&'s self, experiment: &'s Experiment) -> Study<'s> {
        Study {
            experiment,
            simulate: self.simulate,
            goal: self.goal,
            kept: None,
            watch: self.watch,
            at_once: 1,
        }
    }

    /// Requests of a run.
    pub(super) fn requests(&self, experiment: &Experiment) -> u64 {
        u64::from(experiment.workload.amount.requests.unwrap_or(2_000))
    }

    /// Requests a second and US dollars for one GPU; GPUs themselves where they have no price.
    pub(super) fn price(&self, cell: &Cell<'_>, replicas: u32) -> f64 {
        let gpu = cell.experiment.hardware.price_usd_per_gpu_hour.unwrap_or(1.0);
        f64::from(replicas * cell.kind.gpus()) * gpu
    }

    /// The scenario with its highest rate kept up, where its rate changes.
    pub(super) fn kept_up(&self, experiment: &Experiment) -> Experiment {
        let mut experiment = experiment.clone();
        if let Asked::Rate { steady: Some(rate), .. } = self.load {
            if let Source::Synthetic { arrivals, .. } = &mut experiment.workload.source {
                *arrivals = Arrivals::Poisson { rate };
            }
            let amount = &mut experiment.workload.amount;
            amount.requests = Some(amount.requests.unwrap_or(u32::MAX).min(20_000));
            amount.duration = None;
        }
        experiment
    }

    /// Fewer replicas than these cannot do the work.
    pub(super) fn least_replicas(&self, experiment: &Experiment) -> Result<u32, SearchError> {
        let Asked::Rate { rate, .. } = self.load else { return Ok(1) };
        if let Some(pace) = self.pace {
            let work = least_work_s(experiment, &pace.requests) * pace.mean.turns;
            return Ok((rate * work).ceil().clamp(1.0, 1e6) as u32);
        }
        let (requests, _) = Requests::of(experiment)?;
        let Some(workload) = requests.known() else { return Ok(1) };
        let sample: Vec<_> =
            workload.requests.iter().take(SAMPLE).map(|one| (*one, self.shared)).collect();
        let work = least_work_s(experiment, &sample);
        Ok((rate * work).ceil().clamp(1.0, 1e6) as u32)
    }

    /// The fewest replicas of a cell, up to `most`, that hold the load with every seed, and the run of
    /// the first of them. `bounded` says that `most` is what a cheaper cell allows, so that it is tried
    /// first.
    pub(super) fn fewest(
        &self,
        cell: &Cell<'_>,
        most: u32,
        bounded: bool,
    ) -> Result<Fewest, SearchError> {
        let first = self.seeds[0];
        let none = Ok(Fewest::None);
        if self.options.exhaustive {
            for replicas in 1..=most {
                match self.all_hold(cell, replicas)? {
                    Held::Yes(probe) => return Ok(Fewest::Found(replicas, probe)),
                    Held::No => {}
                    other => return Ok(other.ended()),
                }
            }
            return none;
        }
        // Fewer than `least` cannot.
        let mut low = cell.least - 1;
        let mut high = None;
        let mut at = match bounded {
            true => most,
            false => ((f64::from(cell.least) / SERVED).ceil() as u32).min(most),
        };
        while high.is_none() {
            match self.holds(cell, at, first)? {
                Held::Yes(probe) => high = Some((at, probe)),
                Held::No if at >= most => return none,
                Held::No => {
                    low = at;
                    at = (at + 1).max((f64::from(at) * 1.2) as u32).min(most);
                }
                other => return Ok(other.ended()),
            }
        }
        let (mut replicas, mut probe) = high.expect("one held");
        while replicas - low > 1 {
            let middle = low + (replicas - low) / 2;
            match self.holds(cell, middle, first)? {
                Held::Yes(held) => (replicas, probe) = (middle, held),
                Held::No => low = middle,
                other => return Ok(other.ended()),
            }
        }
        // Every other seed may ask for more.
        let mut place = 1;
        while place < self.seeds.len() {
            match self.holds(cell, replicas, self.seeds[place])? {
                Held::Yes(_) => place += 1,
                Held::No if replicas >= most => return none,
                Held::No => {
                    replicas += 1;
                    match self.holds(cell, replicas, first)? {
                        Held::Yes(held) => probe = held,
                        Held::No => place = 0,
                        other => return Ok(other.ended()),
                    }
                }
                other => return Ok(other.ended()),
            }
        }
        Ok(Fewest::Found(replicas, probe))
    }

    /// About how long a session lasts on the average at the most where the promise is kept.
    fn longest_stay_s(&self) -> f64 {
        self.pace.map_or(f64::INFINITY, |pace| 1.5 * pace.mean.stay_s)
    }

    fn all_hold(&self, cell: &Cell<'_>, replicas: u32) -> Result<Held, SearchError> {
        let mut first = None;
        for &seed in self.seeds {
            match self.holds(cell, replicas, seed)? {
                Held::Yes(probe) => {
                    first.get_or_insert(probe);
                }
                other => return Ok(other),
            }
        }
        Ok(first.map_or(Held::No, Held::Yes))
    }

    fn holds(&self, cell: &Cell<'_>, replicas: u32, seed: u64) -> Result<Held, SearchError> {
        let load = self.on(cell, replicas, seed, 1.0)?;
        Ok(match self.study(cell.experiment).probe(cell.scheduler, &load)? {
            None => Held::TimeRanOut,
            Some(probe) if probe.held() => Held::Yes(Box::new(probe)),
            Some(probe) => match probe.only_unsettled() {
                // A file is what it is: to be held as it is played is all that can be asked of it.
                Some(_) if cell.experiment.workload.source.sessions().is_none() => {
                    Held::Yes(Box::new(probe))
                }
                // Sessions that wait last longer: more replicas may do.
                Some(settling) if settling.stay_s <= self.longest_stay_s() => {
                    Held::TooMany(settling)
                }
                _ => Held::No,
            },
        })
    }

    /// So many times the load on so many replicas.
    pub(super) fn on(
        &self,
        cell: &Cell<'_>,
        replicas: u32,
        seed: u64,
        more: f64,
    ) -> Result<Load, SearchError> {
        let offered = match self.load {
            Asked::Users(users) => Offered::Users((f64::from(users) * more).round() as u32),
            Asked::Rate { times, .. } => Offered::Times(times * more),
        };
        let size = Steps::of(cell.experiment, None)?.at(replicas);
        let own = self.requests(cell.experiment) as f64;
        // More sessions last as long as fewer do.
        let times = if self.pace.is_some() { more.max(1.0) } else { 1.0 };
        let requests_max = (own * times) as u32;
        let played = match self.options.exhaustive {
            true => Length::Whole,
            false => Length::UntilBroken,
        };
        Ok(Load { played, requests_max, ..Load::whole(offered, size, seed) })
    }
}
