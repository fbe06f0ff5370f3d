//! The parameters of a scheduler that bound its batches.

use crate::scheduler::{EngineInfo, SchedulerConfig};

/// The parameter that bounds an iteration's tokens.
pub(super) fn token_budget(
    config: &SchedulerConfig,
    engine: &EngineInfo,
) -> Option<(&'static str, u64)> {
    let limit = config.facts(engine).budget?.limit;
    limit.most.map(|most| (limit.parameter, most.into()))
}

/// The parameter that bounds the requests with a seat.
pub(super) fn seats(config: &SchedulerConfig, engine: &EngineInfo) -> Option<(&'static str, u64)> {
    let limit = config.facts(engine).seats?.limit;
    limit.most.map(|most| (limit.parameter, most.into()))
}
