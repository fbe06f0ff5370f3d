//! Which format a file is in, told from its keys.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::fault::Fault;
use super::json::Json;

/// Formats of measured files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `vllm bench serve --save-result` (0.32 and before), with `--save-detailed` or without.
    Vllm,
    /// `sglang.bench_serving --output-file x.jsonl --output-details` (0.5).
    Sglang,
    /// AIPerf's `profile_export.jsonl` (0.13).
    Aiperf,
    /// AIPerf's `profile_export_raw.jsonl`.
    AiperfRaw,
    /// GuideLLM's JSON (0.8, metadata.version 2, and before).
    Guidellm,
    /// inference-perf's `per_request_lifecycle_metrics.json` (0.7).
    InferencePerf,
    /// Etalon's `request_level_metrics.json`.
    Etalon,
    /// GenAI-Perf's `profile_export.json` (0.0.16), as perf_analyzer writes it.
    GenaiPerf,
    /// LLMPerf's `*_individual_responses.json`.
    Llmperf,
    /// Logs of the LiteLLM gateway: `StandardLoggingPayload` or its spend log.
    Litellm,
    /// vLLM's OpenTelemetry spans: OTLP JSON, or Jaeger's.
    Otel,
    /// BLIS TraceV2: a YAML header and a CSV file beside it.
    Blis,
    /// What `metron-sim run --tokens` writes.
    Tokens,
    /// What `metron-sim run --requests` writes.
    Requests,
}

impl Format {
    /// All of them.
    pub const ALL: &[Format] = &[
        Format::Vllm,
        Format::Sglang,
        Format::Aiperf,
        Format::AiperfRaw,
        Format::Guidellm,
        Format::InferencePerf,
        Format::Etalon,
        Format::GenaiPerf,
        Format::Llmperf,
        Format::Litellm,
        Format::Otel,
        Format::Blis,
        Format::Tokens,
        Format::Requests,
    ];

    /// Its name, as `--from` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Vllm => "vllm",
            Format::Sglang => "sglang",
            Format::Aiperf => "aiperf",
            Format::AiperfRaw => "aiperf-raw",
            Format::Guidellm => "guidellm",
            Format::InferencePerf => "inference-perf",
            Format::Etalon => "etalon",
            Format::GenaiPerf => "genai-perf",
            Format::Llmperf => "llmperf",
            Format::Litellm => "litellm",
            Format::Otel => "otel",
            Format::Blis => "blis",
            Format::Tokens => "tokens",
            Format::Requests => "requests",
        }
    }

    /// The format of this name.
    pub fn by_name(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name() == name)
    }

    /// What it is, in a few words.
    fn what(self) -> &'static str {
        match self {
            Format::Vllm => "vllm bench serve JSON",
            Format::Sglang => "SGLang bench_serving JSONL",
            Format::Aiperf => "AIPerf profile_export.jsonl",
            Format::AiperfRaw => "AIPerf profile_export_raw.jsonl",
            Format::Guidellm => "GuideLLM JSON, metadata.version 2 and before",
            Format::InferencePerf => "inference-perf per-request JSON, a list",
            Format::Etalon => "Etalon request_level_metrics.json",
            Format::GenaiPerf => "GenAI-Perf profile_export.json",
            Format::Llmperf => "LLMPerf individual_responses.json, a list",
            Format::Litellm => "LiteLLM's log, JSONL or a list",
            Format::Otel => "vLLM's OpenTelemetry spans, OTLP or Jaeger JSON",
            Format::Blis => "BLIS TraceV2, YAML header or CSV",
            Format::Tokens => "metron-sim run --tokens, CSV or JSONL",
            Format::Requests => "metron-sim run --requests, CSV or JSONL",
        }
    }

    /// Sets of keys (or columns); a file that has every key of a set is in this format.
    fn keys(self) -> &'static [&'static [&'static str]] {
        match self {
            Format::Vllm => &[
                &["backend", "model_id", "num_prompts"],
                &["date", "backend", "tokenizer_id"],
                &["endpoint_type", "backend", "model_id"],
            ],
            Format::Sglang => &[
                &["backend", "dataset_name", "request_rate"],
                &["backend", "random_input_len", "request_rate"],
            ],
            Format::Aiperf => &[&["metadata", "metrics"]],
            Format::AiperfRaw => &[&["metadata", "start_perf_ns"], &["metadata", "responses"]],
            Format::Guidellm => &[&["benchmarks"]],
            Format::InferencePerf => &[&["start_time", "end_time", "info"]],
            Format::Etalon => &[&["num_prompt_tokens", "ttft", "tbt"]],
            Format::GenaiPerf => &[&["experiments"]],
            Format::Llmperf => &[&["ttft_s", "end_to_end_latency_s", "number_output_tokens"]],
            Format::Litellm => &[&["startTime", "endTime", "completionStartTime"]],
            Format::Otel => &[&["resourceSpans"], &["data", "total", "limit"]],
            Format::Blis => &[
                &["trace_version", "time_unit"],
                &["request_id", "send_time_us", "first_chunk_time_us", "last_chunk_time_us"],
            ],
            Format::Tokens => {
                &[&["scheduler", "request", "index", "time_s"], &["request", "time_s", "arrival_s"]]
            }
            Format::Requests => &[
                &["scheduler", "id", "first_token_s", "last_token_s"],
                &["arrival_s", "first_token_s", "last_token_s", "output_tokens"],
            ],
        }
    }

    fn of<T: AsRef<str>>(seen: &[T]) -> Option<Format> {
        let has = |key: &&str| seen.iter().any(|name| name.as_ref() == *key);
        Format::ALL
            .iter()
            .copied()
            .find(|format| format.keys().iter().any(|set| set.iter().all(has)))
    }
}

/// A file in no format that is known.
pub(super) struct Unknown {
    pub(super) fault: Fault,
    pub(super) help: Option<String>,
}

/// What a file with these columns is, where it is in one of the formats.
pub(crate) fn measured_columns(names: &[&str]) -> Option<&'static str> {
    Format::of(names).map(Format::what)
}

/// What a file is, where it is in one of the formats or near to one, and in the latter case where it
/// belongs.
pub(crate) fn measured_file(path: &Path) -> Option<(&'static str, Option<&'static str>)> {
    let mut seen = Vec::new();
    let mut recorder = Recorder { input: File::open(path).ok()?, seen: Vec::new() };
    // A file that ends too soon may have shown enough.
    let _ = look(&mut recorder, &mut seen);
    let near = || near(&seen).filter(|near| near.measured).map(|near| (near.what, Some(near.then)));
    Format::of(&seen).map(|format| (format.what(), None)).or_else(near)
}

/// A kind of file that people try, which has no measured request.
struct Near {
    keys: &'static [&'static str],
    what: &'static str,
    /// Where it belongs.
    then: &'static str,
    /// Whether it comes from a measurement all the same.
    measured: bool,
}

fn near<T: AsRef<str>>(seen: &[T]) -> Option<&'static Near> {
    let has = |key: &&str| seen.iter().any(|name| name.as_ref() == *key);
    let servegen = is_servegen(seen).then_some(&SERVEGEN);
    servegen.or_else(|| NEAR.iter().find(|near| near.keys.iter().all(has)))
}

/// Whether a file is one of ServeGen's two for a client: a CSV without a header, whose rows are a time, a
/// rate, its variation, a family and two parameters; or an object whose keys are times.
fn is_servegen<T: AsRef<str>>(seen: &[T]) -> bool {
    const FAMILIES: [&str; 4] = ["Weibull", "Gamma", "Exponential", ""];
    let number = |text: &T| text.as_ref().parse::<f64>().is_ok();
    match seen {
        [time, rate, variation, family, a, b] => {
            [time, rate, variation, a, b].into_iter().all(number)
                && FAMILIES.contains(&family.as_ref())
        }
        times => !times.is_empty() && times.iter().all(|key| key.as_ref().parse::<u64>().is_ok()),
    }
}

const SERVEGEN: Near = Near {
    keys: &[],
    what: "ServeGen's model of one client",
    then: "make a trace with ServeGen, and use that in workload.trace",
    measured: true,
};

const TRACE: &str = "a trace";
const USE_TRACE: &str = "use workload.trace (in a scenario, `workload: {trace: {file: FILE}}`)";
const TEXTS: &str = "a data set of texts";
const USE_TEXTS: &str = "count its tokens, and use the lengths in workload.trace";

const fn trace(keys: &'static [&'static str]) -> Near {
    Near { keys, what: TRACE, then: USE_TRACE, measured: false }
}

const fn texts(keys: &'static [&'static str]) -> Near {
    Near { keys, what: TEXTS, then: USE_TEXTS, measured: false }
}

const NEAR: &[Near] = &[
    Near {
        keys: &["schema_version", "kind", "points", "pareto"],
        what: "the result of `metron-sim sweep`",
        then: "its points are on its page and in its CSV; `metron-sim run --format json` of one \
               makes a result that `metron-sim compare` takes",
        measured: true,
    },
    Near {
        keys: &["schema_version", "kind", "searched", "promise"],
        what: "the result of `metron-sim capacity`",
        then: "its limits are on its page and in its text; `metron-sim run --format json` at one \
               makes a result that `metron-sim compare` takes",
        measured: true,
    },
    Near {
        keys: &["schema_version", "kind"],
        what: "a result of metron-sim",
        then: "`metron-sim compare` takes those of `run` and of `evaluate`",
        measured: true,
    },
    Near {
        keys: &["schema_version", "runs"],
        what: "a result of metron-sim itself",
        then: "`metron-sim compare` takes it",
        measured: true,
    },
    Near {
        keys: &["scheduler", "label", "requests.offered"],
        what: "the table of `metron-sim run --format csv`, a row a scheduler",
        then: "`metron-sim run --tokens FILE` or `--requests FILE` writes what this reads",
        measured: true,
    },
    Near {
        keys: &["aiperf_version", "input_config"],
        what: "AIPerf's summary",
        then: "give its profile_export.jsonl, which has a row a request",
        measured: true,
    },
    Near {
        keys: &["load_summary", "successes"],
        what: "inference-perf's summary",
        then: "give per_request_lifecycle_metrics.json (report.request_lifecycle.per_request: \
               true)",
        measured: true,
    },
    Near {
        keys: &["schedulers", "workload"],
        what: "a scenario",
        then: "`metron-sim run` takes it",
        measured: false,
    },
    Near {
        keys: &["first_token_s", "last_token_s", "output_tokens"],
        what: "a table of a real run's requests",
        then: "`metron-sim validate` and `calibrate` take it, as --observed",
        measured: true,
    },
    trace(&["prompt_tokens", "output_tokens"]),
    trace(&["input_tokens", "output_tokens"]),
    trace(&["input_length", "output_length"]),
    trace(&["ContextTokens", "GeneratedTokens"]),
    trace(&["num_prefill_tokens", "num_decode_tokens"]),
    trace(&["prompt_size", "token_size"]),
    trace(&["Request tokens", "Response tokens"]),
    trace(&["block_tokens"]),
    texts(&["conversations"]),
    texts(&["messages"]),
    texts(&["prompt"]),
];

/// Bytes after which a file that is still not known is given up.
const LOOK_MAX: usize = 64 << 20;

/// Keeps what is read through it.
struct Recorder<R> {
    input: R,
    seen: Vec<u8>,
}

impl<R: Read> Read for Recorder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.seen.len() > LOOK_MAX {
            return Ok(0);
        }
        let read = self.input.read(buffer)?;
        self.seen.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// The format of `input`, and the input from its beginning.
pub(super) fn sniff<R: Read + 'static>(input: R) -> Result<(Format, Box<dyn Read>), Unknown> {
    let mut recorder = Recorder { input, seen: Vec::new() };
    let mut seen = Vec::new();
    let looked = look(&mut recorder, &mut seen);
    let Some(format) = Format::of(&seen) else {
        let fault = match (looked, near(&seen)) {
            _ if encoded(&recorder.seen).is_some() => {
                Fault::whole(encoded(&recorder.seen).unwrap_or_default())
            }
            (Err(fault), None) => fault,
            (_, Some(near)) => Fault::whole(format!("this is {}: {}", near.what, near.then)),
            (Ok(()), None) if recorder.seen.is_empty() => Fault::whole("the file is empty"),
            (Ok(()), None) => Fault::whole("not in a format that is known"),
        };
        // Where a file belongs is help enough.
        let help = near(&seen).is_none().then(accepted);
        return Err(Unknown { fault, help });
    };
    let Recorder { input, seen } = recorder;
    Ok((format, Box::new(Cursor::new(seen).chain(input))))
}

/// How a file is encoded that is no text in UTF-8, told from its first bytes.
fn encoded(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 5] = [
        (b"\xff\xfe", "the file is in UTF-16: save it in UTF-8"),
        (b"\xfe\xff", "the file is in UTF-16: save it in UTF-8"),
        (b"\x1f\x8b", "the file is compressed (gzip): unpack it first"),
        (b"\x28\xb5\x2f\xfd", "the file is compressed (zstd): unpack it first"),
        (b"PK\x03\x04", "the file is a zip archive: unpack it first"),
    ];
    known.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, words)| *words)
}

/// Collects keys or columns until they tell the format.
fn look<R: Read>(recorder: &mut Recorder<R>, seen: &mut Vec<String>) -> Result<(), Fault> {
    let mut see = |key: &str| {
        // Names of columns and keys are short, and enough of them tell.
        if seen.len() < 4096 && key.len() <= 128 {
            seen.push(key.to_owned());
        }
        Format::of(seen).is_some()
    };
    let mut json = Json::new(&mut *recorder);
    if json.next_is(b'{')? {
        return json.keys(see);
    }
    if json.next_is(b'[')? {
        json.enter_list()?;
        return if json.next_is(b'{')? { json.keys(see) } else { Ok(()) };
    }
    if !json.another()? {
        return Ok(());
    }
    // Lines: a CSV header, or YAML keys at the margin.
    drop(json);
    let head = String::from_utf8_lossy(&recorder.seen).into_owned();
    let head = head.trim_start_matches('\u{feff}');
    let mut lines = head.lines();
    if let Some(header) = lines.next()
        && header.contains(',')
        && !header.contains('{')
    {
        for name in header.split(',') {
            see(name.trim().trim_matches('"'));
        }
        return Ok(());
    }
    for line in head.lines().take(200) {
        if let Some((key, _)) = line.split_once(':')
            && !key.starts_with([' ', '#', '-'])
        {
            see(key.trim());
        }
    }
    Ok(())
}

/// The formats that are accepted, with the keys that tell them.
fn accepted() -> String {
    let mut text = String::from("these are read (--from NAME forces one):");
    for format in Format::ALL {
        let sets: Vec<String> =
            format.keys().iter().map(|set| format!("{{{}}}", set.join(", "))).collect();
        text.push_str(&format!(
            "\n  {:<14} {}: {}",
            format.name(),
            format.what(),
            sets.join(" or ")
        ));
    }
    text
}
