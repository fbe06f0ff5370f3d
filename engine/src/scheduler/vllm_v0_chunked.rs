//! vLLM v0 with `--enable-chunked-prefill`: decodes and partial prefills by arrival under one token
//! budget, then new prompts with what is left.
//!
//! Rules read from vLLM 0.4.2 (`core/scheduler.py`, `_schedule_chunked_prefill`). A prompt's
//! blocks are all taken at admission. Requests preempted in a step join the queue's front only
//! after its admissions, so later requests may overtake them there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_arrival::{Fitting, by_arrival, make_room, next_fitting};
use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Order, Seats, StepBudget};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::proofs::{Capability, Proof};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Held, Hit, Needs, Scheduler, Step};

/// Parameters of `vllm-v0-chunked`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV0ChunkedParams {
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Token budget of a step, decodes included. 512 in 0.4.2; 2048 from November 2024 on.
    #[serde(alias = "chunk_size", alias = "chunk_tokens")]
    pub max_num_batched_tokens: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
}

impl Default for VllmV0ChunkedParams {
    fn default() -> Self {
        VllmV0ChunkedParams { max_num_seqs: 256, max_num_batched_tokens: 512, watermark: 0.01 }
    }
}

impl Parameters for VllmV0ChunkedParams {
    const SYSTEM: &'static str = "vLLM 0.4.2 --enable-chunked-prefill";
    const SUMMARY: &'static str = "decodes and prompt chunks by arrival under one token budget";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[Proof::code("0.4.2", Capability::Synchronous, 4, 2038)];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        [
            Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1"),
            Problem::when(self.max_num_batched_tokens == 0, "max_num_batched_tokens", "at least 1"),
            Problem::when(!(0.0..1.0).contains(&self.watermark), "watermark", "from 0 to below 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        VllmV0ChunkedParams {
            max_num_seqs: draws.seats(),
            max_num_batched_tokens: draws.chunk(),
            watermark: draws.share(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(VllmV0Chunked {
            seats: self.max_num_seqs,
            budget: self.max_num_batched_tokens,
            max_model_len: engine.max_model_len,
            watermark_blocks: watermark_blocks(self.watermark, engine.kv_blocks),
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let budget =
            Limit { parameter: "max_num_batched_tokens", most: Some(self.max_num_batched_tokens) };
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            seats_over_pipeline: Some(false),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            watermark: Some("watermark"),
            cuts_prompts: true,
            order: Order::Arrival,
            ..Facts::default()
        }
    }
}

struct VllmV0Chunked {
    seats: u32,
    budget: u32,
    max_model_len: u32,
    watermark_blocks: u32,
}

impl Scheduler for VllmV0Chunked {
    fn needs(&self) -> Needs {
        Needs {
            watermark_blocks: self.watermark_blocks,
            spare_block_over: Some(self.budget),
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let budget = match self.run_in_bulk(step) {
            Some(budget) => budget,
            None => self.run_by_arrival(step),
        };
        self.admit(step, budget);
        // New prefills, then running ones (first those that this step completes), then decodes.
        step.arrange(|view| match (view.is_prefilling(), view.admitted_now) {
            (false, _) => 3,
            (true, true) => 0,
            (true, false) => 1 + u32::from(view.scheduled < view.prefill_left()),
        });
        step.repeats(step.blocks_to_grow());
    }
}

impl VllmV0Chunked {
    /// The same as serving by arrival, where the order cannot matter: memory for all, and prefills
    /// only behind all decodes. Returns what is left of the budget.
    fn run_in_bulk(&self, step: &mut Step<'_>) -> Option<u32> {
        let needed = step.blocks_for_decodes() + step.blocks_to_grow();
        let roomy = step.may_decode_all() && step.free_blocks() >= needed;
        let ordered = step.admitted_by_arrival() && step.prefilling_last();
        if !roomy || !ordered || step.decoding_len() > self.budget {
            return None;
        }
        step.decode_all();
        let mut budget = self.budget - step.decoding_len();
        for request in step.prefilling().collect::<Vec<_>>() {
            let chunk = step.view(request).prefill_left().min(budget);
            if chunk == 0 {
                break;
            }
            let runs = step.run(request, chunk);
            assert!(runs, "the whole prompt's blocks were taken at admission");
            budget -= chunk;
        }
        Some(budget)
    }

    fn run_by_arrival(&self, step: &mut Step<'_>) -> u32 {
        let mut budget = self.budget;
        let mut queue = by_arrival(step);
        while let Some(request) = queue.pop_front() {
            let view = step.view(request);
            let tokens = if view.is_prefilling() { view.prefill_left().min(budget) } else { 1 };
            if tokens.min(budget) == 0 {
                break;
            }
            if make_room(step, request, &mut queue) {
                let runs = step.run(request, tokens);
                assert!(runs, "a block is free, and prompts hold theirs");
                budget -= tokens;
            }
        }
        budget
    }

    fn admit(&self, step: &mut Step<'_>, mut budget: u32) {
        // This step's victims stand at the queue's front and are passed over.
        let first = step.preempted_len();
        while let Some(Fitting { request, tokens, wanted }) =
            next_fitting(step, first, self.max_model_len, self.watermark_blocks)
        {
            let chunk = tokens.min(budget);
            if chunk == 0 {
                return step.hold_while_free(Held::NoTokenBudget, wanted);
            }
            if step.seats_used() >= self.seats {
                return step.hold_while_free(Held::NoSeat, wanted);
            }
            let admitted = step.admit(request, chunk, tokens, Hit::default());
            assert!(admitted, "its blocks are free");
            budget -= chunk;
        }
    }
}
