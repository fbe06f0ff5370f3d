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
        // Content ids stand for whole KV blocks.
        let kinds = if self.block_tokens > 16 { 8 } else { 9 };
        let (name, text, format, gaps) = match self.rng.random_range(0..kinds) {
            0 => ("sessions.jsonl", self.weka(), "weka", "trace"),
            1 => ("turns.jsonl", self.turns_that_add(), "mooncake", "trace"),
            2 => ("talks.jsonl", self.talks(), "jsonl", "trace"),
            3 => ("logs.csv", self.logs(), "burstgpt", "trace"),
            4 => ("logs.csv", self.logs(), "burstgpt", "answers"),
            5 => ("texts.json", self.texts(), "conversations", "trace"),
            6 => ("turns.json", self.multi_turn(), "vllm-multi-turn", "trace"),
            7 => ("bench.yaml", self.bench(), "inference-perf", "trace"),
            _ => ("chats.jsonl", self.chats(), "mooncake", "answers"),
        };
        self.file(name, text);
        trace.insert("file".to_owned(), json!(name));
        self.perhaps(&mut trace, "format", 0.5, json!(format));
        // One session alone may say no gap at all.
        trace.insert("gaps".to_owned(), json!(gaps));
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

    /// Rows of BurstGPT with sessions, two requests of one at the least.
    fn logs(&mut self) -> String {
        let mut text =
            "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens\n".to_owned();
        let mut at = 0.0;
        for row in 0..self.rng.random_range(3..=12) {
            at += self.one_of(&[0.0, 0.25, 2.0]);
            let session = if row < 2 { "a" } else { self.one_of(&["", "a", "b"]) };
            let prompt = self.rng.random_range(1..=PROMPT_MAX);
            let output = self.rng.random_range(1..=OUTPUT_MAX);
            let took = self.one_of(&[0.0, 0.125, 1.5]);
            let _ = writeln!(text, "{at},{session},{took},m,{prompt},{output}");
        }
        text
    }

    /// Rows of Bailian that go on from any row above them.
    fn chats(&mut self) -> String {
        let mut text = String::new();
        let mut at = 0.0;
        let mut prompts: Vec<u32> = Vec::new();
        for chat in 0..self.rng.random_range(1..=12) {
            at += self.one_of(&[0.0, 0.25, 2.0]);
            let parent = match chat > 0 && self.rng.random_bool(0.7) {
                true => self.rng.random_range(0..chat),
                false => -1,
            };
            let said = usize::try_from(parent).map_or(0, |parent| prompts[parent]);
            let prompt = (said + self.rng.random_range(1..=60)).min(PROMPT_MAX);
            prompts.push(prompt);
            let ids: Vec<u32> = (0..prompt / 16).collect();
            let row = json!({"chat_id": chat, "parent_chat_id": parent, "timestamp": at,
                             "input_length": prompt, "output_length": self.rng.random_range(1..=20),
                             "type": "text", "turn": 1, "hash_ids": ids});
            let _ = writeln!(text, "{row}");
        }
        text
    }

    /// A list of conversations, as text.
    fn texts(&mut self) -> String {
        let mut all = Vec::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let mut messages = Vec::new();
            for turn in 0..self.rng.random_range(1..=4) {
                for role in ["user", "assistant"] {
                    // The last question may have no answer; the first has one.
                    if turn == 0 || role == "user" || self.rng.random_bool(0.9) {
                        let text = "word ".repeat(self.rng.random_range(0..=20));
                        messages.push(json!({"role": role, "content": text}));
                    }
                }
            }
            all.push(json!({"messages": messages}));
        }
        json!(all).to_string()
    }

    /// What vLLM's benchmark makes conversations from.
    fn multi_turn(&mut self) -> String {
        let uniform =
            |min: u32, max: u32| json!({"distribution": "uniform", "min": min, "max": max});
        let common = self.one_of(&[0, 7, 32]);
        let mut input = json!({"num_turns": uniform(2, 6), "num_tokens": uniform(5, 40),
                               "prefix_num_tokens": {"distribution": "poisson", "alpha": 12, "max": 30}});
        if self.rng.random_bool(0.7) {
            input["common_prefix_num_tokens"] =
                json!({"distribution": "constant", "value": common});
        }
        json!({"filetype": "generate_conversations", "num_conversations": self.rng.random_range(1..=5),
               "text_files": ["a.txt"], "prompt_input": input,
               "prompt_output": {"num_tokens": {"distribution": "zipf", "alpha": 1.5, "max": 20}}})
        .to_string()
    }

    /// The configuration of inference-perf.
    fn bench(&mut self) -> String {
        let fixed = |value: u32| json!({"type": "fixed", "mean": value});
        let around = |mean: u32| json!({"mean": mean, "std_dev": 3, "min": 1, "max": 2 * mean});
        let replay = json!({"num_conversations": self.rng.random_range(1..=5),
                            "shared_system_prompt_len": self.one_of(&[0, 9, 32]),
                            "turns_per_conversation": fixed(self.rng.random_range(1..=4)),
                            "input_tokens_per_turn": around(self.rng.random_range(1..=15)),
                            "output_tokens_per_turn": around(self.rng.random_range(1..=10)),
                            "tool_call_latency_sec": fixed(self.one_of(&[0, 1]))});
        format!("data:\n  type: conversation_replay\n  conversation_replay: {replay}\n")
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
