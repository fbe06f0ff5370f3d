//! metron-sim plays how GPUs serve large language models, iteration by iteration, and explains
//! why a user's text stalled.
//!
//! # A scenario, run
//!
//! ```
//! use metron_sim::progress::Progress;
//! use metron_sim::runner::{RunInput, RunOptions, Simulator, prepare, run_experiment};
//! use metron_sim::scenario::{Document, Files};
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
//! # Metrics of token times
//!
//! ```
//! use metron_sim::ids::{ClassId, LaneId};
//! use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate};
//! use metron_sim::time::{Span, Time};
//! use metron_sim::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};
//!
//! // One answer of four tokens, sent at 0: the first after 50 ms, then gaps of 20, 60 and 20 ms.
//! let at = |ms| Time::ZERO + Span::from_millis(ms);
//! let trace = TokenTrace {
//!     columns: vec![Column::own(vec![at(70), at(130), at(150)])],
//!     requests: vec![RequestRow {
//!         arrival: at(0),
//!         scheduled: at(10),
//!         first_token: at(50),
//!         run: Run { column: 0, first: 0, len: 3, next: NO_RUN },
//!         prompt_tokens: 100,
//!         tokens: 4,
//!         hit_tokens: 0,
//!         preemptions: 0,
//!         lane: LaneId(0),
//!         class: ClassId(0),
//!         status: Status::Completed,
//!     }],
//!     end: at(150),
//!     ..TokenTrace::default()
//! };
//! let first_token = FirstToken::Fixed(Span::from_millis(50));
//! let promise = Deadlines::new(first_token, Span::from_millis(25), 0.9)?;
//! let summary = evaluate(&trace, &Options::new(promise));
//! assert_eq!(summary.tbt_s.and_then(|gaps| gaps.max), Some(0.06));
//! // The third token was due at 75 + 25 ms and came at 130 ms: the request is not fluid.
//! assert_eq!(summary.fluidity.and_then(|f| f.fluid_request_share), Some(0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A scheduler of one's own: `examples/custom_scheduler.rs`.

#![forbid(unsafe_code)]

pub mod catalog;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod cost;
mod excerpt;
pub mod explain;
pub mod fleet;
pub mod ids;
pub mod inert;
pub mod interop;
mod json;
pub mod kv;
pub mod memory;
pub mod metrics;
mod order;
pub mod playground;
pub mod progress;
pub mod replica;
pub mod report;
pub mod request;
pub mod result;
pub mod runner;
pub mod scenario;
pub mod scheduler;
pub mod search;
#[cfg(not(target_arch = "wasm32"))]
pub mod server;
pub mod sim;
mod suggest;
pub mod swarm;
mod threads;
pub mod time;
pub mod trace;
pub mod units;
pub mod validation;
pub mod view;
pub mod workload;
mod yaml;
