//! Keys of prefill and decode on replicas of their own.

use super::{BURST, CACHING, PREFIXES, VLLM_V1};
use crate::{Case, case};

const POOLS: &str =
    "pools=[{name: p, role: prefill, replicas: 1}, {name: d, role: decode, replicas: 2}]";
const APART: &str = "disaggregation={transfer: {link: ib-400g}}";
const LINK: &str = "disaggregation.transfer.link={bandwidth: 1GB/s, latency: 20us}";
/// A prompt's blocks are held longer than this, behind the others.
const LEASE: &str = "disaggregation.kv_lease=1us";
const DESTINATION_FIRST: &str = "disaggregation.order=destination-first";
const NO_MEMORY: &str = "engine.kv_blocks=150";

pub(super) const CASES: &[Case] = &[
    case(
        "Scenario.disaggregation",
        &[VLLM_V1, POOLS],
        APART,
        "disaggregation={transfer: {link: tcp-100g}}",
    ),
    case(
        "Pool.role",
        &[VLLM_V1, APART],
        POOLS,
        "pools=[{name: p, role: decode, replicas: 1}, {name: d, role: prefill, replicas: 2}]",
    ),
    case(
        "Disaggregation.decode_router",
        &[VLLM_V1, POOLS, APART, BURST],
        "disaggregation.decode_router=round-robin",
        "disaggregation.decode_router=least-tokens",
    ),
    case(
        "Disaggregation.order",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.order=source-first",
        "disaggregation.order=destination-first",
    ),
    case(
        "Disaggregation.first_token",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.first_token=recomputed",
        "disaggregation.first_token=carried",
    ),
    case(
        "Disaggregation.reserved_decode_tokens",
        &[VLLM_V1, POOLS, APART, BURST, NO_MEMORY, DESTINATION_FIRST],
        "disaggregation.reserved_decode_tokens=0",
        "disaggregation.reserved_decode_tokens=900",
    ),
    case(
        "Disaggregation.decider",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.decider=always",
        "disaggregation.decider={prefix-based: {non_cached_tokens: 500}}",
    ),
    case(
        "DeciderRules.conditional",
        &[VLLM_V1, POOLS, APART, PREFIXES, CACHING],
        "disaggregation.decider={conditional: {}}",
        "disaggregation.decider=always",
    ),
    case(
        "DeciderRules.prefix-based",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.decider={prefix-based: {}}",
        "disaggregation.decider=always",
    ),
    case(
        "ConditionalDecider.min_new_tokens",
        &[VLLM_V1, POOLS, APART, PREFIXES, CACHING],
        "disaggregation.decider={conditional: {min_new_tokens: 1}}",
        "disaggregation.decider={conditional: {min_new_tokens: 4000}}",
    ),
    case(
        "ConditionalDecider.min_new_ratio",
        &[VLLM_V1, POOLS, APART, PREFIXES, CACHING],
        "disaggregation.decider={conditional: {min_new_ratio: 0.1}}",
        "disaggregation.decider={conditional: {min_new_ratio: 1.0}}",
    ),
    case(
        "PrefixBasedDecider.non_cached_tokens",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.decider={prefix-based: {non_cached_tokens: 16}}",
        "disaggregation.decider={prefix-based: {non_cached_tokens: 900}}",
    ),
    case(
        "PrefixBasedDecider.prompt_tokens",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.decider={prefix-based: {non_cached_tokens: 16, prompt_tokens: 10}}",
        "disaggregation.decider={prefix-based: {non_cached_tokens: 16, prompt_tokens: 900}}",
    ),
    case(
        "Disaggregation.transfer",
        &[VLLM_V1, POOLS],
        APART,
        "disaggregation={transfer: {link: ib-400g, setup: 5ms}}",
    ),
    case(
        "Disaggregation.kv_lease",
        &[VLLM_V1, POOLS, APART, BURST, NO_MEMORY],
        "disaggregation.kv_lease=1us",
        "disaggregation.kv_lease=1h",
    ),
    case(
        "Disaggregation.on_failure",
        &[VLLM_V1, POOLS, APART, BURST, NO_MEMORY, LEASE],
        "disaggregation.on_failure=fail",
        "disaggregation.on_failure=recompute",
    ),
    case(
        "KvTransfer.link",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.transfer.link=ib-400g",
        "disaggregation.transfer.link=roce-200g",
    ),
    case(
        "KvTransfer.setup",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.transfer.setup=1ms",
        "disaggregation.transfer.setup=3ms",
    ),
    case(
        "KvTransfer.per_block",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.transfer.per_block=1us",
        "disaggregation.transfer.per_block=9us",
    ),
    case(
        "KvTransfer.missing_only",
        &[VLLM_V1, POOLS, APART, PREFIXES, CACHING],
        "disaggregation.transfer.missing_only=true",
        "disaggregation.transfer.missing_only=false",
    ),
    case(
        "KvTransfer.bytes_per_token",
        &[VLLM_V1, POOLS, APART],
        "disaggregation.transfer.bytes_per_token=70KiB",
        "disaggregation.transfer.bytes_per_token=320KiB",
    ),
    case(
        "LinkFigures.bandwidth",
        &[VLLM_V1, POOLS, APART],
        LINK,
        "disaggregation.transfer.link={bandwidth: 9GB/s, latency: 20us}",
    ),
    case(
        "LinkFigures.latency",
        &[VLLM_V1, POOLS, APART],
        LINK,
        "disaggregation.transfer.link={bandwidth: 1GB/s, latency: 9ms}",
    ),
    case(
        "LinkFigures.scope",
        &[VLLM_V1, POOLS, APART, "parallelism={tensor: 2}"],
        LINK,
        "disaggregation.transfer.link={bandwidth: 1GB/s, latency: 20us, scope: fleet}",
    ),
];
