//! What the chunks of an iteration share its time by.

use super::chain::Pricer;
use super::lane::LaneColumns;

/// Weights of all chunks of a replica, in order.
pub(super) fn chunk_weights(lane: &LaneColumns<'_>) -> Vec<u64> {
    let mut pricer = Pricer::of(&lane.pool);
    let mut all = Vec::with_capacity(lane.log.chunks());
    let mut some = Vec::new();
    for (number, _) in lane.log.prefills() {
        pricer.weights(&lane.log.at(number), &mut some);
        all.extend_from_slice(&some);
    }
    all
}
