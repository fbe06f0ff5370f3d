//! The simulator posing as an OpenAI-compatible server: tokens appear when the simulated engine would
//! emit them.
//!
//! `clockwork` keeps the engine in step with the wall clock; `routes` is what a client sees. Semantics are
//! vLLM's. A request whose client goes away is played to its end.

mod answer;
mod ask;
mod clockwork;
mod faults;
mod metrics;
mod routes;
mod socket;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};

pub use clockwork::Played;
pub use faults::Faults;

use super::Lateness;
use crate::request::Request;
use crate::runner::{Requests, with_fleet};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Rejection;
use ask::Refusal;
use clockwork::{Clock, Engine};
use metrics::Metrics;
use routes::Shop;

/// How to pose.
#[derive(Clone, Debug)]
pub struct Pose {
    /// The name under which the model is served.
    pub model: String,
    /// Simulated seconds a second.
    pub speed: f64,
    /// What goes wrong.
    pub faults: Faults,
    /// What a client must say it has, where it must.
    pub api_key: Option<String>,
}

/// A server that runs.
pub struct Mock {
    address: SocketAddr,
    engine: Engine,
    thread: JoinHandle<Played>,
    runtime: Runtime,
    lateness: Arc<Lateness>,
}

/// The lengths of answers that nobody bounds, in turn: those of the scenario's own requests.
const NATURAL_MAX: usize = 100_000;

impl Mock {
    /// Starts serving on a listener, with `scheduler` on each replica of `experiment`.
    ///
    /// # Errors
    /// When the system gives no threads, or the listener cannot be used.
    pub fn start(
        listener: TcpListener,
        experiment: Arc<Experiment>,
        scheduler: SchedulerRun,
        requests: &Requests,
        pose: Pose,
    ) -> std::io::Result<Mock> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime =
            Builder::new_multi_thread().worker_threads(cores.min(8)).enable_all().build()?;
        let lateness = Arc::new(Lateness::default());
        let (engine, orders) = Engine::new();
        let clock = Clock::starting_now(pose.speed);
        let shop = Arc::new(Shop::new(
            &experiment,
            &scheduler,
            requests.classes().to_vec(),
            natural(requests),
            pose.clone(),
            engine.clone(),
        ));
        let metrics = Metrics::new(pose.model, Arc::clone(&lateness));
        let classes = requests.classes().to_vec();
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let id_tokens = experiment.engine.kv_block_tokens;
            with_fleet(&experiment, &scheduler, None, |setup| {
                clockwork::play(setup, classes, id_tokens, clock, &orders, metrics)
            })
        })?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(routes::accept(listener, shop, Arc::clone(&lateness)));
        Ok(Mock { address, engine, thread, runtime, lateness })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the engine has come to an end by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it; what it has played, and how late tokens were written.
    ///
    /// # Panics
    /// When the engine has.
    pub fn stop(self) -> (Played, Arc<Lateness>) {
        self.engine.stop();
        let played = self.thread.join().expect("the engine's thread ends well");
        self.runtime.shutdown_background();
        (played, self.lateness)
    }
}

/// The lengths of the answers of a scenario's requests.
fn natural(requests: &Requests) -> Vec<u32> {
    let mut arriving = requests.arriving();
    let mut lengths = Vec::new();
    while lengths.len() < NATURAL_MAX
        && let Some(at) = arriving.next_arrival()
    {
        let Request { output_tokens, .. } = arriving.take();
        arriving.finished(crate::ids::RequestId::at(lengths.len()), at);
        lengths.push(output_tokens);
    }
    if lengths.is_empty() { vec![1] } else { lengths }
}

/// What a client is told of a request that the engine turns away.
fn refusal(why: Rejection) -> Refusal {
    match why {
        Rejection::PromptTooLong => Refusal::new(
            400,
            "the prompt leaves no room for an answer in this model's maximum context length",
        ),
        Rejection::PromptOverBudget => Refusal::new(
            400,
            "the prompt is longer than the engine's token budget, and it computes prompts whole",
        ),
        Rejection::NeverFits => {
            Refusal::new(400, "prompt and answer need more KV blocks than a replica has")
        }
        Rejection::OverLimit(limit) => Refusal::new(400, format!("the request is over {limit}")),
        Rejection::KvLost => {
            Refusal::new(500, "the KV of its prompt was gone before it could be fetched")
        }
        Rejection::DroppedByPolicy => Refusal::new(503, "the engine dropped the request"),
    }
}
