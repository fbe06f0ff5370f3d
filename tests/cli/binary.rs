//! The program as a user meets it: streams, exit codes, documents, real scenarios.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use serde_json::Value;

const SCENARIO: &str = "\
name: small
seed: 1
engine:
  profile: {fixed: {iteration: 5ms}}
  kv_blocks: 4096
  max_model_len: 4096
schedulers:
  - vllm-v0: {}
  - sarathi: {chunk_size: 512}
workload:
  requests: 30
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {fixed: 700}, output: {fixed: 40}}
slo: {ttft: 500ms, tbt: 25ms}
";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("s.yaml"), text).expect("writable");
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self) -> Command {
        let mut command = program();
        command.current_dir(self.0.path()).args(["run", "s.yaml"]);
        command
    }

    fn names(&self) -> Vec<String> {
        crate::folder::names(self.0.path())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_scenario_gives_a_comparison_on_stdout() {
    let folder = Folder::with(SCENARIO);
    let out = folder.run().assert().code(0).get_output().clone();
    let stdout = text(&out.stdout);
    assert!(stdout.contains("sarathi(chunk_size=512)"), "{stdout}");
    assert!(stdout.contains("fluid requests"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "a pipe gets no colour");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    assert!(text(&out.stderr).contains("simulated 60 requests"), "wall time on stderr");
    let quiet = folder.run().arg("-q").assert().code(0).get_output().clone();
    assert_eq!(quiet.stderr, b"");
    assert_eq!(quiet.stdout, out.stdout);
}

#[test]
fn the_result_is_the_same_bytes_whatever_the_threads() {
    let folder = Folder::with(SCENARIO);
    let json = |jobs: &str| {
        let mut run = folder.run();
        run.args(["--format", "json", "-q", "--jobs", jobs]);
        run.assert().code(0).get_output().stdout.clone()
    };
    assert_eq!(json("1"), json("2"));
    folder.run().args(["--check-determinism", "--format", "quiet"]).assert().code(0).stdout("");
}

#[test]
fn the_slow_path_gives_the_same_result() {
    let folder = Folder::with(SCENARIO);
    let json = |flag: &[&str]| {
        let mut run = folder.run();
        run.args(["--format", "json", "-q"]).args(flag);
        run.assert().code(0).get_output().stdout.clone()
    };
    assert_eq!(json(&[]), json(&["--reference"]));
}

#[test]
fn a_real_result_validates_against_the_printed_schema() {
    let folder = Folder::with(SCENARIO);
    let schema = program().args(["schema", "result"]).assert().code(0).get_output().stdout.clone();
    let schema: Value = serde_json::from_slice(&schema).expect("JSON");
    let out = folder.run().args(["--format", "json"]).assert().code(0).get_output().stdout.clone();
    let result: Value = serde_json::from_slice(&out).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    let problems: Vec<String> = validator.iter_errors(&result).map(|e| e.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(result["scenario"]["seed"], 1);
}

#[test]
fn exit_codes_follow_what_went_wrong() {
    let folder = Folder::with(SCENARIO);
    folder.run().arg("--check").assert().code(0);
    folder
        .run()
        .args(["--check", "--set", "slo.ttft=1ms", "--set", "slo.tbt=1ms"])
        .assert()
        .code(3);
    folder.run().args(["-o", "missing/out.json"]).assert().code(1);
    folder.run().args(["--requests", "missing/r.csv"]).assert().code(1);
    for bad in [
        ["--set", "engine.kv_blokcs=3"],
        ["--set", "nonsense"],
        ["--set", "workload.arrivals={poisson: {rate: -1}}"],
        ["--requests", "r.txt"],
        ["--jobs", "0"],
        ["--format", "xml"],
        ["--seed", "x"],
    ] {
        let out = folder.run().args(bad).assert().code(2).get_output().clone();
        assert_eq!(out.stdout, b"", "{bad:?}");
        assert!(!out.stderr.is_empty(), "{bad:?}");
    }
    program().args(["run", "/nowhere/s.yaml"]).assert().code(2);
    program().assert().code(2);
    program().arg("explode").assert().code(2);
    program().arg("--help").assert().code(0);
    program()
        .arg("--version")
        .assert()
        .code(0)
        .stdout(format!("metron-sim {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(folder.names(), ["s.yaml"], "nothing is left behind");
}

#[test]
fn a_bad_scenario_is_shown_with_its_place() {
    let folder = Folder::with(&SCENARIO.replace("chunk_size", "chunk_sise"));
    let out = folder.run().assert().code(2).get_output().clone();
    let stderr = text(&out.stderr);
    assert!(stderr.contains("s.yaml:9:"), "{stderr}");
    assert!(stderr.contains("chunk_size"), "a suggestion: {stderr}");
    assert!(!stderr.contains('\u{1b}'));
}

#[test]
fn stdin_is_a_scenario_too() {
    let folder = Folder::with(SCENARIO);
    let of_file = folder.run().arg("-q").assert().code(0).get_output().stdout.clone();
    let of_stdin = program().args(["run", "-", "-q"]).write_stdin(SCENARIO).assert().code(0);
    assert_eq!(of_stdin.get_output().stdout, of_file);
    let short = program().args(["--scenario", "-", "-q"]).write_stdin(SCENARIO).assert().code(0);
    assert_eq!(short.get_output().stdout, of_file);
}

#[test]
fn colour_is_asked_for_or_absent() {
    let folder = Folder::with(SCENARIO);
    let stdout = |color: &str, no_color: bool| {
        let mut run = folder.run();
        if no_color {
            run.env("NO_COLOR", "1");
        }
        let out = run.args(["-q", "--color", color]).assert().code(0).get_output().clone();
        text(&out.stdout)
    };
    assert!(stdout("always", false).contains('\u{1b}'));
    assert!(!stdout("never", false).contains('\u{1b}'));
    assert!(!stdout("auto", false).contains('\u{1b}'));
    // A program that asks for colour in every pipe is told otherwise by NO_COLOR.
    let mut forced = folder.run();
    forced.env("CLICOLOR_FORCE", "1").arg("-q");
    assert!(text(&forced.assert().get_output().stdout).contains('\u{1b}'));
    forced.env("NO_COLOR", "1");
    assert!(!text(&forced.assert().get_output().stdout).contains('\u{1b}'));
    assert!(!stdout("auto", true).contains('\u{1b}'));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    // Longer than a pipe holds, so that writing meets the closed end.
    let many = "schedulers:\n".to_owned() + &"  - vllm-v0: {}\n".repeat(60);
    let scenario =
        SCENARIO.replace("schedulers:\n  - vllm-v0: {}\n  - sarathi: {chunk_size: 512}\n", &many);
    let folder = Folder::with(&scenario);
    let mut child = Process::new(env!("CARGO_BIN_EXE_metron-sim"))
        .current_dir(folder.0.path())
        .args(["run", "s.yaml", "--format", "json", "--requests", "r.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    let status = child.wait().expect("ended");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
    assert!(folder.path("r.csv").exists(), "files do not depend on the reader");
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_half_written() {
    let folder = Folder::with(SCENARIO);
    let mut run = Process::new(env!("CARGO_BIN_EXE_metron-sim"))
        .current_dir(folder.0.path())
        .args(["run", "s.yaml", "-q", "--tokens", "t.csv", "--format", "quiet"])
        .args(["--set", "workload.requests=300000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    while !folder.names().iter().any(|name| name.ends_with(".tmp")) {
        let ended = run.try_wait().expect("known").is_some();
        assert!(!ended, "the file is opened before the work");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let killed = Process::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(killed.expect("sent").success());
    assert_eq!(run.wait().expect("ended").code(), Some(130));
    assert_eq!(folder.names(), ["s.yaml"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::with(SCENARIO);
    let out = folder.run().args(["-o", "/dev/full"]).assert().code(1).get_output().clone();
    assert!(text(&out.stderr).contains("cannot write /dev/full"), "{}", text(&out.stderr));
    folder.run().args(["--tokens", "/dev/full"]).assert().code(2);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
    let status = Process::new(env!("CARGO_BIN_EXE_metron-sim"))
        .current_dir(folder.0.path())
        .args(["run", "s.yaml", "-q"])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .expect("ended");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn files_agree_with_the_result() {
    let folder = Folder::with(SCENARIO);
    let flags =
        ["--requests", "r.jsonl", "--tokens", "t.csv", "--timeline", "l.json", "-o", "o.json"];
    folder.run().args(flags).args(["--format", "json"]).assert().code(0).stdout("");
    assert_eq!(folder.names(), ["l.json", "o.json", "r.jsonl", "s.yaml", "t.csv"]);
    let result: Value =
        serde_json::from_slice(&fs::read(folder.path("o.json")).expect("written")).expect("JSON");
    let rows: Vec<Value> = fs::read_to_string(folder.path("r.jsonl"))
        .expect("written")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mut tokens = csv::Reader::from_path(folder.path("t.csv")).expect("written");
    let tokens: Vec<csv::StringRecord> = tokens.records().map(|r| r.expect("a row")).collect();
    let timeline: Value =
        serde_json::from_slice(&fs::read(folder.path("l.json")).expect("written")).expect("JSON");
    let events = timeline["traceEvents"].as_array().expect("a list");
    for run in result["runs"].as_array().expect("a list") {
        let label = run["label"].as_str().expect("text");
        let own: Vec<&Value> = rows.iter().filter(|row| row["scheduler"] == label).collect();
        assert_eq!(own.len() as u64, run["requests"]["offered"].as_u64().expect("a count"));
        let longest = own.iter().filter_map(|row| row["ttft_s"].as_f64()).fold(0.0, f64::max);
        assert_eq!(Some(longest), run["ttft_s"]["max"].as_f64());
        let emitted = tokens.iter().filter(|row| &row[0] == label && !row[2].is_empty()).count();
        assert_eq!(emitted as u64, run["tokens"]["output"].as_u64().expect("a count"));
        let pid =
            &events.iter().find(|event| event["args"]["name"] == label).expect("named")["pid"];
        let bars = events.iter().filter(|event| event["ph"] == "X" && event["pid"] == *pid);
        assert_eq!(bars.count() as u64, run["iterations"]["count"].as_u64().expect("a count"));
    }
}

#[test]
fn lists_and_documents() {
    for (what, name) in [
        ("gpus", "h100-sxm"),
        ("models", "llama-3.1-8b"),
        ("profiles", "vllm-0.19"),
        ("schedulers", "sarathi"),
        ("scenarios", "chat"),
    ] {
        let out = program().args(["list", what]).assert().code(0).get_output().clone();
        let listed = text(&out.stdout);
        assert!(listed.lines().any(|line| line.starts_with(name)), "{listed}");
        let out = program().args(["list", what, "--format", "json"]).assert().code(0);
        let entries: Vec<Value> =
            serde_json::from_slice(&out.get_output().stdout).expect("a JSON list");
        assert!(entries.iter().any(|entry| entry["name"] == name));
    }
    let schema = program().args(["schema", "scenario"]).assert().code(0).get_output().clone();
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert!(schema["properties"]["workload"].is_object());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = program().args(["completions", shell]).assert().code(0).get_output().clone();
        assert!(text(&out.stdout).contains("metron-sim"), "{shell}");
    }
    let page = program().arg("man").assert().code(0).get_output().clone();
    assert!(text(&page.stdout).contains(".TH metron-sim"), "{}", text(&page.stdout));
}

#[test]
fn a_bad_trace_is_marked_in_the_scenario_and_in_the_trace() {
    let scenario = SCENARIO.replace(
        "  requests: 30\n  arrivals: {poisson: {rate: 10}}\n  \
         lengths: {prompt: {fixed: 700}, output: {fixed: 40}}\n",
        "  trace: {file: t.csv}\n",
    );
    let folder = Folder::with(&scenario);
    for (rows, says) in [
        ("", "t.csv: expected requests, found an empty file"),
        ("arrival_s,prompt_tokens,output_tokens\n", "t.csv: expected requests, found none"),
        ("arrival_s,prompt_tokens,output_tokens\n0,10,x\n", "t.csv:2:6: `output_tokens`: expected"),
        ("prompt_tokens,output_tokens\n1,2\n", "expected arrival times"),
    ] {
        fs::write(folder.path("t.csv"), rows).expect("writable");
        let out = folder.run().arg("--requests").arg("r.csv").assert().code(2).stdout("");
        let stderr = text(&out.get_output().stderr);
        assert!(stderr.contains("workload.trace.file: t.csv"), "{stderr}");
        assert!(stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(says), "{stderr}");
        assert!(stderr.contains("[s.yaml:11:17]"), "{stderr}");
        assert!(says.contains("output_tokens") || stderr.contains("help: "), "{stderr}");
        assert_eq!(folder.names(), ["s.yaml", "t.csv"], "nothing half written");
    }
    // A file of lengths is found in its place too.
    fs::write(folder.path("t.csv"), "").expect("writable");
    let lengths = SCENARIO.replace("{prompt: {fixed: 700}, output: {fixed: 40}}", "{file: t.csv}");
    fs::write(folder.path("s.yaml"), lengths).expect("writable");
    let out = folder.run().assert().code(2).stdout("");
    let stderr = text(&out.get_output().stderr);
    assert!(stderr.contains("workload.lengths.file: t.csv: expected requests"), "{stderr}");
}
