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

/// Sees to it that a block is free for `request` (these systems ask for one even where none is
/// needed), preempting from the end of `later`, or at last the request itself. Says whether the
/// request still runs.
pub(super) fn make_room(
    step: &mut Step<'_>,
    request: Handle,
    later: &mut VecDeque<Handle>,
) -> bool {
    while step.free_blocks() < 1 {
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
    if step.may_decode_all() && step.free_blocks() > step.blocks_for_decodes() {
        step.decode_all();
        let mut aside: Vec<Handle> = step.prefilling().collect();
        aside.sort_by_cached_key(|&r| {
            let view = step.view(r);
            (view.arrival, view.id)
        });
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
