//! What serves: model, GPU, parallelism, engine, replicas, pools and router.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{Draw, OUTPUT_MAX, PROMPT_MAX};
use crate::catalog;
use crate::fleet::{RouterKind, RoutingLogic, Scorer};
use crate::scheduler::{EngineInfo, KvGroups};

/// Longest prompt plus output where requests are long.
const LONG: u32 = 8192;

/// The most tokens of a block that holds a state of a drawn model: 2 MiB in 32 bits and 48 KiB of
/// its convolution's past, beside 2 KiB a token and layer where KV has 8 bits, up to whole blocks of
/// 128.
const STATE_BLOCK_MAX: u32 = 1152;

/// What parameters of schedulers are drawn for.
pub(super) struct Limits {
    /// The engine, as far as the draw knows it; memory and context are less than a run's where they
    /// are left to follow from the hardware.
    pub info: EngineInfo,
    /// Tokens that any prompt is within, recomputed ones included.
    pub whole_prompt: u32,
}

impl Draw {
    /// Hardware and engine.
    pub(super) fn system(&mut self, scenario: &mut Map<String, Value>) -> Limits {
        let priced = self.on("priced", 0.6);
        if priced {
            self.hardware(scenario);
        }
        let block = self.one_of(&[1, 2, 4, 8, 16, 32, 128]);
        self.block_tokens = block;
        let mut engine = Map::new();
        engine.insert("kv_block_tokens".to_owned(), json!(block));
        self.on("front ends", 0.15);
        let profile = match priced {
            true => self.profile(),
            false => self.fixed(),
        };
        engine.insert("profile".to_owned(), profile);
        let long = self.has("long requests");
        let mut longest = self.rng.random_range(PROMPT_MAX + OUTPUT_MAX..=2 * PROMPT_MAX);
        if long {
            longest = LONG;
        }
        engine.insert("max_model_len".to_owned(), json!(longest));
        let one = longest.div_ceil(block) + 3;
        let mut times: f64 = match self.rng.random_range(0..10) {
            // Some requests, or all, will never fit.
            0 => self.rng.random_range(0.05..1.0),
            1..=3 => self.rng.random_range(1.0..2.0),
            4..=6 => self.rng.random_range(2.0..9.0),
            _ => 120.0,
        };
        if long {
            times = times.min(20.0);
        }
        let blocks = ((f64::from(one) * times) as u32).max(2);
        let caching = self.on("prefix caching", 0.3);
        self.perhaps(
            &mut engine,
            "prefix_caching",
            if caching { 1.0 } else { 0.5 },
            json!(caching),
        );
        // Where memory decides, there is so much that caches would be slow to check.
        if priced && !caching && block >= 16 && self.on("memory decides", 0.15) {
            self.memory(&mut engine);
        } else {
            engine.insert("kv_blocks".to_owned(), json!(blocks));
        }
        if self.has("fp8") {
            engine.insert("dtype".to_owned(), json!("fp8"));
        } else if priced {
            let formats = ["bf16", "fp16", "auto", "int8", "int4", "mxfp4", "nvfp4"];
            let dtype = self.one_of(&formats);
            self.perhaps(&mut engine, "dtype", 0.4, json!(dtype));
        }
        if priced {
            let kv = self.one_of(&["auto", "bf16", "fp16", "fp8", "int8", "nvfp4"]);
            self.perhaps(&mut engine, "kv_cache_dtype", 0.4, json!(kv));
        }
        let ahead = self.rng.random_bool(0.5);
        self.perhaps(&mut engine, "async_scheduling", 0.6, json!(ahead));
        let eager = self.rng.random_bool(0.5);
        self.perhaps(&mut engine, "enforce_eager", 0.2, json!(eager));
        if self.has("front ends") {
            let before = self.rng.random_range(100..20_000);
            let (request, after) =
                (self.rng.random_range(0..=before), self.rng.random_range(0..5_000));
            let us = |us: i32| format!("{us}us");
            let times = json!({"before": us(before), "after": us(after), "request": us(request)});
            engine.insert("front_end".to_owned(), times);
        }
        self.on("drafts", 0.12);
        scenario.insert("engine".to_owned(), Value::Object(engine));
        // A block that must hold a state is wider than what is asked for.
        let block = if self.has("states") { block.max(STATE_BLOCK_MAX) } else { block };
        let info = EngineInfo {
            kv_block_tokens: block,
            kv_blocks: blocks,
            max_model_len: longest,
            prefix_caching: caching,
            kv_groups: KvGroups::ONE,
            large_gpu: false,
            gpu_memory_gib: None,
            speculative: None,
        };
        Limits { info, whole_prompt: longest }
    }

    /// What memory is left for KV.
    fn memory(&mut self, engine: &mut Map<String, Value>) {
        let share = self.rng.random_range(0.85..0.95);
        self.perhaps(engine, "gpu_memory_utilization", 0.6, json!(share));
        let gb = self.rng.random_range(2..5);
        self.perhaps(engine, "reserved_memory", 0.6, json!(format!("{gb}GB")));
    }

    /// Iterations that no model on a GPU prices.
    fn fixed(&mut self) -> Value {
        if self.on("step laws", 0.4) {
            return json!({"step_law": self.step_law()});
        }
        let us = match self.rng.random_range(0..10) {
            0 => 1,
            _ => self.rng.random_range(200..20_000),
        };
        json!({"fixed": {"iteration": format!("{us}us")}})
    }

    /// A linear law of the step's time.
    pub(super) fn step_law(&mut self) -> Value {
        let mut law = Map::new();
        law.insert("iteration_us".to_owned(), json!(self.rng.random_range(200..20_000)));
        for (name, most) in [
            ("prefill_iteration_us", 2_000.0),
            ("chunk_us", 500.0),
            ("prefill_token_us", 80.0),
            ("decode_us", 300.0),
            ("draft_token_us", 100.0),
            ("kv_token_us", 1.0),
            ("attention_pair_us", 0.1),
        ] {
            let us = self.rng.random_range(0.0..most);
            self.perhaps(&mut law, name, 0.6, json!(us));
        }
        Value::Object(law)
    }

    fn profile(&mut self) -> Value {
        if self.on("profile file", 0.25) {
            let text = self.profile_text();
            let name = self.one_of(&["profile.yaml", "profile-2.yaml"]);
            return json!({"file": self.file(name, text)});
        }
        let names = catalog::names(catalog::Kind::Profile);
        json!(names[self.rng.random_range(0..names.len())])
    }

    /// Replicas and a router, or pools. Said after the workload, whose classes a router may name.
    pub(super) fn spread(&mut self, scenario: &mut Map<String, Value>, limits: &Limits) {
        let pools = if self.has("disaggregation") { 1.0 } else { 0.25 };
        if self.on("pools", pools) {
            self.pools(scenario, limits);
        } else if self.on("replicas", 0.35) {
            let replicas = self.rng.random_range(2..=4);
            scenario.insert("replicas".to_owned(), json!(replicas));
            let numbers: Vec<u32> = (0..replicas).collect();
            self.router(scenario, &[json!([0]), json!(numbers), json!([replicas - 1])]);
        }
    }

    /// A router; classes may have these replicas.
    fn router(&mut self, scenario: &mut Map<String, Value>, replicas: &[Value]) {
        let name = self.one_of(&RouterKind::NAMES);
        let mut named = json!(name);
        if name == "vllm-dp" && self.rng.random_bool(0.5) {
            named = json!({"vllm-dp": {"clients": self.rng.random_range(1..=3)}});
        }
        if self.rng.random_bool(0.5)
            && let Some(parameters) = self.cache_router(name)
        {
            named = json!({name: parameters});
        }
        let mut router = named.clone();
        if self.has("classes") && self.on("class to pool", 0.5) {
            let mut by_class = json!({"chat": replicas[self.rng.random_range(0..replicas.len())]});
            if self.rng.random_bool(0.5) {
                by_class["batch"] = replicas[self.rng.random_range(0..replicas.len())].clone();
            }
            router = json!({"class-to-pool": by_class});
            if self.rng.random_bool(0.7) {
                router["within"] = named;
            }
        }
        let given = self.rng.random_bool(0.95);
        self.perhaps(scenario, "router", if given { 1.0 } else { 0.0 }, router);
    }

    /// Parameters of a router that looks at prompts, small enough to matter.
    fn cache_router(&mut self, name: &str) -> Option<Value> {
        let mut given = Map::new();
        let share = f64::from(self.rng.random_range(0..=10)) / 10.0;
        let small = f64::from(self.rng.random_range(0..=8)) / 4.0;
        let tokens = self.rng.random_range(0..=2000);
        let time = self.one_of(&["20ms", "200ms", "3s"]);
        match name {
            "sglang-cache-aware" => {
                self.perhaps(&mut given, "cache_threshold", 0.6, json!(share));
                self.perhaps(&mut given, "balance_abs_threshold", 0.6, json!(tokens % 5));
                self.perhaps(&mut given, "balance_rel_threshold", 0.6, json!(1.0 + small));
                self.perhaps(&mut given, "max_tree_size", 0.5, json!(tokens));
                let time = if self.rng.random_bool(0.1) { "0s" } else { time };
                self.perhaps(&mut given, "eviction_interval", 0.6, json!(time));
            }
            "dynamo-kv" => {
                self.perhaps(&mut given, "overlap_score_credit", 0.4, json!(small));
                self.perhaps(&mut given, "overlap_score_credit_decay", 0.4, json!(small));
                self.perhaps(&mut given, "prefill_load_scale", 0.4, json!(small));
                self.perhaps(&mut given, "decode_active_request_weight", 0.4, json!(small));
                self.perhaps(&mut given, "router_temperature", 0.3, json!(share));
                let events = self.rng.random_bool(0.5);
                self.perhaps(&mut given, "use_kv_events", 0.7, json!(events));
                self.perhaps(&mut given, "router_ttl", 0.5, json!(time));
            }
            "llm-d" => {
                let mut weights = Map::new();
                let precise = self.rng.random_bool(0.4);
                let known = if precise { "precise-prefix-cache" } else { "prefix-cache" };
                weights.insert(known.to_owned(), json!(1.0 + small));
                for (name, _) in &Scorer::NAMES[2..] {
                    self.perhaps(&mut weights, name, 0.3, json!(small));
                }
                self.perhaps(&mut given, "weights", 0.8, Value::Object(weights));
                self.perhaps(&mut given, "metrics_interval", 0.5, json!(time));
                self.perhaps(&mut given, "block_tokens", 0.3, json!(64 + tokens % 70));
                self.perhaps(&mut given, "lru_capacity", 0.5, json!(1 + tokens / 60));
                self.perhaps(&mut given, "affinity_threshold", 0.2, json!(share.max(0.1)));
            }
            "ray-prefix" => {
                self.perhaps(&mut given, "imbalanced_threshold", 0.5, json!(small));
                self.perhaps(&mut given, "match_rate_threshold", 0.5, json!(share));
                let evicts = self.rng.random_bool(0.7);
                self.perhaps(&mut given, "do_eviction", 0.6, json!(evicts));
                self.perhaps(&mut given, "eviction_threshold_chars", 0.6, json!(tokens * 4));
                self.perhaps(&mut given, "eviction_target_chars", 0.4, json!(tokens * 2));
                self.perhaps(&mut given, "eviction_interval", 0.5, json!(time));
            }
            "production-stack" => {
                let names = RoutingLogic::NAMES.map(|(name, _)| name);
                let logic = self.one_of(&names);
                self.perhaps(&mut given, "routing_logic", 0.9, json!(logic));
                self.perhaps(&mut given, "kv_aware_threshold", 0.6, json!(tokens / 4));
            }
            _ => return None,
        }
        Some(Value::Object(given))
    }

    /// Pools of replicas that differ. Limits only grow, but for `max_model_len`, so that what a
    /// policy's parameters were drawn for still holds.
    fn pools(&mut self, scenario: &mut Map<String, Value>, limits: &Limits) {
        let mut numbers = vec![json!([0])];
        let mut pools = Vec::new();
        let apart = self.has("disaggregation");
        for place in 0..self.rng.random_range(if apart { 2..=3 } else { 1..=3 }) {
            let mut pool = Map::new();
            if apart {
                pool.insert("role".to_owned(), self.role(place));
            } else {
                self.perhaps(&mut pool, "role", 0.1, json!("both"));
            }
            pool.insert("replicas".to_owned(), json!(self.rng.random_range(1..=2)));
            // Others go by their GPU, or by their place.
            if place == 0 || self.rng.random_bool(0.5) {
                let name = format!("p{place}");
                numbers.push(json!(name));
                pool.insert("name".to_owned(), json!(name));
            }
            if self.has("priced") {
                let gpu = self.gpu();
                self.perhaps(&mut pool, "gpu", 0.6, gpu);
            }
            if self.has("pipeline") && self.rng.random_bool(0.5) {
                let stages = self.rng.random_range(1..=3);
                pool.insert("parallelism".to_owned(), json!({"pipeline": stages}));
            }
            if self.has("priced") {
                let (speed, time) =
                    (self.one_of(&["25GB/s", "50GB/s"]), self.one_of(&["5us", "9us"]));
                let network = json!({"network": {"bandwidth": speed, "latency": time}});
                self.perhaps(&mut pool, "links", 0.3, network);
            }
            if scenario.contains_key("experts") {
                let way = self.one_of(&["all_to_all", "deepep_low_latency"]);
                self.perhaps(&mut pool, "experts", 0.5, json!({"exchange": way}));
            }
            let promise = self.promise();
            self.perhaps(&mut pool, "promise", 0.3, promise);
            if pool.get("role").is_some_and(|role| role == "prefill") {
                pool.remove("promise");
            }
            let engine = self.pool_engine(&scenario["engine"], limits);
            self.perhaps(&mut pool, "engine", 0.9, engine);
            pools.push(Value::Object(pool));
        }
        // Experts that are spread are those of every pool's model, and the other one is dense.
        let spread = scenario.get("parallelism").is_some_and(|of| of.get("expert").is_some());
        let models = self.has("priced") && self.has("classes") && !self.has("drafts") && !spread;
        if apart {
            self.disaggregation(scenario);
        } else if models && pools.len() > 1 && self.on("models", 0.4) {
            self.models(scenario, &mut pools);
        } else {
            self.router(scenario, &numbers);
        }
        scenario.insert("pools".to_owned(), Value::Array(pools));
    }

    /// Another model in the second pool, and a pool for each class.
    fn models(&mut self, scenario: &mut Map<String, Value>, pools: &mut [Value]) {
        for (pool, name) in pools.iter_mut().zip(["p0", "p1"]) {
            pool["name"] = json!(name);
        }
        pools[1]["model"] = json!(self.one_of(&["llama-3.2-1b", "llama-3.2-3b"]));
        let mut router = json!({"class-to-pool": {"chat": "p0", "batch": "p1"}});
        if self.rng.random_bool(0.7) {
            router["within"] = json!(self.one_of(&RouterKind::NAMES));
        }
        scenario.insert("router".to_owned(), router);
    }

    fn pool_engine(&mut self, common: &Value, limits: &Limits) -> Value {
        let mut engine = Map::new();
        if self.has("priced") {
            let names = catalog::names(catalog::Kind::Profile);
            let name = &names[self.rng.random_range(0..names.len())];
            self.perhaps(&mut engine, "profile", 0.5, json!(name));
        } else {
            engine.insert("profile".to_owned(), self.fixed());
        }
        if let Some(blocks) = common["kv_blocks"].as_u64().filter(|_| self.rng.random_bool(0.5)) {
            let more = blocks * self.rng.random_range(1..=4);
            engine.insert("kv_blocks".to_owned(), json!(more));
        }
        if self.rng.random_bool(0.3) {
            let longest = limits.info.max_model_len;
            let shorter = longest * self.rng.random_range(50..=100) / 100;
            // Prompts of one length must still find room.
            engine.insert("max_model_len".to_owned(), json!(shorter.max(PROMPT_MAX + 1)));
        }
        let (caching, ahead) = (self.rng.random_bool(0.5), self.rng.random_bool(0.5));
        if common["kv_blocks"].is_u64() {
            self.perhaps(&mut engine, "prefix_caching", 0.3, json!(caching));
        }
        self.perhaps(&mut engine, "async_scheduling", 0.3, json!(ahead));
        Value::Object(engine)
    }
}
