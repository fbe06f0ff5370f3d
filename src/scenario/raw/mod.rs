//! The scenario file's schema, as it is written. Doc comments become the JSON Schema's
//! descriptions, which editors show.

mod arrivals;
mod cache_routers;
mod disaggregation;
mod engine;
mod experts;
mod hardware;
mod kv_tiers;
mod lengths;
mod links;
mod pools;
mod router;
mod schedulers;
mod sessions;
mod slo;
mod speculative;
mod text_or_map;
mod workload;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

pub use arrivals::*;
pub use cache_routers::*;
pub use disaggregation::*;
pub use engine::*;
pub use experts::*;
pub use hardware::*;
pub use kv_tiers::*;
pub use lengths::*;
pub use links::*;
pub use pools::*;
pub use router::*;
pub use schedulers::*;
pub use sessions::*;
pub use slo::*;
pub use speculative::*;
pub use text_or_map::*;
pub use workload::*;

/// A scenario: a model on GPUs, an engine, the schedulers to compare, the requests and the
/// promise to users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map with `model`, `gpu`, `schedulers`, `workload`")]
pub struct Scenario {
    /// Name in results; the file's name unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the scenario shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seed of every random stream; 0 unless given. The same seed gives the same requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The model: a name of `metron-sim list models`, a Hugging Face config, or a name with some
    /// figures replaced. May be left out when the profile is `fixed` and `kv_blocks` and
    /// `max_model_len` are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// The GPU: a name of `metron-sim list gpus`, a file, or a name with some figures replaced.
    /// May be left out where `model` may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuRef>,
    /// How the model is spread over GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<Parallelism>,
    /// How tokens get to the experts of a mixture, in pools that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertTraffic>,
    /// What joins GPUs, within a node and between nodes; the GPU's own figures, and no network, unless
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// Identical replicas behind the router; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// In place of `replicas`: pools of replicas that differ in GPU, parallelism or engine. What a
    /// pool does not give is the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<Pool>>,
    /// How requests are spread over replicas: `round-robin` unless given, `random`,
    /// `least-requests` or `least-tokens` outstanding, `power-of-two` choices, `session-affinity`
    /// (a session stays with its replica), `vllm-dp` (as vLLM balances within one data-parallel
    /// deployment), the routers that know or guess what is cached (`sglang-cache-aware`, `dynamo-kv`,
    /// `llm-d`, `ray-prefix`, `production-stack`), or `{class-to-pool: {chat: [0, 1], batch: [2]}}`, with the name of a pool in
    /// place of a list, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterRef>,
    /// How requests go from the pools that prefill to those that decode, where `pools` have such roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disaggregation: Option<Disaggregation>,
    /// The engine: version, memory, limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The schedulers to compare; one run each, on the same requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedulers: Option<Vec<SchedulerEntry>>,
    /// The requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// The promise to users. Unless given: the first token within the prefill curve plus 300 ms,
    /// later ones every 25 ms, index 0.9 for 99 % of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// The promise to users in one line, in place of `slo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// Observation ends here, unfinished requests and all; otherwise the run drains. May stand
    /// under `workload` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Duration>,
    /// Which requests the results are about. May stand under `workload` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// Figures that follow from the others. Written into results for the reader; ignored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<serde_json::Value>,
}

/// How a model is spread over GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{tensor: 2}`")]
pub struct Parallelism {
    /// GPUs that share every layer; 1 unless given. The model's heads must divide by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<u32>,
    /// Pipeline stages, at most one a layer; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u32>,
    /// Data-parallel ranks; 1 unless given. Each is a replica with a batch, a queue and KV of its
    /// own: `replicas` is multiplied by it. Those of a mixture of experts share the experts' weights;
    /// see docs/profiles.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<u32>,
    /// Expert parallelism: each of the `tensor` x `data` ranks holds whole experts, in place of a slice
    /// of each; `false` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert: Option<bool>,
}

/// Which requests the results are about, by arrival time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{skip_first: 60s}`")]
pub struct Measure {
    /// Leave out requests that arrive this soon after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_first: Option<Duration>,
    /// Leave out requests that arrive this close to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_last: Option<Duration>,
}
