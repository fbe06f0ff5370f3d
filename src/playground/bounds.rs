//! How far dials go: the parameters of a scheduler that bound its batches, and the GPUs of a replica.

use crate::scheduler::{EngineInfo, SchedulerConfig};

/// GPUs that one replica may be spread over.
pub(super) const TENSOR: [u32; 4] = [1, 2, 4, 8];

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
