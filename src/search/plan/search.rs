//! The search: for each GPU the cheapest cell that holds the load.

use serde_json::Value;

use super::apart::Apart;
use super::bound::least_work_s;
use super::cells::{ReplicaKind, kinds, spread};
use super::file::{PlanAnswer, PlanFile, PlanInfeasible};
use super::launch::launch;
use super::question::{PlanQuestion, short};
use super::sessions::{Pace, alone};
use crate::catalog;
use crate::runner::{Requests, Simulate, on_threads};
use crate::scenario::{Experiment, SchedulerRun};
use crate::search::bisect::{Range, Shown, bracket_from};
use crate::search::goal::Goal;
use crate::search::interval::Border;
use crate::search::lone::{Lone, lone};
use crate::search::probe::{Length, Load, Offered, Probe, SearchError, Study};
use crate::search::size::Steps;
use crate::search::watch::{Task, Watch};
use crate::threads;
use crate::units::Duration;
use crate::workload::{Arrivals, Source};

/// How to plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// Runs with seeds of their own, all of which an answer must hold: at least 1.
    pub seeds: u32,
    /// Larger fleets are not simulated.
    pub max_replicas: u32,
    /// Seed of the first run, in place of the scenario's.
    pub seed: Option<u64>,
    /// Threads.
    pub jobs: usize,
    /// Try everything in its turn, nothing left out and nothing ended early: to test the search by.
    pub exhaustive: bool,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            seeds: 3,
            max_replicas: crate::search::MAX_REPLICAS,
            seed: None,
            jobs: 1,
            exhaustive: false,
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A search failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The question makes no sense.
    #[error("{0}")]
    NoSense(String),
}

/// How closely the load that an answer carries is bracketed.
pub(super) const PRECISION: f64 = 0.02;
/// It is looked for up to so many times the load that was asked for.
const TIMES_MAX: f64 = 16.0;
/// What is served of the least possible work, by experience: where the search begins.
const SERVED: f64 = 0.6;
/// Requests that are played one at a time.
const LONE: usize = 100;
/// Requests of which the least work is told.
const SAMPLE: usize = 256;

/// Searches.
///
/// # Errors
/// When the question makes no sense or a simulation is stuck.
pub fn find_plan(
    question: &PlanQuestion,
    words: String,
    options: &PlanOptions,
    simulate: &dyn Simulate,
    watch: &Watch,
) -> Result<PlanFile, PlanError> {
    on_threads(options.jobs, || plan(question, words, options, simulate, watch))
        .map_err(|error| SearchError::from(crate::runner::RunError::from(error)))?
}

fn plan(
    question: &PlanQuestion,
    words: String,
    options: &PlanOptions,
    simulate: &dyn Simulate,
    watch: &Watch,
) -> Result<PlanFile, PlanError> {
    let goal = Goal::default();
    let mut each: Vec<Vec<ReplicaKind>> =
        question.gpus.iter().map(|gpu| kinds(question, gpu, options.seed)).collect();
    let any = each.iter().flatten().find_map(|kind| kind.experiment.as_ref().ok());
    let Some(any) = any else {
        let mut file = PlanFile::new(words, String::new());
        file.infeasible = each.iter().flatten().map(|kind| infeasible(kind, kind.why())).collect();
        return Ok(file);
    };
    let mut file = PlanFile::new(words, goal.words(&any.promises.common));
    let pace = Pace::of(any)?;
    file.session = pace.as_ref().map(|pace| pace.mean);
    let mut set = Vec::new();
    if let Some(pace) = pace.as_ref().filter(|_| question.counts_sessions) {
        let users = any.workload.users();
        let rate = match users {
            None => Some(any_rate(any)?),
            Some(_) => None,
        };
        let played = pace.played(rate, users);
        for kind in each.iter_mut().flatten() {
            if let Ok(experiment) = &mut kind.experiment {
                experiment.workload.amount.requests = Some(played.count);
                experiment.measure.skip_first = played.skip_first;
            }
        }
        let skipped = Duration(played.skip_first);
        set.push(format!("workload.sessions.count={}", played.count));
        set.push(format!("measure.skip_first={skipped}"));
        file.notes.extend(sessions_note(pace, played.settles, users));
    }
    let any = each.iter().flatten().find_map(|kind| kind.experiment.as_ref().ok());
    let any = any.expect("one was found");
    let seeds: Vec<u64> =
        (0..options.seeds.max(1)).map(|i| any.seed.wrapping_add(u64::from(i))).collect();
    let shared = any.workload.prefix_groups.filter(|groups| groups.share >= 1.0);
    let asked = Question {
        load: load_of(any, question.rate, &mut file)?,
        shared: shared.filter(|groups| groups.count == 1).map_or(0, |groups| groups.tokens),
        pace: pace.as_ref(),
        set,
        seeds: &seeds,
        goal: &goal,
        simulate,
        watch,
        options,
    };
    match asked.load {
        Asked::Users(users) => file.users = Some(users),
        Asked::Rate { rate, .. } if pace.is_some() => file.sessions_per_s = Some(rate),
        Asked::Rate { rate, .. } => file.requests_per_s = Some(rate),
    }
    let cells = each.iter().flatten().filter_map(|kind| kind.experiment.as_ref().ok());
    file.cells = cells.map(|one| one.schedulers.len() as u32).sum();
    watch.has_cells(file.cells as usize);
    let tasks: Vec<_> = each
        .iter()
        .map(|kinds| {
            let count = kinds.iter().filter(|kind| kind.experiment.is_ok()).count() as u64;
            watch.task(count * 3 * asked.requests(any))
        })
        .collect();
    let groups: Vec<Result<Group, SearchError>> =
        threads::spread_map(each.iter().zip(tasks).collect(), |(kinds, task)| {
            asked.group(kinds, task)
        });
    for group in groups {
        let group = group?;
        file.complete &= group.complete;
        file.cells_simulated += group.simulated;
        file.infeasible.extend(group.infeasible);
        if let Some(answer) = group.answer {
            file.answers.push(answer);
        }
    }
    file.seeds.clone_from(&seeds);
    let price = |answer: &PlanAnswer| {
        (answer.usd_per_hour.unwrap_or(f64::INFINITY), f64::from(answer.gpus))
    };
    crate::order::sort_by(&mut file.answers, |a, b| {
        let ((usd, gpus), (other_usd, others)) = (price(a), price(b));
        usd.total_cmp(&other_usd).then(gpus.total_cmp(&others)).then(a.gpu.cmp(&b.gpu))
    });
    if let Some(link) = &question.apart {
        let (seed, seeds) = (options.seed, options.seeds.max(1));
        let apart = Apart { question, link, seed, seeds, load: asked.load.amount() };
        for answer in &mut file.answers {
            let study = asked.study(any);
            answer.apart = Some(apart.of(answer, study, |one| asked.kept_up(one))?);
        }
    }
    file.scenario = file.answers.first().and_then(|best| best_scenario(question, best));
    Ok(file)
}

/// The load of a scenario, or what is asked for in its place.
fn load_of(
    experiment: &Experiment,
    rate: Option<f64>,
    file: &mut PlanFile,
) -> Result<Asked, PlanError> {
    if let Some(users) = experiment.workload.users() {
        return match rate {
            None => Ok(Asked::Users(users)),
            Some(_) => Err(PlanError::NoSense(
                "--rate asks for arrivals a second, and the scenario has users of a closed loop: leave \
                 it out"
                    .to_owned(),
            )),
        };
    }
    if let Source::Synthetic { arrivals: Arrivals::Piecewise(pieces), .. } =
        &experiment.workload.source
    {
        let peak = pieces.iter().map(|piece| piece.rate.max(piece.ramp_to)).fold(0.0, f64::max);
        let parts = pieces.iter().map(|piece| {
            let seconds = piece.length.as_secs_f64();
            (seconds, seconds * (piece.rate + piece.ramp_to) / 2.0)
        });
        let (seconds, arrivals) = parts.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        let mean = arrivals / f64::max(seconds, 1e-9);
        let rate = rate.unwrap_or(peak);
        file.notes.push(format!(
            "the rate changes with time: the fleet is sized for its highest, {} requests/s, kept up; \
             cost per token is at its mean, {}",
            short(rate),
            short(mean)
        ));
        return Ok(Asked::Rate { rate, times: 1.0, mean: Some(mean), steady: Some(rate) });
    }
    let base = any_rate(experiment)?;
    let rate = rate.unwrap_or(base);
    Ok(Asked::Rate { rate, times: rate / base, mean: None, steady: None })
}

/// The scenario's own requests, or sessions, a second.
fn any_rate(experiment: &Experiment) -> Result<f64, SearchError> {
    let goal = Goal::default();
    let (watch, simulate) = (Watch::default(), crate::runner::Simulator);
    let study = Study {
        experiment,
        simulate: &simulate,
        goal: &goal,
        kept: None,
        watch: &watch,
        at_once: 1,
    };
    study.base_rate_per_s()
}

/// What to know of sessions that are counted here.
fn sessions_note(pace: &Pace, settles: bool, users: Option<u32>) -> Vec<String> {
    let mut notes = vec![
        "a session stays on its replica (`router: session-affinity`), where its context is found again"
            .to_owned(),
    ];
    if !settles {
        let lasts = crate::shown::duration(pace.mean.stay_s);
        notes.push(match users {
            Some(_) => format!(
                "a session lasts {lasts} on the average, and a run is too short for more than one or two of \
                 each user: contexts may be shorter than in a day's work"
            ),
            None => format!(
                "a session lasts {lasts} on the average, and a run is too short for as many to end as \
                 begin: fewer are under way than such a rate brings, and more GPUs may be needed"
            ),
        });
    }
    notes
}

/// The load that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Users(u32),
    Rate {
        /// Requests a second.
        rate: f64,
        /// As many times the scenario's.
        times: f64,
        /// Requests a second that are paid for, where they are fewer.
        mean: Option<f64>,
        /// Where the scenario's rate changes: the one that is kept up in its place.
        steady: Option<f64>,
    },
}

impl Asked {
    /// How much it is, in whatever it is counted.
    fn amount(self) -> f64 {
        match self {
            Asked::Users(users) => f64::from(users),
            Asked::Rate { rate, .. } => rate,
        }
    }
}

/// What came of one GPU.
struct Group {
    answer: Option<PlanAnswer>,
    infeasible: Vec<PlanInfeasible>,
    simulated: u32,
    complete: bool,
}

/// A cell with what it costs and takes at the least.
struct Cell<'a> {
    kind: &'a ReplicaKind,
    experiment: &'a Experiment,
    scheduler: &'a SchedulerRun,
    /// Replicas, at the least.
    least: u32,
}

/// The cheapest cell so far, and what its last run was.
struct Best<'a> {
    cell: Cell<'a>,
    replicas: u32,
    probe: Probe,
}

struct Question<'a> {
    load: Asked,
    shared: u32,
    /// What sessions are; `None` where requests belong to none.
    pace: Option<&'a Pace>,
    /// What was set in every scenario.
    set: Vec<String>,
    seeds: &'a [u64],
    goal: &'a Goal,
    simulate: &'a dyn Simulate,
    watch: &'a Watch,
    options: &'a PlanOptions,
}

/// What is known of a fleet.
enum Held {
    Yes(Box<Probe>),
    No,
    TimeRanOut,
}

impl Question<'_> {
    fn study<'s>(&'s self, experiment: &'s Experiment) -> Study<'s> {
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
    fn requests(&self, experiment: &Experiment) -> u64 {
        u64::from(experiment.workload.amount.requests.unwrap_or(2_000))
    }

    /// Requests a second and US dollars for one GPU; GPUs themselves where they have no price.
    fn price(&self, cell: &Cell<'_>, replicas: u32) -> f64 {
        let gpu = cell.experiment.hardware.price_usd_per_gpu_hour.unwrap_or(1.0);
        f64::from(replicas * cell.kind.gpus()) * gpu
    }

    /// The cheapest cell of one GPU.
    fn group(&self, kinds: &[ReplicaKind], task: Task<'_>) -> Result<Group, SearchError> {
        let mut group =
            Group { answer: None, infeasible: Vec::new(), simulated: 0, complete: true };
        let steady: Vec<Option<Experiment>> =
            kinds.iter().map(|kind| Some(self.kept_up(kind.experiment.as_ref().ok()?))).collect();
        let mut cells: Vec<Cell<'_>> = Vec::new();
        let mut needs: Vec<(usize, Option<f64>)> = Vec::new();
        for (place, (kind, experiment)) in kinds.iter().zip(&steady).enumerate() {
            let Some(experiment) = experiment else {
                group.infeasible.push(infeasible(kind, kind.why()));
                continue;
            };
            match self.hopeless(experiment)? {
                None => {}
                Some((why, needed)) => {
                    needs.push((place, needed));
                    let said = format!("TP{}: {why}", kind.parallelism.tensor);
                    group.infeasible.push(infeasible(kind, said));
                    self.watch.decided(experiment.schedulers.len());
                    continue;
                }
            }
            let least = self.least_replicas(experiment)?;
            let all = experiment.schedulers.iter();
            cells.extend(all.map(|scheduler| Cell { kind, experiment, scheduler, least }));
        }
        crate::order::sort_by(&mut cells, |a, b| {
            let of = |cell: &Cell<'_>| (self.price(cell, cell.least), cell.kind.gpus());
            of(a).0.total_cmp(&of(b).0).then(of(a).1.cmp(&of(b).1))
        });
        let feasible: Vec<(String, f64)> =
            cells.iter().map(|cell| (cell.kind.words(), f64::from(cell.kind.gpus()))).collect();
        let mut best: Option<Best<'_>> = None;
        let mut left = cells.len() as u64;
        for cell in cells {
            left -= 1;
            task.expects((left / 4 + 2) * self.requests(cell.experiment));
            let most = match &best {
                Some(best) if !self.options.exhaustive => {
                    let cheaper = self.price(&best.cell, best.replicas) * (1.0 - 1e-9);
                    let one = self.price(&cell, 1);
                    let most = (cheaper / one).floor();
                    if most < f64::from(cell.least) {
                        self.watch.decided(1);
                        continue;
                    }
                    (most as u32).min(self.options.max_replicas)
                }
                _ => self.options.max_replicas,
            };
            group.simulated += 1;
            match self.fewest(&cell, most, best.is_some())? {
                (true, _) => group.complete = false,
                (false, Some((replicas, probe))) => {
                    let cheaper = best.as_ref().is_none_or(|best| {
                        self.price(&cell, replicas) < self.price(&best.cell, best.replicas)
                    });
                    if cheaper {
                        best = Some(Best { cell, replicas, probe });
                    }
                }
                (false, None) => {}
            }
            self.watch.decided(1);
        }
        if let Some(best) = best {
            group.answer = Some(self.answer(best, &mut group.complete)?);
        }
        task.expects(0);
        mend(&mut group, kinds, &needs, &feasible);
        Ok(group)
    }

    /// The scenario with its highest rate kept up, where its rate changes.
    fn kept_up(&self, experiment: &Experiment) -> Experiment {
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

    /// Why the promise is broken even for requests that are alone, and how long the first token would
    /// have to be given; `None` where it is not.
    fn hopeless(
        &self,
        experiment: &Experiment,
    ) -> Result<Option<(String, Option<f64>)>, SearchError> {
        if self.options.exhaustive {
            return Ok(None);
        }
        // One session after the other, where there are sessions.
        let one = self.pace.map(|pace| alone(experiment, pace.mean.turns, LONE));
        let experiment = one.as_ref().unwrap_or(experiment);
        let study = self.study(experiment);
        let mut broken = None;
        for scheduler in &experiment.schedulers {
            let Some(lone) = lone(study, scheduler, self.seeds[0], LONE)? else { return Ok(None) };
            match self.why(&experiment.promises.common, &lone) {
                None => return Ok(None),
                Some(why) => {
                    broken.get_or_insert((why, lone.ttft_p99_s));
                }
            }
        }
        Ok(broken)
    }

    fn why(&self, slo: &crate::promise::Slo, lone: &Lone) -> Option<String> {
        let all = lone.requests as f64;
        let allowed = (1.0 - slo.fluid_share) * all;
        let beyond_chance = allowed + 3.0 * allowed.sqrt() + 1.0;
        let due = match slo.ttft {
            crate::promise::TtftDeadline::Fixed(due) => due.as_secs_f64(),
            crate::promise::TtftDeadline::PrefillCurvePlus { .. } => f64::INFINITY,
        };
        if lone.rejected as f64 > beyond_chance {
            return Some(format!(
                "{} of the requests do not fit its memory or context",
                crate::shown::percent(lone.rejected as f64 / all)
            ));
        }
        let late = lone.late as f64;
        if late > beyond_chance && !slo.bounds.is_empty() {
            return Some(format!(
                "{:.0} % of prompts cannot be prefilled in {} even alone",
                100.0 * late / all,
                crate::shown::duration(due)
            ));
        }
        if lone.choppy as f64 > beyond_chance {
            let pace = lone.tpot_p50_s.unwrap_or_default();
            return Some(format!(
                "a request alone gets a token every {}, and {} are promised",
                crate::shown::duration(pace),
                crate::shown::duration(slo.tbt.as_secs_f64())
            ));
        }
        None
    }

    /// Fewer replicas than these cannot do the work.
    fn least_replicas(&self, experiment: &Experiment) -> Result<u32, SearchError> {
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
    /// first. The first flag says that time ran out.
    fn fewest(
        &self,
        cell: &Cell<'_>,
        most: u32,
        bounded: bool,
    ) -> Result<(bool, Option<(u32, Probe)>), SearchError> {
        let first = self.seeds[0];
        let out = Ok((true, None));
        let none = Ok((false, None));
        if self.options.exhaustive {
            for replicas in 1..=most {
                match self.all_hold(cell, replicas)? {
                    Held::Yes(probe) => return Ok((false, Some((replicas, *probe)))),
                    Held::No => {}
                    Held::TimeRanOut => return out,
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
                Held::Yes(probe) => high = Some((at, *probe)),
                Held::No if at >= most => return none,
                Held::No => {
                    low = at;
                    at = (at + 1).max((f64::from(at) * 1.2) as u32).min(most);
                }
                Held::TimeRanOut => return out,
            }
        }
        let (mut replicas, mut probe) = high.expect("one held");
        while replicas - low > 1 {
            let middle = low + (replicas - low) / 2;
            match self.holds(cell, middle, first)? {
                Held::Yes(held) => (replicas, probe) = (middle, *held),
                Held::No => low = middle,
                Held::TimeRanOut => return out,
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
                        Held::Yes(held) => probe = *held,
                        Held::No => place = 0,
                        Held::TimeRanOut => return out,
                    }
                }
                Held::TimeRanOut => return out,
            }
        }
        Ok((false, Some((replicas, probe))))
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
            Some(_) => Held::No,
        })
    }

    /// So many times the load on so many replicas.
    fn on(
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

    /// All that is said of the cheapest cell.
    fn answer(&self, best: Best<'_>, complete: &mut bool) -> Result<PlanAnswer, SearchError> {
        let Best { cell, replicas, probe } = best;
        let study = self.study(cell.experiment);
        type Bracket = Result<(bool, f64, Option<f64>), SearchError>;
        let brackets: Vec<Bracket> = threads::spread_map(self.seeds.iter().collect(), |&seed| {
            let range = Range { from: 1.0, least: 1.0, most: TIMES_MAX, whole: false };
            let guess = 1.0 + 0.5 / f64::from(replicas);
            let found = bracket_from(PRECISION, range, Some(guess), |value| {
                // It held there a moment ago.
                if value == 1.0 {
                    return Ok(Some(Shown::Holds));
                }
                let load = self.on(&cell, replicas, seed, value)?;
                let probe = study.probe(cell.scheduler, &load)?;
                Ok::<_, SearchError>(probe.map(|probe| probe.shows()))
            })?;
            Ok((found.complete, found.holds.unwrap_or(1.0), found.open.or(found.fails)))
        });
        let brackets = brackets.into_iter().collect::<Result<Vec<_>, _>>()?;
        *complete &= brackets.iter().all(|one| one.0);
        let ends: Vec<(f64, Option<f64>)> = brackets.iter().map(|one| (one.1, one.2)).collect();
        let asked = self.load.amount();
        let border = Border::of(&ends, false);
        let (lower, upper, mean) = border.map_or((1.0, None, 1.0), |border| {
            // Every seed was seen to hold the load.
            (border.lower.max(1.0), border.upper, border.mean)
        });
        let kind = cell.kind;
        let gpus = replicas * kind.gpus();
        let usd_per_gpu_hour = cell.experiment.hardware.price_usd_per_gpu_hour;
        let usd_per_hour = usd_per_gpu_hour.map(|usd| usd * f64::from(gpus));
        let run = probe.result.as_ref();
        let tokens = run.map(|run| {
            run.summary.tokens.output as f64 / run.summary.requests.offered.max(1) as f64
        });
        let sessions = run.and_then(|run| run.sessions.as_deref());
        let sessions_per_s = sessions.and_then(|sessions| match self.load {
            Asked::Rate { rate, mean, .. } => Some(mean.unwrap_or(rate)),
            // Little's law: each user has one session, or thinks.
            Asked::Users(users) => {
                let think = match cell.experiment.workload.source.arrivals() {
                    Some(&Arrivals::ClosedLoop { think_time, .. }) => think_time.as_secs_f64(),
                    _ => 0.0,
                };
                Some(f64::from(users) / (sessions.completion_s.mean? + think))
            }
        });
        let rate = match (self.load, sessions) {
            (_, Some(sessions)) => {
                let turns = sessions.turns as f64 / sessions.begun.max(1) as f64;
                sessions_per_s.map(|rate| rate * turns)
            }
            (Asked::Rate { rate, mean, .. }, None) => Some(mean.unwrap_or(rate)),
            (Asked::Users(_), None) => {
                run.and_then(|run| run.summary.throughput.and_then(|all| all.requests_per_s))
            }
        };
        let per_hour = tokens.zip(rate).map(|(tokens, rate)| tokens * rate * 3600.0);
        let per_million = usd_per_hour
            .zip(per_hour.filter(|tokens| *tokens > 0.0))
            .map(|(usd, tokens)| usd / tokens * 1e6);
        let replaced = kind.set.iter().any(|set| set.contains("price"));
        let catalogued = catalog::gpu(&kind.gpu).ok();
        let pool = cell.experiment.fleet()[0];
        let mut set = kind.set.clone();
        set.extend(self.set.iter().cloned());
        set.push(format!("replicas={replicas}"));
        let parameters = given_parameters(cell.scheduler);
        set.push(format!("schedulers=[{{{}: {parameters}}}]", cell.scheduler.name));
        Ok(PlanAnswer {
            gpu: kind.gpu.clone(),
            parallelism: kind.parallelism,
            dtype: kind.dtype.clone(),
            scheduler: cell.scheduler.label.clone(),
            replicas,
            gpus,
            usd_per_hour,
            usd_per_million_output_tokens: per_million,
            usd_per_session: usd_per_hour
                .zip(sessions_per_s)
                .map(|(usd, sessions)| usd / 3600.0 / sessions),
            usd_per_gpu_hour,
            price_source: match replaced {
                true => Some("given with --price".to_owned()),
                false => catalogued
                    .as_ref()
                    .map(|gpu| gpu.source.price.trim().to_owned())
                    .filter(|price| !price.is_empty()),
            },
            interval: (lower * asked, upper.map(|upper| upper * asked)),
            sessions_per_s: sessions_per_s
                .map(|rate| (lower * rate, upper.map(|upper| upper * rate))),
            head_room: mean - 1.0,
            ttft_p99_s: run.and_then(|run| run.summary.ttft_s.p99),
            fluid_request_share: run
                .and_then(|run| run.summary.fluidity.as_ref()?.fluid_request_share),
            caution: catalogued.and_then(|gpu| gpu.evidence.caution(&kind.gpu)),
            launch: launch(&pool, cell.scheduler),
            set,
            apart: None,
        })
    }
}

/// The parameters that are not a scheduler's defaults, as YAML.
fn given_parameters(scheduler: &SchedulerRun) -> Value {
    let defaults = crate::scheduler::SchedulerConfig::by_name(&scheduler.name)
        .map_or(Value::Null, |config| config.parameters());
    let own = scheduler.config.parameters();
    let own = own.as_object().cloned().unwrap_or_default();
    own.into_iter().filter(|(name, value)| defaults.get(name) != Some(value)).collect()
}

impl ReplicaKind {
    /// Why there can be no such replica.
    fn why(&self) -> String {
        self.experiment.as_ref().err().cloned().unwrap_or_default()
    }
}

fn infeasible(kind: &ReplicaKind, reason: String) -> PlanInfeasible {
    PlanInfeasible {
        gpu: kind.gpu.clone(),
        parallelism: kind.parallelism,
        dtype: kind.dtype.clone(),
        reason,
        nearest_change: None,
    }
}

/// Says of each kind that cannot hold the promise which change is the cheapest that mends it.
fn mend(
    group: &mut Group,
    kinds: &[ReplicaKind],
    needs: &[(usize, Option<f64>)],
    feasible: &[(String, f64)],
) {
    let least = feasible.iter().map(|(_, gpus)| *gpus).fold(f64::INFINITY, f64::min);
    for one in &mut group.infeasible {
        let own = spread(one.parallelism, &one.dtype);
        // The cheapest answer where there is one, or whatever takes the fewest GPUs.
        let answer = group.answer.as_ref().map(|answer| {
            let price = answer.usd_per_hour.map_or(String::new(), |usd| format!(", ${usd:.2}/h"));
            format!(
                "{}: {} replica{}{price}",
                spread(answer.parallelism, &answer.dtype),
                answer.replicas,
                if answer.replicas == 1 { "" } else { "s" }
            )
        });
        let other = feasible.iter().find(|(words, gpus)| *gpus == least && *words != own);
        let other = other.map(|(words, _)| words.clone());
        let needed = needs.iter().find_map(|&(place, needed)| {
            let same = spread(kinds[place].parallelism, &kinds[place].dtype) == own;
            needed.filter(|_| same)
        });
        let longer = needed.map(|needed| {
            format!(
                "a first token within {} (alone it takes that long at P99)",
                crate::shown::duration(needed)
            )
        });
        one.nearest_change = answer.or(other).or(longer);
    }
}

/// The best answer's scenario.
fn best_scenario(question: &PlanQuestion, best: &PlanAnswer) -> Option<String> {
    question.document.rewritten(&best.set).ok()
}
