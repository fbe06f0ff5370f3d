//! Dynamic SplitFuse, of DeepSpeed-FastGen: a forward of a fixed number of tokens, decodes first,
//! filled up with prompts of which only the last is cut.
//!
//! Rules read from DeepSpeed-MII d100a85 and 40dc447 (`batching/ragged_batching.py`; paper: arXiv
//! 2401.08671). FastGen's KV blocks hold 128 tokens by default: see `engine.kv_block_tokens`. MII
//! spends an empty pass on flushing a request from full memory; here the same step goes on.
//!
//! Not modelled: `max_tracked_sequences`, MII's check of sequences that lets one too many in.

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Order, Seats, StepBudget};
use super::parameters::{Evidence, Parameters, Problem};
use super::{EngineInfo, Handle, Held, Hit, Needs, QueueOrder, Scheduler, Step};
use crate::request::RequestId;

/// Parameters of `splitfuse`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitFuseParams {
    /// Tokens of a forward, decodes included.
    #[serde(alias = "max_num_batched_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub max_ragged_batch_size: u32,
    /// Most requests in a forward.
    #[serde(alias = "max_num_seqs")]
    pub max_ragged_sequence_count: u32,
}

impl Default for SplitFuseParams {
    fn default() -> Self {
        SplitFuseParams { max_ragged_batch_size: 768, max_ragged_sequence_count: 512 }
    }
}

impl Parameters for SplitFuseParams {
    const SYSTEM: &'static str = "DeepSpeed-FastGen (MII d100a85)";
    const SUMMARY: &'static str = "forwards of a fixed size, decodes first, the last prompt cut";
    const EVIDENCE: Evidence = Evidence::Modelled;

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let (tokens, requests) = (self.max_ragged_batch_size, self.max_ragged_sequence_count);
        [
            Problem::when(tokens == 0, "max_ragged_batch_size", "at least 1"),
            Problem::when(requests == 0, "max_ragged_sequence_count", "at least 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        SplitFuseParams {
            max_ragged_batch_size: draws.chunk(),
            max_ragged_sequence_count: draws.seats(),
        }
    }

    fn build(&self, _engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(SplitFuse {
            tokens: self.max_ragged_batch_size,
            requests: self.max_ragged_sequence_count,
            order: Vec::new(),
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        let budget =
            Limit { parameter: "max_ragged_batch_size", most: Some(self.max_ragged_batch_size) };
        Facts {
            seats: Seats::in_step("max_ragged_sequence_count", self.max_ragged_sequence_count),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            cuts_prompts: true,
            order: Order::Arrival,
            // A cut prompt that holds all memory finds none free for its rest, and is flushed and
            // begun again, for ever (MII #339).
            hangs: engine.kv_blocks <= engine.max_model_len.div_ceil(engine.kv_block_tokens),
            ..Facts::default()
        }
    }
}

struct SplitFuse {
    tokens: u32,
    requests: u32,
    /// Generating requests in MII's buffer: those passed over for want of memory or room come
    /// first. Kept only when not all of them decode.
    order: Vec<(Handle, RequestId)>,
}

impl Scheduler for SplitFuse {
    fn needs(&self) -> Needs {
        Needs { queue: QueueOrder::FcfsPreemptedLast, ..Needs::default() }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        loop {
            let free = step.free_blocks();
            let decodes = self.decode(step);
            self.prefill(step, decodes, free);
            if !step.is_empty() || !self.flush(step) {
                break;
            }
        }
        step.repeats(0);
    }
}

impl SplitFuse {
    /// One token for everyone who generates and has room for it; says for how many.
    fn decode(&mut self, step: &mut Step<'_>) -> u32 {
        let decodes = step.decoding_len();
        let most = self.tokens.min(self.requests);
        let roomy = decodes <= most && step.blocks_for_decodes() <= step.free_blocks();
        if decodes > 0 && roomy && step.may_decode_all() {
            step.decode_all();
            return decodes;
        }
        self.settle_order(step);
        let place = most.min(decodes) as usize;
        let beyond = self.order.split_off(place);
        let (scheduled, passed_over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.order)
            .into_iter()
            .partition(|&(request, _)| step.run(request, 1));
        let count = scheduled.len() as u32;
        self.order = [passed_over, beyond, scheduled].concat();
        count
    }

    /// Drops those from the order that generate no more, and appends those that now do.
    fn settle_order(&mut self, step: &Step<'_>) {
        let generating: Vec<(Handle, RequestId)> = step
            .running()
            .map(|request| (request, step.view(request)))
            .filter(|(_, view)| !view.is_prefilling())
            .map(|(request, view)| (request, view.id))
            .collect();
        let now: FxHashSet<RequestId> = generating.iter().map(|&(_, id)| id).collect();
        self.order.retain(|(_, id)| now.contains(id));
        let before: FxHashSet<RequestId> = self.order.iter().map(|&(_, id)| id).collect();
        self.order.extend(generating.into_iter().filter(|(_, id)| !before.contains(id)));
    }

    /// Prompts with what is left of the forward; `free` blocks there were before its decodes.
    fn prefill(&self, step: &mut Step<'_>, decodes: u32, free: u32) {
        let (mut tokens, mut requests) = (decodes, decodes);
        let cut: Vec<Handle> = step.prefilling().collect();
        let mut cut = cut.into_iter();
        while let Some(request) = cut.next().or_else(|| step.waiting_at(0)) {
            let view = step.view(request);
            let blocks = step.more_blocks_for(request, view.prefill_target);
            // The whole rest of the prompt must fit, or a flushed request would come straight back.
            if free == 0 || blocks > step.free_blocks() {
                return step.hold_for_blocks(blocks.max(1));
            }
            // As decodes take the free blocks, memory becomes the reason.
            let wanted = blocks.max(1);
            if requests >= self.requests {
                return step.hold_while_free(Held::NoSeat, wanted);
            }
            if tokens >= self.tokens {
                return step.hold_while_free(Held::NoTokenBudget, wanted);
            }
            let chunk = view.prefill_left().min(self.tokens - tokens);
            let runs = match view.blocks {
                0 => step.admit(request, chunk, 0, Hit::default()),
                _ => step.run(request, chunk),
            };
            assert!(runs, "its blocks are free");
            tokens += chunk;
            requests += 1;
        }
    }

    /// Takes the memory of the last request in the buffer that has any, which is then recomputed.
    /// Generating requests stand behind a prompt that was cut. Says whether there was one.
    fn flush(&mut self, step: &mut Step<'_>) -> bool {
        let generating = self.order.pop().map(|(request, _)| request);
        let Some(last) = generating.or_else(|| step.prefilling().next_back()) else {
            return false;
        };
        step.preempt(last);
        step.hold(Held::Preempting);
        true
    }
}
