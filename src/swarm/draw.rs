//! Random scenarios: features are switched wholly on or off by the draw, limits are so small that
//! loads reach them, and everything is written as a scenario that a user could have written.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::{policies, pools};
use crate::catalog;
use crate::scheduler::SchedulerConfig;
use crate::sim::Router;

/// Longest prompt that is drawn, in tokens, but for those that can never fit.
pub(super) const PROMPT_MAX: u32 = 300;
/// Longest output.
const OUTPUT_MAX: u32 = 60;

/// A drawn scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario, as JSON, which is YAML too.
    pub scenario: Value,
    /// Which features are on, by name.
    pub features: Vec<&'static str>,
}

/// The scenario of a seed.
pub fn draw(seed: u64) -> Case {
    let mut draw = Draw { rng: Xoshiro256PlusPlus::seed_from_u64(seed), features: Vec::new() };
    let mut scenario = draw.scenario(seed);
    if let Value::Object(members) = &mut scenario
        && pools::pools(seed, &draw.features, members)
    {
        draw.features.push("pools");
    }
    Case { scenario, features: draw.features }
}

struct Draw {
    rng: Xoshiro256PlusPlus,
    features: Vec<&'static str>,
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

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    fn scenario(&mut self, seed: u64) -> Value {
        let mut scenario = Map::new();
        scenario.insert("name".to_owned(), json!(format!("swarm {seed}")));
        scenario.insert("seed".to_owned(), json!(self.rng.random_range(0..1_000_000)));
        let priced = self.hardware(&mut scenario);
        let whole = self.engine(&mut scenario, priced);
        let pipeline = self.features.contains(&"pipeline");
        scenario.insert("schedulers".to_owned(), self.schedulers(whole, pipeline));
        scenario.insert("workload".to_owned(), self.workload());
        if self.on("horizon", 0.2) {
            let at = self.rng.random_range(1..2_000);
            scenario.insert("horizon".to_owned(), json!(format!("{at}ms")));
        }
        if self.on("measure", 0.1) {
            scenario
                .insert("measure".to_owned(), json!({"skip_first": "20ms", "skip_last": "20ms"}));
        }
        scenario.insert("slo".to_owned(), self.slo());
        Value::Object(scenario)
    }

    /// Says whether iterations are priced by a cost model.
    fn hardware(&mut self, scenario: &mut Map<String, Value>) -> bool {
        if self.on("replicas", 0.35) {
            scenario.insert("replicas".to_owned(), json!(self.rng.random_range(2..=4)));
            let router = self.one_of(&Router::NAMES);
            scenario.insert("router".to_owned(), json!(router));
        }
        if !self.on("priced", 0.6) {
            return false;
        }
        let model = self.one_of(&["llama-3.1-8b", "qwen3-32b", "mixtral-8x7b"]);
        scenario.insert("model".to_owned(), json!(model));
        scenario.insert(
            "gpu".to_owned(),
            json!(self.one_of(&["h100-sxm", "a100-sxm-80gb", "b200-sxm"])),
        );
        let least = if model == "llama-3.1-8b" { 1 } else { 2 };
        let mut parallelism = json!({"tensor": least * self.one_of(&[1, 2])});
        if self.on("pipeline", 0.25) {
            parallelism["pipeline"] = json!(self.rng.random_range(2..=4));
        }
        scenario.insert("parallelism".to_owned(), parallelism);
        true
    }

    /// Says how many tokens a step must have room for so that any prompt fits whole.
    fn engine(&mut self, scenario: &mut Map<String, Value>, priced: bool) -> u32 {
        let block = self.one_of(&[1, 4, 8, 16, 32]);
        let max_model_len = self.rng.random_range(PROMPT_MAX + OUTPUT_MAX..=2 * PROMPT_MAX);
        // Memory for one request of any length, and for a few more.
        let one = max_model_len.div_ceil(block) + 3;
        let scarce = self.on("scarce memory", 0.6);
        let times = if scarce { self.rng.random_range(1.0..3.0) } else { 40.0 };
        let profile = if priced {
            json!(self.profile())
        } else {
            let us = self.rng.random_range(200..20_000);
            json!({"fixed": {"iteration": format!("{us}us")}})
        };
        scenario.insert(
            "engine".to_owned(),
            json!({
                "profile": profile,
                "kv_block_tokens": block,
                "kv_blocks": (f64::from(one) * times * 3.0) as u32,
                "max_model_len": max_model_len,
                "prefix_caching": self.on("prefix caching", 0.3),
            }),
        );
        max_model_len
    }

    fn profile(&mut self) -> String {
        let names = catalog::names(catalog::Kind::Profile);
        names[self.rng.random_range(0..names.len())].clone()
    }

    fn schedulers(&mut self, whole: u32, pipeline: bool) -> Value {
        // These two need every request of a replica at each decision.
        let refused = |name: &str| pipeline && ["llama-cpp", "lightllm"].contains(&name);
        let names: Vec<_> =
            SchedulerConfig::NAMES.iter().copied().filter(|name| !refused(name)).collect();
        let name = self.one_of(&names);
        self.features.push(name);
        let parameters = match self.on("tight limits", 0.7) {
            true => {
                let scale = policies::Scale {
                    seats: 1..=12,
                    chunk: 16..=200,
                    whole: whole..=2 * whole,
                    block_tokens_max: 32,
                    long_prefill_tokens: 29,
                };
                policies::tight(name, scale, &mut self.rng)
            }
            false => json!({}),
        };
        let mut entry = Map::new();
        entry.insert(name.to_owned(), parameters);
        Value::Array(vec![Value::Object(entry)])
    }

    fn workload(&mut self) -> Value {
        let requests = self.rng.random_range(1..=50);
        let rate = self.one_of(&[0.5, 5.0, 30.0, 200.0]);
        let arrivals = match self.rng.random_range(0..7) {
            0 => json!({"poisson": {"rate": rate}}),
            1 => json!({"gamma": {"rate": rate, "cv": self.rng.random_range(0.3..4.0)}}),
            2 => json!({"weibull": {"rate": rate, "cv": self.rng.random_range(0.3..3.0)}}),
            3 => json!({"constant": {"rate": rate}}),
            4 => json!({"all_at_once": {}}),
            5 => json!({"piecewise": [
                {"for": "1s", "rate": rate},
                {"for": "500ms", "rate": rate, "ramp_to": 3.0 * rate},
                {"for": "1h", "rate": 0.5 * rate},
            ]}),
            _ => {
                self.features.push("closed loop");
                let users = self.rng.random_range(1..=12);
                let think = self.one_of(&[0, 7, 100]);
                json!({"closed_loop": {"users": users, "think_time": format!("{think}ms")}})
            }
        };
        let max_tokens = match self.on("ends by EOS", 0.5) {
            true => self.one_of(&[0, 1, 2]),
            false => 3,
        };
        let max_tokens = match max_tokens {
            0 => json!({"fixed": self.rng.random_range(1..=2 * OUTPUT_MAX)}),
            1 => json!({"factor": self.rng.random_range(1.0..3.0)}),
            2 => json!("model"),
            _ => json!("exact"),
        };
        let mut workload = json!({
            "requests": requests,
            "arrivals": arrivals,
            "lengths": self.lengths(),
            "max_tokens": max_tokens,
        });
        if self.on("classes", 0.25) {
            let batch = self.lengths();
            workload["classes"] = json!([
                {"name": "chat", "share": 0.6, "priority": 0},
                {"name": "batch", "share": 0.4, "priority": 1, "lengths": batch},
            ]);
        }
        if self.on("shared prefixes", 0.3) {
            let tokens = self.rng.random_range(1..=PROMPT_MAX / 2);
            let share = self.rng.random_range(0.0..=1.0);
            workload["prefix_groups"] =
                json!({"count": self.rng.random_range(1..=4), "tokens": tokens, "share": share});
        }
        workload
    }

    fn lengths(&mut self) -> Value {
        // Short prompts with long outputs are what exhausts memory; some prompts can never fit.
        let prompt_max = self.one_of(&[20, 100, PROMPT_MAX]);
        let prompt = match self.on("hopeless prompts", 0.1) {
            true => json!({"uniform": {"min": 1, "max": 4 * PROMPT_MAX}}),
            false => self.lengths_up_to(prompt_max),
        };
        json!({"prompt": prompt, "output": self.lengths_up_to(OUTPUT_MAX)})
    }

    fn lengths_up_to(&mut self, max: u32) -> Value {
        match self.rng.random_range(0..5) {
            0 => json!({"fixed": self.rng.random_range(1..=max)}),
            1 => json!({"uniform": {"min": 1, "max": max}}),
            2 => {
                json!({"lognormal": {"mean": f64::from(max) / 3.0 + 1.0, "sigma": 0.8}, "max": max})
            }
            3 => json!({"geometric": {"mean": f64::from(max) / 4.0 + 1.0}, "max": max}),
            _ => json!({"zipf": {"min": 1, "max": max, "theta": 0.9}}),
        }
    }

    fn slo(&mut self) -> Value {
        let tbt = self.one_of(&["1ms", "10ms", "25ms", "200ms"]);
        let ttft = match self.on("prefill curve", 0.5) {
            true => json!({"prefill_curve_plus": "20ms"}),
            false => json!("150ms"),
        };
        json!({"ttft": ttft, "tbt": tbt, "fluidity": {"index": 0.9, "share": 0.9}})
    }
}
