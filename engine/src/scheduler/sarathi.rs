//! Sarathi-Serve: every decode runs in every step, and prompts are computed in chunks that fill the
//! step up to `chunk_size` tokens.
//!
//! Rules read from Sarathi-Serve 96f9911 (`sarathi_scheduler.py`; paper: OSDI'24, arXiv
//! 2403.02310). One deviation: where decodes alone exceed the chunk, the source schedules a
//! negative chunk; here the prompt waits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_arrival::decode_by_arrival;
use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Order, Seats, StepBudget};
use super::parameters::{Evidence, Idle, Parameters, Problem, Setting};
use super::proofs::{Capability, Proof};
use super::vllm_v0::watermark_blocks;
use super::{EngineInfo, Held, Hit, Needs, RequestView, Scheduler, Step};

/// Parameters of `sarathi`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SarathiParams {
    /// Tokens of a step, decodes included (decodes themselves are never cut).
    #[serde(alias = "chunk_tokens")]
    pub chunk_size: u32,
    /// Most requests that hold a seat at once.
    pub max_num_seqs: u32,
    /// Share of the KV blocks that an admission must leave free.
    pub watermark: f64,
    /// Let a prompt's chunks shrink as it proceeds, in stages from high to low. The source has no
    /// defaults for the four parameters below; those here are ours.
    pub enable_dynamic_chunking_schedule: bool,
    /// Chunk of the last stage.
    pub low_chunk_size: u32,
    /// Chunk of the first stage.
    pub high_chunk_size: u32,
    /// Prompt length that the stages divide evenly.
    pub chunk_schedule_max_tokens: u32,
    /// Number of stages.
    pub chunk_schedule_stages: u32,
}

impl Default for SarathiParams {
    fn default() -> Self {
        SarathiParams {
            chunk_size: 512,
            max_num_seqs: 128,
            watermark: 0.01,
            enable_dynamic_chunking_schedule: false,
            low_chunk_size: 512,
            high_chunk_size: 2048,
            chunk_schedule_max_tokens: 8192,
            chunk_schedule_stages: 16,
        }
    }
}

impl Parameters for SarathiParams {
    const SYSTEM: &'static str = "Sarathi-Serve 96f9911";
    const SUMMARY: &'static str = "decodes in every step, prompts in chunks beside them";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[Proof::code("96f9911", Capability::Synchronous, 4, 8271)];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        let stages = self.chunk_schedule_stages;
        [
            Problem::when(self.chunk_size == 0, "chunk_size", "at least 1"),
            Problem::when(self.max_num_seqs == 0, "max_num_seqs", "at least 1"),
            Problem::when(!(0.0..1.0).contains(&self.watermark), "watermark", "from 0 to below 1"),
            Problem::when(self.low_chunk_size == 0, "low_chunk_size", "at least 1"),
            Problem::when(
                self.high_chunk_size < self.low_chunk_size,
                "high_chunk_size",
                "at least low_chunk_size",
            ),
            Problem::when(
                stages == 0 || stages > self.chunk_schedule_max_tokens,
                "chunk_schedule_stages",
                "from 1 to chunk_schedule_max_tokens",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let (one, other) = (draws.chunk(), draws.chunk());
        let stages = draws.one_of(&[1, 2, 3, 7, 1_000_000]);
        SarathiParams {
            chunk_size: draws.chunk(),
            max_num_seqs: draws.seats(),
            watermark: draws.share(),
            enable_dynamic_chunking_schedule: draws.flag(),
            low_chunk_size: one.min(other),
            high_chunk_size: one.max(other),
            chunk_schedule_max_tokens: draws.whole().max(stages),
            chunk_schedule_stages: stages,
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let staged = self.enable_dynamic_chunking_schedule;
        let fixed = "`enable_dynamic_chunking_schedule` is false";
        let one = self.chunk_schedule_stages == 1;
        let alike = staged && self.low_chunk_size == self.high_chunk_size;
        let same = "the first stage has the chunk of the last";
        [
            Idle::when(staged, "chunk_size", "`enable_dynamic_chunking_schedule` is true"),
            Idle::when(!staged, "low_chunk_size", fixed),
            Idle::when(!staged, "high_chunk_size", fixed),
            Idle::when(!staged, "chunk_schedule_max_tokens", fixed),
            Idle::when(!staged, "chunk_schedule_stages", fixed),
            Idle::when(staged && one, "high_chunk_size", "there is one stage, with the low size"),
            Idle::when(alike && !one, "chunk_schedule_max_tokens", same),
            Idle::when(alike && !one, "chunk_schedule_stages", same),
            Idle::watermark(self.watermark, &setting.engine),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let chunks = if self.enable_dynamic_chunking_schedule {
            Chunks::Staged(Stages {
                low: self.low_chunk_size,
                high: self.high_chunk_size,
                last: self.chunk_schedule_stages - 1,
                tokens: self.chunk_schedule_max_tokens.div_ceil(self.chunk_schedule_stages),
            })
        } else {
            Chunks::Fixed(self.chunk_size)
        };
        Box::new(Sarathi {
            chunks,
            seats: self.max_num_seqs,
            max_model_len: engine.max_model_len,
            watermark_blocks: watermark_blocks(self.watermark, engine.kv_blocks),
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let chunk = match self.enable_dynamic_chunking_schedule {
            true => Limit { parameter: "high_chunk_size", most: Some(self.high_chunk_size) },
            false => Limit { parameter: "chunk_size", most: Some(self.chunk_size) },
        };
        Facts {
            seats: Seats::held("max_num_seqs", self.max_num_seqs),
            // Decodes beyond the chunk run all the same.
            budget: Some(StepBudget::loose(chunk, Bounds::Step)),
            watermark: Some("watermark"),
            cuts_prompts: true,
            order: Order::Arrival,
            ..Facts::default()
        }
    }
}

struct Sarathi {
    chunks: Chunks,
    seats: u32,
    max_model_len: u32,
    watermark_blocks: u32,
}

enum Chunks {
    Fixed(u32),
    Staged(Stages),
}

/// Chunks that shrink as a prompt proceeds.
struct Stages {
    low: u32,
    high: u32,
    /// Stages are counted from 0.
    last: u32,
    /// Tokens of a prompt in each stage but the last, which has the rest.
    tokens: u32,
}

impl Stages {
    /// The chunk where so many tokens are computed: equal steps from high to low, each rounded to a
    /// multiple of min(32, low).
    fn chunk(&self, computed: u32) -> u32 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let left = self.last - (computed / self.tokens).min(self.last);
        let share = if self.last == 0 { 0.0 } else { f64::from(left) / f64::from(self.last) };
        let multiple = f64::from(self.low.min(32));
        (libm::rint(libm::floor(low + (high - low) * share) / multiple) * multiple) as u32
    }
}

impl Scheduler for Sarathi {
    fn needs(&self) -> Needs {
        Needs { watermark_blocks: self.watermark_blocks, ..Needs::default() }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        let partial = decode_by_arrival(step);
        let decodes = step.running_len() as u32 - partial.len() as u32;
        let mut scheduled = decodes;
        for request in partial {
            let chunk = self.chunk(&step.view(request), scheduled);
            if chunk > 0 {
                let runs = step.run(request, chunk);
                assert!(runs, "the whole prompt's blocks were taken at admission");
                scheduled += chunk;
            }
        }
        self.admit(step, scheduled);
        step.arrange(|view| u32::from(!view.is_prefilling()));
        step.repeats(step.blocks_to_grow());
    }
}

impl Sarathi {
    fn admit(&self, step: &mut Step<'_>, mut scheduled: u32) {
        while let Some(request) = step.waiting_at(0) {
            let view = step.view(request);
            let blocks = step.blocks_for(view.tokens);
            if view.tokens > self.max_model_len {
                step.drop_request(request);
                continue;
            }
            let wanted = blocks + self.watermark_blocks;
            if wanted > step.free_blocks() {
                return step.hold_for_blocks(wanted);
            }
            if step.seats_used() >= self.seats {
                return step.hold_while_free(Held::NoSeat, wanted);
            }
            let chunk = self.chunk(&view, scheduled);
            if chunk == 0 {
                return step.hold_while_free(Held::NoTokenBudget, wanted);
            }
            let admitted = step.admit(request, chunk, view.tokens, Hit::default());
            assert!(admitted, "its blocks are free");
            scheduled += chunk;
        }
    }

    /// Tokens of this prompt in a step that holds `scheduled` already.
    fn chunk(&self, view: &RequestView, scheduled: u32) -> u32 {
        let size = match &self.chunks {
            Chunks::Fixed(size) => *size,
            Chunks::Staged(stages) => stages.chunk(view.computed),
        };
        view.prefill_left().min(size.saturating_sub(scheduled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_fall_from_high_to_low_in_multiples_of_32() {
        // 100 tokens a stage.
        let stages = Stages { low: 100, high: 500, last: 3, tokens: 100 };
        // linspace(100, 500, 4) = 100, 233, 366, 500; /32 rounds to 3, 7, 11, 16.
        let chunks = [0, 99, 100, 200, 300, 400, u32::MAX].map(|done| stages.chunk(done));
        assert_eq!(chunks, [512, 512, 352, 224, 96, 96, 96]);
    }
}
