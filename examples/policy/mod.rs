//! A policy of one's own: the shortest waiting prompt first, in chunks beside the running decodes.
//! Memory for the longest answer is reserved, so nothing is ever preempted.

use metron_sim::scheduler::{Held, Hit, RequestView, Scheduler, Step};

pub(crate) struct ShortestPromptFirst {
    pub token_budget: u32,
    pub seats: u32,
}

impl Scheduler for ShortestPromptFirst {
    fn schedule(&mut self, step: &mut Step<'_>) {
        let mut budget = self.token_budget;
        for request in step.running().collect::<Vec<_>>() {
            let view = step.view(request);
            let wanted = if view.is_prefilling() { view.prefill_left() } else { 1 };
            let tokens = wanted.min(budget);
            if tokens > 0 && step.run(request, tokens) {
                budget -= tokens;
            }
        }
        while budget > 0 {
            let shortest = step.waiting().min_by_key(|&r| step.view(r).prompt_tokens);
            let Some(request) = shortest else { return };
            if step.seats_used() >= self.seats {
                return step.hold(Held::NoSeat);
            }
            let view = step.view(request);
            let chunk = view.prompt_tokens.min(budget);
            let longest = view.prompt_tokens + view.max_tokens;
            if !step.admit(request, chunk, longest, Hit::default()) {
                return step.hold(Held::NoKvBlocks);
            }
            budget -= chunk;
        }
        if step.waiting().next().is_some() {
            step.hold(Held::NoTokenBudget);
        }
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        (request.prompt_tokens + request.max_tokens).div_ceil(block_tokens)
    }
}
