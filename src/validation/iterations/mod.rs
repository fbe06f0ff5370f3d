//! An engine's own log of its iterations: what was in each batch, and how long it took.

mod law;
mod llama;
mod read;
mod scheduler;
mod vllm;

use crate::catalog::STEP_LAW_TERMS;
use crate::cost::{BatchShape, Chunk, Decodes, step_law_counts};

pub use law::{LawFit, Range, Residuals, Term, fit_law};
pub use read::{LogError, read_log};

/// A step without work behind it: the engine was idle, and its pause is nobody's overhead.
const IDLE_S: f64 = 2e-3;

/// Which engine's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON line a step, as a subclass of vLLM's scheduler writes it: batch, and when scheduling and
    /// update began and ended.
    SchedulerSteps,
    /// vLLM's `--enable-logging-iteration-details`, within a server's log or alone.
    VllmText,
    /// A JSON line a call of llama.cpp's `llama_decode`.
    LlamaDecodes,
}

impl LogFormat {
    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::SchedulerSteps => "a JSON line a scheduler step",
            LogFormat::VllmText => "vLLM's iteration details",
            LogFormat::LlamaDecodes => "a JSON line a llama_decode call",
        }
    }
}

/// One iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What a [law](crate::catalog::StepLaw)'s constants are multiplied by, in their order.
    pub counts: [f64; STEP_LAW_TERMS],
    /// Its time, microseconds, without what the next two members are.
    pub gpu_us: f64,
    /// The engine's own work before and after, microseconds; `None` where the log has no times of it.
    pub host_us: Option<f64>,
}

impl Step {
    fn new(chunks: &[Chunk], decodes: Decodes, gpu_us: f64, host_us: Option<f64>) -> Step {
        Step {
            counts: step_law_counts(&BatchShape::new(chunks, decodes, decodes.tokens())),
            gpu_us,
            host_us,
        }
    }

    /// Chunks and decodes.
    pub fn sequences(&self) -> f64 {
        self.counts[2] + self.counts[4]
    }

    /// Whether it decodes alone.
    pub fn only_decodes(&self) -> bool {
        self.counts[2] == 0.0
    }
}

/// A request's lengths, tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// Of the prompt.
    pub prompt: u32,
    /// Of the answer, as far as the log goes.
    pub output: u32,
}

/// What a log tells.
#[derive(Clone, Debug, PartialEq)]
pub struct IterationLog {
    /// How it was read.
    pub format: LogFormat,
    /// Its steps that computed something, in order.
    pub steps: Vec<Step>,
    /// Of each request that got a token, in order of its first one. None where the log names no
    /// requests.
    pub lengths: Vec<Length>,
    /// Whether a step was planned while the one before ran; `None` where that cannot be seen.
    pub asynchronous: Option<bool>,
    /// Whether a request began behind tokens that were in the KV cache.
    pub prefix_hits: bool,
    /// What the log does not tell.
    pub notes: Vec<String>,
}
