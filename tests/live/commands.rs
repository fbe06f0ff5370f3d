//! `mock` and `bench` as a user types them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const SCENARIO: &str = "
engine: {profile: {fixed: {iteration: 5ms}}, kv_blocks: 400, max_model_len: 1024}
schedulers: [vllm-v1, sarathi]
workload:
  requests: 12
  arrivals: {poisson: {rate: 20}}
  lengths: {prompt: {uniform: {min: 10, max: 60}}, output: {uniform: {min: 2, max: 12}}}
slo: {ttft: 10s, tbt: 10s, fluidity: {index: 0.9, share: 0.99}}
";

fn metron(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(args)
        .current_dir(folder)
        .env("NO_KEY", "")
        .env("A_KEY", "very-secret")
        .output()
        .expect("it starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

struct Mock {
    child: Child,
    url: String,
}

impl Mock {
    fn start(folder: &Path, more: &[&str]) -> Mock {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
            .args(["mock", "live.yaml", "--port", "0"])
            .args(more)
            .current_dir(folder)
            .env("A_KEY", "very-secret")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut url = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut url).expect("it says where it is");
        Mock { child, url: url.trim().to_owned() }
    }

    /// Ends it as a user does; what it said.
    fn end(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("sent").success());
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0), "{said}");
        said
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("live.yaml"), SCENARIO).expect("written");
    folder
}

#[test]
fn what_is_measured_goes_through_every_other_command() {
    let folder = folder();
    let at = folder.path();
    let mock = Mock::start(at, &["--tokens", "sent.csv", "--trace", "came.jsonl"]);
    let url = mock.url.clone();
    let benched = metron(
        at,
        &["bench", "live.yaml", "--url", &url, "--requests", "r.csv", "--report", "p.html"],
    );
    assert_eq!(benched.status.code(), Some(0), "{}", stderr(&benched));
    let said = stderr(&benched);
    assert!(said.contains("12 requests: 12 answered") && said.contains("sent late by"), "{said}");
    let table = String::from_utf8_lossy(&benched.stdout).into_owned();
    assert!(table.contains("TTFT P50") && table.contains("completed"), "{table}");
    let rows = std::fs::read_to_string(at.join("r.csv")).expect("written");
    assert_eq!(rows.lines().count(), 1 + 12);
    assert!(rows.lines().skip(1).all(|row| row.contains(",completed,200,")), "{rows}");
    assert!(std::fs::read_to_string(at.join("p.html")).expect("written").contains("TTFT"));

    for args in [
        &["evaluate", "live-bench.csv", "--explain"][..],
        &["compare", "live-bench.csv", "live-bench.csv"],
        &["validate", "live.yaml", "--observed", "live-bench.csv"],
        &["bench", "live.yaml", "--url", &url, "--prefill-curve", "curve.csv"],
        &["bench", "live.yaml", "--url", &url, "--endpoint", "chat", "--max-requests", "20"],
        &["evaluate", "live-bench.csv", "--ttft-curve", "curve.csv"],
        &[
            "bench",
            "live.yaml",
            "--url",
            &url,
            "--capacity",
            "--max-requests",
            "30",
            "--set",
            "workload.requests=6",
        ],
    ] {
        let done = metron(at, args);
        assert_eq!(done.status.code(), Some(0), "{args:?}: {}", stderr(&done));
    }
    let said = mock.end();
    assert!(said.contains("chunks written, late by"), "{said}");

    // What came, played again, gives what was sent.
    let trace = ["--set", "workload={trace: {file: came.jsonl}}", "--set", "schedulers=[vllm-v1]"];
    let run = metron(at, &[&["run", "live.yaml", "--tokens", "again.csv"], &trace[..]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    // `run` counts from the first arrival, so instants are compared by how long after their own request
    // they came.
    let times = |file: &str| -> Vec<(String, i64)> {
        let text = std::fs::read_to_string(at.join(file)).expect("written");
        let cell = |row: &str, place| row.split(',').nth(place).unwrap_or("").to_owned();
        let ns = |row: &str, place| -> i64 {
            cell(row, place).replace('.', "").parse().expect("seconds with nine decimals")
        };
        text.lines().skip(1).map(|row| (cell(row, 1), ns(row, 3) - ns(row, 4))).collect()
    };
    assert_eq!(times("sent.csv"), times("again.csv"));
}

#[test]
fn errors_say_what_to_do() {
    let folder = folder();
    let at = folder.path();
    // A port that nobody listens on any more.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let nobody = format!("http://{free}");
    let mock = Mock::start(at, &["--api-key-env", "A_KEY", "--model", "tiny"]);
    let with = |url: &str, more: &[&str]| {
        let output = metron(at, &[&["bench", "live.yaml", "--url", url], more].concat());
        let said = stderr(&output);
        assert!(!said.contains("very-secret"), "{said}");
        (output.status.code(), said)
    };
    let key = ["--api-key-env", "A_KEY"];
    for (url, more, words) in [
        (&nobody, &key[..], "connection refused"),
        (&mock.url, &["--api-key-env", "NO_KEY"], "--api-key-env"),
        (&mock.url, &[&key[..], &["--model", "big"]].concat(), "--model: tiny"),
        (&"localhost:1".to_owned(), &key, "http://"),
        (&format!("{}/elsewhere", mock.url), &key, "/v1/models is not there"),
    ] {
        let (code, said) = with(url, more);
        assert_eq!(code, Some(2), "{url} {more:?}: {said}");
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let models = "pools=[{name: a, replicas: 1, model: llama-3.1-8b, gpu: h100-sxm}, \
                  {name: b, replicas: 1, model: llama-3.2-1b, gpu: h100-sxm}]";
    let classes = "workload.classes=[{name: x, share: 1}, {name: y, share: 1}]";
    let router = "router={class-to-pool: {x: a, y: b}}";
    for command in [&["bench", "live.yaml", "--url", &mock.url][..], &["mock", "live.yaml"]] {
        let engine = "engine={profile: vllm-0.19}";
        let set = ["--set", engine, "--set", models, "--set", classes, "--set", router];
        let output = metron(at, &[command, &set].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(stderr(&output).contains("different models"), "{}", stderr(&output));
    }
    let (code, said) = with(&mock.url, &[&key[..], &["--capacity"]].concat());
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    mock.end();
}

#[test]
fn a_promise_that_is_not_kept_is_exit_3_where_it_is_checked() {
    let folder = folder();
    let at = folder.path();
    let mock = Mock::start(at, &[]);
    let strict = ["--set", "slo={ttft: 1ms, tbt: 1ms, fluidity: {index: 0.9, share: 0.99}}"];
    let args =
        [&["bench", "live.yaml", "--url", &mock.url, "--check", "--format", "json"], &strict[..]];
    let output = metron(at, &args.concat());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["runs"][0]["slo"]["met"], false);
    mock.end();
}
