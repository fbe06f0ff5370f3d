//! A scenario as it was resolved: its keys with every default filled in, and what follows from them.

use serde::Serialize;
use serde_json::Value as Json;

use super::raw::{Engine, GpuRef, Parallelism, Scenario};
use crate::catalog::{self, GpuSource, Model, Peak, Power};
use crate::cost::KeptBytes;
use crate::kv::LayerKv;
use crate::scheduler::Evidence;

/// A scenario with every default filled in, itself a scenario; as JSON, what results publish.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResolvedScenario {
    /// Its keys. A trace that is not there has given way to its stand-in.
    #[serde(flatten)]
    pub filled: Scenario,
    /// What follows from them, for readers of the result.
    pub derived: Derived,
}

/// What follows from a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Derived {
    /// Of its replicas, where all are alike.
    #[serde(flatten)]
    pub alike: Option<DerivedReplicas>,
    /// The model's figures; `None` where a fixed iteration time stands for it.
    pub model: Option<DerivedModel>,
    /// What the model's figures rest on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_evidence: Option<catalog::Evidence>,
    /// The number formats that it is served in, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_formats: Option<String>,
    /// Of the replicas of each pool, where there are pools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<DerivedPool>>,
    /// Of each scheduler.
    pub schedulers: Vec<DerivedScheduler>,
}

/// A model's figures, and what follows of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DerivedModel {
    /// The figures.
    #[serde(flatten)]
    pub of: Model,
    /// Layers.
    pub layers: u32,
    /// Parameters of the language model.
    pub parameters: u64,
    /// Those that a token goes through.
    pub active_parameters: u64,
}

impl From<Model> for DerivedModel {
    fn from(of: Model) -> DerivedModel {
        let (layers, parameters) = (of.layers(), of.parameters());
        let active_parameters = of.active_parameters();
        DerivedModel { of, layers, parameters, active_parameters }
    }
}

/// What follows of replicas that are alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DerivedReplicas {
    /// The number of KV blocks, and where it comes from.
    pub kv_blocks: DerivedBlocks,
    /// The longest prompt plus output, and where it comes from.
    pub max_model_len: DerivedLength,
    /// The GPU's figures that matter besides time; `None` where a fixed iteration time stands for it.
    pub gpu: Option<DerivedGpu>,
    /// The engine's profile.
    pub profile: DerivedProfile,
}

/// A number of KV blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DerivedBlocks {
    /// Blocks of a replica.
    pub value: u32,
    /// Where the number comes from.
    #[serde(flatten)]
    pub from: BlocksFrom,
    /// The groups of layers that draw from them, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<DerivedGroups>,
    /// What the model's layers keep, kind by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<DerivedKept>,
}

/// What a model's layers of one kind keep, on one rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DerivedKept {
    /// What: `full attention`, `window`, or `state`.
    pub keeps: &'static str,
    /// Tokens of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// How many layers.
    pub layers: u32,
    /// Bytes of a token in all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<u64>,
    /// Bytes of a request in all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_request: Option<u64>,
}

impl From<KeptBytes> for DerivedKept {
    fn from(of: KeptBytes) -> DerivedKept {
        let (keeps, window) = match of.keeps {
            LayerKv::Full => ("full attention", None),
            LayerKv::Window(tokens) => ("window", Some(tokens)),
            LayerKv::State => ("state", None),
        };
        let state = of.keeps == LayerKv::State;
        DerivedKept {
            keeps,
            window,
            layers: of.layers,
            bytes_per_token: (!state).then_some(of.bytes),
            bytes_per_request: state.then_some(of.bytes),
        }
    }
}

/// Groups of layers that draw from one pool of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DerivedGroups {
    /// How many groups of each kind, in words.
    pub words: String,
    /// Groups of all kinds: a request holds blocks in each.
    pub count: u32,
}

/// Where a number of KV blocks comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum BlocksFrom {
    /// The scenario gives it.
    #[default]
    Given,
    /// The GPU's memory.
    Memory {
        /// How it was reckoned, in words.
        arithmetic: String,
        /// Bytes of one block on one rank.
        bytes_per_block: u64,
        /// Bytes of the weights on one rank.
        weight_bytes: u64,
        /// Bytes left for KV on one rank.
        kv_bytes: u64,
    },
}

/// A longest prompt plus output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DerivedLength {
    /// Tokens.
    pub value: u32,
    /// Where the number comes from.
    pub from: LengthFrom,
}

/// Where `max_model_len` comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum LengthFrom {
    /// The scenario gives it.
    #[default]
    #[serde(rename = "given")]
    Given,
    /// The model was made for no more.
    #[serde(rename = "the model's max_position_embeddings")]
    Model,
    /// The KV cache holds no more.
    #[serde(rename = "the KV cache's tokens")]
    KvCache,
    /// Another pool has no more.
    #[serde(rename = "the smallest over the pools")]
    SmallestPool,
}

/// A GPU's figures that matter besides time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DerivedGpu {
    /// Its name.
    pub name: String,
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// The maker's figures.
    pub peak: Peak,
    /// US dollars for one GPU and hour.
    pub price_usd_per_hour: Option<f64>,
    /// Electric power of one GPU.
    pub power: Option<Power>,
    /// What its constants rest on.
    pub evidence: catalog::Evidence,
    /// Where its constants come from.
    pub source: GpuSource,
}

/// An engine's profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DerivedProfile {
    /// Its name; `fixed` for a constant iteration time.
    pub name: String,
    /// What its constants rest on; `None` for a constant iteration time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<catalog::Evidence>,
    /// What the engine's host adds to a step, and its range from machine to machine, in words; `None` where
    /// it is nothing, or no range is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where its constants come from; `None` for a constant iteration time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What follows of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DerivedPool {
    /// Of its replicas.
    #[serde(flatten)]
    pub of_replicas: DerivedReplicas,
    /// Its name.
    pub name: String,
    /// Its replicas; each data-parallel rank is one.
    pub replicas: u32,
    /// Its model's figures, where pools serve different ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<DerivedModel>,
    /// The schedulers as they are on its engine.
    pub schedulers: Vec<DerivedParameters>,
}

/// A scheduler's parameters on the engine of a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DerivedParameters {
    /// Name and given parameters.
    pub label: String,
    /// All of its parameters.
    pub parameters: Json,
}

/// What a scheduler is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DerivedScheduler {
    /// Name and given parameters.
    pub label: String,
    /// The system that it is the scheduler of.
    pub system: &'static str,
    /// What its likeness to that system rests on.
    pub evidence: Evidence,
}

/// Replicas that are alike, as a resolved scenario has them.
#[derive(Clone, Copy)]
pub struct ResolvedReplicas<'a> {
    /// The name of their pool, where there are pools.
    pub pool: Option<&'a str>,
    /// How many, data-parallel ranks not counted.
    pub replicas: u32,
    /// Their GPU, where there is one.
    pub gpu: Option<&'a GpuRef>,
    /// How the model is spread over GPUs.
    pub parallelism: Parallelism,
    /// Their engine.
    pub engine: &'a Engine,
    /// What follows of them.
    pub derived: &'a DerivedReplicas,
}

impl ResolvedScenario {
    /// The scenario as results publish it.
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).expect("a scenario is plain data")
    }

    /// The replicas of a pool by its place, or all of them where there are no pools; `None` where the
    /// scenario has no such pool.
    pub fn replicas(&self, pool: Option<usize>) -> Option<ResolvedReplicas<'_>> {
        let Some(place) = pool else {
            return Some(ResolvedReplicas {
                pool: None,
                replicas: self.filled.replicas?,
                gpu: self.filled.gpu.as_ref(),
                parallelism: self.filled.parallelism?,
                engine: self.filled.engine.as_ref()?,
                derived: self.derived.alike.as_ref()?,
            });
        };
        let pool = self.filled.pools.as_ref()?.get(place)?;
        Some(ResolvedReplicas {
            pool: pool.name.as_deref(),
            replicas: pool.replicas,
            gpu: pool.gpu.as_ref(),
            parallelism: pool.parallelism?,
            engine: pool.engine.as_ref()?,
            derived: &self.derived.pools.as_ref()?.get(place)?.of_replicas,
        })
    }
}
