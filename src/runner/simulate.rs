//! From one scheduler of an experiment to the simulator.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fleet::{FleetSetup, MakeScheduler, PoolSetup, Routing};
use crate::progress::RunProgress;
use crate::replica::Accepts;
use crate::runner::tiers::tiers_of;
use crate::runner::{Hopeless, Requests, memory, outlook};
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::scheduler::EngineInfo;
use crate::sim::{self, BehindFrontEnd, Outcome, SimError};
use crate::workload::{Arriving, Workload};

/// How to simulate.
#[derive(Clone, Copy, Default)]
pub struct PlayOptions<'a> {
    /// Take the slow, obvious path.
    pub reference: bool,
    /// Keep every iteration.
    pub keep_log: bool,
    /// Where to say how far it has come, and whether it may go on.
    pub progress: Option<&'a RunProgress>,
    /// What ends it as stopped when its promise is broken for certain.
    pub hopeless: Option<&'a Hopeless>,
}

/// Why a simulation could not go on.
pub type PlayError = Box<dyn StdError + Send + Sync>;

/// Plays one scheduler of an experiment on its requests. A seam: [`Simulator`] is the real one,
/// tests bring others.
pub trait Simulate: Sync {
    /// Runs to the end, or to the experiment's horizon.
    ///
    /// # Errors
    /// When the run is stuck.
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError>;
}

/// The discrete-event simulator of this crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulator;

impl Simulate for Simulator {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let own_alone = finds_own_blocks_alone(experiment, scheduler, requests);
        let by_blocks = || experiment.fleet().iter().any(|pool| !pool.engine.kv_groups.is_one());
        if own_alone && !options.reference && by_blocks() {
            // Where nobody was preempted nobody came back to look: it is as with every block named.
            match play(experiment, scheduler, requests, options, Blocks::Counted) {
                Ok(outcome) if outcome.kv.preemptions == 0 => return Ok(outcome),
                Err(error) if was_stopped(error.as_ref()) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let mut outcome = play(experiment, scheduler, requests, options, Blocks::Named)?;
        if own_alone && outcome.kv.preemptions == 0 {
            // No content was lost that anybody could have asked for.
            outcome.kv.evicted_blocks = 0;
            outcome.pools.iter_mut().for_each(|pool| pool.kv.evicted_blocks = 0);
        }
        Ok(outcome)
    }
}

/// How KV blocks are kept where a prefix cache is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// By content: each can be found again.
    Named,
    /// By number alone.
    Counted,
}

/// Whether a run that keeps blocks for reuse can find those of a request again for nobody but that
/// request, after it was preempted: no request begins like another, and none goes on from another. Then
/// all that blocks by name can change is what a preempted request finds. States of layers that carry one
/// are kept at the ends of chunks, so there the batches differ in any case.
fn finds_own_blocks_alone(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    requests: &Requests,
) -> bool {
    let fleet = experiment.fleet();
    let asked = |pool: &PoolView<'_>| {
        let info = pool.engine_info(&scheduler.config);
        let needs = scheduler.config.build(&info).needs();
        let plain = needs.reuse.is_plain() && !needs.knows_contents && !needs.always_caches;
        let plain = plain && needs.own_pages.is_none();
        plain && needs.caches_on(&info)
    };
    fleet.iter().any(asked)
        && fleet.iter().all(|pool| pool.engine.kv_groups.states() == 0)
        && experiment.disaggregation.is_none()
        && fleet.iter().all(|pool| pool.engine.tiers.is_none())
        && !meet_in_prompts(experiment, requests)
}

/// Whether a request may begin like another, or goes on from one.
fn meet_in_prompts(experiment: &Experiment, requests: &Requests) -> bool {
    let goes_on = |workload: &Workload| workload.turns.iter().any(|turn| turn.parent.is_some());
    let named = |workload: &Workload| !workload.block_ids.is_empty() || goes_on(workload);
    requests.known().is_some_and(named) || requests.shares_prefixes(experiment)
}

/// Whether there are several replicas, one of which keeps what it computed for others.
fn any_caches(experiment: &Experiment, scheduler: &SchedulerRun) -> bool {
    let caches = |pool: &PoolView<'_>| {
        let info = pool.engine_info(&scheduler.config);
        scheduler.config.build(&info).needs().caches_on(&info)
    };
    experiment.replicas > 1 && experiment.fleet().iter().any(caches)
}

/// Whether a run came to no end for reasons that have nothing to do with its scheduler.
fn was_stopped(error: &(dyn StdError + 'static)) -> bool {
    !matches!(error.downcast_ref(), Some(SimError::Stuck { .. } | SimError::Thrashing { .. }))
}

/// Hands the fleet of an experiment, with this scheduler on each replica, to `act`. `requests` are those
/// that it will serve, where they are known.
pub fn with_fleet<T>(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    requests: Option<&Requests>,
    act: impl FnOnce(&FleetSetup<'_>) -> T,
) -> T {
    with_setup(experiment, scheduler, requests, (Blocks::Named, false), act)
}

fn with_setup<T>(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    requests: Option<&Requests>,
    (blocks, notes_held): (Blocks, bool),
    act: impl FnOnce(&FleetSetup<'_>) -> T,
) -> T {
    let fleet = experiment.fleet();
    let info = |pool: &PoolView<'_>| {
        let info = pool.engine_info(&scheduler.config);
        EngineInfo { prefix_caching: info.prefix_caching && blocks == Blocks::Named, ..info }
    };
    let build = |pool: &PoolView<'_>| {
        let info = info(pool);
        move || scheduler.config.build(&info)
    };
    let makers: Vec<_> = fleet.iter().map(build).collect();
    let luck = |pool: &PoolView<'_>| -> Option<Arc<dyn Accepts>> {
        let speculative = pool.engine.speculative.as_ref()?;
        Some(Arc::new(speculative.luck(experiment.seed)))
    };
    let lucks: Vec<_> = fleet.iter().map(luck).collect();
    let looks = |pool: &PoolView<'_>| scheduler.config.build(&info(pool)).needs().deadlines;
    let outlooks = match fleet.iter().any(looks) {
        true => outlook::of_pools(experiment, requests),
        false => Vec::new(),
    };
    let mut pools = Vec::with_capacity(fleet.len());
    let tiers: Vec<_> = fleet.iter().map(tiers_of).collect();
    for (place, ((pool, make), luck)) in fleet.iter().zip(&makers).zip(&lucks).enumerate() {
        let make: &MakeScheduler<'_> = make;
        pools.push(PoolSetup {
            cost: pool.cost.as_ref(),
            engine: info(pool),
            replicas: pool.replicas,
            role: pool.role,
            lockstep: pool.hardware.lockstep(),
            async_scheduling: pool.engine.async_scheduling(&scheduler.config),
            luck: luck.as_ref(),
            answers_end_at: Some(pool.engine.max_model_len)
                .filter(|&longest| longest < experiment.engine.max_model_len),
            outlook: outlooks.get(place),
            tiers: tiers[place].as_ref(),
            make,
        });
    }
    let setup = FleetSetup {
        pools,
        routing: Routing { router: experiment.router.clone(), seed: experiment.seed, notes_held },
        controllers: &Vec::new,
        disaggregation: experiment.disaggregation.as_ref(),
        horizon: experiment.horizon,
    };
    act(&setup)
}

fn play(
    experiment: &Experiment,
    scheduler: &SchedulerRun,
    requests: &Requests,
    options: PlayOptions<'_>,
    blocks: Blocks,
) -> Result<Outcome, PlayError> {
    let total = requests.count(experiment);
    let unbounded = matches!(requests, Requests::Closed(source) if !source.is_bounded());
    let watch = unbounded.then(memory::Watch::new);
    // How many requests there were when memory was full.
    let full = AtomicU64::new(u64::MAX);
    let report = |done: u64, iterations: u64| {
        if watch.as_ref().is_some_and(|watch| !watch.has_room(done, iterations)) {
            full.store(done, Ordering::Relaxed);
            return false;
        }
        options.progress.is_none_or(|progress| {
            progress.set(done, total.unwrap_or(done));
            progress.may_go_on(iterations)
        })
    };
    let (front_end, front_ends) = experiment.front_ends();
    // Behind a front end, what the engine writes down is not what clients see.
    let hopeless = options.hopeless.filter(|_| front_end.is_none());
    let ended = hopeless.map(|hopeless| hopeless.watch(blocks == Blocks::Counted));
    let ended = ended.as_ref().map(|ended| ended as _);
    let sim_options = sim::SimOptions {
        ended,
        reference: options.reference,
        keep_log: options.keep_log,
        progress: Some(&report),
    };
    let notes_held = meet_in_prompts(experiment, requests) && any_caches(experiment, scheduler);
    let mut arriving = requests.arriving();
    if front_end.is_none() {
        let outcome =
            with_setup(experiment, scheduler, Some(requests), (blocks, notes_held), |setup| {
                sim::play_fleet(setup, arriving.as_mut(), sim_options)
            });
        let outcome = outcome_of(outcome, full)?;
        arriving.check_complete()?;
        return Ok(Outcome { turns: arriving.session_turns(), ..outcome });
    }
    let mut behind = BehindFrontEnd::new(arriving, front_end, front_ends);
    let outcome =
        with_setup(experiment, scheduler, Some(requests), (blocks, notes_held), |setup| {
            sim::play_fleet(setup, &mut behind, sim_options)
        });
    let mut outcome = outcome_of(outcome, full)?;
    behind.check_complete()?;
    outcome.turns = behind.session_turns();
    behind.put_back(&mut outcome);
    Ok(outcome)
}

/// A run's outcome, unless memory was `full` first.
fn outcome_of(outcome: Result<Outcome, SimError>, full: AtomicU64) -> Result<Outcome, PlayError> {
    match full.into_inner() {
        u64::MAX => Ok(outcome?),
        done => Err(out_of_memory(done)),
    }
}

/// Users who had made so many requests when there was no memory for more.
fn out_of_memory(done: u64) -> PlayError {
    format!(
        "out of memory after {done} requests: only `duration` bounds how many a closed loop makes: \
         give `workload.requests`, or a shorter `workload.duration`"
    )
    .into()
}

/// Another simulator's slow, obvious path, whatever path is asked for.
pub struct SlowPath<'a, S: Simulate + ?Sized>(pub &'a S);

impl<S: Simulate + ?Sized> Simulate for SlowPath<'_, S> {
    fn simulate(
        &self,
        experiment: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let options = PlayOptions { reference: true, ..options };
        self.0.simulate(experiment, scheduler, requests, options)
    }
}
