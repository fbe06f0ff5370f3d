//! Models, GPUs and engine profiles: by name, or with figures of their own.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::Draw;
use crate::catalog;

/// GPUs that hold the models below; the last has no constants for fp8.
const GPUS: [&str; 3] = ["h100-sxm", "h200-sxm", "b200-sxm"];

impl Draw {
    /// Model, GPU and parallelism.
    pub(super) fn hardware(&mut self, scenario: &mut Map<String, Value>) {
        let experts = self.on("experts", 0.25);
        if !experts {
            self.on("fp8", 0.15);
        }
        let model = match self.rng.random_range(0..4) {
            _ if experts => json!(self.one_of(&["mixtral-8x7b", "deepseek-v2-lite"])),
            0 => self.model_figures(),
            1 if self.rng.random_bool(0.3) => {
                let text = model_config(self.one_of(&[16, 32]));
                let name = self.one_of(&["model.json", "config.json"]);
                json!({"config": self.file(name, text)})
            }
            _ => json!(self.one_of(&["llama-3.1-8b", "qwen3-32b", "gemma-2-9b"])),
        };
        scenario.insert("model".to_owned(), model);
        let gpu = self.gpu();
        scenario.insert("gpu".to_owned(), gpu);
        let mut parallelism = json!({"tensor": self.one_of(&[2, 4])});
        if self.on("pipeline", 0.25) {
            parallelism["pipeline"] = json!(self.rng.random_range(2..=4));
        }
        if self.on("data parallel", 0.15) {
            parallelism["data"] = json!(self.one_of(&[1, 2]));
        }
        if experts && self.rng.random_bool(0.5) {
            parallelism["expert"] = json!(self.rng.random_bool(0.7));
        }
        scenario.insert("parallelism".to_owned(), parallelism);
        if experts && self.on("way to experts", 0.3) {
            let ways = ["allgather_reducescatter", "all_to_all", "deepep_high_throughput"];
            let (way, power) = (self.one_of(&ways), self.one_of(&[0.0, 0.7]));
            let choice = match self.rng.random_bool(0.5) {
                true => json!(self.rng.random_range(1.0..2.0)),
                false => json!({"zipf": power}),
            };
            let mut traffic = Map::new();
            self.perhaps(&mut traffic, "exchange", 0.6, json!(way));
            self.perhaps(&mut traffic, "imbalance", 0.6, choice);
            scenario.insert("experts".to_owned(), Value::Object(traffic));
        }
    }

    fn model_figures(&mut self) -> Value {
        let mut model = Map::new();
        model.insert("base".to_owned(), json!(self.one_of(&["llama-3.1-8b", "llama-2-7b"])));
        for (figure, values) in [
            ("hidden_size", [2048, 4096]),
            ("intermediate_size", [8192, 14336]),
            ("layers", [8, 24]),
            ("heads", [16, 32]),
            ("kv_heads", [4, 8]),
            ("head_dim", [64, 128]),
            ("vocab_size", [32_000, 128_256]),
            ("max_position_embeddings", [16_384, 131_072]),
        ] {
            let value = self.one_of(&values);
            self.perhaps(&mut model, figure, 0.4, json!(value));
        }
        if model.contains_key("heads") {
            // Heads share KV heads evenly.
            model.entry("kv_heads").or_insert(json!(8));
        }
        Value::Object(model)
    }

    pub(super) fn gpu(&mut self) -> Value {
        let gpus = if self.has("fp8") { &GPUS[..2] } else { &GPUS[..] };
        let name = self.one_of(gpus);
        match self.rng.random_range(0..10) {
            0 | 1 => {
                let mut gpu = json!({"base": name});
                let map = gpu.as_object_mut().expect("a map");
                let usd = self.rng.random_range(1.0..9.0);
                self.perhaps(map, "price_usd_per_hour", 0.5, json!(usd));
                let memory = self.one_of(&["80GiB", "141GB"]);
                self.perhaps(map, "memory", 0.5, json!(memory));
                let mut link = Map::new();
                let (speed, time) =
                    (self.one_of(&["16GB/s", "450GB/s"]), self.one_of(&["2us", "20us"]));
                link.insert("bandwidth".to_owned(), json!(speed));
                link.insert("latency".to_owned(), json!(time));
                self.perhaps(map, "interconnect", 0.4, Value::Object(link));
                let (idle, most) = (self.one_of(&[60, 90]), self.one_of(&[600, 700]));
                self.perhaps(map, "power", 0.4, json!({"idle_w": idle, "max_w": most}));
                gpu
            }
            2 => {
                let (wide, fast) = (self.one_of(&["3350GB/s", "2TB/s"]), self.one_of(&[989, 400]));
                let link = json!({"bandwidth": "450GB/s", "latency": "10us"});
                json!({"memory": "96GiB", "memory_bandwidth": wide, "bf16_tflops": fast,
                       "fp8_tflops": 2 * self.one_of(&[989, 400]), "interconnect": link})
            }
            3 => {
                let figures = catalog::gpu(name).expect("in the catalog");
                let name = format!("{name}.yaml");
                let text = serde_json::to_string(&figures).expect("plain data");
                if self.files.iter().all(|(other, _)| *other != name) {
                    self.file(&name, text);
                }
                json!({"file": name})
            }
            _ => json!(name),
        }
    }

    /// A profile with every figure drawn, as JSON, which is YAML too.
    pub(super) fn profile_text(&mut self) -> String {
        let us = |draw: &mut Draw| draw.one_of(&[0.0, 3.5, 250.0, 2_000.0]);
        let mut overhead = Vec::new();
        for _ in 0..2 {
            overhead.push(json!({"iteration_us": us(self), "sequence_us": us(self) / 50.0}));
        }
        let sizes = self.one_of(&[&[][..], &[8], &[1, 2, 4, 8, 16, 64]]);
        let profile = json!({
            "name": self.one_of(&["drawn", "own"]),
            "description": self.one_of(&["drawn for a test", "drawn for another"]),
            "host": overhead[0],
            "step_gap": overhead[1],
            "cuda_graph_sizes": sizes,
            "kv_block_tokens": self.one_of(&[16, 32]),
            "gpu_memory_utilization": self.one_of(&[0.85, 0.9]),
            "source": self.one_of(&["invented", "made up"]),
        });
        let Value::Object(mut profile) = profile else { unreachable!("a map") };
        let factor = self.one_of(&[1.0, 1.3]);
        self.perhaps(&mut profile, "kernel_factor", 0.7, json!(factor));
        let ahead = self.rng.random_bool(0.5);
        self.perhaps(&mut profile, "async_scheduling", 0.7, json!(ahead));
        let bytes = self.one_of(&[2_000_000_000_u64, 4_000_000_000]);
        self.perhaps(&mut profile, "overhead_bytes", 0.5, json!(bytes));
        self.tables(&mut profile);
        Value::Object(profile).to_string()
    }

    /// Measured times, and constants in place of the GPU's.
    fn tables(&mut self, profile: &mut Map<String, Value>) {
        let slow = self.one_of(&[1.0, 2.5]);
        let tokens = self.one_of(&[[1, 64, 4096], [1, 200, 8192]]);
        let layer = json!({"tokens": tokens, "layer_us": [15.0 * slow, 16.0 * slow, 900.0]});
        self.perhaps(profile, "layer_table", 0.4, layer);
        let grid = json!([[5.0, 20.0 * slow], [10.0, 400.0 * slow]]);
        let (short, long) = (self.one_of(&[16, 64]), self.one_of(&[300, 4096]));
        let mut attention = Map::new();
        let decode = json!({"decodes": [1, short], "kv_tokens": [16, long], "layer_us": grid});
        self.perhaps(&mut attention, "decode", 0.7, decode);
        let prefill = json!({"tokens": [1, short], "context": [0, long], "layer_us": grid});
        self.perhaps(&mut attention, "prefill", 0.7, prefill);
        self.perhaps(profile, "attention_table", 0.4, Value::Object(attention));
        if self.rng.random_bool(0.4) {
            let names = catalog::names(catalog::Kind::Gpu);
            let name = &names[self.rng.random_range(0..names.len())];
            let gpu = catalog::gpu(name).expect("in the catalog");
            let mut all = serde_json::to_value(&gpu).expect("plain data");
            slow_down(&mut all, self.one_of(&[1.0, 1.5]));
            let mut constants = Map::new();
            for name in [
                "gemm_bf16",
                "gemm_fp8",
                "experts",
                "elementwise",
                "decode_attention",
                "prefill_attention",
                "sampler",
                "all_reduce",
            ] {
                if let Some(figures) = all.get(name) {
                    let mut figures = figures.clone();
                    if figures["kernel"] == "flash-attention-2" {
                        figures["mixed_measured"] = self.rng.random_bool(0.5).into();
                    }
                    self.perhaps(&mut constants, name, 0.5, figures);
                }
            }
            profile.insert("gpu".to_owned(), Value::Object(constants));
        }
    }
}

/// A Hugging Face config.
fn model_config(layers: u32) -> String {
    json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": layers, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 16384,
        "torch_dtype": "bfloat16", "tie_word_embeddings": false,
    })
    .to_string()
}

/// Makes every time among these figures longer, and every bandwidth smaller.
fn slow_down(figures: &mut Value, factor: f64) {
    match figures {
        Value::Object(map) => {
            for (key, figure) in map {
                let time = key.ends_with("_us") || key.ends_with("_ns");
                match figure.as_f64() {
                    Some(value) if time => *figure = json!(value * factor),
                    Some(value) if key.ends_with("gb_per_s") => *figure = json!(value / factor),
                    _ => slow_down(figure, factor),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|figure| slow_down(figure, factor)),
        _ => {}
    }
}
