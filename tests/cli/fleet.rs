//! Fleets: routers as a scenario names them, their reasons in the request rows, and many replicas.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const SCENARIO: &str = "
seed: 7
replicas: 3
schedulers: [sarathi: {chunk_size: 64}]
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 4000, kv_block_tokens: 16, max_model_len: 4096}
workload:
  requests: 200
  arrivals: {poisson: {rate: 30}}
  lengths: {prompt: {fixed: 100}, output: {fixed: 20}}
  classes: [{name: chat, share: 0.6}, {name: batch, share: 0.4}]
slo: {ttft: 1s, tbt: 25ms}
";

/// Class, replica and reason of each request.
fn routes(folder: &Path, scenario: &str) -> Vec<[String; 3]> {
    fs::write(folder.join("s.yaml"), scenario).unwrap();
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    let flags = ["run", "s.yaml", "-q", "--format", "quiet", "--requests", "rows.csv"];
    command.current_dir(folder).args(flags).assert().code(0);
    let mut reader = csv::Reader::from_path(folder.join("rows.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let columns = ["class", "replica", "route_reason"].map(place);
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| columns.map(|column| row[column].to_owned())).collect()
}

fn mistake(scenario: &str) -> String {
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    let output = command.args(["run", "-", "-q"]).write_stdin(scenario).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn classes_go_to_their_pools() {
    let folder = tempfile::tempdir().unwrap();
    let router = "router: {class-to-pool: {chat: [0, 1], batch: [2]}, within: least-requests}";
    let rows = routes(folder.path(), &format!("{SCENARIO}{router}\n"));
    assert_eq!(rows.len(), 200);
    for [class, replica, reason] in &rows {
        let pool: &[&str] = if class == "chat" { &["0", "1"] } else { &["2"] };
        assert!(pool.contains(&replica.as_str()), "{class} on {replica}");
        assert!(reason.starts_with("pool of its class: fewest requests outstanding ("), "{reason}");
    }
    for replica in ["0", "1", "2"] {
        assert!(rows.iter().any(|row| row[1] == replica), "replica {replica} has work");
    }
}

#[test]
fn a_session_stays_with_its_replica() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: u32| {
        let session = match i % 5 {
            4 => String::new(),
            session => format!(", \"session\": \"user {session}\""),
        };
        let at = f64::from(i) * 0.01;
        format!("{{\"arrival_s\": {at}, \"prompt_tokens\": 100, \"output_tokens\": 20{session}}}\n")
    };
    fs::write(folder.path().join("t.jsonl"), (0..100).map(row).collect::<String>()).unwrap();
    let head = &SCENARIO[..SCENARIO.find("workload:").unwrap()];
    let scenario =
        format!("{head}router: session-affinity\nworkload: {{trace: {{file: t.jsonl}}}}\n");
    let rows = routes(folder.path(), &scenario);
    for session in 0..4 {
        let of_session: Vec<_> = rows.iter().skip(session).step_by(5).collect();
        assert!(of_session[0][2].starts_with("new session: "), "{:?}", of_session[0]);
        for row in &of_session[1..] {
            assert_eq!((&row[1], row[2].as_str()), (&of_session[0][1], "same session"));
        }
    }
    let without: Vec<&str> = rows.iter().skip(4).step_by(5).map(|row| row[1].as_str()).collect();
    assert_eq!(without[..6], ["0", "1", "2", "0", "1", "2"]);
}

#[test]
fn users_of_a_closed_loop_are_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let scenario =
        SCENARIO.replace("{poisson: {rate: 30}}", "{closed_loop: {users: 6, think_time: 100ms}}");
    let rows = routes(folder.path(), &format!("{scenario}router: session-affinity\n"));
    let new = rows.iter().filter(|row| row[2].starts_with("new session")).count();
    let same = rows.iter().filter(|row| row[2] == "same session").count();
    assert_eq!((new, same), (6, 194));
}

#[test]
fn pools_that_make_no_sense_are_told() {
    let with = |router: &str| mistake(&format!("{SCENARIO}router: {router}\n"));
    let told = with("{class-to-pool: {chat: [0, 3]}}");
    assert!(
        told.contains("there is no replica 3") && told.contains("router.class-to-pool.chat.1"),
        "{told}"
    );
    assert!(with("{class-to-pool: {chat: [0, 0]}}").contains("stands twice"));
    assert!(with("{class-to-pool: {chatt: [0]}}").contains("did you mean `chat`"));
    assert!(with("{class-to-pool: {chat: []}}").contains("empty list"));
    assert!(with("{class-to-pool: {chat: [0]}, within: least}").contains("unknown router `least`"));
    assert!(with("class-to-pool").contains("it needs the replicas of each class"));
}

#[test]
fn a_thousand_replicas_run_and_threads_change_nothing() {
    for router in ["round-robin", "random", "{class-to-pool: {chat: [1, 2, 999]}}", "power-of-two"]
    {
        let scenario = SCENARIO
            .replace("replicas: 3", "replicas: 1000")
            .replace("200", "3000")
            .replace("rate: 30", "rate: 3000");
        let run = |flags: &[&str]| {
            let mut command = Command::cargo_bin("metron-sim").unwrap();
            command.args(["run", "-", "-q", "--format", "json"]).args(flags);
            let input = format!("{scenario}router: {router}\n");
            command.write_stdin(input).assert().code(0).get_output().stdout.clone()
        };
        let one = run(&["--jobs", "1"]);
        assert!(one == run(&["--jobs", "4"]), "{router}: threads matter");
        assert!(one == run(&["--reference"]), "{router}: paths differ");
    }
}
