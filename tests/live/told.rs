//! What a result says of how it was measured, and every later look at its file too.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::misbehaving::{ONE, TEXT, begin, end, event, server};

fn metron(folder: &Path, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_metron-sim");
    Command::new(program).args(args).current_dir(folder).output().expect("it starts")
}

/// The run as `bench` tells it and as `evaluate` does of its file, and the code of `--check`.
fn told(address: SocketAddr, more: &[&str]) -> (Value, Value, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("one.yaml"), ONE).expect("written");
    let url = format!("http://{address}");
    let args = ["bench", "one.yaml", "--url", &url, "--check", "--format", "json"];
    let own = ["--requests", "r.csv", "--report", "p.html"];
    let benched = metron(at, &[&args, &own[..], more].concat());
    let said = String::from_utf8_lossy(&benched.stderr).into_owned();
    let run = |output: &Output| -> Value {
        let result: Value = serde_json::from_slice(&output.stdout).expect(&said);
        result["runs"][0].clone()
    };
    assert!(at.join("p.html").exists() && at.join("r.csv").exists(), "{said}");
    let again = metron(at, &["evaluate", "one-bench.csv", "--format", "json"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    let table = metron(at, &["evaluate", "one-bench.csv"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("TTFT"));
    (run(&benched), run(&again), benched.status.code())
}

fn listed(run: &Value, name: &str) -> Vec<String> {
    let list = run["measured"].get(name).or_else(|| run.get(name)).expect(name);
    let texts = list.as_array().expect("a list").iter();
    texts.map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn answer(stream: &mut TcpStream, chunks: usize, total: Option<u32>) {
    begin(stream);
    for _ in 0..chunks {
        event(stream, TEXT);
    }
    event(stream, r#"{"choices":[{"text":"","finish_reason":"length"}]}"#);
    if let Some(total) = total {
        let usage = format!(r#""usage":{{"prompt_tokens":6,"completion_tokens":{total}}}"#);
        event(stream, &format!(r#"{{"choices":[],{usage}}}"#));
    }
    end(stream);
}

#[test]
fn chunks_that_are_no_tokens_are_told_as_chunks() {
    for (chunks, total) in [(2, Some(4)), (8, Some(4)), (4, None)] {
        let address = server(move |stream| answer(stream, chunks, total));
        let (run, again, _) = told(address, &[]);
        for run in [&run, &again] {
            assert_eq!(run["measured"]["granularity"], "chunk", "{chunks} {total:?}");
            let exact = listed(run, "exact");
            assert!(!exact.iter().any(|name| name == "tbt_s" || name == "fluidity"), "{exact:?}");
            assert_eq!(run["measured"]["extra_chunks"] == true, chunks != 2);
            if total.is_none() {
                assert!(listed(run, "unknown").iter().any(|text| text.starts_with("tpot_s")));
                assert!(run["slo"]["met"].is_null(), "{}", run["slo"]);
            }
        }
        let tokens = run["tokens"]["output"].as_u64().expect("a count");
        assert_eq!(tokens, total.map_or(chunks as u64, u64::from));
    }
}

#[test]
fn requests_that_ended_badly_are_in_the_file_and_out_of_its_promise() {
    type Answer = fn(&mut TcpStream);
    let endings: [(&str, Answer); 4] = [
        ("failed", |stream| {
            let head = "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}";
            let _ = std::io::Write::write_all(stream, head.as_bytes());
        }),
        ("failed", |stream| {
            begin(stream);
            event(stream, TEXT);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }),
        ("rejected", |stream| {
            let head = "HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n{}";
            let _ = std::io::Write::write_all(stream, head.as_bytes());
        }),
        ("timed_out", |stream| {
            begin(stream);
            event(stream, TEXT);
            std::thread::sleep(Duration::from_secs(20));
        }),
    ];
    for (ended, answer) in endings {
        let (run, again, code) = told(server(answer), &["--request-timeout", "1s"]);
        assert_eq!(code, Some(3), "{ended}");
        for run in [&run, &again] {
            assert_eq!(run["requests"][ended], 1, "{}", run["requests"]);
            assert_eq!(run["requests"]["completed"], 0);
        }
    }
}
