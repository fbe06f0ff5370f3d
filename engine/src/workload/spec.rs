//! What a scenario can ask of a workload, after validation: plain data, units settled.

use std::path::PathBuf;

use super::SessionsSpec;
use crate::time::Span;

/// A validated workload description.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSpec {
    /// Where requests come from.
    pub source: Source,
    /// When the arrivals end.
    pub amount: Amount,
    /// What clients declare as the longest answer.
    pub max_tokens: MaxTokens,
    /// Request classes; empty means one unnamed class.
    pub classes: Vec<ClassSpec>,
    /// Shared prompt prefixes.
    pub prefix_groups: Option<PrefixGroups>,
}

/// Drawn or read.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Drawn from distributions.
    Synthetic {
        /// When requests arrive.
        arrivals: Arrivals,
        /// How long they are (a class may have its own).
        lengths: Lengths,
    },
    /// Read from a trace file.
    Trace(TraceSpec),
    /// Sessions of several turns, drawn from distributions.
    Sessions(Box<SessionsSpec>),
}

/// A trace file to replay.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpec {
    /// The file, already resolved against the scenario's folder.
    pub file: PathBuf,
    /// Its format, or `None` to look at its first lines.
    pub format: Option<TraceFormat>,
    /// Arrival times are divided by this: 2.0 is twice the rate.
    pub time_scale: f64,
    /// Arrivals for a trace that has lengths only; of sessions, where it is played by its answers.
    pub arrivals: Option<Arrivals>,
    /// Whether a request goes out some time after the answers that it waited for, not at its own time.
    pub by_answers: bool,
    /// Of a file that is played by its answers: whether a request comes as long after the one before as when it
    /// was recorded, and not before the answer to that one; otherwise some time after the answer, as the file
    /// has it.
    pub keeps_times: bool,
    /// Longer gaps between an answer and the next request become this.
    pub gap_cap: Option<Span>,
}

/// Trace formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// Azure LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// Vidur and Splitwise: `arrived_at,num_prefill_tokens,num_decode_tokens`, seconds.
    Vidur,
    /// Mooncake JSONL: `timestamp` in ms, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// Sessions of coding agents as Weka records them.
    Weka,
    /// BurstGPT CSV: `Timestamp` in seconds, `Request tokens`, `Response tokens`.
    BurstGpt,
    /// Conversations in JSON, as text: ShareGPT's `conversations`, or `messages` as in vLLM's multi-turn benchmark.
    Conversations,
    /// What vLLM's multi-turn benchmark makes conversations from: `generate_multi_turn.json`.
    VllmMultiTurn,
    /// The configuration of inference-perf, with `shared_prefix` or `conversation_replay`.
    InferencePerf,
    /// A client of ServeGen, or a folder of them: `chunk-0-trace.csv` beside `chunk-0-dataset.json`.
    ServeGen,
    /// Our own JSONL.
    Jsonl,
    /// Any CSV with named columns `arrival_s`, `prompt_tokens` or `input_tokens`, `output_tokens`.
    Csv,
}

/// When the arrivals end; whichever comes first when both are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount {
    /// After this many requests; of sessions, after so many sessions.
    pub requests: Option<u32>,
    /// After this much time.
    pub duration: Option<Span>,
}

/// Arrival processes; rates are requests a second.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Exponential gaps.
    Poisson {
        /// Requests a second.
        rate: f64,
    },
    /// Gamma gaps with this coefficient of variation.
    Gamma {
        /// Requests a second.
        rate: f64,
        /// Standard deviation of the gaps over their mean.
        cv: f64,
    },
    /// Weibull gaps with this coefficient of variation.
    Weibull {
        /// Requests a second.
        rate: f64,
        /// Standard deviation of the gaps over their mean.
        cv: f64,
    },
    /// Equal gaps; the first request comes at time 0.
    Constant {
        /// Requests a second.
        rate: f64,
    },
    /// Everything at time 0.
    AllAtOnce,
    /// Poisson with a rate that changes over time.
    Piecewise(Vec<Piece>),
    /// Each of `users` sends its next request `think_time` after its last answer.
    ClosedLoop {
        /// How many users.
        users: u32,
        /// From the last token of an answer to the next request.
        think_time: Span,
    },
}

/// A stretch of a piecewise rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// How long it lasts.
    pub length: Span,
    /// Requests a second at its beginning.
    pub rate: f64,
    /// Requests a second at its end; the rate changes linearly. Equal to `rate` where not given.
    pub ramp_to: f64,
}

/// Prompt and output lengths.
#[derive(Clone, Debug, PartialEq)]
pub enum Lengths {
    /// Drawn apart.
    Independent {
        /// Prompt tokens.
        prompt: Dist,
        /// Output tokens.
        output: Dist,
    },
    /// A built-in table made from published traces.
    Table(LengthTable),
    /// Pairs from a CSV file with a header, used in order and again from its start.
    File(PathBuf),
}

/// Built-in quantile tables of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthTable {
    /// ShareGPT conversations.
    Chat,
    /// arXiv summarisation.
    Summarisation,
    /// Long-form writing (BWB).
    LongForm,
    /// Azure's code completion service.
    Code,
}

/// A distribution of whole token counts: values are rounded, clamped to `[min, max]`, at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Dist {
    /// Its shape.
    pub shape: Shape,
    /// Lower clamp.
    pub min: Option<u32>,
    /// Upper clamp.
    pub max: Option<u32>,
}

/// Shapes of length distributions.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Always the same.
    Fixed(u32),
    /// Whole numbers from min to max, both included.
    Uniform {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// Lognormal.
    Lognormal {
        /// Mean of the values.
        mean: f64,
        /// Standard deviation of their logarithm.
        sigma: f64,
    },
    /// Geometric on 1, 2, ...
    Geometric {
        /// Mean, at least 1.
        mean: f64,
    },
    /// Probability of k proportional to `(k - min + 1)^-theta`.
    Zipf {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
        /// Exponent.
        theta: f64,
    },
    /// Straight lines between `(probability, value)` points, ascending in both; flat outside.
    Quantiles(Vec<(f64, f64)>),
}

/// What clients declare as `max_tokens`, the only length that a policy may see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxTokens {
    /// The true output length (benchmarks that ignore EOS).
    Exact,
    /// A constant; longer outputs are cut to it.
    Fixed(u32),
    /// The true output length times this, rounded up.
    Factor(f64),
    /// Whatever the model's context still allows.
    Model,
}

/// A class of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSpec {
    /// Its name in results.
    pub name: String,
    /// Its part of the requests; shares need not sum to 1.
    pub share: f64,
    /// Lower is more urgent.
    pub priority: i32,
    /// Its own lengths, or the workload's.
    pub lengths: Option<Lengths>,
}

/// Requests that share prompt prefixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrefixGroups {
    /// How many different prefixes.
    pub count: u32,
    /// Tokens in each; a shorter prompt shares all of itself.
    pub tokens: u32,
    /// The part of requests that begins with one of them.
    pub share: f64,
}
