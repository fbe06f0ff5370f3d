//! A policy that looks at deadlines: whoever has the least time left goes first, and a step computes as many
//! prompt tokens as the tightest answer leaves time for.

use metron_sim::policy::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The policy of one replica.
struct LeastSlack {
    given: LeastSlackParams,
}

impl Scheduler for LeastSlack {
    fn needs(&self) -> Needs {
        Needs { deadlines: true, ..Needs::default() }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let due = |step: &Step<'_>, request| step.standing(request).next_deadline;
        let mut preempted = false;
        while step.blocks_for_decodes() > step.free_blocks() {
            // Memory has run out: whoever has the most time left gives way.
            let last = step.running().max_by_key(|&request| due(step, request));
            step.preempt(last.expect("somebody decodes"));
            preempted = true;
        }
        if step.may_decode_all() {
            step.decode_all();
        } else {
            for request in step.running().collect::<Vec<_>>() {
                if !step.view(request).is_prefilling() {
                    step.run(request, 1);
                }
            }
        }
        let room = self.given.max_tokens.saturating_sub(step.decoding_len());
        let mut budget = match step.least_deadline() {
            None => room,
            Some(due) => {
                let slack_ms = due.since(step.now().min(due)).as_millis_f64();
                let tokens = (slack_ms * self.given.tokens_per_ms) as u32;
                tokens.max(self.given.min_tokens).min(room)
            }
        };
        let mut begun: Vec<Handle> = step.prefilling().collect();
        begun.sort_by_key(|&request| due(step, request));
        for request in begun {
            let tokens = step.view(request).prefill_left().min(budget);
            if tokens == 0 {
                step.hold_request(request, Held::NoTokenBudget);
            } else if step.run(request, tokens) {
                budget -= tokens;
            }
        }
        if preempted {
            return step.hold(Held::Preempting);
        }
        let mut waiting: Vec<Handle> = step.waiting().collect();
        waiting.sort_by_key(|&request| due(step, request));
        for request in waiting {
            let prompt = step.view(request).prefill_left();
            let tokens = prompt.min(budget);
            if tokens == 0 {
                return step.hold(Held::NoTokenBudget);
            }
            // Every seat may decode, a token each.
            if step.seats_used() >= self.given.seats.min(self.given.max_tokens) {
                return step.hold(Held::NoSeat);
            }
            // Memory for the whole prompt, so that what is begun is never stuck.
            if !step.admit(request, tokens, prompt, Hit::default()) {
                return step.hold(Held::NoKvBlocks);
            }
            budget -= tokens;
        }
    }
}

/// What a scenario may give: `least-slack: {tokens_per_ms: 20}`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LeastSlackParams {
    /// Most tokens of a step, decodes included.
    max_tokens: u32,
    /// Prompt tokens that a step computes however tight it is.
    min_tokens: u32,
    /// Prompt tokens for each millisecond that the tightest answer leaves.
    tokens_per_ms: f64,
    /// Most requests that hold a seat at once.
    seats: u32,
}

impl Default for LeastSlackParams {
    fn default() -> Self {
        LeastSlackParams { max_tokens: 2048, min_tokens: 64, tokens_per_ms: 20.0, seats: 256 }
    }
}

impl Parameters for LeastSlackParams {
    const SUMMARY: &'static str = "least time left first, beside decodes as far as they have time";

    fn problems(&self, _: &EngineInfo) -> Vec<Problem> {
        let given = [
            ("max_tokens", self.max_tokens),
            ("min_tokens", self.min_tokens),
            ("seats", self.seats),
        ];
        let problem = |(name, given)| Problem::when(given == 0, name, "at least 1");
        given.into_iter().filter_map(problem).collect()
    }

    fn build(&self, _: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(LeastSlack { given: self.clone() })
    }

    fn facts(&self, _: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "max_tokens", most: Some(self.max_tokens) };
        Facts {
            seats: Seats::held("seats", self.seats),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            cuts_prompts: true,
            ..Facts::default()
        }
    }
}
