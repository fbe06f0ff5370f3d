//! The requests: arrivals, lengths, classes, shared prefixes, traces.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{Draw, OUTPUT_MAX, PROMPT_MAX};

impl Draw {
    /// `label` is the scheduler's, which a class's promise may name.
    pub(super) fn workload(&mut self, label: &str) -> Value {
        if self.has("sessions") {
            return self.sessions_workload(label);
        }
        let mut workload = Map::new();
        let traced = self.on("trace", 0.2);
        let requests = if self.has("long requests") { 8 } else { 50 };
        let requests = self.rng.random_range(1..=requests);
        if traced {
            let trace = self.trace();
            workload.insert("trace".to_owned(), trace);
            self.perhaps(&mut workload, "requests", 0.2, json!(requests));
        } else {
            let arrivals = self.arrivals(true);
            workload.insert("arrivals".to_owned(), arrivals);
            let lengths = self.lengths();
            workload.insert("lengths".to_owned(), lengths);
            workload.insert("requests".to_owned(), json!(requests));
        }
        let ms = self.rng.random_range(1..3_000);
        let only = self.rng.random_bool(0.2) && !traced && !self.has("long requests");
        self.perhaps(&mut workload, "duration", 0.15, json!(format!("{ms}ms")));
        if only && workload.contains_key("duration") && !self.has("dense") {
            workload.remove("requests");
        }
        let max_tokens = self.max_tokens();
        if !traced || self.rng.random_bool(0.3) {
            self.perhaps(&mut workload, "max_tokens", 0.8, max_tokens);
        }
        if !traced && self.on("classes", 0.3) {
            let classes = self.classes(label);
            workload.insert("classes".to_owned(), classes);
        }
        if !traced && self.on("shared prefixes", 0.3) {
            let mut groups = Map::new();
            groups.insert("count".to_owned(), json!(self.rng.random_range(1..=4)));
            groups.insert("tokens".to_owned(), json!(self.rng.random_range(1..=PROMPT_MAX / 2)));
            let share = self.rng.random_range(0.0..=1.0);
            self.perhaps(&mut groups, "share", 0.8, json!(share));
            workload.insert("prefix_groups".to_owned(), Value::Object(groups));
        }
        Value::Object(workload)
    }

    pub(super) fn max_tokens(&mut self) -> Value {
        match self.rng.random_range(0..5) {
            0 => json!({"fixed": self.rng.random_range(1..=2 * OUTPUT_MAX)}),
            1 => json!({"factor": self.rng.random_range(1.0..3.0)}),
            2 => json!("model"),
            _ => json!("exact"),
        }
    }

    /// An arrival process; `closed` allows users who wait for their answers.
    pub(super) fn arrivals(&mut self, closed: bool) -> Value {
        let rate = self.one_of(&[0.5, 5.0, 30.0, 200.0, 5_000.0]);
        if rate > 100.0 {
            self.features.push("dense");
        }
        let cv = self.rng.random_range(0.3..4.0);
        match self.rng.random_range(0..if closed { 9 } else { 8 }) {
            0 => json!({"poisson": {"rate": rate}}),
            1 => json!({"gamma": {"rate": rate, "cv": cv}}),
            2 => json!({"weibull": {"rate": rate, "cv": cv}}),
            3 => json!({"constant": {"rate": rate}}),
            4 => {
                self.features.push("dense");
                match self.rng.random_bool(0.5) {
                    true => json!({"all_at_once": {}}),
                    false => json!("all_at_once"),
                }
            }
            5 | 6 => {
                self.features.push("dense");
                let first = self.one_of(&["1s", "20ms"]);
                json!({"piecewise": [
                    {"for": first, "rate": rate},
                    {"for": "500ms", "rate": rate, "ramp_to": 3.0 * rate},
                    {"for": "1h", "rate": 0.5 * rate},
                ]})
            }
            7 => {
                self.features.push("day");
                let shape = self.one_of(&["sine", "office"]);
                json!({"day": {"peak": rate, "trough": 0.5 * rate, "shape": shape}})
            }
            _ => {
                self.features.push("closed loop");
                self.features.push("dense");
                let users = self.rng.random_range(1..=12);
                let mut users = json!({"users": users});
                if self.rng.random_bool(0.7) {
                    let think = self.one_of(&[0, 7, 100]);
                    users["think_time"] = json!(format!("{think}ms"));
                }
                json!({"closed_loop": users})
            }
        }
    }

    pub(super) fn classes(&mut self, label: &str) -> Value {
        let one = |draw: &mut Draw, name: &str| {
            let mut class = Map::new();
            class.insert("name".to_owned(), json!(name));
            let share = draw.one_of(&[0.6, 0.4, 3.0]);
            draw.perhaps(&mut class, "share", 0.7, json!(share));
            let priority = draw.one_of(&[0, 1, -3, i32::MIN, i32::MAX]);
            draw.perhaps(&mut class, "priority", 0.7, json!(priority));
            let lengths = draw.lengths();
            draw.perhaps(&mut class, "lengths", 0.4, lengths);
            let (key, promised) = draw.promised(label);
            draw.perhaps(&mut class, key, 0.3, promised);
            Value::Object(class)
        };
        json!([one(self, "chat"), one(self, "batch")])
    }

    pub(super) fn lengths(&mut self) -> Value {
        if self.has("long requests") {
            return match self.rng.random_bool(0.8) {
                true => {
                    json!({"table": self.one_of(&["chat", "summarisation", "long-form", "code"])})
                }
                false => json!({"prompt": {"fixed": 6_000}, "output": {"fixed": 300}}),
            };
        }
        if self.on("lengths from a file", 0.08) {
            let mut text = "prompt_tokens,output_tokens\n".to_owned();
            for _ in 0..self.rng.random_range(1..=9) {
                let (prompt, output) =
                    (self.rng.random_range(1..=PROMPT_MAX), self.rng.random_range(1..=OUTPUT_MAX));
                text += &format!("{prompt},{output}\n");
            }
            let name = format!("lengths{}.csv", self.files.len());
            return json!({"file": self.file(&name, text)});
        }
        // Short prompts with long outputs are what exhausts memory; some prompts can never fit.
        let prompt_max = self.one_of(&[1, 20, 100, PROMPT_MAX]);
        let prompt = match self.on("hopeless prompts", 0.1) {
            true => json!({"uniform": {"min": 1, "max": 40 * PROMPT_MAX}}),
            false => self.lengths_up_to(prompt_max),
        };
        let output_max = self.one_of(&[1, OUTPUT_MAX, OUTPUT_MAX]);
        json!({"prompt": prompt, "output": self.lengths_up_to(output_max)})
    }

    pub(super) fn lengths_up_to(&mut self, max: u32) -> Value {
        let least = self.rng.random_range(1..=max);
        // Clamps stand beside a shape, or inside it where it has room for them.
        let clamped = |draw: &mut Draw, shape: &str, mut figures: Value| {
            let inside = draw.rng.random_bool(0.3);
            let min = draw.rng.random_bool(0.3).then_some(least);
            let mut dist = json!({});
            let place = if inside { &mut figures } else { &mut dist };
            place["max"] = json!(max);
            if let Some(min) = min {
                place["min"] = json!(min);
            }
            dist[shape] = figures;
            dist
        };
        match self.rng.random_range(0..6) {
            0 => json!({"fixed": self.rng.random_range(1..=max)}),
            1 => json!({"uniform": {"min": least.min(max), "max": max}}),
            2 => {
                let (mean, sigma) = (f64::from(max) / 3.0 + 1.0, self.one_of(&[0.1, 0.8, 2.0]));
                clamped(self, "lognormal", json!({"mean": mean, "sigma": sigma}))
            }
            3 => clamped(self, "geometric", json!({"mean": f64::from(max) / 4.0 + 1.0})),
            4 => {
                json!({"zipf": {"min": least, "max": max, "theta": self.one_of(&[0.3, 0.9, 2.0])}})
            }
            _ => json!({"quantiles": {"0.1": 1, "0.5": least, "0.99": max}}),
        }
    }
}
