//! A policy of one's own: the shortest waiting prompt first, in chunks beside the running decodes.
//! Memory for the longest answer is reserved, so nothing is ever preempted.

use metron_sim::policy::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policy of one replica.
struct ShortestPromptFirst {
    token_budget: u32,
    seats: u32,
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

/// What a scenario may give: `shortest-prompt-first: {token_budget: 512, seats: 128}`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShortestPromptFirstParams {
    /// Tokens of a step, decodes included.
    token_budget: u32,
    /// Most requests that hold a seat at once.
    seats: u32,
}

impl Default for ShortestPromptFirstParams {
    fn default() -> Self {
        ShortestPromptFirstParams { token_budget: 512, seats: 128 }
    }
}

impl Parameters for ShortestPromptFirstParams {
    const SUMMARY: &'static str = "the shortest prompt first, in chunks beside decodes";

    fn problems(&self, _: &EngineInfo) -> Vec<Problem> {
        Problem::when(self.token_budget == 0, "token_budget", "at least 1").into_iter().collect()
    }

    fn build(&self, _: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(ShortestPromptFirst { token_budget: self.token_budget, seats: self.seats })
    }

    fn facts(&self, _: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "token_budget", most: Some(self.token_budget) };
        Facts {
            seats: Seats::held("seats", self.seats),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            cuts_prompts: true,
            takes: Takes::MaxTokens,
            ..Facts::default()
        }
    }
}
