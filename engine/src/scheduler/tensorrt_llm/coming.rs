//! Blocks that prompts being computed will bring: whoever would compute the same waits for them
//! (`capacityScheduler.cpp`, `beneficialToSkip`).

use super::super::{Handle, Step};
use crate::kv::BlockKey;

/// Shared blocks that prompts being computed will bring.
pub(super) type Coming = Vec<BlockKey>;

/// What those prompts will bring of which a part is computed.
pub(super) fn coming(step: &mut Step<'_>) -> Coming {
    let prefilling: Vec<Handle> = step.prefilling().collect();
    prefilling.into_iter().filter_map(|request| step.first_new_block(request)).collect()
}

/// Whether a waiting request will find what another is computing, or about to compute, if it waits.
pub(super) fn finds_later(step: &mut Step<'_>, request: Handle, coming: &mut Coming) -> bool {
    let Some(key) = step.first_new_block(request).filter(|key| key.shared) else { return false };
    let later = coming.contains(&key);
    if !later {
        coming.push(key);
    }
    later
}
