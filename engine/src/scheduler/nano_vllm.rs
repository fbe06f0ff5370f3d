//! nano-vllm: prefill steps while anything can be admitted, decode steps otherwise; prefix caching
//! always on.
//!
//! Rules read from nano-vllm bb823b3 (`engine/scheduler.py`, `engine/block_manager.py`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Order, Prefills, Seats, StepBudget};
use super::parameters::{Evidence, Feature, Parameters, Problem};
use super::proofs::{Capability, Proof};
use super::{CacheRules, EngineInfo, Handle, Held, Hit, Needs, Scheduler, Step};

/// Parameters of `nano-vllm`. Its KV blocks are of 256 tokens by default: see
/// `engine.kv_block_tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NanoVllmParams {
    /// Most requests in a step.
    pub max_num_seqs: u32,
    /// Most prompt tokens in a prefill step.
    pub max_num_batched_tokens: u32,
}

impl Default for NanoVllmParams {
    fn default() -> Self {
        NanoVllmParams { max_num_seqs: 512, max_num_batched_tokens: 16384 }
    }
}

impl Parameters for NanoVllmParams {
    const SYSTEM: &'static str = "nano-vllm bb823b3";
    const SUMMARY: &'static str = "prefill steps first, the first prompt of a step may be cut";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[
        Proof::code("bb823b3", Capability::Synchronous, 5, 2817),
        Proof::code("bb823b3", Capability::PrefixCaching, 5, 2817),
    ];
    const FEATURES: &'static [Feature] = &[Feature::PrefixCaching];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        [
            Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1"),
            Problem::when(self.max_num_batched_tokens == 0, "max_num_batched_tokens", "at least 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        NanoVllmParams { max_num_seqs: draws.seats(), max_num_batched_tokens: draws.chunk() }
    }

    fn build(&self, _engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(NanoVllm { seats: self.max_num_seqs, budget: self.max_num_batched_tokens })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let budget =
            Limit { parameter: "max_num_batched_tokens", most: Some(self.max_num_batched_tokens) };
        Facts {
            // It holds for what a step runs, not for all who are running.
            seats: Seats::in_step("max_num_seqs", self.max_num_seqs),
            budget: Some(StepBudget::loose(budget, Bounds::Chunks)),
            prefills: Prefills::First,
            cuts_prompts: true,
            order: Order::Arrival,
            ..Facts::default()
        }
    }
}

struct NanoVllm {
    seats: u32,
    budget: u32,
}

impl Scheduler for NanoVllm {
    fn needs(&self) -> Needs {
        Needs {
            cache: Some(CacheRules {
                keyless_first: false,
                newest_wins: true,
                hash_at_schedule: false,
                keeps_states: false,
            }),
            always_caches: true,
            ..Needs::default()
        }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.prefill(step);
        if step.is_empty() {
            self.decode(step);
            step.repeats(0);
        }
    }
}

impl NanoVllm {
    fn prefill(&self, step: &mut Step<'_>) {
        let (mut sequences, mut left) = (0, self.budget);
        // A prompt that was cut goes on before anyone else; it holds all its blocks.
        let cut: Option<Handle> = step.prefilling().next();
        if let Some(request) = cut {
            let chunk = step.view(request).prefill_left().min(left);
            let runs = step.run(request, chunk);
            assert!(runs, "a cut prompt holds all its blocks");
            sequences += 1;
            left -= chunk;
        }
        while let Some(request) = step.waiting_at(0) {
            if sequences == self.seats {
                return step.hold(Held::NoSeat);
            }
            if left == 0 {
                return step.hold(Held::NoTokenBudget);
            }
            let tokens = step.view(request).tokens;
            let hit: Hit = step.lookup(request);
            let blocks = step.blocks_to_admit(tokens, hit);
            if blocks > step.free_blocks() {
                return step.hold_for_blocks(blocks);
            }
            let uncached = tokens - hit.blocks * step.block_tokens();
            if uncached > left && sequences > 0 {
                return step.hold(Held::NoTokenBudget);
            }
            let chunk = uncached.min(left);
            let admitted = step.admit(request, chunk, tokens, hit);
            assert!(admitted, "its blocks are free");
            sequences += 1;
            left -= chunk;
        }
    }

    fn decode(&self, step: &mut Step<'_>) {
        let all = step.decoding_len() <= self.seats;
        if all && step.may_decode_all() && step.blocks_for_decodes() <= step.free_blocks() {
            return step.decode_all();
        }
        let mut running: Vec<Handle> = step.running().collect();
        let (mut i, mut scheduled) = (0, 0);
        while i < running.len() && scheduled < self.seats {
            let request = running[i];
            let mut runs = step.run(request, 1);
            while !runs {
                let victim = running.pop().expect("the request itself runs");
                step.preempt(victim);
                if victim == request {
                    return;
                }
                runs = step.run(request, 1);
            }
            i += 1;
            scheduled += 1;
        }
    }
}
