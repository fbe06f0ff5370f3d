//! Trace files, one writer a format.

use std::fmt::Write;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{Draw, OUTPUT_MAX, PROMPT_MAX};

/// A request of a trace: its arrival in milliseconds, and its lengths.
struct Row {
    at_ms: u64,
    prompt: u32,
    output: u32,
}

impl Draw {
    /// A trace in some format, or a stand-in for a file that is not there.
    pub(super) fn trace(&mut self) -> Value {
        let mut trace = Map::new();
        let kinds = [
            "azure",
            "vidur",
            "splitwise",
            "mooncake",
            "bailian",
            "burstgpt",
            "servegen",
            "jsonl",
            "csv",
            "lengths",
            "lengths in jsonl",
            "not there",
        ];
        let kind = match self.one_of(&kinds) {
            // Content ids stand for whole KV blocks.
            "bailian" if self.block_tokens > 16 => "mooncake",
            kind => kind,
        };
        self.features.push(match kind {
            "azure" => "trace: azure",
            "vidur" | "splitwise" => "trace: vidur",
            "mooncake" => "trace: mooncake",
            "bailian" => "trace: bailian",
            "burstgpt" => "trace: burstgpt",
            "servegen" => "trace: servegen",
            "jsonl" => "trace: jsonl",
            "csv" => "trace: csv",
            "not there" => "trace: stand-in",
            _ => "trace: lengths",
        });
        let rows = self.rows();
        let (name, text, format) = match kind {
            "azure" => ("azure.csv", azure(&rows), "azure"),
            "vidur" => ("vidur.csv", vidur(&rows), "vidur"),
            "splitwise" => ("splitwise.csv", vidur(&rows), "splitwise"),
            "mooncake" => ("mooncake.jsonl", self.mooncake(&rows), "mooncake"),
            "bailian" => ("bailian.jsonl", self.bailian(&rows), "mooncake"),
            "burstgpt" => ("burstgpt.csv", self.burstgpt(&rows), "burstgpt"),
            "servegen" => ("chunk-0-trace.csv", self.client(), "servegen"),
            "jsonl" => ("ours.jsonl", self.ours(&rows, true), "jsonl"),
            "csv" => ("plain.csv", self.plain(&rows, true), "csv"),
            "lengths" => ("lengths.csv", self.plain(&rows, false), "csv"),
            "lengths in jsonl" => ("lengths.jsonl", self.ours(&rows, false), "jsonl"),
            _ => ("gone.csv", String::new(), "auto"),
        };
        trace.insert("file".to_owned(), json!(name));
        let format = self.one_of(&[format, "auto"]);
        self.perhaps(&mut trace, "format", 0.5, json!(format));
        let scale = self.one_of(&[0.5, 4.0]);
        self.perhaps(&mut trace, "time_scale", 0.3, json!(scale));
        let from = self.one_of(&["https://example.org/trace", "the archive"]);
        self.perhaps(&mut trace, "download", 0.3, json!(from));
        match kind {
            "not there" => {
                self.missing.push(name.to_owned());
                let mut stand_in = Map::new();
                let requests = self.rng.random_range(1..=20);
                stand_in.insert("requests".to_owned(), json!(requests));
                let arrivals = self.arrivals(true);
                stand_in.insert("arrivals".to_owned(), arrivals);
                let lengths = self.lengths();
                stand_in.insert("lengths".to_owned(), lengths);
                trace.insert("stand_in".to_owned(), Value::Object(stand_in));
            }
            _ => {
                self.file(name, text);
                if kind.starts_with("lengths") {
                    let arrivals = self.arrivals(false);
                    trace.insert("arrivals".to_owned(), arrivals);
                }
            }
        }
        Value::Object(trace)
    }

    fn rows(&mut self) -> Vec<Row> {
        let gap = self.one_of(&[0, 1, 30, 400]);
        let mut at_ms = self.rng.random_range(0..100);
        let count = self.rng.random_range(1..=40);
        let mut row = |draw: &mut Draw| {
            at_ms += draw.rng.random_range(0..=gap);
            let prompt = draw.rng.random_range(1..=PROMPT_MAX);
            Row { at_ms, prompt, output: draw.rng.random_range(1..=OUTPUT_MAX) }
        };
        (0..count).map(|_| row(self)).collect()
    }

    /// Ids of so many blocks, from a few stems.
    fn ids(&mut self, blocks: u32) -> Vec<u64> {
        let stem = 1_000 * self.rng.random_range(1..=3_u64);
        let shared = self.rng.random_range(0..=blocks);
        let own = 1_000_000 + 1_000 * self.rng.random_range(0..1_000_u64);
        let id = |k: u32| if k < shared { stem + u64::from(k) } else { own + u64::from(k) };
        (0..blocks).map(id).collect()
    }

    fn mooncake(&mut self, rows: &[Row]) -> String {
        let mut text = String::new();
        for Row { at_ms, prompt, output } in rows {
            let ids = self.ids(prompt.div_ceil(512));
            let row = json!({"timestamp": at_ms, "input_length": prompt, "output_length": output,
                             "hash_ids": ids});
            let _ = writeln!(text, "{row}");
        }
        text
    }

    fn bailian(&mut self, rows: &[Row]) -> String {
        let mut text = String::new();
        for (chat, Row { at_ms, prompt, output }) in rows.iter().enumerate() {
            let ids = self.ids(prompt.div_ceil(16));
            let row = json!({"chat_id": chat, "parent_chat_id": -1, "timestamp": seconds(*at_ms),
                             "input_length": prompt, "output_length": output, "type": "text",
                             "turn": 1, "hash_ids": ids});
            let _ = writeln!(text, "{row}");
        }
        text
    }

    fn burstgpt(&mut self, rows: &[Row]) -> String {
        let header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,\
                      Total tokens,Log Type\n";
        let mut text = header.to_owned();
        for Row { at_ms, prompt, output } in rows {
            let session = self.one_of(&["", "1", "2", "3"]);
            let (at, all) = (seconds(*at_ms), prompt + output);
            let _ = writeln!(text, "{at},{session},1.5,ChatGPT,{prompt},{output},{all},API log");
        }
        text
    }

    /// A client of ServeGen, and its lengths beside it.
    fn client(&mut self) -> String {
        let shape = self.one_of(&["Gamma,0.5,1", "Gamma,2,1", "Weibull,0.6,1"]);
        let rate = self.rng.random_range(1..=12);
        let lengths = |max: u32| format!("{{1: 0.5, {max}: 0.5}}");
        let dataset = json!({"0": {"input_tokens": lengths(PROMPT_MAX), "output_tokens": lengths(OUTPUT_MAX)}});
        self.file("chunk-0-dataset.json", dataset.to_string());
        format!("0,0,0,,0,0\n1,{rate},1,{shape}\n3,0,0,,0,0\n")
    }

    fn plain(&mut self, rows: &[Row], arrivals: bool) -> String {
        let prompt = self.one_of(&["prompt_tokens", "input_tokens"]);
        let mut text = match arrivals {
            true => format!("arrival_s,{prompt},output_tokens,session\n"),
            false => format!("{prompt},output_tokens,session\n"),
        };
        for Row { at_ms, prompt, output } in rows {
            let session = self.one_of(&["", "a", "b"]);
            if arrivals {
                let _ = write!(text, "{},", seconds(*at_ms));
            }
            let _ = writeln!(text, "{prompt},{output},{session}");
        }
        text
    }

    fn ours(&mut self, rows: &[Row], arrivals: bool) -> String {
        let block = self.block_tokens * self.one_of(&[1, 2, 3]);
        let mut text = format!("{{\"block_tokens\": {block}}}\n");
        for Row { at_ms, prompt, output } in rows {
            let mut row = Map::new();
            if arrivals {
                row.insert("arrival_s".to_owned(), json!(seconds(*at_ms)));
            }
            row.insert("prompt_tokens".to_owned(), json!(prompt));
            row.insert("output_tokens".to_owned(), json!(output));
            let covered = prompt + self.one_of(&[0, *output]);
            let ids = self.ids(covered / block);
            self.perhaps(&mut row, "block_hash_ids", 0.5, json!(ids));
            let class = self.one_of(&["chat", "batch"]);
            self.perhaps(&mut row, "class", 0.5, json!(class));
            let priority = self.rng.random_range(-2..=2);
            self.perhaps(&mut row, "priority", 0.5, json!(priority));
            let session = self.one_of(&["s1", "s2", "s3"]);
            self.perhaps(&mut row, "session", 0.5, json!(session));
            let most = output + self.rng.random_range(0..=20);
            self.perhaps(&mut row, "max_tokens", 0.5, json!(most));
            let _ = writeln!(text, "{}", Value::Object(row));
        }
        text
    }
}

/// Milliseconds as a decimal of seconds.
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn azure(rows: &[Row]) -> String {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for Row { at_ms, prompt, output } in rows {
        let (s, ms) = (at_ms / 1_000, at_ms % 1_000);
        let (minute, second) = (15 + s / 60, s % 60);
        let at = format!("2023-11-16 18:{minute:02}:{second:02}.{ms:03}0000");
        let _ = writeln!(text, "{at},{prompt},{output}");
    }
    text
}

fn vidur(rows: &[Row]) -> String {
    let mut text = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    for Row { at_ms, prompt, output } in rows {
        let _ = writeln!(text, "{},{prompt},{output}", seconds(*at_ms));
    }
    text
}
