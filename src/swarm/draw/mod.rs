//! Random scenarios: features are switched wholly on or off by the draw, limits are mostly so small
//! that loads reach them, and everything is written as a scenario that a user could have written.
//!
//! Every key of a scenario, of an engine profile and of a scheduler is drawn away from its default
//! now and then; `tests/swarm.rs` reads from the schemas what there is to draw.

mod apart;
mod figures;
mod files;
mod sessions;
mod speculative;
mod system;
mod tiers;
mod workload;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use crate::scheduler::{Draws, Scale, SchedulerConfig};

/// Longest prompt that is drawn, in tokens, but for those that can never fit and those of tables.
const PROMPT_MAX: u32 = 300;
/// Makes a seed one for whether there are sessions.
const SESSIONS: u64 = 0x5e55_1045;

/// Its luck decides whether KV blocks have tiers behind them.
const TIERS: u64 = 0x71e5;
/// Longest output, but for those of tables.
const OUTPUT_MAX: u32 = 60;

/// A drawn scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario, as JSON, which is YAML too.
    pub scenario: Value,
    /// Files that it names, with what is in them.
    pub files: Vec<(String, String)>,
    /// Files that it names and that are not there.
    pub missing: Vec<String>,
    /// Which features are on, by name.
    pub features: Vec<&'static str>,
}

/// The scenario of a seed.
pub fn draw(seed: u64) -> Case {
    let mut draw = Draw {
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        block_tokens: 1,
        features: Vec::new(),
        files: Vec::new(),
        missing: Vec::new(),
    };
    let scenario = draw.scenario(seed);
    let Draw { features, files, missing, .. } = draw;
    Case { scenario, files, missing, features }
}

struct Draw {
    rng: Xoshiro256PlusPlus,
    /// Tokens in a KV block.
    block_tokens: u32,
    features: Vec<&'static str>,
    files: Vec<(String, String)>,
    missing: Vec<String>,
}

impl Draw {
    /// A feature is on or off for the whole case.
    fn on(&mut self, name: &'static str, probability: f64) -> bool {
        let on = self.rng.random_bool(probability);
        if on {
            self.features.push(name);
        }
        on
    }

    fn has(&self, name: &str) -> bool {
        self.features.contains(&name)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    /// Sets a key of a map, or leaves it to its default.
    fn perhaps(&mut self, map: &mut Map<String, Value>, key: &str, probability: f64, value: Value) {
        if self.rng.random_bool(probability) {
            map.insert(key.to_owned(), value);
        }
    }

    /// Writes a file that the scenario names.
    fn file(&mut self, name: &str, text: String) -> Value {
        self.files.push((name.to_owned(), text));
        json!(name)
    }

    fn scenario(&mut self, seed: u64) -> Value {
        let mut scenario = Map::new();
        scenario.insert("name".to_owned(), json!(format!("swarm {seed}")));
        self.perhaps(&mut scenario, "description", 0.1, json!(format!("drawn from {seed}")));
        scenario.insert("seed".to_owned(), json!(self.rng.random_range(0..1_000_000)));
        // By luck of its own: cases without sessions are those that they have always been.
        if Xoshiro256PlusPlus::seed_from_u64(seed ^ SESSIONS).random_bool(0.1) {
            self.features.push("sessions");
        } else {
            self.on("long requests", 0.07);
        }
        let limits = self.system(&mut scenario);
        // Stages are not modelled with it.
        if !self.has("pipeline") {
            self.on("disaggregation", 0.06);
        }
        // By luck of its own too.
        let tiers = Xoshiro256PlusPlus::seed_from_u64(seed ^ TIERS).random_bool(0.06);
        if tiers && !self.has("disaggregation") && self.can_have_tiers(&scenario) {
            self.features.push("tiers");
        }
        let label = self.schedulers(&mut scenario, &limits);
        scenario.insert("workload".to_owned(), self.workload(&label));
        if self.has("deadlines") && self.on("wrong predictor", 0.4) {
            let mut wrong = Map::new();
            let (bias, spread) = (self.one_of(&[-0.5, -0.1, 0.3]), self.one_of(&[0.05, 0.5]));
            self.perhaps(&mut wrong, "bias", 0.7, json!(bias));
            self.perhaps(&mut wrong, "spread", 0.7, json!(spread));
            let answers = self.one_of(&[0.0, 0.3, 0.9]);
            self.perhaps(&mut wrong, "answer_spread", 0.4, json!(answers));
            scenario["engine"]["predictor"] = Value::Object(wrong);
        }
        if self.has("drafts") && self.drafts(&limits) {
            // Of the models that are drawn none predicts; those of a fixed time are only named.
            // Budgets and chunks of a few tokens hold no drafts that need some beside them.
            let set = scenario["schedulers"][0].as_object().and_then(|entry| entry.values().next());
            let few = |key: &str| {
                set.and_then(|set| set[key].as_u64())
                    .is_some_and(|tokens| (1..=8).contains(&tokens))
            };
            let few = few("max_num_batched_tokens") || few("long_prefill_token_threshold");
            let predicts = !self.has("priced") && !few;
            let llama = !few && scenario.get("model").is_none_or(|model| *model == "llama-3.1-8b");
            scenario["engine"]["speculative"] =
                self.speculative(predicts, llama.then_some("llama-3.2-1b"));
        }
        self.spread(&mut scenario, &limits);
        if self.has("tiers") {
            self.tiers(&mut scenario);
        }
        self.observation(&mut scenario);
        let (key, promised) = self.promised(&label);
        scenario.insert(key.to_owned(), promised);
        Value::Object(scenario)
    }

    /// The scheduler; returns its label.
    fn schedulers(&mut self, scenario: &mut Map<String, Value>, limits: &system::Limits) -> String {
        let names: Vec<_> = SchedulerConfig::names()
            .iter()
            .copied()
            .filter(|name| {
                let config = SchedulerConfig::by_name(name).expect("a registered name");
                let needs = config.build(&limits.info).needs();
                // Some need every request of a replica at each decision; not all draft.
                let apart = !self.has("disaggregation") && !self.has("tiers") || needs.transfers;
                let drafts = !self.has("drafts") || needs.drafts;
                (!self.has("pipeline") || !needs.one_lane) && drafts && apart
            })
            .collect();
        let name = self.one_of(&names);
        self.features.push(name);
        let config = SchedulerConfig::by_name(name).expect("a registered name");
        if config.build(&limits.info).needs().deadlines {
            self.features.push("deadlines");
        }
        let mut parameters = json!({});
        if self.on("drawn parameters", 0.8) {
            let whole = limits.whole_prompt.max(limits.info.kv_block_tokens);
            let mut scale = Scale {
                seats: 1..=12,
                chunk: 1..=200,
                whole: whole..=2 * whole,
                block_tokens_max: limits.info.kv_block_tokens,
                long_prefill_tokens: 29,
                hangs: true,
            };
            let config = loop {
                let mut draws = Draws::new(&mut self.rng, scale.clone());
                let config = SchedulerConfig::draw(name, &mut draws).expect("a registered name");
                if config.problems(&limits.info).is_empty() {
                    break config;
                }
                // Some blocks are wider than most chunks.
                scale.chunk = 1..=scale.chunk.end().saturating_add(200);
            };
            parameters = config.parameters();
        }
        if !self.has("drawn parameters") && self.rng.random_bool(0.5) {
            scenario.insert("schedulers".to_owned(), json!([name]));
            return name.to_owned();
        }
        let mut entry = Map::new();
        entry.insert(name.to_owned(), parameters);
        let mut label = name.to_owned();
        if self.rng.random_bool(0.1) {
            label = self.one_of(&["ours", "theirs"]).to_owned();
            entry.insert("label".to_owned(), json!(label));
        }
        scenario.insert("schedulers".to_owned(), Value::Array(vec![Value::Object(entry)]));
        label
    }

    /// Whether the scheduler schedules drafts.
    fn drafts(&self, limits: &system::Limits) -> bool {
        let mut known = SchedulerConfig::all().filter(|config| self.has(config.name()));
        known.any(|config| config.build(&limits.info).needs().drafts)
    }

    /// Horizon and measure, at the top or under the workload.
    fn observation(&mut self, scenario: &mut Map<String, Value>) {
        let duration = scenario["workload"].get("duration").is_some();
        let mut put = |key: &str, value: Value, inner: bool| match inner {
            true => scenario["workload"][key] = value,
            false => {
                scenario.insert(key.to_owned(), value);
            }
        };
        if self.on("horizon", 0.3) {
            let us = match self.rng.random_range(0..4) {
                0 => self.rng.random_range(1..1_000),
                1 => self.rng.random_range(1..100_000),
                _ => self.rng.random_range(1..5_000_000),
            };
            put("horizon", json!(format!("{us}us")), self.rng.random_bool(0.3));
        }
        // What is skipped may not cover all of a duration.
        if !duration && self.on("measure", 0.1) {
            let skip = |ms: u32| json!(format!("{ms}ms"));
            let (first, last) = (self.rng.random_range(0..50), self.rng.random_range(0..50));
            let measure = match self.rng.random_range(0..3) {
                0 => json!({"skip_first": skip(first)}),
                1 => json!({"skip_last": skip(last)}),
                _ => json!({"skip_first": skip(first), "skip_last": skip(last)}),
            };
            put("measure", measure, self.rng.random_bool(0.3));
        }
    }

    /// A promise and its key, which is `slo` or `promise`; `label` is the scheduler's.
    fn promised(&mut self, label: &str) -> (&'static str, Value) {
        match self.on("promise", 0.3) {
            true => ("promise", self.promise()),
            false => ("slo", self.slo(label)),
        }
    }

    /// A promise in one line.
    fn promise(&mut self) -> Value {
        let mut promise = Map::new();
        promise.insert("ttft".to_owned(), json!(self.one_of(&["1ms", "150ms", "10s"])));
        let pace = self.one_of(&[5.0, 40.0, 333.3, 1000.0]);
        promise.insert("tokens_per_s".to_owned(), json!(pace));
        let (index, share) = (self.one_of(&[0.5, 0.9, 1.0]), self.one_of(&[0.5, 0.9, 1.0]));
        self.perhaps(&mut promise, "index", 0.5, json!(index));
        self.perhaps(&mut promise, "share", 0.5, json!(share));
        Value::Object(promise)
    }

    /// A promise term by term; `label` is the scheduler's.
    fn slo(&mut self, label: &str) -> Value {
        let mut slo = Map::new();
        let ttft = match self.rng.random_range(0..3) {
            0 => {
                self.features.push("prefill curve");
                let slack = self.one_of(&["20ms", "300ms"]);
                // Who looks at deadlines has to know them before it runs.
                match self.rng.random_bool(0.3) && !self.has("deadlines") {
                    true => json!({"prefill_curve_plus": slack, "of": label}),
                    false => json!({"prefill_curve_plus": slack}),
                }
            }
            1 => json!(self.one_of(&["1ms", "150ms", "10s"])),
            _ => Value::Null,
        };
        if !ttft.is_null() {
            slo.insert("ttft".to_owned(), ttft);
        }
        let tbt = self.one_of(&["1ms", "10ms", "25ms", "200ms"]);
        self.perhaps(&mut slo, "tbt", 0.8, json!(tbt));
        if self.rng.random_bool(0.7) {
            let mut fluidity = Map::new();
            let (index, share) = (self.one_of(&[0.5, 0.9, 1.0]), self.one_of(&[0.5, 0.9, 1.0]));
            self.perhaps(&mut fluidity, "index", 0.7, json!(index));
            self.perhaps(&mut fluidity, "share", 0.7, json!(share));
            slo.insert("fluidity".to_owned(), Value::Object(fluidity));
        }
        if self.on("bounds", 0.2) {
            let mut bounds = Map::new();
            for metric in ["ttft", "tbt", "tpot", "e2e"] {
                let mut stats = Map::new();
                for stat in ["mean", "min", "p50", "p90", "p95", "p99", "p999", "max"] {
                    let ms = self.one_of(&[1, 30, 2_000]);
                    self.perhaps(&mut stats, stat, 0.2, json!(format!("{ms}ms")));
                }
                if !stats.is_empty() {
                    bounds.insert(metric.to_owned(), Value::Object(stats));
                }
            }
            if !bounds.is_empty() {
                slo.insert("bounds".to_owned(), Value::Object(bounds));
            }
        }
        Value::Object(slo)
    }
}
