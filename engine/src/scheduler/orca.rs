//! Orca: every running request in every step, and whole prompts joined to it as seats and full
//! reservations of memory allow. No token budget, no preemption.
//!
//! Rules read from Sarathi-Serve 96f9911 (`orca_scheduler.py`; paper: OSDI'22).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Facts, Order, Seats, Takes};
use super::parameters::{Evidence, Parameters, Problem};
use super::proofs::{Capability, Proof};
use super::{EngineInfo, Held, Hit, Needs, RequestView, Scheduler, Step};

/// Parameters of `orca`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrcaParams {
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
}

impl Default for OrcaParams {
    fn default() -> Self {
        OrcaParams { max_num_seqs: 128 }
    }
}

impl Parameters for OrcaParams {
    const SYSTEM: &'static str = "Orca, as in Sarathi-Serve 96f9911";
    const SUMMARY: &'static str = "decodes and whole prompts in one batch, memory fully reserved";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[Proof::code("96f9911", Capability::Synchronous, 1, 248)];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1").into_iter().collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        OrcaParams { max_num_seqs: draws.seats() }
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(Orca { seats: self.max_num_seqs, max_model_len: engine.max_model_len })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            takes: Takes::MaxModelLen,
            order: Order::Arrival,
            ..Facts::default()
        }
    }
}

struct Orca {
    seats: u32,
    max_model_len: u32,
}

impl Scheduler for Orca {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn reserves(&self, _request: &RequestView, block_tokens: u32) -> u32 {
        self.max_model_len.div_ceil(block_tokens)
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        admit_whole(step, self.seats, self.max_model_len);
        decode_reserved(step);
        step.repeats(0);
    }
}

/// Admits whole prompts in order while seats and reservations of `hold_tokens` tokens each allow.
pub(super) fn admit_whole(step: &mut Step<'_>, seats: u32, hold_tokens: u32) {
    while let Some(request) = step.waiting_at(0) {
        if step.seats_used() >= seats {
            return step.hold(Held::NoSeat);
        }
        let tokens = step.view(request).tokens;
        if !step.admit(request, tokens, hold_tokens, Hit::default()) {
            return step.hold(Held::NoKvBlocks);
        }
    }
}

/// Decodes everything; memory is reserved, so nothing can stand in the way.
pub(super) fn decode_reserved(step: &mut Step<'_>) {
    if step.may_decode_all() {
        step.decode_all();
        return;
    }
    for request in step.running().collect::<Vec<_>>() {
        let view = step.view(request);
        if !view.is_prefilling() {
            let runs = step.run(request, 1);
            assert!(runs, "its memory is reserved");
        }
    }
}
