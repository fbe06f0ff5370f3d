//! Files with more tokens than memory should hold: what stays in memory does not grow with them, and
//! figures are those of files that fit.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use metron_sim::interop::{GivenPromise, GivenTtft, import, judge};
use metron_sim::metrics::distribution_of_nanos;
use metron_sim::result::MeasuredResult;
use metron_sim::time::Span;
use metron_sim::trace::Parts;
use serde_json::Value;

/// Address space of the program, its image, threads' stacks and allocator included. With 10 million
/// tokens in memory it would take 160 MB more.
const MEMORY_KB: u64 = 200_000;

const REQUESTS: u64 = 20_000;
const GAPS: u64 = 500;

/// The `i`th gap of a request, microseconds: some 10 ms, and now and then a stall.
fn gap_us(request: u64, i: u64) -> u64 {
    let stall = if (request * 7 + i * 3).is_multiple_of(1009) { 90_000 } else { 0 };
    9_000 + (request * 31 + i * 17) % 2000 + stall
}

/// A vLLM file whose gaps come before all that tells when they were, of some 60 MB.
fn vllm(path: &Path) {
    let mut file = BufWriter::new(File::create(path).expect("writable"));
    let mut write = |text: &str| file.write_all(text.as_bytes()).expect("written");
    write(r#"{"backend": "vllm", "model_id": "m", "num_prompts": 1, "itls": ["#);
    for request in 0..REQUESTS {
        let gaps: Vec<String> = (0..GAPS)
            .map(|i| format!(".{:06}", gap_us(request, i)))
            .map(|g| format!("0{g}"))
            .collect();
        write(if request > 0 { ",[" } else { "[" });
        write(&gaps.join(","));
        write("]");
    }
    let list = |of: &dyn Fn(u64) -> String| (0..REQUESTS).map(of).collect::<Vec<_>>().join(",");
    write(&format!(r#"], "ttfts": [{}]"#, list(&|request| format!("0.{}", 1 + request % 3))));
    write(&format!(r#", "start_times": [{}]"#, list(&|request| format!("{}", 1000 + request))));
    write(&format!(r#", "input_lens": [{}]"#, list(&|_| "100".to_owned())));
    write(&format!(r#", "output_lens": [{}]}}"#, list(&|_| (GAPS + 1).to_string())));
}

fn evaluate(folder: &Path, args: &[&str]) -> (Option<i32>, Value, String) {
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary).expect("made");
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KB}; exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["evaluate", "--format", "json"])
        .args(args)
        .current_dir(folder)
        .env("TMPDIR", &temporary)
        .output()
        .expect("started");
    assert_eq!(fs::read_dir(&temporary).expect("there").count(), 0, "something was left behind");
    let result = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), result, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn memory_does_not_grow_with_tokens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    vllm(&folder.path().join("v.json"));
    let (code, result, errors) =
        evaluate(folder.path(), &["v.json", "--ttft", "250ms", "--explain"]);
    assert_eq!(code, Some(0), "{errors}");
    let run = &result["runs"][0];
    let every = || (0..REQUESTS).flat_map(|request| (0..GAPS).map(move |i| gap_us(request, i)));
    let mut gaps: Vec<u64> = every().map(|us| us * 1000).collect();
    let wanted = serde_json::to_value(distribution_of_nanos(&mut gaps)).expect("plain data");
    assert_eq!(run["tbt_s"], wanted);
    assert_eq!(run["requests"]["completed"], REQUESTS);
    assert_eq!(run["tokens"]["output"], REQUESTS * (GAPS + 1));
    let stalls = &run["measured"]["stalls"];
    assert_eq!(stalls["stalls"], every().filter(|&us| us > 90_000).count());
    assert_eq!(stalls["median_gap_s"], gaps[(gaps.len() - 1) / 2] as f64 / 1e9);
}

/// What a run of very many requests writes, in which tokens do not stay in memory.
#[test]
fn what_is_not_in_memory_is_the_same_to_the_digit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = "\
engine: {profile: {fixed: {iteration: 1ms}}, kv_blocks: 4096, max_model_len: 4096}
schedulers: [sarathi, vllm-v0]
workload:
  requests: 150000
  arrivals: {poisson: {rate: 3000}}
  lengths: {prompt: {uniform: {min: 1, max: 60}}, output: {uniform: {min: 1, max: 5}}}
  classes:
    - {name: chat, share: 0.6, slo: {ttft: 150ms, tbt: 40ms}}
    - {name: batch, share: 0.4}
slo: {ttft: {prefill_curve_plus: 1ms}, tbt: 1ms}
";
    fs::write(folder.path().join("s.yaml"), scenario).expect("writable");
    let ran = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["run", "s.yaml", "-q", "--format", "json", "--tokens", "t.csv"])
        .current_dir(&folder)
        .output()
        .expect("started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let ran: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let imported = import(&folder.path().join("t.csv"), None).expect("it is sound");
    let promise = GivenPromise { ttft: GivenTtft::Own, tbt: None, fluidity: None };
    let runs = ran["runs"].as_array().expect("runs");
    assert_eq!((runs.len(), imported.runs.len()), (2, 2));
    for (ran, measured) in runs.iter().zip(&imported.runs) {
        assert!(measured.is_spooled() && measured.whole().is_none());
        let mut parts = 0;
        measured.each_part(&mut |_| parts += 1);
        assert!(parts > 1, "{parts}");
        let judged = judge(measured, MeasuredResult::default(), String::new(), &promise, false);
        let judged = serde_json::to_value(judged.expect("it states its promise")).expect("data");
        for member in [
            "requests",
            "duration_s",
            "tokens",
            "throughput",
            "ttft_s",
            "tbt_s",
            "tpot_s",
            "e2e_s",
            "normalized_latency_s_per_token",
            "scheduling_delay_s",
            "fluidity",
            "goodput",
            "classes",
            "slo",
            "fairness",
        ] {
            assert!(!ran[member].is_null(), "{member}");
            assert_eq!(ran[member], judged[member], "{member}");
        }
        let plots = &judged["measured"]["plots"];
        let points = plots["tbt_cdf_s"].as_array().expect("points");
        assert_eq!(points.len(), 200);
        assert_eq!(points[199], serde_json::json!([ran["tbt_s"]["max"], 1.0]));
        // Of as many gaps as divide by 200 the median would be a point; it lies by one anyway.
        let p50 = ran["tbt_s"]["p50"].as_f64().expect("a median");
        assert!(points[99][0].as_f64() <= Some(p50) && points[100][0].as_f64() >= Some(p50));
        let progress = plots["progress"].as_array().expect("requests");
        assert_eq!(progress.len(), 3);
        for request in progress {
            assert!(request["token_times_s"].as_array().is_some_and(|times| times.len() > 1));
        }
    }
}

/// Several runs in one file: what each may keep in memory is shared.
#[test]
fn many_runs_of_one_file_share_the_bound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.json");
    let mut file = BufWriter::new(File::create(&path).expect("writable"));
    let gaps = vec!["0.01"; 400_000].join(",");
    for _ in 0..7 {
        writeln!(
            file,
            r#"{{"num_prompt_tokens": [7], "num_output_tokens": [400001], "ttft": [0.1], "tbt": [[{gaps}]]}}"#
        )
        .expect("written");
    }
    drop(file);
    let runs = import(&path, None).expect("it is sound").runs;
    assert_eq!(runs.len(), 7);
    assert!(!runs[0].is_spooled() && runs[6].is_spooled());
    let promise =
        GivenPromise { ttft: GivenTtft::Fixed(Span::from_millis(100)), tbt: None, fluidity: None };
    let judged = |at: usize| {
        let run = judge(&runs[at], MeasuredResult::default(), String::new(), &promise, true);
        serde_json::to_value(run.expect("a fixed TTFT")).expect("data")
    };
    assert_eq!(judged(0), judged(6));
}
