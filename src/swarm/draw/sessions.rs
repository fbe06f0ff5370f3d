//! Sessions of several turns.

use std::fmt::Write as _;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{Draw, OUTPUT_MAX, PROMPT_MAX};

/// Most tokens of a shared prefix that is drawn.
const PREFIX_MAX: u32 = 60;

impl Draw {
    /// A workload of sessions. `label` is the scheduler's, which a class's promise may name.
    pub(super) fn sessions_workload(&mut self, label: &str) -> Value {
        if self.on("recorded sessions", 0.3) {
            return self.recorded_sessions();
        }
        let mut workload = Map::new();
        let mut sessions = self.sessions();
        let duration = format!("{}ms", self.rng.random_range(100..5_000));
        match self.rng.random_range(0..5) {
            0 => {
                sessions.insert("duration".to_owned(), json!(duration));
            }
            1 => {
                workload.insert("duration".to_owned(), json!(duration));
            }
            _ => {}
        }
        workload.insert("sessions".to_owned(), Value::Object(sessions));
        let max_tokens = self.max_tokens();
        self.perhaps(&mut workload, "max_tokens", 0.5, max_tokens);
        if self.on("classes of sessions", 0.3) {
            let mut classes = self.classes(label);
            for class in classes.as_array_mut().into_iter().flatten() {
                class.as_object_mut().map(|class| class.remove("lengths"));
            }
            workload.insert("classes".to_owned(), classes);
        }
        Value::Object(workload)
    }

    fn sessions(&mut self) -> Map<String, Value> {
        let mut sessions = Map::new();
        sessions.insert("count".to_owned(), json!(self.rng.random_range(1..=10)));
        if self.rng.random_bool(0.3) {
            let mut users = json!({"users": self.rng.random_range(1..=6)});
            if self.rng.random_bool(0.5) {
                users["think_time"] = json!(self.one_of(&["0s", "5ms", "1s"]));
            }
            sessions.insert("concurrency".to_owned(), users);
        } else {
            let arrivals = self.arrivals(true);
            sessions.insert("arrivals".to_owned(), arrivals);
        }
        let preset = match self.rng.random_range(0..6) {
            0 => Some("chat"),
            1 => Some("agent"),
            _ => None,
        };
        if let Some(preset) = preset {
            sessions.insert("preset".to_owned(), json!(preset));
        }
        let prefix = self.rng.random_range(1..=PREFIX_MAX);
        if preset == Some("agent") || self.on("prefixes of sessions", 0.5) {
            let mut shared = Map::new();
            shared.insert("tokens".to_owned(), json!(prefix));
            let count = self.rng.random_range(1..=3);
            self.perhaps(&mut shared, "count", 0.7, json!(count));
            sessions.insert("shared_prefix".to_owned(), Value::Object(shared));
        }
        for (name, most) in
            [("first_prompt", 120), ("turns", 7), ("new_tokens", 60), ("output", OUTPUT_MAX / 2)]
        {
            let lengths = self.lengths_up_to(most);
            sessions.insert(name.to_owned(), lengths);
        }
        let gap = self.gap();
        if preset.is_none() || self.rng.random_bool(0.7) {
            sessions.insert("gap".to_owned(), gap);
        }
        let share = self.one_of(&[0.0, 0.3, 0.8]);
        match self.rng.random_range(0..4) {
            0 => {
                sessions.insert("keep_reasoning".to_owned(), json!(false));
                sessions.insert("reasoning".to_owned(), json!(share));
            }
            1 => {
                sessions.insert("keep_reasoning".to_owned(), json!(true));
            }
            _ => {}
        }
        let to = self.rng.random_range(PREFIX_MAX..=2 * PREFIX_MAX);
        match self.rng.random_range(0..5) {
            0 => sessions.insert("max_context".to_owned(), json!({"compact": {"to": to}})),
            1 => sessions.insert("max_context".to_owned(), json!("truncate-oldest")),
            2 => sessions.insert("max_context".to_owned(), json!("end")),
            _ => None,
        };
        sessions
    }

    fn gap(&mut self) -> Value {
        let parts = self.rng.random_range(0..4);
        if parts < 2 {
            return Value::Object(self.one_gap());
        }
        let part = |draw: &mut Draw| {
            let mut gap = draw.one_gap();
            let share = draw.one_of(&[0.2, 1.0, 3.0]);
            draw.perhaps(&mut gap, "share", 0.7, json!(share));
            let kind = draw.one_of(&["tool", "user"]);
            draw.perhaps(&mut gap, "kind", 0.8, json!(kind));
            Value::Object(gap)
        };
        json!({"mixture": (0..parts).map(|_| part(self)).collect::<Vec<_>>()})
    }

    fn one_gap(&mut self) -> Map<String, Value> {
        let (short, long) = (self.one_of(&["0s", "1ms", "20ms"]), self.one_of(&["30ms", "2s"]));
        let (shape, figures) = match self.rng.random_range(0..4) {
            0 => ("fixed", json!(short)),
            1 => ("uniform", json!({"min": short, "max": long})),
            2 => ("exponential", json!({"mean": long})),
            _ => ("lognormal", json!({"mean": long, "sigma": self.one_of(&[0.2, 1.5])})),
        };
        let mut gap = Map::new();
        gap.insert(shape.to_owned(), figures);
        let max = self.one_of(&["25ms", "1s"]);
        self.perhaps(&mut gap, "max", 0.3, json!(max));
        gap
    }

    /// A trace of sessions that is played by its answers.
    fn recorded_sessions(&mut self) -> Value {
        let mut trace = Map::new();
        let (name, text, format) = match self.rng.random_range(0..3) {
            0 => ("sessions.jsonl", self.weka(), "weka"),
            1 => ("turns.jsonl", self.turns_that_add(), "mooncake"),
            _ => ("talks.jsonl", self.talks(), "jsonl"),
        };
        self.file(name, text);
        trace.insert("file".to_owned(), json!(name));
        self.perhaps(&mut trace, "format", 0.5, json!(format));
        // One session alone may say no gap at all.
        trace.insert("gaps".to_owned(), json!("trace"));
        let cap = self.one_of(&["10ms", "1s"]);
        self.perhaps(&mut trace, "gap_cap", 0.4, json!(cap));
        let arrivals = self.arrivals(true);
        trace.insert("arrivals".to_owned(), arrivals);
        let mut workload = Map::new();
        workload.insert("trace".to_owned(), Value::Object(trace));
        let sessions = self.rng.random_range(1..=6);
        workload.insert("requests".to_owned(), json!(sessions));
        Value::Object(workload)
    }

    fn weka(&mut self) -> String {
        let block = self.block_tokens * self.one_of(&[1, 2]);
        let mut text = String::new();
        for session in 0..self.rng.random_range(1..=5) {
            let mut t = 0.0;
            let mut prompt = self.rng.random_range(1..=PROMPT_MAX / 3);
            let mut requests = Vec::new();
            for _ in 0..self.rng.random_range(1..=6) {
                let request = self.weka_request(&mut t, &mut prompt, block, 1);
                requests.push(request);
                if self.rng.random_bool(0.2) {
                    let (mut own_t, mut own_prompt) = (0.0, self.rng.random_range(1..=60));
                    let own: Vec<Value> = (0..self.rng.random_range(1..=3))
                        .map(|_| self.weka_request(&mut own_t, &mut own_prompt, block, 10_000))
                        .collect();
                    requests.push(json!({"type": "subagent", "t": t, "agent_id": "agent",
                                         "duration_ms": own_t * 1e3, "requests": own}));
                }
            }
            let one = json!({"id": format!("session {session}"), "block_size": block,
                             "hash_id_scope": self.one_of(&["local", "global"]),
                             "requests": requests});
            let _ = writeln!(text, "{one}");
        }
        text
    }

    fn weka_request(&mut self, t: &mut f64, prompt: &mut u32, block: u32, stem: u64) -> Value {
        let output = self.rng.random_range(1..=OUTPUT_MAX / 2);
        let cut = if self.rng.random_bool(0.1) { 500 } else { 0 };
        let ids: Vec<u64> = (0..u64::from(*prompt / block)).map(|at| stem + cut + at).collect();
        let mut request = json!({"t": *t, "type": "n", "in": *prompt, "out": output, "hash_ids": ids,
                                 "api_time": 0.01, "input_types": [self.one_of(&["text", "tool_result"])]});
        match self.rng.random_range(0..4) {
            0 => request["think_time"] = Value::Null,
            1 => {}
            _ => request["think_time"] = json!(self.one_of(&[0.0, 0.005, 0.3])),
        }
        *t += self.one_of(&[0.02, 0.5]);
        let answer = if self.rng.random_bool(0.8) { output } else { 0 };
        *prompt = (*prompt + answer + self.rng.random_range(1..=30)).min(PROMPT_MAX);
        request
    }

    /// Rows with what each turn adds.
    fn turns_that_add(&mut self) -> String {
        let mut text = String::new();
        for session in 0..self.rng.random_range(1..=4) {
            for turn in 0..self.rng.random_range(1..=4) {
                let mut row = json!({"session_id": format!("s{session}"),
                                     "input_length": self.rng.random_range(1..=40),
                                     "output_length": self.rng.random_range(1..=20)});
                if turn > 0 {
                    row["delay"] = json!(self.one_of(&[0, 5, 400]));
                }
                let _ = writeln!(text, "{row}");
            }
        }
        text
    }

    /// Rows with whole prompts.
    fn talks(&mut self) -> String {
        let mut text = String::new();
        for session in 0..self.rng.random_range(1..=4) {
            let mut prompt = self.rng.random_range(1..=60);
            for turn in 0..self.rng.random_range(1..=5) {
                let output = self.rng.random_range(1..=20);
                let mut row = json!({"session": format!("s{session}"), "prompt_tokens": prompt,
                                     "output_tokens": output});
                if turn > 0 {
                    row["gap_s"] = json!(self.one_of(&[0.0, 0.004, 0.5]));
                }
                let _ = writeln!(text, "{row}");
                let answer = if self.rng.random_bool(0.8) { output } else { 0 };
                prompt = (prompt + answer + self.rng.random_range(1..=30)).min(PROMPT_MAX);
            }
        }
        text
    }
}
