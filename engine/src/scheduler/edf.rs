//! Earliest deadline first: every decode runs in every iteration, and prompts are computed beside them in
//! the order in which their next tokens are due, within a fixed budget of tokens.
//!
//! The oldest rule for work with deadlines (Liu and Layland 1973), on Sarathi's iterations: what a
//! policy gains that knows deadlines and nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Seats, StepBudget};
use super::out_of_turn::{decode, fill, prompts_by};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Feature, Needs, Scheduler, Step};

/// Parameters of `edf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdfParams {
    /// Tokens of an iteration, decodes included (decodes themselves are never cut).
    pub token_budget: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
}

impl Default for EdfParams {
    fn default() -> Self {
        EdfParams { token_budget: 512, max_num_seqs: 256, watermark: 0.01 }
    }
}

impl Parameters for EdfParams {
    const SYSTEM: &'static str = "earliest deadline first on Sarathi's iterations";
    const SUMMARY: &'static str = "decodes first, prompts by their deadlines, a fixed budget";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        budget_problems(self.token_budget, self.max_num_seqs, self.watermark)
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        EdfParams {
            token_budget: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let reserve = watermark_blocks(self.watermark, engine.kv_blocks);
        Box::new(Edf { budget: self.token_budget, seats: self.max_num_seqs, reserve })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        budget_facts(self.token_budget, self.max_num_seqs)
    }
}

/// What is wrong with a budget, seats and a watermark.
pub(super) fn budget_problems(budget: u32, seats: u32, watermark: f64) -> Vec<Problem> {
    [
        Problem::when(budget == 0, "token_budget", "at least 1"),
        Problem::when(seats == 0, "max_num_seqs", "at least 1"),
        Problem::when(!(0.0..1.0).contains(&watermark), "watermark", "from 0 to below 1"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What these say of a policy that computes prompts out of turn beside all decodes.
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

struct Edf {
    budget: u32,
    seats: u32,
    reserve: u32,
}

impl Scheduler for Edf {
    fn needs(&self) -> Needs {
        Needs {
            deadlines: true,
            plans_ahead: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        decode(step, |step, request| step.standing(request).next_deadline);
        let prompts = prompts_by(step, |request, _| step.standing(request).next_deadline);
        if prompts.is_empty() {
            return step.repeats(step.blocks_to_grow());
        }
        fill(step, &prompts, self.budget, (self.seats, self.reserve));
    }
}
