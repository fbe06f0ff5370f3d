//! A drawn scenario's replicas made into pools that differ. The draws come from a stream of their own,
//! so that all else of a seed's scenario stays as it is.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::draw::PROMPT_MAX;
use crate::sim::Router;

/// Keeps the stream apart from the one that draws all else.
const STREAM: u64 = 0x706f_6f6c_7300;
/// The part of all scenarios that get pools.
const SHARE: f64 = 0.25;

/// Puts pools in place of `replicas` where the draw says so; says whether it did. Limits only grow,
/// but for `max_model_len`, so that what a policy's parameters were drawn for still holds.
pub fn pools(seed: u64, features: &[&'static str], scenario: &mut Map<String, Value>) -> bool {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ STREAM);
    if !rng.random_bool(SHARE) {
        return false;
    }
    let on = |name: &str| features.contains(&name);
    let count = rng.random_range(1..=3);
    let pools: Vec<Value> = (0..count)
        .map(|place| {
            let mut pool = Map::new();
            pool.insert("replicas".to_owned(), json!(rng.random_range(1..=2)));
            // Others go by their GPU, or by their place.
            if place == 0 || rng.random_bool(0.5) {
                pool.insert("name".to_owned(), json!(format!("p{place}")));
            }
            if on("priced") && rng.random_bool(0.6) {
                let gpus = ["h100-sxm", "a100-sxm-80gb", "b200-sxm", "h200-sxm"];
                pool.insert("gpu".to_owned(), json!(gpus[rng.random_range(0..gpus.len())]));
            }
            if on("pipeline") && rng.random_bool(0.5) {
                let stages = rng.random_range(1..=3);
                pool.insert("parallelism".to_owned(), json!({"pipeline": stages}));
            }
            pool.insert("engine".to_owned(), engine(&mut rng, on("priced"), &scenario["engine"]));
            Value::Object(pool)
        })
        .collect();
    scenario.remove("replicas");
    scenario.insert("pools".to_owned(), Value::Array(pools));
    let router = match on("classes") && rng.random_bool(0.5) {
        true => {
            let within = Router::NAMES[rng.random_range(0..Router::NAMES.len())];
            json!({"class-to-pool": {"chat": "p0"}, "within": within})
        }
        false => json!(Router::NAMES[rng.random_range(0..Router::NAMES.len())]),
    };
    scenario.insert("router".to_owned(), router);
    true
}

fn engine(rng: &mut Xoshiro256PlusPlus, priced: bool, common: &Value) -> Value {
    let mut engine = Map::new();
    if !priced {
        let us = rng.random_range(200..20_000);
        engine.insert("profile".to_owned(), json!({"fixed": {"iteration": format!("{us}us")}}));
    }
    if let Some(blocks) = common["kv_blocks"].as_u64().filter(|_| rng.random_bool(0.5)) {
        engine.insert("kv_blocks".to_owned(), json!(blocks * rng.random_range(1..=4)));
    }
    if let Some(longest) = common["max_model_len"].as_u64().filter(|_| rng.random_bool(0.3)) {
        let shorter = longest * rng.random_range(50..=100) / 100;
        // Prompts of one length must still find room.
        let shorter = shorter.max(u64::from(PROMPT_MAX) + 1);
        engine.insert("max_model_len".to_owned(), json!(shorter));
    }
    if rng.random_bool(0.3) {
        engine.insert("prefix_caching".to_owned(), json!(rng.random_bool(0.5)));
    }
    Value::Object(engine)
}
