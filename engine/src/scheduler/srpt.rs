//! Shortest remaining prompt first: every decode runs in every iteration, and beside them the prompt with
//! the fewest tokens left, within a fixed budget of tokens.
//!
//! Shortest remaining processing time (Schrage 1968) as far as an engine knows it: what is left of an
//! answer it does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::Facts;
use super::out_of_turn::{budget_facts, decode, fill, problems, prompts_by};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Feature, Needs, Scheduler, Step};

/// Parameters of `srpt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SrptParams {
    /// Tokens of an iteration, decodes included (decodes themselves are never cut).
    pub token_budget: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
}

impl Default for SrptParams {
    fn default() -> Self {
        SrptParams { token_budget: 512, max_num_seqs: 256, watermark: 0.01 }
    }
}

impl Parameters for SrptParams {
    const SYSTEM: &'static str = "shortest remaining prompt first on Sarathi's iterations";
    const SUMMARY: &'static str = "decodes first, the shortest prompt left, a fixed budget";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        problems(("token_budget", self.token_budget), self.max_num_seqs, self.watermark)
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        SrptParams {
            token_budget: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let reserve = watermark_blocks(self.watermark, engine.kv_blocks);
        Box::new(Srpt { budget: self.token_budget, seats: self.max_num_seqs, reserve })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        budget_facts(self.token_budget, self.max_num_seqs)
    }
}

struct Srpt {
    budget: u32,
    seats: u32,
    reserve: u32,
}

impl Scheduler for Srpt {
    fn needs(&self) -> Needs {
        Needs {
            plans_ahead: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        // Who has come furthest loses most.
        decode(step, |step, request| {
            let view = step.view(request);
            (std::cmp::Reverse(view.tokens), view.id)
        });
        let prompts = prompts_by(step, |_, view| view.prefill_left());
        if prompts.is_empty() {
            return step.repeats(step.blocks_to_grow());
        }
        fill(step, &prompts, self.budget, (self.seats, self.reserve));
    }
}
