//! SLAI: a decode waits until its last moment, so that prompts go first as long as nobody's next token
//! would be late by it.
//!
//! Rules from "Optimal Scheduling Algorithms for LLM Inference: Theory and Practice" (SLAI, arXiv
//! 2508.01002), as summed up in a description: a decode has a last moment, its last token and the
//! promised time between tokens less an offset; an iteration of a fixed budget takes decodes whose moment
//! has come, prompts that are begun, new prompts, the shortest first, and with what is left the other
//! decodes. Not compared with its code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Seats, StepBudget};
use super::out_of_turn::{compute, is_begun, problems, prompts_by};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Handle, Held, Needs, Scheduler, Step};
use crate::time::{Span, Time};

/// Parameters of `slai`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlaiParams {
    /// Tokens of an iteration, decodes included.
    pub token_budget: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// How long before the promised time after its last token a decode's last moment is, in
    /// milliseconds: longer than an iteration takes.
    pub offset_ms: f64,
}

impl Default for SlaiParams {
    fn default() -> Self {
        SlaiParams { token_budget: 512, max_num_seqs: 256, watermark: 0.01, offset_ms: 30.0 }
    }
}

impl Parameters for SlaiParams {
    const SYSTEM: &'static str = "SLAI (arXiv 2508.01002)";
    const SUMMARY: &'static str = "decodes at their last moment, prompts first until then";
    const EVIDENCE: Evidence = Evidence::Modelled;

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let offset = self.offset_ms;
        let own = [Problem::when(!(0.0..=1e6).contains(&offset), "offset_ms", "from 0 to 1000000")];
        let mut all =
            problems(("token_budget", self.token_budget), self.max_num_seqs, self.watermark);
        all.extend(own.into_iter().flatten());
        all
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        SlaiParams {
            token_budget: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
            offset_ms: draws.one_of(&[0.0, 1.0, 10.0, 100.0]),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(Slai {
            budget: self.token_budget,
            seats: self.max_num_seqs,
            reserve: watermark_blocks(self.watermark, engine.kv_blocks),
            offset: Span::from_nanos((self.offset_ms * 1e6).round() as u64),
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let limit = Limit { parameter: "token_budget", most: Some(self.token_budget) };
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            budget: Some(StepBudget::strict(limit, Bounds::Step)),
            watermark: Some("watermark"),
            cuts_prompts: true,
            ..Facts::default()
        }
    }
}

struct Slai {
    budget: u32,
    seats: u32,
    reserve: u32,
    offset: Span,
}

/// A decode, by its last moment.
type Decode = (Time, Handle);

impl Slai {
    /// Those who decode, by their last moments.
    fn decodes(&self, step: &Step<'_>) -> Vec<Decode> {
        let decoding = step.running().filter(|&request| !step.view(request).is_prefilling());
        let moment = |request: Handle| {
            let standing = step.standing(request);
            let last = standing.last_token.unwrap_or(step.now()).as_nanos();
            let due = last.saturating_add(standing.tbt.as_nanos());
            (Time::from_nanos(due.saturating_sub(self.offset.as_nanos())), request)
        };
        let mut decodes: Vec<Decode> = decoding.map(moment).collect();
        decodes.sort_unstable();
        decodes
    }

    /// Decodes these as far as the budget goes; those with the most time left give way for memory.
    fn decode(
        step: &mut Step<'_>,
        decodes: &mut Vec<Decode>,
        rest: &mut Vec<Decode>,
        left: &mut u32,
    ) {
        decodes.reverse();
        while *left > 0
            && let Some((_, request)) = decodes.pop()
        {
            while !step.run(request, 1) {
                let partial = step.prefilling().rfind(|&other| step.view(other).scheduled == 0);
                let later = || rest.pop().map(|(_, other)| other);
                let behind = || (!decodes.is_empty()).then(|| decodes.remove(0).1);
                let victim = partial.or_else(later);
                let victim = victim.or_else(behind).unwrap_or(request);
                step.preempt(victim);
                if victim == request {
                    break;
                }
            }
            *left -= u32::from(step_has(step, request));
        }
    }
}

/// Whether a request is in the batch.
fn step_has(step: &Step<'_>, request: Handle) -> bool {
    step.view(request).scheduled > 0
}

impl Scheduler for Slai {
    fn needs(&self) -> Needs {
        Needs {
            deadlines: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let nothing_else = step.waiting_len() == 0 && step.prefilling().next().is_none();
        let all = step.decoding_len() <= self.budget;
        let needed = step.blocks_for_decodes() + step.blocks_to_grow();
        if nothing_else && all && step.may_decode_all() && needed <= step.free_blocks() {
            step.decode_all();
            return step.repeats(step.blocks_to_grow());
        }
        let mut rest = self.decodes(step);
        let later = rest.split_off(rest.partition_point(|&(moment, _)| moment <= step.now()));
        let (mut urgent, mut rest, mut left) = (rest, later, self.budget);
        Slai::decode(step, &mut urgent, &mut rest, &mut left);
        let prompts = prompts_by(step, |_, view| (!is_begun(view), view.prefill_left()));
        for (request, view) in prompts {
            let tokens = view.prefill_left().min(left);
            let held = match tokens {
                0 => Err(Held::NoTokenBudget),
                _ => compute(step, (request, &view), tokens, (self.seats, self.reserve)),
            };
            if let Err(reason) = held {
                step.hold(reason);
                break;
            }
            left -= tokens;
        }
        Slai::decode(step, &mut rest, &mut Vec::new(), &mut left);
    }
}
