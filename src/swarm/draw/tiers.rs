//! Tiers behind KV blocks.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::Draw;

impl Draw {
    /// Whether the replicas that were drawn can have tiers: one kind of layers, no stages.
    pub(super) fn can_have_tiers(&self, scenario: &Map<String, Value>) -> bool {
        let kinds = ["states", "windows", "windows everywhere", "picked tokens"];
        let gemma = scenario.get("model").is_some_and(|model| model.to_string().contains("gemma"));
        let grouped = gemma || kinds.iter().any(|feature| self.has(feature));
        let spread = scenario
            .get("parallelism")
            .is_some_and(|of| of.get("data").is_some() || of.get("expert").is_some());
        !grouped
            && !spread
            && !self.has("pipeline")
            && scenario["engine"].get("kv_blocks").is_some()
    }

    /// Gives the engine tiers, and prefix caching to all.
    pub(super) fn tiers(&mut self, scenario: &mut Map<String, Value>) {
        // Without a model, or where the profile is a law of steps, the KV of a token has no known size.
        let law = self.files.iter().any(|(name, _)| name.starts_with("profile"));
        let known = if self.has("priced") && !law { 0.3 } else { 1.0 };
        let bytes = self.one_of(&[1024_u64, 70 * 1024, 128 * 1024]);
        let block = u64::from(self.block_tokens);
        let mut load = Map::new();
        self.perhaps(&mut load, "bytes_per_token", known, json!(format!("{bytes}B")));
        let chunk = self.one_of(&[1_u64, 2, 4]);
        self.perhaps(&mut load, "chunk_blocks", 0.5, json!(chunk));
        let min = self.one_of(&[0, 16, 200]);
        self.perhaps(&mut load, "min_tokens", 0.3, json!(min));
        let recompute = self.one_of(&["never", "if-faster"]);
        self.perhaps(&mut load, "recompute", 0.4, json!(recompute));
        let prompt_only = self.rng.random_bool(0.5);
        self.perhaps(&mut load, "prompt_only", 0.5, json!(prompt_only));
        let threshold = self.rng.random_range(0..=3);
        self.perhaps(&mut load, "store_threshold", 0.3, json!(threshold));
        let overlap = if known < 1.0 { "layers" } else { "steps" };
        let overlap = self.one_of(&["steps", "nothing", overlap]);
        self.perhaps(&mut load, "overlap", 0.5, json!(overlap));
        // A drawn model's token takes less than 1 MiB.
        let token = if load.contains_key("bytes_per_token") { bytes } else { 1 << 20 };
        let wide = token * block * chunk;
        let mut list = vec![self.tier(wide)];
        if self.rng.random_bool(0.5) {
            let mut below = self.tier(wide);
            let scope = self.one_of(&["replica", "cluster"]);
            self.perhaps(&mut below, "scope", 0.6, json!(scope));
            list.push(below);
        }
        scenario["engine"]["kv_tiers"] =
            Value::Array(list.into_iter().map(Value::Object).collect());
        if !load.is_empty() {
            scenario["engine"]["kv_load"] = Value::Object(load);
        }
        scenario["engine"]["prefix_caching"] = json!(true);
        for pool in scenario.get_mut("pools").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(engine) = pool.get_mut("engine").and_then(Value::as_object_mut) {
                engine.remove("prefix_caching");
            }
        }
    }

    /// A tier of a few to many chunks of so many bytes.
    fn tier(&mut self, chunk_bytes: u64) -> Map<String, Value> {
        let mut tier = Map::new();
        let chunks = self.rng.random_range(4..=400_u64);
        tier.insert("capacity".to_owned(), json!(format!("{}B", chunks * chunk_bytes)));
        let name = self.one_of(&["host", "disk", "store"]);
        self.perhaps(&mut tier, "name", 0.5, json!(name));
        let speed = self.one_of(&["1MB/s", "100MB/s", "25GB/s", "1TB/s"]);
        tier.insert("read_bandwidth".to_owned(), json!(speed));
        let write = self.one_of(&["1MB/s", "5GB/s"]);
        self.perhaps(&mut tier, "write_bandwidth", 0.5, json!(write));
        let latency = self.one_of(&["0us", "20us", "3ms"]);
        self.perhaps(&mut tier, "latency", 0.5, json!(latency));
        tier
    }
}
