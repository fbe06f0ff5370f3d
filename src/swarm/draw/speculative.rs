//! Speculative decoding.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::Draw;
use crate::speculative::Method;

impl Draw {
    /// `engine.speculative`, for a scheduler that drafts. `predicts` says whether the model has layers
    /// for multi-token prediction, `small` which model has its vocabulary; methods that need what there
    /// is not are left out.
    pub(super) fn speculative(&mut self, predicts: bool, small: Option<&str>) -> Value {
        let mut methods = Method::NAMES.to_vec();
        methods.retain(|name| match *name {
            "mtp" => predicts,
            "draft_model" => small.is_some(),
            _ => true,
        });
        let method = methods[self.rng.random_range(0..methods.len())];
        let tokens = self.rng.random_range(1..=8_u32);
        let mut given = Map::new();
        given.insert("method".to_owned(), json!(method));
        let key = self.one_of(&["num_speculative_tokens", "tokens"]);
        given.insert(key.to_owned(), json!(tokens));
        if let ("draft_model", Some(small)) = (method, small) {
            given.insert("draft_model".to_owned(), json!(small));
        }
        match self.rng.random_range(0..4) {
            0 => {
                let most = self.rng.random_range(0..=6);
                given.insert("off_above_running".to_owned(), json!(most));
            }
            1 => {
                let [low, high] = [self.rng.random_range(1..=3), self.rng.random_range(4..=6)];
                let drafts = [tokens, self.rng.random_range(0..=tokens)];
                let ranges = json!({
                    format!("1-{low}"): drafts[0], format!("{high}-{}", high + 2): drafts[1],
                });
                given.insert("num_speculative_tokens_per_batch_size".to_owned(), ranges);
            }
            _ => {}
        }
        let acceptance = match self.has("classes") && self.rng.random_bool(0.3) {
            true => {
                let (chat, batch) = (self.acceptance(tokens), self.acceptance(tokens));
                json!({"by_class": {"chat": chat, "batch": batch}})
            }
            false => self.acceptance(tokens),
        };
        given.insert("acceptance".to_owned(), acceptance);
        Value::Object(given)
    }

    /// How many of so many drafts are accepted, for all requests or those of a class.
    fn acceptance(&mut self, tokens: u32) -> Value {
        let rate = |draw: &mut Draw| match draw.rng.random_range(0..6) {
            0 => 0.0,
            1 => 1.0,
            _ => draw.rng.random_range(0.05..0.95),
        };
        match self.rng.random_range(0..5) {
            0 => json!({"rate": rate(self)}),
            1 => {
                let rates: Vec<f64> = (0..tokens).map(|_| rate(self)).collect();
                json!({"by_position": rates})
            }
            2 => {
                let length = self.rng.random_range(1.0..=1.0 + f64::from(tokens));
                json!({"length": length})
            }
            3 => {
                let lines: Vec<String> = (0..self.rng.random_range(1..4))
                    .map(|_| {
                        let rounds = self.rng.random_range(1..9);
                        let accepted: Vec<u32> =
                            (0..rounds).map(|_| self.rng.random_range(0..=tokens)).collect();
                        format!("{}\n", json!({"accepted": accepted}))
                    })
                    .collect();
                json!({"trace": self.file("rounds.jsonl", lines.concat())})
            }
            _ => {
                let names = crate::catalog::names(crate::catalog::Kind::Acceptance);
                json!({"preset": names[self.rng.random_range(0..names.len())]})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;
    use crate::scenario::{Document, Files};

    #[test]
    fn what_is_drawn_can_be_resolved() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = json!({
            "engine": {"profile": {"fixed": {"iteration": "5ms"}}, "kv_blocks": 100, "max_model_len": 400},
            "schedulers": ["vllm-v1"],
            "workload": {
                "requests": 3,
                "arrivals": "all_at_once",
                "lengths": {"prompt": {"fixed": 20}, "output": {"fixed": 20}},
                "classes": [{"name": "chat", "share": 1}, {"name": "batch", "share": 1}],
            },
        });
        for seed in 0..200 {
            let mut draw = Draw {
                rng: Xoshiro256PlusPlus::seed_from_u64(seed),
                block_tokens: 16,
                features: vec!["classes"],
                files: Vec::new(),
                missing: Vec::new(),
            };
            let mut scenario = base.clone();
            scenario["engine"]["speculative"] = draw.speculative(true, Some("llama-3.2-1b"));
            for (name, text) in &draw.files {
                fs::write(folder.path().join(name), text).expect("writable");
            }
            let files = Files::any(folder.path());
            let resolved = Document::from_text("s.yaml", &scenario.to_string(), files)
                .and_then(|document| document.resolve(None));
            let resolved = resolved.unwrap_or_else(|error| panic!("{}", error.render(false)));
            let found = resolved.experiment.engine.speculative.expect("it drafts");
            assert!((1..=8).contains(&found.rules.tokens));
        }
    }
}
