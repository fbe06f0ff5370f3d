//! Workloads: which requests arrive when, and how long they are.
//!
//! [`draw`] makes every request of a run before it starts, from distributions or from a trace
//! file; [`ClosedLoop`] makes them as answers come. Both are [`Arriving`], which the simulator
//! polls. Every random value has a stream of its own, keyed by seed, purpose and request index, so
//! that `requests: N` is a prefix of `requests: 2N` and no option moves the draws of another.
//!
//! ```
//! use metron_engine::workload::*;
//!
//! let lognormal = |mean| Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None };
//! let spec = WorkloadSpec {
//!     source: Source::Synthetic {
//!         arrivals: Arrivals::Poisson { rate: 2.0 },
//!         lengths: Lengths::Independent { prompt: lognormal(1024.0), output: lognormal(256.0) },
//!     },
//!     amount: Amount { requests: Some(1000), duration: None },
//!     max_tokens: MaxTokens::Exact,
//!     classes: Vec::new(),
//!     prefix_groups: None,
//! };
//! let limits = Limits { max_model_len: 8192, kv_block_tokens: 16 };
//! let drawn = draw(&spec, 42, limits)?;
//! assert_eq!(drawn.workload.requests.len(), 1000);
//! assert_eq!(drawn.workload.requests, draw(&spec, 42, limits)?.workload.requests);
//! # Ok::<(), WorkloadError>(())
//! ```

mod answered;
mod arrivals;
mod classes;
mod closed_loop;
mod error;
mod lengths;
mod piecewise;
mod prefixes;
mod recipe;
mod scale;
mod sessions;
mod source;
mod spec;
pub(crate) mod streams;
mod tables;
mod trace_files;
mod variates;
mod zipf;

pub use answered::Answered;
pub use closed_loop::ClosedLoop;
pub use error::{ErrorKind, Warning, WorkloadError};
pub use sessions::{
    Gap, GapKind, GapShape, MaxContext, RecordedSessions, SessionTurn, Sessions, SessionsSpec,
    SharedPrefix,
};
pub use source::{Arriving, OpenArrivals};
pub use spec::*;
pub(crate) use trace_files::timestamp_nanos;
pub use trace_files::{has_gaps as trace_has_gaps, trace_parts};

use std::sync::Arc;

use arrivals::ArrivalTimes;
use recipe::Recipe;

use crate::content::Turn;
use crate::memory::try_to;
use crate::request::{BlockIds, Request};

/// Most requests of one run, 1.6 GB of them: a mistyped rate is an error, not a full memory.
pub const MAX_REQUESTS: u32 = 50_000_000;

/// Most content ids of one run, 2 GB of them.
pub const MAX_BLOCK_IDS: usize = 1 << 28;

/// All requests of a run, drawn or read before it starts, in order of arrival. Every scheduler of
/// a scenario faces the same ones. (A closed loop is drawn as it goes: see [`ClosedLoop`].)
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// In order of arrival; the index is the request's id.
    pub requests: Vec<Request>,
    /// Content ids of blocks of tokens.
    pub block_ids: Arc<Vec<u64>>,
    /// Where the ids of each request stand in `block_ids`; empty where none has any.
    pub blocks: Vec<BlockIds>,
    /// Tokens that one content id stands for.
    pub block_tokens: u32,
    /// Whether ids go on beyond prompts into answers, so that the one in which a prompt ends has the
    /// beginning of the answer too.
    pub ids_cover_answers: bool,
    /// The place of each request in its conversation; empty where none begins with another's tokens.
    pub turns: Vec<Turn>,
    /// Class names; at least one.
    pub classes: Vec<String>,
    /// Whether a trace says the class of its requests.
    pub names_classes: bool,
    /// The session of each request, numbered as they appear; empty where none has one.
    pub sessions: Vec<Option<u32>>,
    /// Arrivals a second as the scenario states them, where it does.
    pub nominal_rate_per_s: Option<f64>,
}

/// What a workload must know of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest prompt plus output; outputs are cut to it.
    pub max_model_len: u32,
    /// Tokens in one of the engine's KV blocks.
    pub kv_block_tokens: u32,
}

/// A workload, and what a user should know about how it came to be.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// The requests.
    pub workload: Workload,
    /// Ignored columns, rows sorted or left out, units assumed.
    pub warnings: Vec<Warning>,
}

/// Draws or reads all requests of a run; the same arguments give the same bytes on any machine.
///
/// Arrivals lie in `[0, duration)` and are at most `requests`, whichever ends them first; a trace
/// may end them before. A piecewise rate ends with its last piece, unless `requests` is given:
/// then its last rate holds until there are as many.
///
/// # Errors
/// When the description cannot be followed (a closed loop among them: see [`ClosedLoop`]), and
/// when a file that it names cannot be read or is not what it should be.
pub fn draw(spec: &WorkloadSpec, seed: u64, limits: Limits) -> Result<Drawn, WorkloadError> {
    check_limits(spec, limits)?;
    let mut workload = Workload::default();
    let mut warnings = Vec::new();
    match &spec.source {
        Source::Synthetic { arrivals, lengths } => {
            let mut times = ArrivalTimes::new(arrivals, spec.amount, seed, None)?;
            let recipe = Recipe::new(spec, lengths, seed, limits, &mut warnings)?;
            let expected = spec.amount.requests.unwrap_or(0).min(1 << 20);
            workload.requests.reserve(expected as usize);
            while let Some(arrival) = times.next()? {
                try_to(|| workload.requests.try_reserve(1)).map_err(|_| out_of_memory())?;
                workload.requests.push(Recipe::not_yet_drawn(arrival));
            }
            recipe.fill(&mut workload.requests);
            let keyed = (0..).zip(&workload.requests);
            workload.blocks.extend(keyed.map_while(|(key, request)| recipe.blocks(key, request)));
            workload.nominal_rate_per_s = times.nominal_rate_per_s();
            workload.classes = recipe.classes.names;
            workload.block_tokens = limits.kv_block_tokens;
            if let Some(prefixes) = recipe.prefixes {
                workload.block_ids = prefixes.block_ids;
            }
        }
        Source::Trace(trace) => {
            if spec.source.is_closed_loop() {
                return Err(WorkloadError::spec(
                    "trace.arrivals",
                    "the arrivals of a closed loop depend on the answers and cannot be drawn \
                     before a run",
                ));
            }
            trace_files::read(trace, spec, seed, limits, &mut workload, &mut warnings)?;
        }
        Source::Sessions(_) => {
            return Err(WorkloadError::spec(
                "sessions",
                "the turns of sessions depend on the answers and cannot be drawn before a run",
            ));
        }
    }
    let got = workload.requests.len();
    match spec.amount.requests {
        _ if got == 0 => warnings.push(Warning {
            path: None,
            message: "no request arrives before the arrivals end".to_owned(),
        }),
        Some(asked) if got < asked as usize && spec.amount.duration.is_none() => {
            warnings.push(Warning {
                path: None,
                message: format!("{asked} requests were asked for, and only {got} arrive"),
            });
        }
        _ => {}
    }
    Ok(Drawn { workload, warnings })
}

impl Source {
    /// The arrival process asked for, of sessions where there are some; `None` for a trace with arrivals of
    /// its own.
    pub fn arrivals(&self) -> Option<&Arrivals> {
        match self {
            Source::Synthetic { arrivals, .. } => Some(arrivals),
            Source::Trace(trace) => trace.arrivals.as_ref(),
            Source::Sessions(sessions) => Some(&sessions.arrivals),
        }
    }

    /// Whether requests are turns of sessions, each of which waits for answers.
    pub fn has_turns(&self) -> bool {
        self.sessions().is_some() || matches!(self, Source::Trace(trace) if trace.by_answers)
    }

    /// Whether arrivals depend on answers: [`Answered`], not a [`draw`].
    pub fn waits_for_answers(&self) -> bool {
        self.is_closed_loop() || self.has_turns()
    }

    /// The sessions asked for.
    pub fn sessions(&self) -> Option<&SessionsSpec> {
        match self {
            Source::Sessions(sessions) => Some(sessions),
            _ => None,
        }
    }

    /// Whether users wait for their answers before they ask, or begin a session, again.
    pub fn is_closed_loop(&self) -> bool {
        matches!(self.arrivals(), Some(Arrivals::ClosedLoop { .. }))
    }
}

/// Requests that this machine has no memory for.
fn out_of_memory() -> WorkloadError {
    WorkloadError::spec("requests", "out of memory: too many requests for this machine")
        .with_help("lower `requests` or `duration`")
}

fn check_limits(spec: &WorkloadSpec, limits: Limits) -> Result<(), WorkloadError> {
    if spec.amount.requests.is_some_and(|requests| requests > MAX_REQUESTS) {
        return Err(arrivals::too_many_requests());
    }
    if limits.kv_block_tokens == 0 {
        return Err(WorkloadError::spec("engine.kv_block_tokens", "expected 1 or more, found 0"));
    }
    if limits.max_model_len == 0 {
        return Err(WorkloadError::spec("engine.max_model_len", "expected 1 or more, found 0"));
    }
    Ok(())
}
