//! FasterTransformer: static batches. A batch is admitted only when nothing runs, and runs until
//! its last request has ended; those that end early give their memory back at once.
//!
//! Rules read from Sarathi-Serve 96f9911 (`faster_transformer_scheduler.py`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Facts, Order, Prefills, Seats, Takes};
use super::orca::{admit_whole, decode_reserved};
use super::parameters::{Evidence, Parameters, Problem};
use super::proofs::{Capability, Proof};
use super::{EngineInfo, Held, RequestView, Scheduler, Step};

/// Parameters of `faster-transformer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FasterTransformerParams {
    /// Most requests in a batch.
    pub max_num_seqs: u32,
}

impl Default for FasterTransformerParams {
    fn default() -> Self {
        FasterTransformerParams { max_num_seqs: 128 }
    }
}

impl Parameters for FasterTransformerParams {
    const SYSTEM: &'static str = "FasterTransformer, as in Sarathi-Serve 96f9911";
    const SUMMARY: &'static str = "static batches: nobody joins until all have ended";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[Proof::code("96f9911", Capability::Synchronous, 1, 318)];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1").into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        FasterTransformerParams { max_num_seqs: draws.seats() }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(FasterTransformer {
            seats: self.max_num_seqs,
            max_model_len: engine.max_model_len,
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            prefills: Prefills::WhenIdle,
            takes: Takes::MaxModelLen,
            order: Order::Arrival,
            ..Facts::default()
        }
    }
}

struct FasterTransformer {
    seats: u32,
    max_model_len: u32,
}

impl Scheduler for FasterTransformer {
    fn reserves(&self, _request: &RequestView, block_tokens: u32) -> u32 {
        self.max_model_len.div_ceil(block_tokens)
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        if step.running_len() == 0 {
            return admit_whole(step, self.seats, self.max_model_len);
        }
        decode_reserved(step);
        step.hold(Held::Deferred);
        step.repeats(0);
    }
}
