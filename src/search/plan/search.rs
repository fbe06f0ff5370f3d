//! The search: for each GPU the cheapest cell that holds the load.

use super::apart::Apart;
use super::asked::{Asked, any_rate, load_of, sessions_note};
use super::cells::{ReplicaKind, Unfit, kinds};
use super::file::{PlanAnswer, PlanFile, PlanInfeasible};
use super::fleet::Question;
use super::group::{Group, in_words};
use super::question::PlanQuestion;
use super::sessions::Pace;
use crate::runner::{Simulate, on_threads};
use crate::search::goal::Goal;
use crate::search::probe::SearchError;
use crate::search::watch::Watch;
use crate::threads;
use crate::units::Duration;

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
        let all: Vec<&Unfit> =
            each.iter().flatten().filter_map(|k| k.experiment.as_ref().err()).collect();
        // What all are refused for alike is the question's doing.
        if all.len() > 1 && all.iter().all(|one| one.refused && one.why == all[0].why) {
            return Err(PlanError::NoSense(all[0].why.clone()));
        }
        let mut file = PlanFile::new(words, String::new());
        file.infeasible = each.iter().flatten().map(|kind| infeasible(kind, kind.why())).collect();
        return Ok(file);
    };
    if question.gpus.len() > 1 && !any.hardware.times_follow_from_gpu() {
        return Err(PlanError::NoSense(
            "iterations take a fixed time, or that of a step law, which hold on one machine and say nothing \
             of other GPUs: ask for one GPU, or give an engine's profile and a model"
                .to_owned(),
        ));
    }
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
    for note in each.iter().flatten().filter_map(ReplicaKind::other_format) {
        if !file.notes.contains(&note) {
            file.notes.push(note);
        }
    }
    let any = each.iter().flatten().find_map(|kind| kind.experiment.as_ref().ok());
    let any = any.expect("one was found");
    let seeds: Vec<u64> =
        (0..options.seeds.max(1)).map(|i| any.seed.wrapping_add(u64::from(i))).collect();
    let shared = any.workload.prefix_groups.filter(|groups| groups.share >= 1.0);
    let asked = Question {
        load: load_of(any, question.rate, &mut file)?,
        document: &question.document,
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
        for note in group.notes {
            if !file.notes.contains(&note) {
                file.notes.push(note);
            }
        }
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
    // Where nothing on the same GPU holds it, another GPU may.
    let elsewhere = file.answers.first().map(|best| format!("{}, {}", best.gpu, in_words(best)));
    for one in &mut file.infeasible {
        one.nearest_change = one.nearest_change.take().or_else(|| elsewhere.clone());
    }
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

impl ReplicaKind {
    /// Why there can be no such replica.
    pub(super) fn why(&self) -> String {
        self.experiment.as_ref().err().map(|unfit| unfit.why.clone()).unwrap_or_default()
    }
}

pub(super) fn infeasible(kind: &ReplicaKind, reason: String) -> PlanInfeasible {
    PlanInfeasible {
        gpu: kind.gpu.clone(),
        parallelism: kind.parallelism,
        dtype: kind.dtype.clone(),
        reason,
        nearest_change: None,
    }
}

/// The best answer's scenario.
fn best_scenario(question: &PlanQuestion, best: &PlanAnswer) -> Option<String> {
    question.document.rewritten(&best.set).ok()
}
