//! The command line that starts an engine as it was simulated, and what no command line says.

mod sglang;
mod vllm;
mod weights;

use serde_json::Value;

use crate::cost::Pricing;
use crate::scenario::{PoolView, SchedulerRun};
use crate::scheduler::SchedulerConfig;

/// How to start an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The command. Settings that are the engine's defaults are left out.
    pub line: String,
    /// What was simulated and the command does not say, each with what to do about it.
    pub left_out: Vec<String>,
}

/// The command of vLLM or SGLang for replicas of a pool; `None` of other schedulers, and where a fixed
/// iteration time stands for the model.
pub fn launch(pool: &PoolView<'_>, scheduler: &SchedulerRun) -> Option<Launch> {
    let pricing = pool.hardware.pricing.as_ref()?;
    let engine = Engine { pool, pricing, scheduler };
    match scheduler.name.as_str() {
        "vllm-v1" => Some(vllm::launch(&engine)),
        "sglang" => Some(sglang::launch(&engine)),
        _ => None,
    }
}

/// An engine that was simulated.
struct Engine<'a> {
    pool: &'a PoolView<'a>,
    pricing: &'a Pricing,
    scheduler: &'a SchedulerRun,
}

impl Engine<'_> {
    /// The model by its name on Hugging Face, where that is known.
    fn model(&self) -> &str {
        hugging_face_id(&self.pricing.model.source).unwrap_or(&self.pricing.model.name)
    }

    /// The scheduler's parameters that are not its defaults.
    fn parameters(&self) -> Vec<(String, Value)> {
        let name = &self.scheduler.name;
        let defaults =
            SchedulerConfig::by_name(name).map_or(Value::Null, |config| config.parameters());
        let own = self.scheduler.config.parameters();
        let own = own.as_object().cloned().unwrap_or_default();
        own.into_iter().filter(|(name, value)| defaults.get(name) != Some(value)).collect()
    }
}

/// A command that is put together.
#[derive(Default)]
struct Line {
    flags: Vec<String>,
    left_out: Vec<String>,
}

impl Line {
    fn flag(&mut self, name: &str) {
        self.flags.push(format!("--{name}"));
    }

    fn value(&mut self, name: &str, value: impl std::fmt::Display) {
        self.flags.push(format!("--{name} {value}"));
    }

    /// Only where it is more than 1.
    fn above_one(&mut self, name: &str, value: u32) {
        if value > 1 {
            self.value(name, value);
        }
    }

    /// A parameter by its own name.
    fn parameter(&mut self, name: &str, value: &Value) {
        let name = name.replace('_', "-");
        match value {
            Value::Bool(true) => self.flag(&name),
            Value::Bool(false) => self.flag(&format!("no-{name}")),
            Value::String(text) => self.value(&name, text),
            other => self.value(&name, other),
        }
    }

    fn left_out(&mut self, what: impl Into<String>) {
        self.left_out.push(what.into());
    }

    fn after(self, begin: &str) -> Launch {
        let words = std::iter::once(begin.to_owned()).chain(self.flags);
        Launch { line: words.collect::<Vec<_>>().join(" "), left_out: self.left_out }
    }
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

    fn of(name: &str, text: &str) -> Launch {
        let files = crate::scenario::Files::any(std::path::Path::new("."));
        let document = crate::scenario::Document::from_text(name, text, files);
        let experiment =
            document.and_then(|one| one.resolve(None)).expect("it is sound").experiment;
        launch(&experiment.fleet()[0], &experiment.schedulers[0]).expect("an engine")
    }

    fn bundled(name: &str) -> Launch {
        let all = crate::scenario::bundled();
        of(name, all.iter().find(|one| one.name == name).expect("it is bundled").text)
    }

    const LOAD: &str = "workload: {requests: 8, arrivals: {poisson: {rate: 1}}, lengths: \
                        {prompt: {fixed: 100}, output: {fixed: 9}}}\nslo: {ttft: 1s, tbt: 50ms}\n";

    #[test]
    fn memory_of_the_host_is_asked_for() {
        let Launch { line, .. } = bundled("kv-tiers");
        assert!(line.contains(" --kv-offloading-backend native --kv-offloading-size 64"), "{line}");
    }

    #[test]
    fn vllm_is_started_with_every_setting_that_is_not_its_default() {
        let text = "model: {base: llama-3.1-8b, weights: q4_k_m}\ngpu: h100-sxm\nengine: \
                    {kv_cache_dtype: int8, gpu_memory_utilization: 0.7, enforce_eager: true, \
                    async_scheduling: false, kv_block_tokens: 32, reserved_memory: 2GiB, speculative: \
                    {method: eagle, tokens: 3, num_speculative_tokens_per_batch_size: {\"1-16\": 3, \
                    \"17-64\": 1}, acceptance: {length: 2.2}}}\nschedulers: [{vllm-v1: {policy: \
                    priority, long_prefill_token_threshold: 256, enable_chunked_prefill: false, \
                    watermark: 0.05, scheduler_reserve_full_isl: false}}]\n";
        let Launch { line, left_out } = of("all.yaml", &format!("{text}{LOAD}"));
        for flag in [
            "vllm serve meta-llama/Llama-3.1-8B ",
            " --scheduling-policy priority",
            " --long-prefill-token-threshold 256",
            " --no-enable-chunked-prefill",
            " --watermark 0.05",
            " --no-scheduler-reserve-full-isl",
            " --kv-cache-dtype int8_per_token_head",
            " --block-size 32",
            " --gpu-memory-utilization 0.7",
            " --enforce-eager",
            " --no-async-scheduling",
            " --speculative-config '{\"method\":\"eagle\",\"num_speculative_tokens\":3,\
             \"num_speculative_tokens_per_batch_size\":[[1,16,3],[17,1024,1]]}'",
        ] {
            assert!(line.contains(flag), "{flag}: {line}");
        }
        let notes = left_out.join("\n");
        for said in ["GGUF file", "`engine.reserved_memory`", "eagle head"] {
            assert!(notes.contains(said), "{said}: {notes}");
        }
    }

    #[test]
    fn a_checkpoint_that_comes_quantised_is_not_quantised_again() {
        let served = |dtype: &str| {
            let text = format!(
                "model: gpt-oss-120b\ngpu: h100-sxm\nengine: {{dtype: {dtype}}}\nparallelism: \
                 {{tensor: 4}}\nschedulers: [vllm-v1]\n{LOAD}"
            );
            of("quantised.yaml", &text)
        };
        assert_eq!(served("auto").left_out, Vec::<String>::new());
        for dtype in ["auto", "fp8", "bf16"] {
            let Launch { line, left_out } = served(dtype);
            assert!(!line.contains("--quantization") && !line.contains("--dtype"), "{line}");
            let said = left_out.iter().any(|note| note.contains("mxfp4"));
            assert_eq!(said, dtype != "auto", "{left_out:?}");
        }
    }

    #[test]
    fn sglang_is_started_as_it_was_simulated() {
        let text = "model: llama-3.1-8b\ngpu: h100-sxm\nengine: {profile: sglang-0.5, \
                    kv_cache_dtype: fp8, kv_blocks: 1000, max_model_len: 4096, enforce_eager: \
                    true}\nschedulers: [{sglang: {schedule_policy: lpm, page_size: 16, \
                    enable_mixed_chunk: true, disable_overlap_schedule: true, ignore_eos: true}}]\n";
        let Launch { line, left_out } = of("sglang.yaml", &format!("{text}{LOAD}"));
        for flag in [
            " --schedule-policy lpm",
            " --page-size 16",
            " --enable-mixed-chunk",
            " --disable-overlap-schedule",
            " --kv-cache-dtype fp8_e4m3",
            " --max-total-tokens 16000",
            " --disable-cuda-graph",
        ] {
            assert_eq!(line.matches(flag).count(), 1, "{flag}: {line}");
        }
        assert!(left_out.iter().any(|note| note.contains("`ignore_eos`")), "{left_out:?}");
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
