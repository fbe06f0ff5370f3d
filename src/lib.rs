//! metron-sim plays how GPUs serve large language models, iteration by iteration, and explains
//! why a user's text stalled.
//!
//! What is here is for programs around the library and changes with the version alone. How it is made
//! stands in rooms, which nobody outside sees: `docs/architecture.md`.
//!
//! # A scenario, run
//!
//! ```
//! use metron_sim::{
//!     Document, Files, Progress, RunInput, RunOptions, Simulator, prepare, run_experiment,
//! };
//!
//! let text = "
//! model: llama-3.1-8b
//! gpu: h100-sxm
//! schedulers: [vllm-v0, sarathi: {chunk_size: 512}]
//! workload:
//!   requests: 200
//!   arrivals: {poisson: {rate: 4}}
//!   lengths: {table: chat}
//! slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
//! ";
//! let prepared = prepare(&Document::from_text("chat", text, Files::none())?, Some(42), 1)?;
//! let input = RunInput { experiment: &prepared.experiment, requests: &prepared.requests };
//! let progress = Progress::new(prepared.experiment.schedulers.len());
//! let outputs = run_experiment(input, RunOptions::default(), &Simulator, &progress)?;
//!
//! let longest_gap_s = |run: usize| outputs[run].result.summary.tbt_s.as_ref().and_then(|d| d.max);
//! // Prefills that run alone stall the other answers; in chunks they do not.
//! assert!(longest_gap_s(0) > longest_gap_s(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Metrics of token times, simulated or measured: [`token_times`]. A scheduler of one's own:
//! [`policy`], `docs/writing-a-scheduler.md`.

#![forbid(unsafe_code)]
// Whole rooms are for tests to see: what a room shows to them is more than the product needs.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub, unused_imports))]
// A page in a browser has neither commands nor files, and so no use for half of it.
#![cfg_attr(all(target_arch = "wasm32", not(feature = "internals")), allow(dead_code))]
// Some of what stands elsewhere is for live servers alone.
#![cfg_attr(not(any(feature = "live", feature = "internals")), allow(dead_code))]

/// The rooms from which the facade is picked: those of the engine, which is a crate of its own, and a
/// folder of `src/` each.
#[path = ""]
mod rooms {
    pub use metron_engine::*;

    #[cfg(not(target_arch = "wasm32"))]
    pub mod cli;
    pub mod inert;
    #[cfg(all(feature = "live", not(target_arch = "wasm32")))]
    pub mod live;
    pub mod playground;
    pub mod report;
    pub mod runner;
    pub mod scenario;
    pub mod search;
    #[cfg(all(feature = "live", not(target_arch = "wasm32")))]
    pub mod server;
    pub mod swarm;
    pub mod validation;
    pub mod view;
}

#[cfg(feature = "internals")]
pub use rooms::*;
#[cfg(not(feature = "internals"))]
use rooms::*;

// From a scenario's text to runs of it.
pub use progress::Progress;
pub use runner::{
    PrepareError, Prepared, Requests, RunError, RunInput, RunOptions, SchedulerOutput, Simulator,
    prepare, run_experiment,
};
pub use scenario::{Document, Experiment, Files, ScenarioError};
pub use time::{Span, Time};

// What a run says; what these are made of is in `metron-sim schema result` too.
pub use metrics::{Distribution, Fluidity, Summary};
pub use promise::{Term, Verdict};
pub use result::{ResultFile, RunResult};

// Where the time of its gaps went.
pub use explain::{Cause, Gap, Index, Split};
pub use runner::{Indexed, indexed};

// The whole command line, and the playground's questions and answers.
#[cfg(not(target_arch = "wasm32"))]
pub use cli::{no_memory_left, program};
pub use playground::{answer, answer_telling};

/// The commands, for programs in place of people at a terminal, such as the Python package: what a
/// command would print comes back, and tables of its runs as columns.
///
/// ```
/// use metron_sim::commands::{Asked, ask};
///
/// let mut asked = Asked::new(["run", "chat", "--set", "workload.requests=50", "--format", "json"]);
/// asked.keeps_runs = true;
/// let answer = ask(&asked, &Default::default())?;
/// assert!(answer.result.starts_with("{\n  \"schema_version\""));
/// assert_eq!(answer.runs.map(|runs| runs.tokens()[3].name), Some("time_s"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(not(target_arch = "wasm32"))]
pub mod commands {
    // A command and what it says.
    pub use crate::cli::{Answer, Asked, Error, Exit, Steering, ask, program_with};

    // Its runs, as tables.
    pub use crate::cli::Runs;
    pub use crate::trace::table::{TableColumn, TableValues};
}

/// Schedulers of one's own: [`Scheduler`](policy::Scheduler) decides,
/// [`Parameters`](policy::Parameters) and [`register`](policy::register) make it one of those that
/// scenarios name, [`Replay`](policy::Replay) plays it step by step.
pub mod policy {
    // What a policy decides, and by what.
    pub use crate::cost::{BatchShape, Chunk, Decodes};
    pub use crate::scheduler::{
        Brings, CacheRules, EngineInfo, Handle, Held, Hit, KvGroups, Needs, News, Past, QueueOrder,
        RequestView, Scheduler, Standing, Step, WindowGroups,
    };

    // What a scenario may say to it, under which name.
    pub use crate::scheduler::{
        Draws, Evidence, Feature, Idle, Parameters, Problem, RegisterError, Setting, register,
    };

    // What it says of itself, so that cures, dials and tests know it.
    pub use crate::scheduler::{
        Bounds, Counted, Effect, Facts, Limit, Order, Prefills, Seats, StepBudget, Switch, Takes,
    };

    // By hand, without time.
    pub use crate::sim::{Replay, ReplayRequest, Scheduled, StepRecord};
}

/// Metrics of token times, wherever they come from: a [`TokenTrace`](token_times::TokenTrace) of one's
/// own, of a run, or of a [measured file](token_times::import).
///
/// ```
/// use metron_sim::token_times::{
///     ClassId, Column, ColumnId, Deadlines, FirstToken, LaneId, NO_RUN, Options, RequestRow, Run, Status,
///     TokenTrace, evaluate,
/// };
/// use metron_sim::{Span, Time};
///
/// // One answer of four tokens, sent at 0: the first after 50 ms, then gaps of 20, 60 and 20 ms.
/// let at = |ms| Time::ZERO + Span::from_millis(ms);
/// let trace = TokenTrace {
///     columns: vec![Column::own(vec![at(70), at(130), at(150)])],
///     requests: vec![RequestRow {
///         arrival: at(0),
///         scheduled: at(10),
///         first_token: at(50),
///         run: Run { column: ColumnId(0), first: 0, len: 3, next: NO_RUN },
///         prompt_tokens: 100,
///         tokens: 4,
///         hit_tokens: 0,
///         preemptions: 0,
///         lane: LaneId(0),
///         class: ClassId(0),
///         status: Status::Completed,
///     }],
///     end: at(150),
///     ..TokenTrace::default()
/// };
/// let first_token = FirstToken::Fixed(Span::from_millis(50));
/// let promise = Deadlines::new(first_token, Span::from_millis(25), 0.9)?;
/// let summary = evaluate(&trace, &Options::new(promise));
/// assert_eq!(summary.tbt_s.and_then(|gaps| gaps.max), Some(0.06));
/// // The third token was due at 75 + 25 ms and came at 130 ms: the request is not fluid.
/// assert_eq!(summary.fluidity.and_then(|f| f.fluid_request_share), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod token_times {
    // The times.
    pub use crate::ids::{ClassId, ColumnId, LaneId, RequestId};
    pub use crate::trace::{Column, NO_RUN, Parts, RequestRow, Run, Status, TokenTrace};

    // What they are worth.
    pub use crate::metrics::{DeadlineError, Deadlines, FirstToken, Options, evaluate};

    // Those of a file.
    pub use crate::interop::{Format, Granularity, Imported, InteropError, Measured, import};
}
