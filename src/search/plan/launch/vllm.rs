//! vLLM's command line, by the flags of 0.33.

use serde_json::{Map, Value, json};

use super::weights::weights;
use super::{Engine, Launch, Line, hugging_face_id};
use crate::cost::{Dtype, ExpertExchange, KvDtype};
use crate::fleet::LoadOverlap;
use crate::scenario::Tiers;
use crate::scheduler::Feature;
use crate::speculative::{DraftRules, Method};

/// Tokens of a block where nobody says.
const BLOCK_TOKENS: u32 = 16;

pub(super) fn launch(engine: &Engine<'_>) -> Launch {
    let Engine { pool, pricing, scheduler } = *engine;
    let spread = pricing.parallelism;
    let mut line = Line::default();
    line.above_one("tensor-parallel-size", spread.tensor);
    line.above_one("pipeline-parallel-size", spread.pipeline);
    line.above_one("data-parallel-size", spread.data);
    line.value("max-model-len", pool.engine.max_model_len);
    for (name, value) in engine.parameters() {
        match (name.as_str(), value.as_str()) {
            ("version", Some(version)) => {
                line.left_out(format!(
                    "the version: start vLLM {version}, whose rules were simulated"
                ));
            }
            ("policy", Some(policy)) => line.value("scheduling-policy", policy),
            _ => line.parameter(&name, &value),
        }
    }
    weights(engine, &mut line, prequantised);
    match pricing.precision.kv {
        KvDtype::Auto => {}
        KvDtype::Bf16 => line.value("kv-cache-dtype", "bfloat16"),
        KvDtype::Fp16 => line.value("kv-cache-dtype", "float16"),
        KvDtype::Fp8 => line.value("kv-cache-dtype", "fp8"),
        KvDtype::Int8 => line.value("kv-cache-dtype", "int8_per_token_head"),
        KvDtype::Nvfp4 => line.value("kv-cache-dtype", "nvfp4"),
    }
    memory(engine, &mut line);
    if let Some(tiers) = &pool.engine.tiers {
        offloading(tiers, &mut line);
    }
    if spread.expert {
        line.flag("enable-expert-parallel");
        experts(engine, &mut line);
    }
    if pricing.profile.enforce_eager {
        line.flag("enforce-eager");
    }
    let config = &scheduler.config;
    let switches = [
        ("enable-prefix-caching", Feature::PrefixCaching, pool.engine.prefix_caching(config)),
        ("async-scheduling", Feature::AsyncScheduling, pool.engine.async_scheduling(config)),
    ];
    for (name, feature, on) in switches {
        match (on, config.on_by_default(feature)) {
            (true, false) => line.flag(name),
            (false, true) => line.flag(&format!("no-{name}")),
            _ => {}
        }
    }
    if let Some(speculative) = &pool.engine.speculative {
        drafts(engine, &speculative.rules, &mut line);
    }
    line.after(&format!("vllm serve {}", engine.model()))
}

/// How vLLM calls the checkpoints of a format.
fn prequantised(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::Int8 => Some("compressed-tensors"),
        Dtype::Int4 => Some("awq_marlin"),
        Dtype::Mxfp4 => Some("mxfp4"),
        Dtype::Nvfp4 => Some("modelopt_fp4"),
        Dtype::Auto | Dtype::Bf16 | Dtype::Fp16 | Dtype::Fp8 => None,
    }
}

fn memory(engine: &Engine<'_>, line: &mut Line) {
    let limits = engine.pool.engine;
    // Where layers differ vLLM sizes the blocks itself.
    if limits.kv_groups.is_one() && limits.kv_block_tokens != BLOCK_TOKENS {
        line.value("block-size", limits.kv_block_tokens);
    }
    let Some(asked) = engine.pool.hardware.memory_asked else { return };
    // Always given: the default is not the same in every version.
    line.value("gpu-memory-utilization", asked.utilization);
    if asked.blocks_given {
        line.value("num-gpu-blocks-override", limits.kv_blocks);
    } else if asked.reserved_bytes != engine.pricing.profile.overhead_bytes {
        line.left_out(
            "`engine.reserved_memory`: vLLM measures what it needs beside weights and KV; \
             `--num-gpu-blocks-override` sets how many blocks there are",
        );
    }
}

fn offloading(tiers: &Tiers, line: &mut Line) {
    let chunk = tiers.block_bytes.saturating_mul(tiers.chunk_blocks.into());
    let gib = chunk.saturating_mul(tiers.host.chunks.into()).div_ceil(1 << 30);
    line.value("kv-offloading-backend", "native");
    line.value("kv-offloading-size", gib);
    if let Some(below) = &tiers.below {
        line.left_out(format!(
            "the tier {} below the host's memory: `--kv-transfer-config` sets up a store",
            below.name
        ));
    }
    let settings = [
        ("min_tokens", tiers.min_tokens > 0),
        ("recompute", tiers.recomputes_if_faster),
        ("prompt_only", !tiers.prompt_only),
        ("store_threshold", tiers.store_threshold > 1),
        ("chunk_blocks", tiers.chunk_blocks > 1),
        ("overlap", tiers.overlap != LoadOverlap::Steps),
    ];
    let given: Vec<String> =
        settings.iter().filter(|(_, own)| *own).map(|(name, _)| format!("`{name}`")).collect();
    if !given.is_empty() {
        line.left_out(format!(
            "{} of `engine.kv_load`: what the connector has of them stands in `--kv-transfer-config`",
            given.join(", ")
        ));
    }
}

fn experts(engine: &Engine<'_>, line: &mut Line) {
    if engine.pricing.parallelism.data < 2 {
        return;
    }
    match engine.pricing.experts.exchange {
        ExpertExchange::AllgatherReducescatter => {}
        ExpertExchange::DeepepHighThroughput => {
            line.value("all2all-backend", "deepep_high_throughput");
        }
        ExpertExchange::DeepepLowLatency => line.value("all2all-backend", "deepep_low_latency"),
        ExpertExchange::AllToAll => line.left_out(
            "`experts.exchange: all_to_all`: choose a backend that copies tokens, `--all2all-backend`",
        ),
    }
}

fn drafts(engine: &Engine<'_>, rules: &DraftRules, line: &mut Line) {
    let mut config = Map::new();
    config.insert("method".to_owned(), json!(rules.method.name()));
    match rules.method {
        Method::DraftModel => {
            let small = engine.pricing.drafter.as_ref().and_then(|drafter| drafter.layers());
            if let Some(small) = small.map(|layers| layers.model()) {
                let name = hugging_face_id(&small.source).unwrap_or(&small.name);
                config.insert("model".to_owned(), json!(name));
            }
        }
        Method::Eagle | Method::Eagle3 => line.left_out(format!(
            "the checkpoint of the {} head: add `\"model\"` to `--speculative-config`",
            rules.method
        )),
        Method::Mtp { .. } | Method::Ngram | Method::Suffix => {}
    }
    config.insert("num_speculative_tokens".to_owned(), json!(rules.tokens));
    if let Some(table) = &rules.by_batch_size {
        let info = engine.pool.engine_info(&engine.scheduler.config);
        let resolved = engine.scheduler.config.resolved(&info).parameters();
        let seats = resolved["max_num_seqs"].as_u64().and_then(|seats| u32::try_from(seats).ok());
        let ranges = table.ranges(seats.unwrap_or(u32::MAX));
        let ranges: Vec<Value> = ranges.map(|(first, last, k)| json!([first, last, k])).collect();
        config.insert("num_speculative_tokens_per_batch_size".to_owned(), json!(ranges));
    }
    if let Some(most) = rules.off_above_running {
        line.left_out(format!(
            "`engine.speculative.off_above_running: {most}`: vLLM V1 has \
             `num_speculative_tokens_per_batch_size` in its place"
        ));
    }
    line.value("speculative-config", format_args!("'{}'", Value::Object(config)));
}
