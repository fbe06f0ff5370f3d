//! What a simulated run wrote down, as `explain` reads it.

use crate::cost::CostModel;
use crate::explain::{Memory, RecordedPool, Recording};
use crate::ids::PoolId;
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::scheduler::{EngineInfo, Needs};
use crate::sim::Outcome;

/// What a scheduler's run wrote down, to be explained.
pub fn recording<'a>(
    experiment: &'a Experiment,
    scheduler: &SchedulerRun,
    outcome: &'a Outcome,
) -> Recording<'a> {
    let pool = |(id, pool): (PoolId, PoolView<'a>)| {
        let info = pool.engine_info(&scheduler.config);
        let needs = scheduler.config.build(&info).needs();
        let planned = pool.engine.async_scheduling(&scheduler.config);
        let cost = pool.cost.as_ref();
        let recorded = recorded_pool(outcome, id, cost, &info, &needs, planned);
        let tiers = pool.engine.tiers.as_deref();
        RecordedPool {
            name: pool.name,
            in_step: pool.hardware.lockstep(),
            tiers: tiers.is_some(),
            loads_in_step: tiers.is_some_and(|tiers| tiers.overlap.is_in_step()),
            ..recorded
        }
    };
    Recording {
        trace: &outcome.trace,
        entered: &outcome.entered,
        log: outcome.log.as_deref().unwrap_or_default(),
        turns: &outcome.turns,
        pools: (0..).map(PoolId).zip(experiment.fleet()).map(pool).collect(),
    }
}

/// The same of a run on identical replicas that no scenario describes. Without a log nothing can be
/// explained.
#[cfg(any(test, feature = "internals"))]
pub fn recording_of_alike<'a>(
    outcome: &'a Outcome,
    cost: &'a dyn CostModel,
    engine: &EngineInfo,
    needs: &Needs,
    async_scheduling: bool,
) -> Recording<'a> {
    Recording {
        trace: &outcome.trace,
        entered: &outcome.entered,
        log: outcome.log.as_deref().unwrap_or_default(),
        turns: &outcome.turns,
        pools: vec![recorded_pool(outcome, PoolId(0), cost, engine, needs, async_scheduling)],
    }
}

/// What a pool of a run was priced by. `engine` is that of its replicas.
fn recorded_pool<'a>(
    outcome: &Outcome,
    pool: PoolId,
    cost: &'a dyn CostModel,
    engine: &EngineInfo,
    needs: &Needs,
    async_scheduling: bool,
) -> RecordedPool<'a> {
    let used = outcome.pools.get(pool.index());
    RecordedPool {
        name: None,
        replicas: used.map_or(1, |pool| pool.replicas),
        cost,
        planned_ahead: needs.plans_ahead && async_scheduling,
        by_turns: cost.stages() > 1 && needs.by_request,
        in_step: 1,
        caches: needs.kept_on(engine),
        tiers: false,
        loads_in_step: false,
        memory: Memory {
            block_tokens: needs.engine(engine).kv_block_tokens,
            blocks: used.map_or(outcome.kv.blocks, |pool| pool.kv.blocks),
            watermark_blocks: needs.watermark_blocks,
        },
    }
}
