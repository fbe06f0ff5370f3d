//! Medha: prompts by least relative slack, chunks as large as the promised pace of decodes lets them be,
//! and long prompts that give way as long as they have slack.
//!
//! Rules from "Medha: Efficiently Serving Multi-Million Context Length LLM Inference" (arXiv
//! 2409.17264v5), as summed up in a description: relative slack is what is left to the deadline less the
//! work left, over the whole work; a long prompt with relative slack `rho` takes a share `1 - rho` of an
//! iteration's time; at most one long prompt is in a batch. Its parallelism over sequences is not
//! modelled. Not compared with its code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Facts, Limit, Seats};
use super::largest::{Forming, share};
use super::out_of_turn::{compute, decode, is_begun, problems};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Feature, Handle, Held, Needs, RequestView, Scheduler, Step};
use crate::cost::{BatchShape, Chunk, Decodes};
use crate::time::Span;

/// Parameters of `medha`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MedhaParams {
    /// The most prompt tokens of an iteration.
    pub max_chunk: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// From so many tokens on a prompt is long.
    pub long_prompt_tokens: u32,
    /// The share of the promised time between tokens that an iteration may take.
    pub pace_share: f64,
}

impl Default for MedhaParams {
    fn default() -> Self {
        MedhaParams {
            max_chunk: 8192,
            max_num_seqs: 256,
            watermark: 0.01,
            long_prompt_tokens: 8192,
            pace_share: 1.0,
        }
    }
}

impl Parameters for MedhaParams {
    const SYSTEM: &'static str = "Medha (arXiv 2409.17264v5)";
    const SUMMARY: &'static str = "chunks by the promised pace, prompts by least relative slack";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::AsyncScheduling];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let pace = self.pace_share;
        let own = [
            Problem::when(self.long_prompt_tokens == 0, "long_prompt_tokens", "at least 1"),
            Problem::when(!(0.01..=100.0).contains(&pace), "pace_share", "from 0.01 to 100"),
        ];
        let mut all = problems(("max_chunk", self.max_chunk), self.max_num_seqs, self.watermark);
        all.extend(own.into_iter().flatten());
        all
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        MedhaParams {
            max_chunk: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
            long_prompt_tokens: draws.threshold().max(1),
            pace_share: draws.one_of(&[0.1, 0.8, 1.0, 2.0]),
        }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let reserve = watermark_blocks(self.watermark, engine.kv_blocks);
        Box::new(Medha { given: self.clone(), reserve })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            longest_chunk: Limit::of("max_chunk", self.max_chunk),
            watermark: Some("watermark"),
            cuts_prompts: true,
            ..Facts::default()
        }
    }
}

struct Medha {
    given: MedhaParams,
    reserve: u32,
}

/// A prompt, and its relative slack.
struct Prompt {
    request: Handle,
    view: RequestView,
    slack: f64,
}

impl Medha {
    /// Prompts by least relative slack.
    fn order(&self, step: &Step<'_>) -> Vec<Prompt> {
        let now = step.starts_at().as_nanos() as f64;
        let time = |context: u32, tokens: u32| {
            let chunk = [Chunk { context, tokens: tokens.max(1) }];
            step.predict(&BatchShape::new(&chunk, Decodes::NONE, 1)).as_nanos() as f64
        };
        let of = |request: Handle| {
            let view = step.view(request);
            let due = step.standing(request).next_deadline.as_nanos() as f64;
            let left = time(view.computed, view.prefill_left());
            let all = if view.computed == 0 { left } else { time(0, view.prefill_target) };
            Prompt { request, view, slack: (due - now - left) / all }
        };
        let mut all: Vec<Prompt> = step.prefilling().chain(step.waiting()).map(of).collect();
        all.sort_by(|one, other| {
            one.slack.total_cmp(&other.slack).then(one.view.id.cmp(&other.view.id))
        });
        all
    }

    /// The time of an iteration: that of the fastest pace promised to one who decodes.
    fn pace(&self, step: &Step<'_>) -> Span {
        let decodes = step.running().filter(|&request| !step.view(request).is_prefilling());
        let tbt = decodes.map(|request| step.standing(request).tbt).min();
        tbt.map_or(Span::MAX, |tbt| share(tbt, self.given.pace_share))
    }
}

impl Scheduler for Medha {
    fn needs(&self) -> Needs {
        Needs {
            deadlines: true,
            predicts: true,
            plans_ahead: true,
            one_lane: true,
            watermark_blocks: self.reserve,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        decode(step, |step, request| {
            let view = step.view(request);
            (view.arrival, view.id)
        });
        let prompts = self.order(step);
        if prompts.is_empty() {
            return step.repeats(step.blocks_to_grow());
        }
        let pace = self.pace(step);
        let mut forming = Forming::new(step.all_decodes());
        let (mut left, mut long, mut full) = (self.given.max_chunk, false, false);
        let limits = (self.given.max_num_seqs, self.reserve);
        for Prompt { request, view, slack } in prompts {
            if full && !is_begun(&view) {
                continue;
            }
            let is_long = view.prefill_target >= self.given.long_prompt_tokens;
            if is_long && long {
                step.hold_request(request, Held::Deferred);
                continue;
            }
            let time = match is_long && pace != Span::MAX {
                false => pace,
                true => {
                    let so_far = forming.time(step).as_nanos();
                    let rest = Span::from_nanos(pace.as_nanos().saturating_sub(so_far));
                    Span::from_nanos(so_far) + share(rest, 1.0 - slack.clamp(0.0, 1.0))
                }
            };
            let tokens = forming.largest(step, &view, left, time);
            if tokens == 0 {
                let reason = if left == 0 { Held::NoTokenBudget } else { Held::Deferred };
                step.hold(reason);
                // A long one that gives way leaves the time to those behind it.
                if is_long && left > 0 {
                    step.hold_request(request, reason);
                    continue;
                }
                return;
            }
            if let Err(reason) = compute(step, (request, &view), tokens, limits) {
                // Those behind who hold their blocks go on; nobody overtakes into a seat.
                full = true;
                step.hold(reason);
                continue;
            }
            forming.add(&view, tokens);
            left -= tokens;
            long |= is_long;
        }
    }
}
