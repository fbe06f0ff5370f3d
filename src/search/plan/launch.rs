//! The command line that starts an engine as it was simulated.

use serde_json::Value;

use crate::cost::{Dtype, KvDtype};
use crate::scenario::{PoolView, SchedulerRun};
use crate::scheduler::Feature;

/// The command of vLLM or SGLang for replicas of a pool; `None` of other schedulers, and where a fixed
/// iteration time stands for the model. Settings that are the engine's defaults are left out.
pub fn launch(pool: &PoolView<'_>, scheduler: &SchedulerRun) -> Option<String> {
    let pricing = pool.hardware.pricing.as_ref()?;
    let model = hugging_face_id(&pricing.model.source).unwrap_or(&pricing.model.name);
    let spread = pricing.parallelism;
    let parameters = scheduler.config.parameters();
    let given = |name: &str| parameters.get(name).filter(|value| !value.is_null()).map(shown);
    let mut flags: Vec<String> = Vec::new();
    let mut flag = |name: &str, value: Option<String>| {
        flags.extend(value.map(|value| format!("--{name} {value}")));
    };
    let above_one = |number: u32| (number > 1).then(|| number.to_string());
    let len = Some(pool.engine.max_model_len.to_string());
    let caching = pool.engine.prefix_caching(&scheduler.config);
    let by_default = scheduler.config.on_by_default(Feature::PrefixCaching);
    let begin = match scheduler.name.as_str() {
        "vllm-v1" => {
            flag("tensor-parallel-size", above_one(spread.tensor));
            flag("pipeline-parallel-size", above_one(spread.pipeline));
            flag("data-parallel-size", above_one(spread.data));
            flag("max-model-len", len);
            flag("max-num-batched-tokens", given("max_num_batched_tokens"));
            flag("max-num-seqs", given("max_num_seqs"));
            match pricing.precision.weights {
                Dtype::Bf16 => flag("dtype", Some("bfloat16".to_owned())),
                Dtype::Fp16 => flag("dtype", Some("float16".to_owned())),
                Dtype::Fp8 => flag("quantization", Some("fp8".to_owned())),
                Dtype::Int8 => flag("quantization", Some("compressed-tensors".to_owned())),
                Dtype::Int4 => flag("quantization", Some("awq_marlin".to_owned())),
                Dtype::Mxfp4 => flag("quantization", Some("mxfp4".to_owned())),
                Dtype::Nvfp4 => flag("quantization", Some("modelopt_fp4".to_owned())),
                Dtype::Auto => {}
            }
            if pricing.precision.kv == KvDtype::Fp8 {
                flag("kv-cache-dtype", Some("fp8".to_owned()));
            }
            if let Some(tiers) = &pool.engine.tiers {
                let chunk = tiers.block_bytes.saturating_mul(tiers.chunk_blocks.into());
                let gib = chunk.saturating_mul(tiers.host.chunks.into()).div_ceil(1 << 30);
                flag("kv-offloading-backend", Some("native".to_owned()));
                flag("kv-offloading-size", Some(gib.to_string()));
            }
            if spread.expert {
                flags.push("--enable-expert-parallel".to_owned());
            }
            match (caching, by_default) {
                (true, false) => flags.push("--enable-prefix-caching".to_owned()),
                (false, true) => flags.push("--no-enable-prefix-caching".to_owned()),
                _ => {}
            }
            format!("vllm serve {model}")
        }
        "sglang" => {
            flag("tp-size", above_one(spread.tensor));
            flag("pp-size", above_one(spread.pipeline));
            flag("dp-size", above_one(spread.data));
            flag("context-length", len);
            flag("chunked-prefill-size", given("chunked_prefill_size"));
            flag("max-running-requests", given("max_running_requests"));
            match pricing.precision.weights {
                Dtype::Bf16 => flag("dtype", Some("bfloat16".to_owned())),
                Dtype::Fp16 => flag("dtype", Some("float16".to_owned())),
                Dtype::Fp8 => flag("quantization", Some("fp8".to_owned())),
                _ => {}
            }
            if !caching && by_default {
                flags.push("--disable-radix-cache".to_owned());
            }
            format!("python -m sglang.launch_server --model-path {model}")
        }
        _ => return None,
    };
    Some(std::iter::once(begin).chain(flags).collect::<Vec<_>>().join(" "))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The first `owner/name` of a model's source.
fn hugging_face_id(source: &str) -> Option<&str> {
    let mut words = source.split([' ', ',', ';', '(', ')']);
    words.find(|word| {
        word.split_once('/').is_some_and(|(owner, name)| {
            let plain = |part: &str| {
                !part.is_empty()
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            };
            plain(owner) && plain(name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_host_is_asked_for() {
        let all = crate::scenario::bundled();
        let text = all.iter().find(|one| one.name == "kv-tiers").expect("it is bundled").text;
        let files = crate::scenario::Files::any(std::path::Path::new("."));
        let document = crate::scenario::Document::from_text("kv-tiers.yaml", text, files);
        let experiment =
            document.and_then(|one| one.resolve(None)).expect("it is sound").experiment;
        let line = launch(&experiment.fleet()[0], &experiment.schedulers[0]).expect("vLLM");
        assert!(line.contains(" --kv-offloading-backend native --kv-offloading-size 64"), "{line}");
    }

    #[test]
    fn a_model_is_called_by_its_name_on_hugging_face() {
        let of = |name: &str| {
            let model = crate::catalog::model(name).expect("in the catalogue");
            hugging_face_id(&model.source).map(str::to_owned)
        };
        assert_eq!(of("qwen3-32b").as_deref(), Some("Qwen/Qwen3-32B"));
        assert_eq!(hugging_face_id("worked out by hand"), None);
    }
}
