//! `run` as a whole on a made-up simulator: flags, files, exit codes, determinism.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metron_sim::cli::{self, Backend, Error, Exit, ListEntry, Listed, Loaded, ScenarioRequest};
use metron_sim::cost::FixedCost;
use metron_sim::ids::{ClassId, ColumnId, LaneId};
use metron_sim::metrics::Measure;
use metron_sim::promise::{Promises, Slo};
use metron_sim::request::{Request, RequestId};
use metron_sim::runner::{PlayError, PlayOptions, Requests, Simulate};
use metron_sim::scenario::raw::Scenario;
use metron_sim::scenario::{
    EngineLimits, Experiment, Hardware, ResolvedScenario, RouterKind, SchedulerRun,
};
use metron_sim::scheduler::SchedulerConfig;
use metron_sim::sim::{ChunkRecord, Iteration, IterationCounts, Log, Outcome};
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Column, ColumnKind, NO_RUN, RequestRow, Run, Status, TokenTrace};
use metron_sim::workload::{
    Amount, Arrivals, Dist, Lengths, MaxTokens, Shape, Source, Workload, WorkloadSpec,
};
use serde_json::{Value, json};

const STEP: Span = Span::from_millis(10);
const REQUESTS: u32 = 20;

/// Serves one request after another, a token each 10 ms. The scheduler `sarathi` does it without
/// fault; `vllm-v0` stalls 300 ms before each request's last token.
struct Toy {
    /// Added to every step, once more each time a simulation begins: a clock that leaks.
    drift: AtomicU64,
    drifting: bool,
    stuck: bool,
    slo_tbt: Span,
}

impl Toy {
    fn new() -> Toy {
        Toy {
            drift: AtomicU64::new(0),
            drifting: false,
            stuck: false,
            slo_tbt: Span::from_millis(25),
        }
    }
}

impl Simulate for Toy {
    fn simulate(
        &self,
        _: &Experiment,
        scheduler: &SchedulerRun,
        requests: &Requests,
        options: PlayOptions<'_>,
    ) -> Result<Outcome, PlayError> {
        let Requests::Open(workload) = requests else { return Err("not a closed loop".into()) };
        if self.stuck {
            return Err("stuck at 1 s: nothing scheduled and nothing in flight".into());
        }
        let drift = if self.drifting { self.drift.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut now = Time::ZERO;
        let mut column = Vec::new();
        let mut rows = Vec::new();
        let mut log = Log::default();
        for (id, request) in workload.requests.iter().enumerate() {
            now = now.max(request.arrival);
            let scheduled = now;
            let first = column.len() as u32;
            let mut first_token = Time::NEVER;
            for token in 0..request.output_tokens {
                let start = now;
                now += STEP + Span::from_nanos(drift);
                if scheduler.name == "vllm-v0" && token + 1 == request.output_tokens {
                    now += Span::from_millis(300);
                }
                let chunk = ChunkRecord {
                    request: RequestId::at(id),
                    context: 0,
                    tokens: request.prompt_tokens,
                    blocks: 1,
                    samples: true,
                };
                log.push(&Iteration {
                    decided: start,
                    start,
                    end: now,
                    free: now,
                    decodes: u32::from(token > 0),
                    decode_kv_tokens: u64::from(request.prompt_tokens + token),
                    chunks: &[chunk][..usize::from(token == 0)],
                    kv_used: 1,
                    waiting: 0,
                    running: 1,
                    ..Iteration::default()
                });
                if token == 0 {
                    first_token = now;
                } else {
                    column.push(now);
                }
            }
            rows.push(RequestRow {
                arrival: request.arrival,
                scheduled,
                first_token,
                run: Run {
                    column: ColumnId(0),
                    first,
                    len: request.output_tokens - 1,
                    next: NO_RUN,
                },
                prompt_tokens: request.prompt_tokens,
                tokens: request.output_tokens,
                hit_tokens: 0,
                preemptions: 0,
                lane: LaneId(0),
                class: ClassId(0),
                status: Status::Completed,
            });
            if let Some(progress) = options.progress {
                progress.set(id as u64 + 1, workload.requests.len() as u64);
            }
        }
        let count = log.len() as u64;
        Ok(Outcome {
            entered: Vec::new(),
            trace: TokenTrace {
                columns: vec![Column { kind: ColumnKind::Steps(LaneId(0)), times: column }],
                requests: rows,
                end: now,
                ..TokenTrace::default()
            },
            iterations: IterationCounts {
                prefill_only: u64::from(REQUESTS),
                mixed: 0,
                decode_only: count - u64::from(REQUESTS),
                sequences: count,
                ..IterationCounts::default()
            },
            log: options.keep_log.then(|| vec![log]),
            ..Outcome::default()
        })
    }
}

impl Backend for Toy {
    fn load(&self, request: &ScenarioRequest) -> Result<Loaded, Error> {
        let schedulers = ["vllm-v0", "sarathi"].map(|name| SchedulerRun {
            name: name.to_owned(),
            label: name.to_owned(),
            config: SchedulerConfig::by_name(name).expect("a registered scheduler"),
        });
        let one = |request: u32| Request {
            arrival: Time::from_nanos(u64::from(request) * 1_000_000_000),
            prompt_tokens: 100,
            output_tokens: 10,
            max_tokens: 10,
            priority: 0,
            class: ClassId(0),
        };
        let fixed = |tokens| Dist { shape: Shape::Fixed(tokens), min: None, max: None };
        Ok(Loaded {
            experiment: Experiment {
                name: "toy".to_owned(),
                seed: request.seed.unwrap_or(42),
                replicas: 1,
                pools: Vec::new(),
                disaggregation: None,
                router: RouterKind::RoundRobin,
                cost: Arc::new(FixedCost { iteration: STEP }),
                engine: EngineLimits {
                    front_end: metron_sim::sim::FrontEnd::default(),
                    kv_groups: metron_sim::kv::KvGroups::ONE,
                    kv_block_tokens: 16,
                    kv_blocks: 1000,
                    max_model_len: 8192,
                    prefix_caching: Some(false),
                    async_scheduling: Some(false),
                    speculative: None,
                    tiers: None,
                    predictor: metron_sim::scenario::PredictorError::default(),
                },
                schedulers: schedulers.to_vec(),
                workload: WorkloadSpec {
                    source: Source::Synthetic {
                        arrivals: Arrivals::Constant { rate: 1.0 },
                        lengths: Lengths::Independent { prompt: fixed(100), output: fixed(10) },
                    },
                    amount: Amount { requests: Some(REQUESTS), duration: None },
                    max_tokens: MaxTokens::Exact,
                    classes: Vec::new(),
                    prefix_groups: None,
                },
                promises: Promises::to_all(Slo { tbt: self.slo_tbt, ..Slo::default() }),
                horizon: None,
                measure: Measure::default(),
                hardware: Hardware::default(),
            },
            requests: Requests::Open(Workload {
                requests: (0..REQUESTS).map(one).collect(),
                block_tokens: 16,
                classes: vec!["chat".to_owned()],
                nominal_rate_per_s: Some(1.0),
                ..Workload::default()
            }),
            resolved: ResolvedScenario {
                filled: Scenario {
                    name: Some("toy".to_owned()),
                    description: (!request.set.is_empty()).then(|| request.set.join(" ")),
                    seed: Some(request.seed.unwrap_or(42)),
                    ..Scenario::default()
                },
                ..ResolvedScenario::default()
            },
            warnings: Vec::new(),
            written: Vec::new(),
            files: std::collections::BTreeMap::new(),
            document: None,
        })
    }

    fn list(&self, _: Listed) -> Vec<ListEntry> {
        Vec::new()
    }

    fn scenario_schema(&self) -> Value {
        json!({})
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("toy.yaml"), "name: toy\n").expect("writable");
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `metron-sim run toy.yaml FLAGS`, `@` standing for this folder.
    fn run(&self, toy: &Toy, flags: &str) -> Exit {
        let folder = self.0.path().to_str().expect("a plain path");
        let line = format!("metron-sim run @/toy.yaml -q {flags}").replace('@', folder);
        cli::main(line.split_whitespace().map(OsString::from), toy, &|| false)
    }

    fn json(&self, toy: &Toy, flags: &str) -> Value {
        let exit = self.run(toy, &format!("--format json -o @/result.json {flags}"));
        assert_eq!(exit, Exit::Fine);
        serde_json::from_slice(&fs::read(self.path("result.json")).expect("written"))
            .expect("valid JSON")
    }

    fn names(&self) -> Vec<String> {
        crate::folder::names(self.0.path())
    }
}

#[test]
fn the_result_has_the_published_form() {
    let folder = Folder::new();
    let result = folder.json(&Toy::new(), "");
    assert_eq!(result["schema_version"], 1);
    assert_eq!(result["tool"]["name"], "metron-sim");
    let runs = result["runs"].as_array().expect("a list");
    let schedulers: Vec<_> = runs.iter().map(|run| run["scheduler"].clone()).collect();
    assert_eq!(schedulers, ["vllm-v0", "sarathi"]);
    let (stalling, even) = (&runs[0], &runs[1]);
    assert_eq!(even["requests"]["completed"], 20);
    assert_eq!(even["tokens"]["output"], 200);
    assert_eq!(even["arrival_rate_per_s"]["nominal"], 1.0);
    assert_eq!(even["arrival_rate_per_s"]["realised"], 1.0);
    assert_eq!(even["tbt_s"]["p99"], 0.01);
    assert_eq!(even["tbt_s"]["count"], 180);
    assert_eq!(even["slo"]["met"], true);
    // D_p is 310 ms: 300 ms of slack left, and 15 ms more with each of the eight even tokens; the
    // last one comes after 310 ms, 25 + 300 + 120 are allowed.
    assert_eq!(stalling["fluidity"]["fluid_request_share"], 1.0);
    assert!(stalling["energy"].is_null());
    // Eight gaps of 10 ms and one of 310 ms, twenty times.
    let between = stalling["stalls"]["between_tokens_ns"].as_object().expect("by cause");
    let sum: u64 = between.values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 20 * (8 * 10 + 310) * 1_000_000);
    assert_eq!(even["iterations"]["count"], 200);
}

#[test]
fn results_validate_against_the_schema() {
    let folder = Folder::new();
    let mut result = folder.json(&Toy::new(), "--metrics full");
    let schema = metron_sim::report::json_schema().to_value();
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    let problems: Vec<String> = validator.iter_errors(&result).map(|e| e.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    result["runs"][0]["slo"]["met"] = json!("perhaps");
    assert!(!validator.is_valid(&result), "the schema lets anything pass");
    result["runs"][0].as_object_mut().expect("a run").remove("ttft_s");
    assert!(!validator.is_valid(&result));
}

#[test]
fn results_read_back_to_the_same_value() {
    let folder = Folder::new();
    let value = folder.json(&Toy::new(), "");
    let result: metron_sim::result::ResultFile =
        serde_json::from_value(value.clone()).expect("its own form");
    assert_eq!(serde_json::to_value(&result).expect("plain data"), value);
}

#[test]
fn check_tells_whether_the_slo_is_met() {
    let folder = Folder::new();
    let strict = Toy { slo_tbt: Span::from_millis(5), ..Toy::new() };
    assert_eq!(folder.run(&Toy::new(), "--format quiet --check"), Exit::Fine);
    assert_eq!(folder.run(&strict, "--format quiet"), Exit::Fine, "not asked");
    assert_eq!(folder.run(&strict, "--format quiet --check"), Exit::NotMet);
    // The result is written all the same.
    assert_eq!(folder.run(&strict, "--check -o @/out.txt"), Exit::NotMet);
    assert!(folder.path("out.txt").exists());
}

#[test]
fn neither_threads_nor_format_flags_change_the_result() {
    let folder = Folder::new();
    let mut seen = Vec::new();
    for jobs in [1, 2, 7] {
        let flags = format!("--jobs {jobs} --format json -o @/{jobs}.json");
        assert_eq!(folder.run(&Toy::new(), &flags), Exit::Fine);
        seen.push(fs::read(folder.path(&format!("{jobs}.json"))).expect("written"));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_simulator_that_is_not_deterministic_is_caught() {
    let folder = Folder::new();
    assert_eq!(folder.run(&Toy::new(), "--format quiet --check-determinism"), Exit::Fine);
    let drifting = Toy { drifting: true, ..Toy::new() };
    assert_eq!(folder.run(&drifting, "--format quiet --check-determinism"), Exit::Failure);
}

#[test]
fn side_files_hold_every_scheduler() {
    let folder = Folder::new();
    let flags = "--requests @/r.csv --tokens @/t.jsonl --timeline @/l.json --format quiet";
    assert_eq!(folder.run(&Toy::new(), flags), Exit::Fine);
    let requests = fs::read_to_string(folder.path("r.csv")).expect("written");
    assert_eq!(requests.lines().count(), 1 + 2 * 20);
    assert!(requests.contains("\nvllm-v0,0,chat,"), "{requests}");
    assert!(requests.contains("\nsarathi,19,chat,"), "{requests}");
    let tokens = fs::read_to_string(folder.path("t.jsonl")).expect("written");
    assert_eq!(tokens.lines().count(), 2 * 200);
    let first: Value = serde_json::from_str(tokens.lines().next().expect("a row")).expect("JSON");
    assert_eq!(first["time_s"], 0.01);
    assert_eq!(first["ttft_deadline_s"], 0.31, "the prefill takes 10 ms, the slack is 300 ms");
    let timeline: Value =
        serde_json::from_slice(&fs::read(folder.path("l.json")).expect("written")).expect("JSON");
    let events = timeline["traceEvents"].as_array().expect("a list");
    let bars = events.iter().filter(|event| event["ph"] == "X");
    let kinds = ["prefill", "mixed", "decode"].map(Value::from);
    assert_eq!(bars.filter(|bar| kinds.contains(&bar["name"])).count(), 2 * 200);
    assert_eq!(folder.names(), ["l.json", "r.csv", "t.jsonl", "toy.yaml"]);
}

#[test]
fn a_run_that_fails_leaves_no_file_and_keeps_the_old_one() {
    let folder = Folder::new();
    fs::write(folder.path("r.csv"), "old").expect("writable");
    let stuck = Toy { stuck: true, ..Toy::new() };
    let flags = "--requests @/r.csv --tokens @/t.csv --timeline @/l.json -o @/out.txt";
    assert_eq!(folder.run(&stuck, flags), Exit::Failure);
    assert_eq!(folder.names(), ["r.csv", "toy.yaml"]);
    assert_eq!(fs::read_to_string(folder.path("r.csv")).expect("there"), "old");
}

#[test]
fn bad_paths_and_flags_fail_before_the_work() {
    let folder = Folder::new();
    // A stuck simulator would turn these into another failure.
    let stuck = Toy { stuck: true, ..Toy::new() };
    for (flags, exit) in [
        ("-o @/missing/out.txt", Exit::Failure),
        ("--timeline @/missing/l.json", Exit::Failure),
        ("--requests @/r.parquet", Exit::BadInput),
        ("--requests -", Exit::BadInput),
        ("--requests @/x.csv --tokens @/x.csv", Exit::BadInput),
        ("--tokens @/./x.csv -o @/x.csv", Exit::BadInput),
        ("--format quiet -o @/out.txt", Exit::BadInput),
        ("--bogus", Exit::BadInput),
    ] {
        assert_eq!(folder.run(&stuck, flags), exit, "{flags}");
        assert_eq!(folder.names(), ["toy.yaml"], "{flags}");
    }
}

#[test]
fn seed_and_set_reach_the_scenario() {
    let folder = Folder::new();
    let result = folder.json(&Toy::new(), "--seed 7 --set engine.kv_blocks=512 --set a.b=x=y");
    assert_eq!(result["scenario"]["seed"], 7);
    assert_eq!(result["scenario"]["description"], "engine.kv_blocks=512 a.b=x=y");
}

#[test]
fn the_short_form_is_the_same_run() {
    let folder = Folder::new();
    let long = folder.json(&Toy::new(), "");
    let scenario = folder.path("toy.yaml");
    let out = folder.path("short.json");
    let args = ["metron-sim", "-q", "--format", "json", "--scenario"].map(OsString::from);
    let args = args.into_iter().chain([scenario.into(), "-o".into(), out.clone().into()]);
    assert_eq!(cli::main(args, &Toy::new(), &|| false), Exit::Fine);
    let short: Value = serde_json::from_slice(&fs::read(out).expect("written")).expect("JSON");
    assert_eq!(short, long);
}

#[test]
fn colour_goes_into_files_only_when_always() {
    let folder = Folder::new();
    let text = |flags: &str| {
        assert_eq!(folder.run(&Toy::new(), &format!("-o @/out.txt {flags}")), Exit::Fine);
        fs::read_to_string(folder.path("out.txt")).expect("written")
    };
    assert!(!text("").contains('\u{1b}'));
    assert!(text("--color always").contains('\u{1b}'));
    assert!(text("").lines().all(|line| line.chars().count() <= 100));
    let csv = {
        assert_eq!(folder.run(&Toy::new(), "--format csv -o @/out.csv"), Exit::Fine);
        fs::read_to_string(folder.path("out.csv")).expect("written")
    };
    assert_eq!(csv.lines().count(), 3);
    assert!(Path::new(&folder.path("out.csv")).exists());
}
