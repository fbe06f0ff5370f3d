//! What people type who know other tools: each is answered with a fix, and the fix works.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const SCENARIO: &str = "\
name: small
model: llama-3.1-8b
gpu: h100-sxm
schedulers:
  - vllm-v1: {}
  - sarathi: {chunk_size: 512}
workload:
  requests: 20
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {fixed: 700}, output: {fixed: 20}}
slo: {ttft: 500ms, tbt: 25ms}
";

/// Fields set under other names or with other words; the answer names the text behind `=>`.
const SET: &[&str] = &[
    "tp=2 => --set parallelism.tensor=2",
    "tensor_parallel_size=2 => --set parallelism.tensor=2",
    "engine.tensor_parallel_size=2 => --set parallelism.tensor=2",
    "pp=2 => --set parallelism.pipeline=2",
    "pipeline-parallel-size=2 => --set parallelism.pipeline=2",
    "data_parallel_size=2 => --set parallelism.data=2",
    "qps=3 => --set workload.arrivals.poisson.rate=3",
    "workload.qps=3 => --set workload.arrivals.poisson.rate=3",
    "workload.rate=3 => --set workload.arrivals.poisson.rate=3",
    "request_rate=3 => --set workload.arrivals.poisson.rate=3",
    "workload.arrivals.rate=3 => --set workload.arrivals.poisson.rate=3",
    "workload.arrivals.poisson.qps=3 => --set workload.arrivals.poisson.rate=3",
    "concurrency=4 => {closed_loop: {users: 4}}",
    "workload.max_concurrency=4 => {closed_loop: {users: 4}}",
    "users=4 => {closed_loop: {users: 4}}",
    "num_prompts=15 => --set workload.requests=15",
    "requests=15 => --set workload.requests=15",
    "input_len=512 => workload.lengths.prompt={fixed: 512}",
    "isl=512 => workload.lengths.prompt={fixed: 512}",
    "workload.input_len=512 => workload.lengths.prompt={fixed: 512}",
    "workload.lengths.isl=512 => workload.lengths.prompt={fixed: 512}",
    "workload.output_len=16 => workload.lengths.output={fixed: 16}",
    "osl=16 => workload.lengths.output={fixed: 16}",
    "max_num_seqs=8 => --set schedulers.vllm-v1.max_num_seqs=8",
    "engine.max_num_seqs=8 => --set schedulers.vllm-v1.max_num_seqs=8",
    "batch_size=8 => --set schedulers.vllm-v1.max_num_seqs=8",
    "max_num_batched_tokens=1024 => --set schedulers.vllm-v1.max_num_batched_tokens=1024",
    "engine.max_num_batched_tokens=1024 => --set schedulers.vllm-v1.max_num_batched_tokens=1024",
    "enable_chunked_prefill=true => --set schedulers.vllm-v1.enable_chunked_prefill=true",
    "enable_prefix_caching=true => --set engine.prefix_caching=true",
    "engine.enable_prefix_caching=true => --set engine.prefix_caching=true",
    "gpu_memory_utilization=0.8 => --set engine.gpu_memory_utilization=0.8",
    "mem_fraction_static=80% => --set engine.gpu_memory_utilization=0.8",
    "max_model_len=4096 => --set engine.max_model_len=4096",
    "context_length=4096 => --set engine.max_model_len=4096",
    "block_size=32 => --set engine.kv_block_tokens=32",
    "num_gpu_blocks_override=9000 => --set engine.kv_blocks=9000",
    "quantization=fp8 => --set engine.dtype=fp8",
    "engine.kv_dtype=fp8 => --set engine.kv_cache_dtype=fp8",
    "gpu_type=l40s => --set gpu=l40s",
    "model_name=qwen3-8b => --set model=qwen3-8b",
    "scheduler=orca => schedulers=[orca]",
    "num_replicas=2 => --set replicas=2",
    "load_balancer=random => --set router=random",
    "ttft=400ms => --set slo.ttft=400ms",
    "ttft_ms=400 => --set slo.ttft=400ms",
    "itl=30ms => --set slo.tbt=30ms",
    "slo.itl_ms=30 => --set slo.tbt=30ms",
    "random_seed=3 => --set seed=3",
    "enforce_eager=true => --set engine.enforce_eager=true",
    "timeout=60s => --set horizon=60s",
    "price_per_hour=3 => --set gpu.price_usd_per_hour=3",
    "vllm_version=vllm-0.12 => --set engine.profile=vllm-0.12",
    "warmup=100ms => --set measure.skip_first=100ms",
    // Names of the catalog.
    "gpu=H100 => `h100-sxm`",
    "gpu=nvidia h100 80gb hbm3 => `h100-sxm`",
    "gpu=A100-80GB => `a100-sxm-80gb`",
    "gpu=A100 => `a100-sxm-80gb`",
    "gpu=NVIDIA A100-SXM4-80GB => `a100-sxm-80gb`",
    "gpu=L40S => `l40s`",
    "gpu=RTX 4090 => `rtx-4090`",
    "gpu=NVIDIA H200 => `h200-sxm`",
    "model=meta-llama/Llama-3.1-8B-Instruct => `llama-3.1-8b`",
    "model=meta-llama/Meta-Llama-3.1-8B-Instruct => `llama-3.1-8b`",
    "model=Qwen/Qwen3-8B => `qwen3-8b`",
    "model=Llama 3.1 8B => `llama-3.1-8b`",
    "model=llama3.1-8b => `llama-3.1-8b`",
    "schedulers=[vllm] => `vllm-v1`",
    "schedulers=[trt-llm] => `tensorrt-llm`",
    "schedulers=[sarathi-serve] => `sarathi`",
    "schedulers=[chunked-prefill] => `sarathi`",
    "schedulers=[SGLang] => `sglang`",
    "router=round_robin => `round-robin`",
    "router=least-loaded => `least-requests`",
    "engine.dtype=awq => `int4`",
    "engine.profile=vllm => `vllm-0.19`",
    // Units and shares.
    "slo.tbt=25 => `25ms`",
    "slo.ttft=1.5sec => `1.5s`",
    "slo.ttft=400msec => `400ms`",
    "horizon=2 minutes => `2min`",
    "slo.fluidity.share=99% => `0.99`",
    "engine.gpu_memory_utilization=90% => `0.9`",
];

/// The same in the scenario's file: what is replaced, by what, and the answer.
const FILE: &[[&str; 3]] = &[
    ["slo:", "tp: 2\nslo:", "`parallelism: {tensor: 2}`"],
    ["slo:", "engine: {max_num_seqs: 64}\nslo:", "`schedulers: [{vllm-v1: {max_num_seqs: 64}}]`"],
    ["  requests: 20", "  requests: 20\n  qps: 4", "`workload: {arrivals: {poisson: {rate: 4}}}`"],
    ["slo:", "engine: {block_size: 32}\nslo:", "`engine: {kv_block_tokens: 32}`"],
    ["h100-sxm", "H100-80GB", "`h100-sxm`"],
    ["llama-3.1-8b", "mistralai/Mistral-7B-Instruct-v0.3", "`mistral-7b`"],
    ["fixed: 700", "constant: 700", "`fixed`"],
    ["poisson", "Poisson", "`poisson`"],
    ["poisson", "exponential", "`poisson`"],
    ["tbt: 25ms", "itl: 25ms", "`slo: {tbt: 25ms}`"],
    ["chunk_size: 512", "chunksize: 512", "`chunk_size`"],
];

/// Words behind the program's name, and what to type in their place.
const LINES: &[[&str; 2]] = &[
    ["run s.yaml --rate 5", "--set workload.arrivals.poisson.rate=5"],
    ["run s.yaml --rate=5", "--set workload.arrivals.poisson.rate=5"],
    ["run s.yaml --qps 5", "--set workload.arrivals.poisson.rate=5"],
    ["run s.yaml --request-rate 5", "--set workload.arrivals.poisson.rate=5"],
    ["run s.yaml --tp 2", "--set parallelism.tensor=2"],
    ["run s.yaml --tensor-parallel-size 2", "--set parallelism.tensor=2"],
    ["run s.yaml --max-num-seqs 8", "--set schedulers.vllm-v1.max_num_seqs=8"],
    ["run s.yaml --num-prompts 15", "--set workload.requests=15"],
    ["run s.yaml --model qwen3-8b", "--set model=qwen3-8b"],
    ["run s.yaml --gpu l40s", "--set gpu=l40s"],
    ["run s.yaml --requests 15", "--set workload.requests=15"],
    ["list", "list scenarios"],
    ["explain", "`metron-sim explain chat`"],
    ["run s.yaml --replicas 2", "--set replicas=2"],
    ["run s.yaml --gpu-memory-utilization 0.8", "--set engine.gpu_memory_utilization=0.8"],
    ["run s.yaml --json", "--format json"],
    ["run s.yaml --csv", "--format csv"],
    ["run s.yaml --threads 2", "--jobs 2"],
    ["run s.yaml --no-color", "--color never"],
    ["run s.yaml --silent", "--quiet"],
    ["run s.yaml --random-seed 4", "--seed 4"],
    ["run s.yaml --seed=", "--seed 42"],
    ["run s.yaml --config x", "`x`"],
    ["simulate s.yaml", "run"],
    ["sim s.yaml", "run"],
    ["analyze s.yaml", "explain"],
    ["why s.yaml", "explain"],
    ["optimize s.yaml", "capacity"],
    ["chat", "run chat"],
    ["s.yaml", "run s.yaml"],
    ["gpus", "list gpus"],
    ["ls", "list scenarios"],
    ["ui", "serve"],
    ["diff a b", "compare"],
    ["docs", "schema keys"],
    ["run chatt", "`chat`"],
    ["run scenarios/chat.yaml", "`metron-sim run chat`"],
    ["show H100", "`h100-sxm`"],
];

fn program(folder: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    let command = command.current_dir(folder).args(args).env("NO_COLOR", "1");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // As it reads, wherever its lines break.
    let said: Vec<&str> = said.split_whitespace().filter(|word| *word != "│").collect();
    (output.status.success(), said.join(" "))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("s.yaml"), SCENARIO).expect("writable");
    folder
}

/// What stands between backticks.
fn quoted(said: &str) -> Vec<&str> {
    said.split('`').skip(1).step_by(2).collect()
}

/// The arguments of a `--set` as a shell takes them apart.
fn set_of(quoted: &str) -> Option<&str> {
    quoted.strip_prefix("--set ").map(|argument| argument.trim_matches('\''))
}

#[test]
fn the_table_is_long() {
    assert!(SET.len() + FILE.len() + LINES.len() >= 120);
}

#[test]
fn fields_of_other_names_are_told_and_the_fix_loads() {
    let folder = folder();
    let mut wrong = Vec::new();
    for row in SET {
        let (given, answer) = row.split_once(" => ").expect("an arrow");
        let (fine, said) = program(folder.path(), &["run", "s.yaml", "-q", "--set", given]);
        if fine || !said.contains(answer) {
            wrong.push(format!("{given}: {answer} is not in: {said}"));
            continue;
        }
        // The path is named whole, or the value alone.
        let named = quoted(&said).into_iter().find_map(set_of).map(str::to_owned);
        let path = given.split('=').next().expect("a path");
        let fix = named.unwrap_or_else(|| {
            let value = answer.trim_matches('`');
            match path {
                "schedulers" => format!("{path}=[{value}]"),
                path => format!("{path}={value}"),
            }
        });
        let (fine, said) = program(folder.path(), &["run", "s.yaml", "-q", "--set", &fix]);
        if !fine {
            wrong.push(format!("{given}: its fix {fix} does not load: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn keys_of_other_names_in_a_file_are_told_and_the_fix_loads() {
    let folder = folder();
    let mut wrong = Vec::new();
    for [from, to, answer] in FILE {
        let text = SCENARIO.replacen(from, to, 1);
        assert_ne!(text, SCENARIO, "{from}");
        fs::write(folder.path().join("m.yaml"), &text).expect("writable");
        let (fine, said) = program(folder.path(), &["run", "m.yaml", "-q"]);
        if fine || !said.contains(answer) {
            wrong.push(format!("{to}: {answer} is not in: {said}"));
            continue;
        }
        let named = quoted(&said).into_iter().find_map(set_of).map(str::to_owned);
        let (file, set) = match &named {
            // The same as an argument, on the file without the mistake.
            Some(set) => ("s.yaml", vec!["--set", set.as_str()]),
            None => {
                let (wrong, right) =
                    (to.split(':').next().expect("a word"), answer.trim_matches('`'));
                fs::write(folder.path().join("m.yaml"), text.replacen(wrong, right, 1))
                    .expect("writable");
                ("m.yaml", Vec::new())
            }
        };
        let args = [&["run", file, "-q"][..], &set].concat();
        let (fine, said) = program(folder.path(), &args);
        if !fine {
            wrong.push(format!("{to}: its fix does not load: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn flags_and_commands_of_other_names_are_told_and_the_fix_works() {
    let folder = folder();
    let mut wrong = Vec::new();
    for [line, answer] in LINES {
        let args: Vec<&str> = line.split(' ').collect();
        let (fine, said) = program(folder.path(), &args);
        if fine || !said.contains(answer) {
            wrong.push(format!("{line}: {answer} is not in: {said}"));
            continue;
        }
        if args.first() == Some(&"run") && answer.starts_with("--") {
            let fixed: Vec<&str> = ["run", "s.yaml"].into_iter().chain(answer.split(' ')).collect();
            let (fine, said) = program(folder.path(), &fixed);
            if !fine {
                wrong.push(format!("{line}: its fix {answer} does not work: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_file_named_after_a_form_is_in_that_form() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| fs::read_to_string(path(name)).expect(name);
    for name in ["r.json", "r.jsonl", "r.csv", "r.txt", "r.html"] {
        let (fine, said) = program(folder.path(), &["run", "s.yaml", "-q", "-o", name]);
        assert!(fine, "{name}: {said}");
    }
    let whole: serde_json::Value = serde_json::from_str(&read("r.json")).expect("JSON");
    assert_eq!(whole["runs"].as_array().map(Vec::len), Some(2));
    let lines: Vec<serde_json::Value> =
        read("r.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], whole["runs"][0]);
    assert!(read("r.csv").starts_with("scheduler,"), "{}", read("r.csv"));
    assert!(read("r.txt").contains("SLO met"), "{}", read("r.txt"));
    assert!(read("r.html").contains("<html"), "a page");
    for format in ["csv", "text", "quiet"] {
        let args = ["run", "s.yaml", "-q", "--format", format, "-o", "x.json"];
        let (fine, said) = program(folder.path(), &args);
        assert!(!fine && said.contains("leave `--format` out"), "{format}: {said}");
        assert!(!path("x.json").exists(), "{format}");
    }
    let (fine, said) =
        program(folder.path(), &["run", "s.yaml", "-q", "--format", "json", "-o", "x.html"]);
    assert!(!fine && said.contains("--report x.html"), "{said}");
    let (fine, said) = program(folder.path(), &["list", "gpus", "-o", "x.html"]);
    assert!(!fine && said.contains("writes no page"), "{said}");
}

#[test]
fn scenarios_go_by_name_and_a_file_of_that_name_comes_first() {
    let folder = folder();
    let few = ["--set", "workload.requests=20", "--format", "json", "-o", "r.json"];
    let (fine, said) = program(folder.path(), &[&["run", "chat"][..], &few].concat());
    assert!(fine, "{said}");
    let name = || -> String {
        let text = fs::read_to_string(folder.path().join("r.json")).expect("readable");
        let result: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        result["scenario"]["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(name(), "chat");
    fs::write(folder.path().join("chat"), SCENARIO).expect("writable");
    let (fine, said) = program(folder.path(), &[&["run", "chat"][..], &few].concat());
    assert!(fine, "{said}");
    assert_eq!(name(), "small");
    // A copy is the file, and runs.
    let (fine, said) = program(folder.path(), &["show", "burst", "-o", "my.yaml"]);
    assert!(fine, "{said}");
    let (fine, said) =
        program(folder.path(), &["run", "my.yaml", "-q", "--set", "workload.requests=9"]);
    assert!(fine, "{said}");
}

/// Each command's mistakes show how that command is used, and name its own help.
#[test]
fn a_mistake_names_the_help_of_its_own_command() {
    let said = |line: &[&str]| -> String {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        let out = command.args(line).output().expect("ran");
        assert_eq!(out.status.code(), Some(2), "{line:?}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    // What other tools call it: all commands know `--format`.
    let whole = metron_sim::cli::command();
    let names: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let told = said(&[name, "--json"]);
        assert!(told.contains(&format!("Usage: metron-sim {name}")), "{told}");
    }
    for line in [
        &["plan", "--model", "llama-3.1-8b", "--gpus", "h1000", "--rate", "1"][..],
        &["capacity", "chat", "--precision", "much"],
        &["explain", "chat", "--format", "csv"],
        &["serve", "--set", "seed=1"],
    ] {
        let told = said(line);
        assert!(told.contains(&format!("try `metron-sim {} --help`", line[0])), "{line:?}: {told}");
    }
    // The short form has no command.
    let told = said(&["--scenario", "chat", "--check", "--format", "json", "--csv"]);
    assert!(told.contains("Usage: metron-sim"), "{told}");
}
