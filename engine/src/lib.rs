//! The engine of [metron-sim](https://docs.rs/metron-sim): what a GPU, a model and an engine are, what
//! an iteration costs, which schedulers there are, who serves, how a run is played, and what its
//! token times say.
//!
//! Programs use `metron-sim`, which names what is theirs of it and adds scenarios, reports, searches and
//! the command line. These rooms are a crate of their own because they do the work and so are
//! optimised, while those above them need not be: `docs/architecture.md`.

pub mod catalog;
pub mod content;
pub mod cost;
pub mod explain;
pub mod fleet;
pub mod ids;
pub mod interop;
pub mod kv;
pub mod memory;
pub mod metrics;
pub mod progress;
pub mod promise;
pub mod replica;
pub mod request;
pub mod result;
pub mod scheduler;
pub mod shown;
pub mod sim;
pub mod speculative;
pub mod time;
pub mod trace;
pub mod transfer;
pub mod units;
pub mod workload;

// Used by the rooms above, and no face of this crate.
#[doc(hidden)]
pub mod excerpt;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod order;
#[doc(hidden)]
pub mod suggest;
#[doc(hidden)]
pub mod threads;
#[doc(hidden)]
pub mod yaml;
