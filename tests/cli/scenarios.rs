//! Every scenario that comes with the program: it says what it teaches, runs, loses nobody, and
//! gives the same bytes by the slow path and on one thread.

use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

fn scenarios() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
}

fn run(scenario: &PathBuf, more: &[&str]) -> Vec<u8> {
    let output = Command::cargo_bin("metron-sim")
        .unwrap()
        .arg("run")
        .arg(scenario)
        .args(["--format", "json", "-q"])
        .args(more)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", scenario.display());
    output.stdout
}

#[test]
fn each_opens_with_two_lines_on_what_it_teaches() {
    let files = scenarios();
    assert!(files.len() >= 6);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let comments = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(text.starts_with("# What it teaches: "), "{}", file.display());
        assert_eq!(comments, 2, "{}", file.display());
    }
}

#[test]
fn each_runs_and_gives_the_same_bytes_slowly_and_on_one_thread() {
    for file in scenarios() {
        let fast = run(&file, &["--jobs", "2"]);
        let result: Value = serde_json::from_slice(&fast).unwrap();
        for run in result["runs"].as_array().unwrap() {
            let count = |key: &str| run["requests"][key].as_u64().unwrap();
            let ended = count("completed") + count("unfinished") + count("rejected");
            assert_eq!(count("offered"), ended, "{}", file.display());
            assert!(count("completed") > 0, "{}", file.display());
        }
        assert!(run(&file, &["--jobs", "1"]) == fast, "{}: threads matter", file.display());
        assert!(run(&file, &["--reference"]) == fast, "{}: paths differ", file.display());
    }
}
