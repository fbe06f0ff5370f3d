//! Pools of replicas that differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, ExpertTraffic, GpuRef, Links, ModelRef, Parallelism, PoolRole, Promise};

/// Replicas of a kind. What it does not give is the scenario's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{name: fast, replicas: 2, gpu: h100-sxm}`"
)]
pub struct Pool {
    /// Its name for the router, `--set` and results; the GPU's name unless given, or `pool-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its replicas do for a request: `both` unless given. Pools that prefill and pools that
    /// decode go together, with `disaggregation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<PoolRole>,
    /// Identical replicas; replicas are numbered pool after pool.
    pub replicas: u32,
    /// The model that it serves; classes are sent to pools by `router: {class-to-pool: ...}` where models
    /// differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// Its GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuRef>,
    /// How the model is spread over GPUs in it, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<Parallelism>,
    /// How tokens get to experts in it, field by field: pools that prefill and pools that decode
    /// commonly exchange them by different kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertTraffic>,
    /// What joins its GPUs, link by link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// Its engine, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// What the requests that it serves are promised, besides the promises to all and to classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
}

impl Parallelism {
    /// This, and where it is silent, `otherwise`.
    pub fn or(self, otherwise: Parallelism) -> Parallelism {
        let Parallelism { tensor, pipeline, data, expert } = self;
        Parallelism {
            tensor: tensor.or(otherwise.tensor),
            pipeline: pipeline.or(otherwise.pipeline),
            data: data.or(otherwise.data),
            expert: expert.or(otherwise.expert),
        }
    }
}

impl Engine {
    /// This, and where it is silent, `otherwise`.
    pub fn or(self, otherwise: Engine) -> Engine {
        let Engine {
            profile,
            dtype,
            kv_cache_dtype,
            kv_block_tokens,
            gpu_memory_utilization,
            reserved_memory,
            kv_blocks,
            max_model_len,
            prefix_caching,
            async_scheduling,
            enforce_eager,
            front_end,
            predictor,
            speculative,
            kv_tiers,
            kv_load,
        } = self;
        Engine {
            profile: profile.or(otherwise.profile),
            dtype: dtype.or(otherwise.dtype),
            kv_cache_dtype: kv_cache_dtype.or(otherwise.kv_cache_dtype),
            kv_block_tokens: kv_block_tokens.or(otherwise.kv_block_tokens),
            gpu_memory_utilization: gpu_memory_utilization.or(otherwise.gpu_memory_utilization),
            reserved_memory: reserved_memory.or(otherwise.reserved_memory),
            kv_blocks: kv_blocks.or(otherwise.kv_blocks),
            max_model_len: max_model_len.or(otherwise.max_model_len),
            prefix_caching: prefix_caching.or(otherwise.prefix_caching),
            async_scheduling: async_scheduling.or(otherwise.async_scheduling),
            enforce_eager: enforce_eager.or(otherwise.enforce_eager),
            front_end: front_end.or(otherwise.front_end),
            predictor: predictor.or(otherwise.predictor),
            speculative: speculative.or(otherwise.speculative),
            kv_tiers: kv_tiers.or(otherwise.kv_tiers),
            kv_load: kv_load.or(otherwise.kv_load),
        }
    }
}
