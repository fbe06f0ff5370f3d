//! vLLM v0's default scheduler: prefills first, alone in their step, so that every decode waits.
//!
//! Rules read from vLLM 0.4.2 (`core/scheduler.py`, `core/block_manager_v1.py`) and from the copy
//! in Sarathi-Serve 96f9911 (`vllm_scheduler.py`). One sequence a request, so preemption is by
//! recompute and nothing is swapped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_arrival::{Fitting, decode_by_arrival, next_fitting};
use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Order, Prefills, Seats, StepBudget};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::proofs::{Capability, Proof};
use super::{EngineInfo, Held, Hit, Needs, Scheduler, Step};
use crate::time::{Span, Time};

/// Parameters of `vllm-v0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VllmV0Params {
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Most prompt tokens in a prefill step; default: the larger of max_model_len and 2048.
    pub max_num_batched_tokens: Option<u32>,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// Prefills wait until the oldest has waited this many times the last prefill step's length
    /// (0: never).
    #[serde(alias = "scheduler_delay_factor")]
    pub delay_factor: f64,
}

impl Default for VllmV0Params {
    fn default() -> Self {
        VllmV0Params {
            max_num_seqs: 256,
            max_num_batched_tokens: None,
            watermark: 0.01,
            delay_factor: 0.0,
        }
    }
}

impl Parameters for VllmV0Params {
    const SYSTEM: &'static str = "vLLM 0.4.2";
    const SUMMARY: &'static str = "prefills first and alone: every prompt stalls every decode";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[
        Proof::code("0.4.2", Capability::Synchronous, 3, 2099),
        Proof::code("96f9911", Capability::Synchronous, 2, 1886),
    ];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let delay = self.delay_factor;
        [
            Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1"),
            Problem::when(
                self.max_num_batched_tokens == Some(0),
                "max_num_batched_tokens",
                "at least 1",
            ),
            Problem::when(!(0.0..1.0).contains(&self.watermark), "watermark", "from 0 to below 1"),
            Problem::when(!(delay >= 0.0 && delay.is_finite()), "delay_factor", "0 or more"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn resolved(&self, engine: &EngineInfo) -> Self {
        VllmV0Params { max_num_batched_tokens: Some(self.budget(engine)), ..self.clone() }
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let short = draws.one_of(&[true, false, false, false]);
        VllmV0Params {
            max_num_seqs: draws.seats(),
            max_num_batched_tokens: draws.perhaps(|draws| draws.budget(short)),
            watermark: draws.share(),
            delay_factor: draws.one_of(&[0.0, 0.0, 0.5, 3.0, 1e9]),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        Idle::watermark(self.watermark, &setting.engine).into_iter().collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let budget = self.budget(engine);
        Box::new(VllmV0 {
            seats: self.max_num_seqs,
            budget,
            prompt_tokens_max: budget.min(engine.max_model_len),
            watermark_blocks: watermark_blocks(self.watermark, engine.kv_blocks),
            delay_factor: self.delay_factor,
            prefill_started: None,
            last_prefill: Span::ZERO,
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "max_num_batched_tokens", most: Some(self.budget(engine)) };
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            seats_over_pipeline: Some(false),
            budget: Some(StepBudget::loose(budget, Bounds::WholePrompts)),
            watermark: Some("watermark"),
            prefills: Prefills::First,
            order: Order::Arrival,
            drops: self.budget(engine) < engine.max_model_len,
            ..Facts::default()
        }
    }
}

impl VllmV0Params {
    fn budget(&self, engine: &EngineInfo) -> u32 {
        self.max_num_batched_tokens.unwrap_or(engine.max_model_len.max(2048))
    }
}

/// Blocks that an admission must leave free: `int(watermark * num_gpu_blocks)`.
pub(super) fn watermark_blocks(watermark: f64, kv_blocks: u32) -> u32 {
    (watermark * f64::from(kv_blocks)) as u32
}

struct VllmV0 {
    seats: u32,
    budget: u32,
    prompt_tokens_max: u32,
    watermark_blocks: u32,
    delay_factor: f64,
    prefill_started: Option<Time>,
    last_prefill: Span,
}

impl Scheduler for VllmV0 {
    fn needs(&self) -> Needs {
        Needs {
            watermark_blocks: self.watermark_blocks,
            prompt_tokens_max: Some(self.prompt_tokens_max),
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        if let Some(started) = self.prefill_started.take() {
            self.last_prefill = step.now().since(started);
        }
        if self.delay_passed(step) {
            self.admit_prompts(step);
        }
        if !step.is_empty() {
            self.prefill_started = Some(step.now());
            return;
        }
        decode_by_arrival(step);
        // With a delay factor the same queue may be admitted later merely because time passes.
        if self.delay_factor == 0.0 || step.waiting_len() == 0 {
            step.repeats(step.blocks_to_grow());
        }
    }
}

impl VllmV0 {
    fn admit_prompts(&self, step: &mut Step<'_>) {
        let mut budget = self.budget;
        while let Some(Fitting { request, tokens, wanted }) =
            next_fitting(step, 0, self.prompt_tokens_max, self.watermark_blocks)
        {
            if tokens > budget {
                return step.hold_while_free(Held::NoTokenBudget, wanted);
            }
            if step.seats_used() >= self.seats {
                return step.hold_while_free(Held::NoSeat, wanted);
            }
            let admitted = step.admit(request, tokens, tokens, Hit::default());
            assert!(admitted, "its blocks are free");
            budget -= tokens;
        }
    }

    fn delay_passed(&mut self, step: &mut Step<'_>) -> bool {
        if self.delay_factor == 0.0 || step.running_len() == 0 {
            return true;
        }
        let oldest = step.waiting().map(|r| step.view(r).arrival).min();
        let Some(oldest) = oldest else { return true };
        let waited = step.now().since(oldest).as_nanos() as f64;
        let passed = waited > self.delay_factor * self.last_prefill.as_nanos() as f64;
        if !passed {
            step.hold(Held::Deferred);
        }
        passed
    }
}
