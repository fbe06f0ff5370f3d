//! metron-sim plays how GPUs serve large language models, iteration by iteration, and explains
//! why a user's text stalled.

pub mod catalog;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod cost;
pub mod explain;
pub mod interop;
pub mod kv;
pub mod metrics;
pub mod playground;
pub mod progress;
pub mod replica;
pub mod report;
pub mod request;
pub mod runner;
pub mod scenario;
pub mod scheduler;
pub mod search;
#[cfg(not(target_arch = "wasm32"))]
pub mod server;
pub mod sim;
pub mod swarm;
pub mod time;
pub mod trace;
pub mod units;
pub mod validation;
pub mod view;
pub mod workload;
