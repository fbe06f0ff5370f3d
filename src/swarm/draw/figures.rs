//! Models, GPUs and engine profiles: by name, or with figures of their own.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::Draw;
use crate::catalog;

/// GPUs that hold the models below.
const GPUS: [&str; 3] = ["h100-sxm", "h200-sxm", "b200-sxm"];

/// The most GPUs that share layers or experts: tensor 4, data 2.
const SHARING_MAX: u32 = 8;

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
            1 => {
                let layers = self.one_of(&[16, 32]);
                let text = self.model_config(layers).to_string();
                let name = self.one_of(&["model.json", "config.json"]);
                let mut given = json!({"config": self.file(name, text)});
                if self.rng.random_bool(0.2) {
                    let mix = self.one_of(&["q4_k_m", "q8_0"]);
                    given["weights"] = json!(mix);
                }
                given
            }
            _ => json!(self.one_of(&["llama-3.1-8b", "qwen3-32b", "gemma-2-9b"])),
        };
        scenario.insert("model".to_owned(), model);
        let gpu = self.gpu();
        let links = self.links(&gpu);
        scenario.insert("gpu".to_owned(), gpu);
        self.perhaps(scenario, "links", 0.2, links);
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
            let ways = [
                "allgather_reducescatter",
                "all_to_all",
                "deepep_high_throughput",
                "deepep_low_latency",
            ];
            let (way, power) = (self.one_of(&ways), self.one_of(&[0.0, 0.7]));
            let mixtral = scenario["model"] == "mixtral-8x7b";
            let choice = match self.rng.random_range(0..4) {
                0 => json!(self.rng.random_range(1.0..2.0)),
                1 if mixtral => {
                    let name = self.one_of(&["loads.json", "shares.json"]);
                    if self.files.iter().all(|(other, _)| other != name) {
                        self.file(name, "[1, 2, 3, 4, 5, 6, 7, 8]".to_owned());
                    }
                    json!({"file": name})
                }
                2 => json!({"cv": self.one_of(&[0.0, 0.4, 1.5])}),
                _ => json!({"zipf": power}),
            };
            let mut traffic = Map::new();
            self.perhaps(&mut traffic, "exchange", 0.6, json!(way));
            self.perhaps(&mut traffic, "imbalance", 0.6, choice);
            scenario.insert("experts".to_owned(), Value::Object(traffic));
        }
    }

    /// A Hugging Face config: dense, or with layers of several kinds, or quantised.
    fn model_config(&mut self, layers: u32) -> Value {
        let mut config = json!({
            "model_type": "llama", "hidden_size": 4096,
            "intermediate_size": 14336, "num_hidden_layers": layers, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
            "max_position_embeddings": 16384, "torch_dtype": "bfloat16",
            "tie_word_embeddings": false,
        });
        let window = self.one_of(&[48, 128, 1024]);
        let kinds = |period: u32, rare: &str, common: &str| -> Vec<String> {
            let kind = |layer| if (layer + 1) % period == 0 { rare } else { common };
            (0..layers).map(|layer| kind(layer).to_owned()).collect()
        };
        let more = match self.rng.random_range(0..8) {
            0 | 1 => {
                self.on("windows", 1.0);
                let period = self.one_of(&[2, 4]);
                json!({"model_type": "olmo3", "sliding_window": window,
                       "layer_types": kinds(period, "full_attention", "sliding_attention")})
            }
            2 => {
                self.on("windows everywhere", 1.0);
                json!({"model_type": "mistral", "sliding_window": window})
            }
            3 => {
                self.on("states", 1.0);
                json!({"model_type": "qwen3_next", "layer_types":
                       kinds(4, "full_attention", "linear_attention"),
                       "linear_num_key_heads": 16, "linear_num_value_heads": 32,
                       "linear_key_head_dim": 128, "linear_value_head_dim": 128,
                       "linear_conv_kernel_dim": 4, "num_experts": 16, "num_experts_per_tok": 2,
                       "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
                       "decoder_sparse_step": 1, "mlp_only_layers": []})
            }
            4 => {
                self.on("picked tokens", 1.0);
                json!({"model_type": "deepseek_v32", "kv_lora_rank": 512, "q_lora_rank": 1536,
                       "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
                       "index_head_dim": 128, "index_n_heads": 32, "index_topk": window,
                       "n_routed_experts": 16, "num_experts_per_tok": 2, "n_shared_experts": 1,
                       "moe_intermediate_size": 512, "first_k_dense_replace": 3})
            }
            5 => {
                self.on("weights in int4", 1.0);
                json!({"quantization_config":
                       {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true}})
            }
            6 => {
                self.on("KV in fp8", 1.0);
                json!({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8",
                       "kv_cache_scheme": {"num_bits": 8, "type": "float"}}})
            }
            _ => json!({}),
        };
        let all = config.as_object_mut().expect("a map");
        all.extend(more.as_object().cloned().unwrap_or_default());
        config
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
        let name = self.one_of(&GPUS);
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

    /// Links for the GPUs; within nodes only where the GPU does not give that link itself.
    fn links(&mut self, gpu: &Value) -> Value {
        let mut links = Map::new();
        let network = json!({"bandwidth": self.one_of(&["12GB/s", "50GB/s"]), "latency": "10us"});
        links.insert("network".to_owned(), network);
        if gpu.is_string() {
            let node = json!({"bandwidth": self.one_of(&["16GB/s", "450GB/s"]), "latency": "5us"});
            self.perhaps(&mut links, "node", 0.5, node);
        }
        Value::Object(links)
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
            "eager_us_per_kernel": self.one_of(&[0.0, 40.0]),
            "kv_block_tokens": self.one_of(&[16, 32]),
            "gpu_memory_utilization": self.one_of(&[0.85, 0.9]),
            "source": self.one_of(&["invented", "made up"]),
        });
        let Value::Object(mut profile) = profile else { unreachable!("a map") };
        let factor = self.one_of(&[1.0, 1.3]);
        self.perhaps(&mut profile, "kernel_factor", 0.7, json!(factor));
        let kernels = self.kernels();
        self.perhaps(&mut profile, "kernels", 0.4, kernels);
        let range = self.one_of(&[[0.5, 2.0], [0.0, 1.0]]);
        self.perhaps(&mut profile, "host_range", 0.4, json!(range));
        let ahead = self.rng.random_bool(0.5);
        self.perhaps(&mut profile, "async_scheduling", 0.7, json!(ahead));
        let ahead = self.rng.random_bool(0.5);
        self.perhaps(&mut profile, "async_with_host_drafts", 0.4, json!(ahead));
        let caching = self.rng.random_bool(0.7);
        self.perhaps(&mut profile, "prefix_caching", 0.5, json!(caching));
        let order = self.one_of(&["source-first", "destination-first"]);
        let first_token = self.one_of(&["recomputed", "carried"]);
        let way = json!({"order": order, "first_token": first_token});
        self.perhaps(&mut profile, "hand_over", 0.3, way);
        let eager = self.rng.random_bool(0.5);
        self.perhaps(&mut profile, "enforce_eager", 0.2, json!(eager));
        let launches = self.one_of(&[15.0, 80.0]);
        self.perhaps(&mut profile, "prefill_us_per_kernel", 0.3, json!(launches));
        if profile.contains_key("prefill_us_per_kernel") {
            let (tokens, us) = if launches > 50.0 { (64, 900.0) } else { (8, 0.0) };
            profile.insert("chunk_graph_tokens".to_owned(), json!(tokens));
            profile.insert("prefill_us_per_expert_layer".to_owned(), json!(us));
        }
        let bytes = self.one_of(&[2_000_000_000_u64, 4_000_000_000]);
        self.perhaps(&mut profile, "overhead_bytes", 0.5, json!(bytes));
        let link = self.one_of(&[0.8, 1.5]);
        self.perhaps(&mut profile, "link_factor", 0.4, json!(link));
        // A scenario's own comes before it; in a fleet of several kinds all must have the same.
        if self.has("front ends") {
            let before = self.one_of(&[4_000.0, 9_000.0]);
            let (after, request) = (self.one_of(&[0.0, 500.0]), self.one_of(&[0.0, 3_000.0]));
            let times = json!({"before_us": before, "after_us": after, "request_us": request});
            profile.insert("front_end".to_owned(), times);
        }
        let tensor = self.one_of(&[1, 2]);
        let on = json!({
            "gpu": self.one_of(&["h100-sxm", "a40"]),
            "model": self.one_of(&["llama-3.1-8b", "qwen3-32b"]),
            "tensor": tensor,
            "pipeline": self.one_of(&[1, 2]),
            "data": self.one_of(&[1, 4]),
            "expert": self.one_of(&[true, false]),
            "exchange": self.one_of(&["all_to_all", "deepep_low_latency"]),
            "most": {
                "prefill_tokens": self.one_of(&[128, 512]),
                "decodes": self.one_of(&[4, 16]),
                "context": self.one_of(&[600, 2048]),
            },
            "dtype": self.one_of(&["bf16", "fp8"]),
            "engine": self.one_of(&["vllm-0.19", "vllm-0.6"]),
            "run": self.one_of(&["a run", "another"]),
        });
        self.perhaps(&mut profile, "fitted_on", 0.3, on);
        // A law prices whole steps: no stages, and nothing beside it.
        if !self.has("pipeline") && self.rng.random_bool(0.2) {
            for key in [
                "cuda_graph_sizes",
                "enforce_eager",
                "prefill_us_per_kernel",
                "prefill_us_per_expert_layer",
                "chunk_graph_tokens",
            ] {
                profile.remove(key);
            }
            let law = self.step_law();
            profile.insert("step_law".to_owned(), law);
        } else {
            self.tables(&mut profile);
        }
        Value::Object(profile).to_string()
    }

    /// An engine's kernels.
    fn kernels(&mut self) -> Value {
        let era = self.one_of(&["flash-attention-2", "newest"]);
        let all_reduce = self.one_of(&["custom-then-nccl", "vllm", "fastest"]);
        let factors = [0.8, 1.0, 1.25];
        let mut kernels = Map::new();
        self.perhaps(&mut kernels, "attention", 0.5, json!(era));
        let apart = self.rng.random_bool(0.5);
        self.perhaps(&mut kernels, "attention_apart", 0.5, json!(apart));
        self.perhaps(&mut kernels, "all_reduce", 0.5, json!(all_reduce));
        for name in ["gemm", "experts", "narrow_experts_compute", "attention_time", "communication"]
        {
            let factor = self.one_of(&factors);
            self.perhaps(&mut kernels, name, 0.4, json!(factor));
        }
        for (name, values) in [
            ("narrow_knee", [1.0, 4.0]),
            ("narrow_launch_us", [0.0, 2.0]),
            ("layer_us", [0.0, 3.5]),
        ] {
            let value = self.one_of(&values);
            self.perhaps(&mut kernels, name, 0.3, json!(value));
        }
        Value::Object(kernels)
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
                "gemm_fp4",
                "experts",
                "experts_fp8",
                "experts_fp4",
                "elementwise",
                "decode_attention",
                "prefill_attention",
                "sampler",
                "all_reduce",
            ] {
                // Of a GPU that comes alone there are none for the most GPUs that share layers here.
                if name == "all_reduce" && gpu.all_reduce_on(SHARING_MAX).is_none() {
                    continue;
                }
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
