//! SGLang's command line, by the flags of 0.5.23.

use super::weights::weights;
use super::{Engine, Launch, Line};
use crate::cost::{Dtype, ExpertExchange, KvDtype};
use crate::scheduler::Feature;

pub(super) fn launch(engine: &Engine<'_>) -> Launch {
    let Engine { pool, pricing, scheduler } = *engine;
    let (spread, config) = (pricing.parallelism, &scheduler.config);
    let mut line = Line::default();
    // Ranks that share experts are parts of one tensor-parallel group there.
    let shares = spread.data > 1 && pricing.model.experts().is_some();
    let ranks = if shares { spread.tensor * spread.data } else { spread.tensor };
    line.above_one("tp-size", ranks);
    line.above_one("pp-size", spread.pipeline);
    line.above_one("dp-size", spread.data);
    if shares {
        line.flag("enable-dp-attention");
    }
    line.value("context-length", pool.engine.max_model_len);
    let parameters = engine.parameters();
    for (name, value) in &parameters {
        match (name.as_str(), value.as_str()) {
            ("version", Some(version)) => {
                line.left_out(format!(
                    "the version: start SGLang {version}, whose rules were simulated"
                ));
            }
            ("ignore_eos", _) => line.left_out("`ignore_eos`: each request asks for it itself"),
            _ => line.parameter(name, value),
        }
    }
    weights(engine, &mut line, prequantised);
    match pricing.precision.kv {
        KvDtype::Auto => {}
        KvDtype::Bf16 => line.value("kv-cache-dtype", "bf16"),
        KvDtype::Fp8 => line.value("kv-cache-dtype", "fp8_e4m3"),
        other @ (KvDtype::Fp16 | KvDtype::Int8 | KvDtype::Nvfp4) => {
            line.left_out(format!("KV in {other}: `--kv-cache-dtype` has no such format"));
        }
    }
    memory(engine, &mut line);
    if spread.expert {
        line.value("ep-size", ranks);
        experts(engine, &mut line);
    }
    if pricing.profile.enforce_eager {
        line.flag("disable-cuda-graph");
    }
    let switches = [
        ("disable_radix_cache", Feature::PrefixCaching, pool.engine.prefix_caching(config)),
        (
            "disable_overlap_schedule",
            Feature::AsyncScheduling,
            pool.engine.async_scheduling(config),
        ),
    ];
    for (name, feature, on) in switches {
        let told = parameters.iter().any(|(own, _)| own == name);
        if !on && config.on_by_default(feature) && !told {
            line.parameter(name, &true.into());
        }
    }
    let unused = [
        ("`engine.kv_tiers`", pool.engine.tiers.is_some()),
        ("`engine.speculative`", pool.engine.speculative.is_some()),
    ];
    for (what, _) in unused.iter().filter(|(_, given)| *given) {
        line.left_out(format!("{what}, without which SGLang's scheduler was simulated"));
    }
    line.after(&format!("python -m sglang.launch_server --model-path {}", engine.model()))
}

/// How SGLang calls the checkpoints of a format.
fn prequantised(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::Int8 => Some("w8a8_int8"),
        Dtype::Int4 => Some("awq_marlin"),
        Dtype::Mxfp4 => Some("mxfp4"),
        Dtype::Nvfp4 => Some("modelopt_fp4"),
        Dtype::Auto | Dtype::Bf16 | Dtype::Fp16 | Dtype::Fp8 => None,
    }
}

fn memory(engine: &Engine<'_>, line: &mut Line) {
    let Some(asked) = engine.pool.hardware.memory_asked else { return };
    let limits = engine.pool.engine;
    if asked.blocks_given {
        let tokens = u64::from(limits.kv_blocks) * u64::from(limits.kv_block_tokens);
        line.value("max-total-tokens", tokens);
        return;
    }
    let profile = &engine.pricing.profile;
    let own = (profile.gpu_memory_utilization, profile.overhead_bytes);
    if (asked.utilization, asked.reserved_bytes) != own {
        // There it is the share of weights and KV alone.
        let beside = asked.reserved_bytes as f64 / engine.pricing.gpu.memory_bytes as f64;
        line.value("mem-fraction-static", format_args!("{:.3}", asked.utilization - beside));
    }
}

fn experts(engine: &Engine<'_>, line: &mut Line) {
    let mode = match engine.pricing.experts.exchange {
        ExpertExchange::AllgatherReducescatter => return,
        ExpertExchange::DeepepHighThroughput => "normal",
        ExpertExchange::DeepepLowLatency => "low_latency",
        ExpertExchange::AllToAll => {
            return line.left_out(
                "`experts.exchange: all_to_all`: choose a backend that copies tokens, \
                 `--moe-a2a-backend`",
            );
        }
    };
    if engine.pricing.parallelism.data > 1 {
        line.value("moe-a2a-backend", "deepep");
        line.value("deepep-mode", mode);
    }
}
