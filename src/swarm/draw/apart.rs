//! Prefill and decode on pools of their own.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::Draw;

/// Routers that choose among the replicas of one role.
const ROUTERS: [&str; 6] =
    ["round-robin", "random", "least-requests", "least-tokens", "power-of-two", "session-affinity"];

/// Those that know caches, beside them, choose among the replicas that prefill.
const CACHE_ROUTERS: [&str; 5] =
    ["sglang-cache-aware", "dynamo-kv", "llm-d", "ray-prefix", "production-stack"];

impl Draw {
    /// The role of the pool at a place: the first two are one of each.
    pub(super) fn role(&mut self, place: usize) -> Value {
        match place {
            0 => json!("prefill"),
            1 => json!("decode"),
            _ => json!(self.one_of(&["prefill", "decode"])),
        }
    }

    /// How requests go from one role to the other, and the router of the first.
    pub(super) fn disaggregation(&mut self, scenario: &mut Map<String, Value>) {
        let router = match self.rng.random_bool(0.3) {
            true => json!(self.one_of(&CACHE_ROUTERS)),
            false => json!(self.one_of(&ROUTERS)),
        };
        self.perhaps(scenario, "router", 0.7, router);
        let mut transfer = Map::new();
        transfer.insert("link".to_owned(), self.kv_link());
        let setup = json!(self.one_of(&["0us", "370us", "3ms"]));
        self.perhaps(&mut transfer, "setup", 0.5, setup);
        let per_block = json!(self.one_of(&["0us", "2us", "1ms"]));
        self.perhaps(&mut transfer, "per_block", 0.3, per_block);
        let missing_only = json!(self.rng.random_bool(0.5));
        self.perhaps(&mut transfer, "missing_only", 0.5, missing_only);
        // Under a profile that is a law of steps no model is priced.
        let law = self.files.iter().any(|(name, _)| name.starts_with("profile"));
        let known = if self.has("priced") && !law { 0.3 } else { 1.0 };
        let bytes = json!(self.one_of(&["70KiB", "128KiB", "320KiB"]));
        self.perhaps(&mut transfer, "bytes_per_token", known, bytes);
        let mut apart = Map::new();
        apart.insert("transfer".to_owned(), Value::Object(transfer));
        let order = json!(self.one_of(&["source-first", "destination-first"]));
        self.perhaps(&mut apart, "order", 0.6, order);
        let first_token = json!(self.one_of(&["recomputed", "carried"]));
        self.perhaps(&mut apart, "first_token", 0.6, first_token);
        let reserved = json!(self.one_of(&[0, 16, 32]));
        // By default more stay free than the smallest replicas have.
        apart.insert("reserved_decode_tokens".to_owned(), reserved);
        let new = self.one_of(&[0, 16, 100]);
        let decider = match self.rng.random_range(0..3) {
            0 => json!("always"),
            1 => {
                let ratio = self.one_of(&[0.0, 0.7, 1.0]);
                json!({"conditional": {"min_new_tokens": new, "min_new_ratio": ratio}})
            }
            _ => {
                let long = self.one_of(&[0, 50]);
                json!({"prefix-based": {"non_cached_tokens": new, "prompt_tokens": long}})
            }
        };
        self.perhaps(&mut apart, "decider", 0.5, decider);
        let decode_router = json!(self.one_of(&ROUTERS));
        self.perhaps(&mut apart, "decode_router", 0.7, decode_router);
        let lease = json!(self.one_of(&["1us", "10ms", "30s"]));
        self.perhaps(&mut apart, "kv_lease", 0.3, lease);
        let on_failure = json!(self.one_of(&["fail", "recompute"]));
        self.perhaps(&mut apart, "on_failure", 0.4, on_failure);
        scenario.insert("disaggregation".to_owned(), Value::Object(apart));
    }

    fn kv_link(&mut self) -> Value {
        if self.rng.random_bool(0.4) {
            let names = crate::catalog::names(crate::catalog::Kind::Link);
            return json!(names[self.rng.random_range(0..names.len())]);
        }
        let mut link = Map::new();
        // The slowest take seconds for a prompt.
        let bandwidth = self.one_of(&["10MB/s", "1GB/s", "50GB/s", "450GB/s"]);
        link.insert("bandwidth".to_owned(), json!(bandwidth));
        let latency = json!(self.one_of(&["0us", "20us", "1ms"]));
        self.perhaps(&mut link, "latency", 0.5, latency);
        let scope = json!(self.one_of(&["gpu", "replica", "fleet"]));
        self.perhaps(&mut link, "scope", 0.6, scope);
        Value::Object(link)
    }
}
