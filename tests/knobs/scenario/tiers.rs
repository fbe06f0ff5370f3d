//! Keys of tiers behind KV blocks.

use super::{CACHING, VLLM_V1};
use crate::{Case, case};

/// Prompts that share beginnings which the GPU has no room to keep.
const PROMPTS: &str = "workload.prefix_groups={count: 12, tokens: 640, share: 1.0}";
const LITTLE: &str = "engine.kv_blocks=300";
const LENGTH: &str = "engine.max_model_len=4096";
const HOST: &str = "engine.kv_tiers=[{capacity: 8GiB, read_bandwidth: 25GB/s}]";
const TWO: &str = "engine.kv_tiers=[{capacity: 256MiB, read_bandwidth: 25GB/s}, \
                   {capacity: 64GiB, read_bandwidth: 5GB/s}]";
const ALL: &[&str] = &[VLLM_V1, CACHING, PROMPTS, LITTLE, LENGTH, HOST];

pub(super) const CASES: &[Case] = &[
    case("Engine.kv_tiers", &[VLLM_V1, CACHING, PROMPTS, LITTLE, LENGTH], "", HOST),
    case("KvTier.name", ALL, "engine.kv_tiers.0.name=host", "engine.kv_tiers.0.name=ram"),
    case(
        "Engine.kv_load",
        ALL,
        "engine.kv_load={min_tokens: 4000}",
        "engine.kv_load={min_tokens: 0}",
    ),
    case(
        "KvTier.capacity",
        ALL,
        "engine.kv_tiers.0.capacity=8GiB",
        "engine.kv_tiers.0.capacity=128MiB",
    ),
    case(
        "KvTier.read_bandwidth",
        ALL,
        "engine.kv_tiers.0.read_bandwidth=25GB/s",
        "engine.kv_tiers.0.read_bandwidth=5GB/s",
    ),
    case(
        "KvTier.write_bandwidth",
        ALL,
        "engine.kv_tiers.0.write_bandwidth=25GB/s",
        "engine.kv_tiers.0.write_bandwidth=10MB/s",
    ),
    case("KvTier.latency", ALL, "engine.kv_tiers.0.latency=0s", "engine.kv_tiers.0.latency=2ms"),
    case(
        "KvTier.scope",
        &[VLLM_V1, CACHING, PROMPTS, LITTLE, LENGTH, TWO, "replicas=2"],
        "engine.kv_tiers.1.scope=replica",
        "engine.kv_tiers.1.scope=cluster",
    ),
    case("KvLoad.min_tokens", ALL, "engine.kv_load.min_tokens=0", "engine.kv_load.min_tokens=4000"),
    case(
        "KvLoad.recompute",
        &[
            VLLM_V1,
            CACHING,
            PROMPTS,
            LITTLE,
            LENGTH,
            HOST,
            "engine.kv_tiers.0.read_bandwidth=1GB/s",
        ],
        "engine.kv_load.recompute=never",
        "engine.kv_load.recompute=if-faster",
    ),
    case(
        "KvLoad.prompt_only",
        ALL,
        "engine.kv_load.prompt_only=true",
        "engine.kv_load.prompt_only=false",
    ),
    case(
        "KvLoad.store_threshold",
        ALL,
        "engine.kv_load.store_threshold=0",
        "engine.kv_load.store_threshold=3",
    ),
    case(
        "KvLoad.chunk_blocks",
        ALL,
        "engine.kv_load.chunk_blocks=1",
        "engine.kv_load.chunk_blocks=16",
    ),
    case("KvLoad.overlap", ALL, "engine.kv_load.overlap=steps", "engine.kv_load.overlap=nothing"),
    case("KvLoad.overlap", ALL, "engine.kv_load.overlap=layers", "engine.kv_load.overlap=nothing"),
    case(
        "KvLoad.bytes_per_token",
        ALL,
        "engine.kv_load.bytes_per_token=128KiB",
        "engine.kv_load.bytes_per_token=1MiB",
    ),
];
