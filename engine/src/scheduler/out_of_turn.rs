//! What policies share that choose whose prompt is computed next: everybody decodes, and memory is taken
//! for whole prompts.

use super::facts::{Bounds, Facts, Limit, Seats, StepBudget};
use super::parameters::Problem;
use super::{Handle, Held, Hit, RequestView, Step};

/// What is wrong with the most tokens of an iteration, under the name that they have, seats and a watermark.
pub(super) fn problems(
    (name, tokens): (&'static str, u32),
    seats: u32,
    watermark: f64,
) -> Vec<Problem> {
    [
        Problem::when(tokens == 0, name, "at least 1"),
        Problem::when(seats == 0, "max_num_seqs", "at least 1"),
        Problem::when(!(0.0..1.0).contains(&watermark), "watermark", "from 0 to below 1"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a budget and seats say of a policy that computes prompts out of turn beside all decodes.
pub(super) fn budget_facts(budget: u32, seats: u32) -> Facts {
    let limit = Limit { parameter: "token_budget", most: Some(budget) };
    Facts {
        seats: Seats::held("max_num_seqs", seats),
        // Decodes beyond the budget run all the same.
        budget: Some(StepBudget::loose(limit, Bounds::Step)),
        watermark: Some("watermark"),
        cuts_prompts: true,
        ..Facts::default()
    }
}

/// Decodes everybody who can. Where memory is short unfinished prompts give way first, the last
/// admitted before the others, then of those who decode whoever `worse` says most of. Tells who gave
/// way.
pub(super) fn decode<K: Ord>(
    step: &mut Step<'_>,
    mut worse: impl FnMut(&Step<'_>, Handle) -> K,
) -> Vec<Handle> {
    // A block more than the decodes take means that each finds one free in its turn.
    let needed = step.blocks_for_decodes() + step.blocks_to_grow();
    if step.may_decode_all() && step.free_blocks() >= needed {
        step.decode_all();
        return Vec::new();
    }
    let is_prefilling = |&request: &Handle| step.view(request).is_prefilling();
    let (mut partial, mut left): (Vec<Handle>, Vec<Handle>) =
        step.running().partition(is_prefilling);
    let mut gone = Vec::new();
    left.reverse();
    while let Some(request) = left.pop() {
        while !step.run(request, 1) {
            let victim = partial.pop().unwrap_or_else(|| {
                let others = left.iter().copied().chain([request]);
                others.max_by_key(|&other| worse(step, other)).expect("the request itself")
            });
            step.preempt(victim);
            gone.push(victim);
            if victim == request {
                break;
            }
            left.retain(|&other| other != victim);
        }
    }
    gone
}

/// Computes `tokens` of a prompt: of one that is begun, or of one that waits and whose whole prompt finds
/// its blocks. `reserve` blocks stay free where anybody runs. Otherwise tells why not.
pub(super) fn compute(
    step: &mut Step<'_>,
    (request, view): (Handle, &RequestView),
    tokens: u32,
    (seats, reserve): (u32, u32),
) -> Result<(), Held> {
    if is_begun(view) {
        let runs = step.run(request, tokens);
        assert!(runs, "the whole prompt's blocks were taken at admission");
        return Ok(());
    }
    if step.seats_used() >= seats {
        return Err(Held::NoSeat);
    }
    let reserve = if step.seats_used() == 0 { 0 } else { reserve };
    let blocks = step.blocks_to_admit(view.tokens, Hit::default());
    if blocks + reserve > step.free_blocks() {
        return Err(step.short_of(blocks + reserve));
    }
    match step.admit(request, tokens, view.tokens, Hit::default()) {
        true => Ok(()),
        false => Err(Held::NoKvBlocks),
    }
}

/// Whether a request holds a seat: its blocks were taken with it.
pub(super) fn is_begun(view: &RequestView) -> bool {
    view.blocks > 0
}

/// Requests whose prompts are not finished, begun or not, in the order of `key`.
pub(super) fn prompts_by<K: Ord>(
    step: &Step<'_>,
    mut key: impl FnMut(Handle, &RequestView) -> K,
) -> Vec<(Handle, RequestView)> {
    let all = step.prefilling().chain(step.waiting());
    let mut keyed: Vec<_> = all
        .map(|request| {
            let view = step.view(request);
            ((key(request, &view), view.id), request, view)
        })
        .collect();
    keyed.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
    keyed.into_iter().map(|(_, request, view)| (request, view)).collect()
}

/// Fills an iteration of so many tokens, decodes included, with prompts in this order.
pub(super) fn fill(
    step: &mut Step<'_>,
    prompts: &[(Handle, RequestView)],
    budget: u32,
    limits: (u32, u32),
) {
    let (mut left, mut full) = (budget.saturating_sub(decoding(step)), false);
    for (request, view) in prompts {
        if full && !is_begun(view) {
            continue;
        }
        let tokens = view.prefill_left().min(left);
        let held = match tokens {
            0 => Err(Held::NoTokenBudget),
            _ => compute(step, (*request, view), tokens, limits),
        };
        match held {
            Ok(()) => left -= tokens,
            Err(reason) if left == 0 => return step.hold(reason),
            // Those behind who hold their blocks go on; nobody overtakes into a seat.
            Err(reason) => {
                full = true;
                step.hold(reason);
            }
        }
    }
}

/// Requests that decode in the batch being formed.
pub(super) fn decoding(step: &Step<'_>) -> u32 {
    step.decoding_len()
}
