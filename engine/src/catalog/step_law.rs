//! A step's time as a sum of a few terms, in place of a model on a GPU.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, at_least_zero};

/// A linear law of an iteration's time. Each constant is a time in microseconds, at least 0; what is left
/// out is 0. Such laws are fitted on an engine's own iteration log, and hold for the machine, model and
/// engine of that log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{iteration_us: 3500, prefill_token_us: 60}`"
)]
pub struct StepLaw {
    /// Each iteration.
    #[serde(default)]
    pub iteration_us: f64,
    /// Each iteration that has a prefill chunk, besides.
    #[serde(default)]
    pub prefill_iteration_us: f64,
    /// Each prefill chunk.
    #[serde(default)]
    pub chunk_us: f64,
    /// Each token of the chunks.
    #[serde(default)]
    pub prefill_token_us: f64,
    /// Each request that decodes.
    #[serde(default)]
    pub decode_us: f64,
    /// Each draft token that is verified.
    #[serde(default)]
    pub draft_token_us: f64,
    /// Each KV entry that the decodes read.
    #[serde(default)]
    pub kv_token_us: f64,
    /// Each pair of a chunk's token and a token that it attends to, itself included.
    #[serde(default)]
    pub attention_pair_us: f64,
}

/// How many constants a law has.
pub const STEP_LAW_TERMS: usize = 8;

impl StepLaw {
    /// The constants' names, in the order of [`StepLaw::constants`].
    pub const NAMES: [&'static str; STEP_LAW_TERMS] = [
        "iteration_us",
        "prefill_iteration_us",
        "chunk_us",
        "prefill_token_us",
        "decode_us",
        "draft_token_us",
        "kv_token_us",
        "attention_pair_us",
    ];

    /// The constants.
    pub const fn constants(&self) -> [f64; STEP_LAW_TERMS] {
        [
            self.iteration_us,
            self.prefill_iteration_us,
            self.chunk_us,
            self.prefill_token_us,
            self.decode_us,
            self.draft_token_us,
            self.kv_token_us,
            self.attention_pair_us,
        ]
    }

    /// The law with these constants.
    pub const fn of(constants: [f64; STEP_LAW_TERMS]) -> StepLaw {
        let [
            iteration_us,
            prefill_iteration_us,
            chunk_us,
            prefill_token_us,
            decode_us,
            draft_token_us,
            kv_token_us,
            attention_pair_us,
        ] = constants;
        StepLaw {
            iteration_us,
            prefill_iteration_us,
            chunk_us,
            prefill_token_us,
            decode_us,
            draft_token_us,
            kv_token_us,
            attention_pair_us,
        }
    }

    /// Checks every constant's range.
    ///
    /// # Errors
    /// The first out of range, or when all are 0.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        for (name, value) in StepLaw::NAMES.iter().zip(self.constants()) {
            at_least_zero(&format!("step_law.{name}"), value)?;
        }
        if self.constants().iter().all(|&us| us == 0.0) {
            let problem = "must have a constant above 0, such as `iteration_us: 3500`";
            return Err(InvalidFigure::new("step_law", problem.to_owned()));
        }
        Ok(())
    }
}
