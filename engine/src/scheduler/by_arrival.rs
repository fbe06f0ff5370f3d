//! What vLLM v0 and Sarathi-Serve share: running requests served by arrival, and, when memory is
//! short, the last of them preempted.

use std::collections::VecDeque;

use super::{Handle, Step};

/// Running requests in order of arrival.
pub(super) fn by_arrival(step: &Step<'_>) -> VecDeque<Handle> {
    let mut running: Vec<Handle> = step.running().collect();
    running.sort_by_cached_key(|&r| {
        let view = step.view(r);
        (view.arrival, view.id)
    });
    running.into()
}

/// A waiting request whose whole prompt finds its blocks free.
pub(super) struct Fitting {
    pub request: Handle,
    /// Its tokens, outputs to be recomputed included.
    pub tokens: u32,
    /// Free blocks that it needs, those of the watermark included.
    pub wanted: u32,
}

/// The request at a `place` of the queue, if its whole prompt and the watermark find their blocks
/// free; otherwise it is held. Those that can never be served, for their length or their memory,
/// are dropped on the way, as vLLM v0 ignores them.
pub(super) fn next_fitting(
    step: &mut Step<'_>,
    place: usize,
    tokens_max: u32,
    watermark_blocks: u32,
) -> Option<Fitting> {
    loop {
        let request = step.waiting_at(place)?;
        let tokens = step.view(request).tokens;
        let blocks = step.blocks_for(tokens);
        if tokens > tokens_max || blocks > step.total_blocks().saturating_sub(watermark_blocks) {
            step.drop_request(request);
            continue;
        }
        let wanted = blocks + watermark_blocks;
        if wanted > step.free_blocks() {
            step.hold_for_blocks(wanted);
            return None;
        }
        return Some(Fitting { request, tokens, wanted });
    }
}

/// Sees to it that a block (one of each group of layers) is free for `request` (these systems ask for one even where none is
/// needed), preempting from the end of `later`, or at last the request itself. Says whether the
/// request still runs.
pub(super) fn make_room(
    step: &mut Step<'_>,
    request: Handle,
    later: &mut VecDeque<Handle>,
) -> bool {
    while step.free_blocks() < step.blocks_to_grow() {
        match later.pop_back() {
            Some(victim) => {
                step.preempt(victim);
            }
            None => {
                step.preempt(request);
                return false;
            }
        }
    }
    true
}

/// Decodes every running request that can, by arrival; partial prefills are passed over and
/// returned in the order in which they were met.
pub(super) fn decode_by_arrival(step: &mut Step<'_>) -> Vec<Handle> {
    // One block beyond what the decodes take means that each of them finds one free in its turn.
    let needed = step.blocks_for_decodes() + step.blocks_to_grow();
    if step.may_decode_all() && step.free_blocks() >= needed {
        step.decode_all();
        let mut aside: Vec<Handle> = step.prefilling().collect();
        if aside.len() > 1 {
            aside.sort_by_cached_key(|&r| {
                let view = step.view(r);
                (view.arrival, view.id)
            });
        }
        return aside;
    }
    let mut aside = Vec::new();
    let mut queue = by_arrival(step);
    while let Some(request) = queue.pop_front() {
        if step.view(request).is_prefilling() {
            aside.push(request);
        } else if make_room(step, request, &mut queue) {
            let decoded = step.run(request, 1);
            assert!(decoded, "a block is free and a decode takes at most one");
        }
    }
    aside
}
