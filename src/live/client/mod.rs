//! A client of OpenAI-compatible servers: sends a scenario's requests when they are due and writes down
//! when each token came.
//!
//! `probe` learns what the server takes; `prompts` makes prompts of the asked lengths; `schedule` keeps the
//! instants; `exchange` is one request from its first byte to its last, `chunk` an event of its answer, and
//! `counting` says how many tokens that held; `record` makes a trace of all.

mod chunk;
mod connection;
mod counting;
mod exchange;
mod probe;
mod prompts;
mod record;
mod schedule;
mod sse;
mod target;

pub use connection::{Failure, Http};
pub use counting::TokenCount;
pub use exchange::{Ended, Exchange, Usage};
pub use probe::{Dialect, Extras, Form, ProbeError, Wish, learn};
pub use prompts::Speaker;
pub use record::{Summed, outcome, rows_hold, summed};
pub use schedule::{Limits, Ran, Watch, drive};
pub use target::{Target, TargetError};

use tokio::runtime::{Builder, Runtime};

/// The threads that speak with a server.
///
/// # Errors
/// When the system gives none.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads(cores.min(8)).enable_all().build()
}
