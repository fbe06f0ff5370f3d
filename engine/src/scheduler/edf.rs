//! Earliest deadline first: every decode runs in every iteration, and prompts are computed beside them in
//! the order in which their next tokens are due, within a fixed budget of tokens.
//!
//! The oldest rule for work with deadlines (Liu and Layland 1973), on Sarathi's iterations: what a
//! policy gains that knows deadlines and nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::Facts;
use super::out_of_turn::{budget_facts, decode, fill, problems, prompts_by};
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
        problems(("token_budget", self.token_budget), self.max_num_seqs, self.watermark)
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
