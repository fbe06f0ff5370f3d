//! Full disks, bad paths, closed pipes and deaths in the middle, through the program: nothing half
//! written stands under a final name, and the exit code says what happened.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::folder::names;
use crate::stopped::{handles_termination, kept, stop};

const SCENARIO: &str = "\
seed: 1
engine: {profile: {fixed: {iteration: 5ms}}, kv_blocks: 4096, max_model_len: 4096}
schedulers: [vllm-v0, sarathi]
workload:
  requests: 40
  arrivals: {poisson: {rate: 10}}
  lengths: {prompt: {fixed: 700}, output: {fixed: 40}}
slo: {ttft: 500ms, tbt: 25ms}
";

const MEASURED: &str = r#"{"num_prompt_tokens": [7, 9], "num_output_tokens": [2, 2], "ttft": [0.1, 0.2], "tbt": [[0.1], [0.05]]}"#;

/// Every command that makes a result, with the formats that it has.
const COMMANDS: &[(&str, &[&str])] = &[
    ("run s.yaml", &["text", "json", "csv"]),
    ("explain s.yaml", &["text", "json"]),
    ("evaluate m.json --ttft 500ms", &["text", "json", "csv"]),
    ("compare m.json m.json --ttft 500ms", &["text", "json"]),
    ("validate s.yaml --observed o.csv", &["text", "json"]),
    (
        "capacity s.yaml --set workload.requests=2000 --precision 50% --seeds 1",
        &["text", "json", "csv"],
    ),
    ("sweep s.yaml --vary seed=1,2", &["text", "json", "csv"]),
    ("merge shard.json", &["text", "json", "csv"]),
    ("list schedulers", &["text", "json"]),
    ("schema scenario", &["text"]),
    ("completions bash", &["text"]),
    ("man", &["text"]),
    ("man run", &["text"]),
];

fn program(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.current_dir(folder).args(line.split(' ')).arg("-q").stdin(Stdio::null());
    command
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    fs::write(at.join("s.yaml"), SCENARIO).expect("writable");
    fs::write(at.join("m.json"), MEASURED).expect("writable");
    let shard = "sweep s.yaml --vary seed=1,2 --format json -o shard.json";
    assert!(program(at, shard).status().expect("ran").success());
    // The simulator's own requests, as if they had been observed.
    let rows = "run s.yaml --set schedulers=[sarathi] --format quiet --requests r.csv";
    assert!(program(at, rows).status().expect("ran").success());
    let mut reader = csv::Reader::from_path(at.join("r.csv")).expect("rows");
    let header = reader.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|h| h == name).expect(name);
    let (arrival, prompt, output) =
        (column("arrival_s"), column("prompt_tokens"), column("output_tokens"));
    let (ttft, e2e) = (column("ttft_s"), column("e2e_s"));
    let mut observed =
        "arrival_s,first_token_s,last_token_s,prompt_tokens,output_tokens\n".to_owned();
    for row in reader.records() {
        let row = row.expect("a row");
        let seconds = |at: usize| row[at].parse::<f64>().expect("seconds");
        let (at, first, last) = (seconds(arrival), seconds(ttft), seconds(e2e));
        observed +=
            &format!("{at},{},{},{},{}\n", at + first, at + last, &row[prompt], &row[output]);
    }
    fs::write(at.join("o.csv"), observed).expect("writable");
    fs::remove_file(at.join("r.csv")).expect("there");
    folder
}

#[test]
fn a_full_disk_is_told_at_every_output() {
    let folder = prepared();
    let at = folder.path();
    for name in ["full", "full.csv", "full.jsonl", "full.json", "full.html"] {
        std::os::unix::fs::symlink("/dev/full", at.join(name)).expect("linked");
    }
    let before = names(at);
    let mut lines: Vec<String> = Vec::new();
    for (command, formats) in COMMANDS {
        lines.extend(formats.iter().map(|f| format!("{command} --format {f} -o full")));
    }
    for flag in [
        "--requests full.csv",
        "--requests full.jsonl",
        "--tokens full.csv",
        "--tokens full.jsonl",
        "--timeline full.json",
    ] {
        lines.push(format!("run s.yaml -o good.json {flag}"));
    }
    for command in [
        "run s.yaml",
        "explain s.yaml",
        "evaluate m.json --ttft 500ms",
        "capacity s.yaml --precision 50% --seeds 1",
        "sweep s.yaml --vary seed=1,2",
    ] {
        lines.push(format!("{command} -o good.json --report full.html"));
    }
    let mut complaints = Vec::new();
    for line in &lines {
        let output = program(at, line).output().expect("ran");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(1) || !told.contains("No space left") {
            complaints.push(format!("{line}: {:?}: {told}", output.status.code()));
        }
        let left: Vec<String> =
            names(at).into_iter().filter(|name| !before.contains(name)).collect();
        // A sweep keeps its finished points to go on from.
        if left.iter().any(|name| !name.ends_with(".points")) {
            complaints.push(format!("{line}: leaves {left:?}"));
        }
    }
    for (command, formats) in COMMANDS {
        for format in *formats {
            let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
            let line = format!("{command} --format {format}");
            let output = program(at, &line).stdout(full).output().expect("ran");
            if output.status.code() != Some(1) {
                complaints.push(format!("{line} > /dev/full: {:?}", output.status.code()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

/// A disk that fills up in the middle of a file: a limit on the size of files stands for it.
#[test]
fn a_disk_that_fills_up_leaves_nothing_half_written() {
    let folder = prepared();
    let at = folder.path();
    let before = names(at);
    for flags in [
        "--tokens t.csv",
        "--tokens t.jsonl",
        "--requests r.jsonl",
        "--timeline l.json",
        "--format json -o o.json",
        "--report p.html",
    ] {
        let line = format!("run s.yaml -q --set workload.requests=400 {flags}");
        let output = Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash"])
            .arg(env!("CARGO_BIN_EXE_metron-sim"))
            .args(line.split(' '))
            .current_dir(at)
            .stdout(Stdio::null())
            .output()
            .expect("ran");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{flags}: {told}");
        assert!(told.contains("File too large"), "{flags}: {told}");
        assert_eq!(names(at), before, "{flags}");
    }
}

#[test]
fn paths_that_cannot_be_written_are_told_before_the_work() {
    let folder = prepared();
    let at = folder.path();
    let before = names(at);
    for path in ["missing/x.csv", "s.yaml/x.csv", "."] {
        for flag in ["-o", "--requests", "--tokens", "--timeline", "--report"] {
            // So much work that a test which waits for it does not end.
            let line = format!("run s.yaml --set workload.requests=40000000 {flag} {path}");
            let output = program(at, &line).output().expect("ran");
            let code = output.status.code();
            assert!(matches!(code, Some(1 | 2)), "{line}: {code:?}");
            assert_eq!(names(at), before, "{line}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error_anywhere() {
    let folder = prepared();
    let at = folder.path();
    let mut complaints = Vec::new();
    for (command, formats) in COMMANDS {
        for format in *formats {
            let line = format!("{command} --format {format}");
            let mut child = program(at, &line)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("started");
            drop(child.stdout.take());
            let mut told = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut told).expect("text");
            let code = child.wait().expect("ended").code();
            if code != Some(0) || !told.is_empty() {
                complaints.push(format!("{line}: {code:?}: {told}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

const WHOLE: [&str; 5] = ["l.json", "o.json", "p.html", "r.csv", "t.jsonl"];
const LONG: &str = "run s.yaml --set workload.requests=600 --format json -o o.json --requests r.csv \
                    --tokens t.jsonl --timeline l.json --report p.html";

#[test]
fn a_death_in_the_middle_leaves_whole_files_or_none() {
    let folder = prepared();
    let at = folder.path();
    let inputs = names(at);
    assert!(program(at, LONG).status().expect("ran").success());
    let whole = WHOLE.map(|name| fs::read(at.join(name)).expect(name));
    let others = || {
        let mut left = names(at);
        left.retain(|name| !inputs.contains(name));
        left
    };
    let finished = || WHOLE.iter().filter(|name| at.join(name).exists()).count();
    let mut ended_by = Vec::new();
    // From the start of the program to its last file: as soon as the handler is set, files are
    // opened, and so many of them are finished.
    for round in 0..20 {
        for (stage, name) in (0..8).flat_map(|stage| ["-INT", "-TERM", "-KILL"].map(|n| (stage, n)))
        {
            for file in WHOLE {
                let _ = fs::remove_file(at.join(file));
            }
            let run = program(at, LONG).stderr(Stdio::null()).spawn().expect("started");
            let status = stop(run, name, |run| match stage {
                0 => true,
                1 => handles_termination(run),
                2 => !others().is_empty(),
                files => finished() > files - 3,
            });
            for (file, bytes) in WHOLE.iter().zip(&whole) {
                if let Ok(found) = fs::read(at.join(file)) {
                    assert!(&found == bytes, "{name} at {stage}: {file} is not whole");
                }
            }
            let mut left = others();
            left.retain(|left| !WHOLE.contains(&left.as_str()));
            match name {
                // Nothing can be done about it; the names tell what they are.
                "-KILL" => {
                    for name in left {
                        assert!(name.starts_with('.') && name.ends_with(".tmp"), "{name}");
                        fs::remove_file(at.join(name)).expect("there");
                    }
                }
                _ => assert!(left.is_empty(), "{name} at {stage}: {left:?}"),
            }
            // Before the handler is set, the signal itself ends the program.
            let fine = match (name, status.map(|status| status.code())) {
                (_, None) | ("-KILL", Some(None)) => true,
                (_, Some(None)) => stage == 0,
                (_, Some(code)) => code == Some(130),
            };
            assert!(fine, "{name} at {stage}: {status:?}");
            ended_by.push((name, status.and_then(|status| status.code()), status.is_some()));
        }
        let interrupted = ended_by.iter().filter(|(_, code, _)| *code == Some(130)).count();
        if interrupted >= 5 && ended_by.contains(&("-KILL", None, true)) {
            return;
        }
        assert!(round < 19, "the program is always through before a signal comes: {ended_by:?}");
    }
}

#[test]
fn a_sweep_killed_again_and_again_comes_to_the_same_end() {
    let folder = prepared();
    let at = folder.path();
    let line = |to: &str| {
        format!(
            "sweep s.yaml --jobs 1 --set workload.requests=3000 --vary seed=1,2,3,4,5,6 --format json -o {to}"
        )
    };
    assert!(program(at, &line("whole.json")).status().expect("ran").success());
    for (round, name) in ["-KILL", "-INT", "-TERM"].iter().enumerate() {
        let sweep = program(at, &line("out.json")).stderr(Stdio::null()).spawn().expect("started");
        // Where it is through before, the next one starts from its end.
        let _ = stop(sweep, name, |_| kept(&at.join("out.json.points")) > round);
    }
    assert!(program(at, &line("out.json")).status().expect("ran").success());
    let read = |name: &str| fs::read(at.join(name)).expect(name);
    assert!(read("out.json") == read("whole.json"));
    assert!(!at.join("out.json.points").exists());
}

#[test]
fn a_named_pipe_can_be_read_and_waiting_for_one_can_be_interrupted() {
    let folder = prepared();
    let at = folder.path();
    let pipe = at.join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let reader = program(at, "run pipe.yaml --format csv").stdout(Stdio::piped()).spawn();
    let reader = reader.expect("started");
    fs::write(&pipe, SCENARIO).expect("someone reads");
    let output = reader.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0));
    let direct = program(at, "run s.yaml --format csv").output().expect("ran");
    let rows = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().count();
    assert_eq!(rows(&output.stdout), rows(&direct.stdout));

    // With nobody to write, it waits, as any reader does, until it is told to stop.
    let waiting = program(at, "run pipe.yaml -o o.json").spawn().expect("started");
    let status = stop(waiting, "-TERM", handles_termination).expect("it waits");
    assert_eq!(status.code(), Some(130));
    assert!(!names(at).iter().any(|name| name.contains("o.json")), "{:?}", names(at));
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let folder = prepared();
    let at = folder.path();
    let trace = "run s.yaml --format quiet --requests t.jsonl --set schedulers=[orca]";
    assert!(program(at, trace).status().expect("ran").success());
    let traced = SCENARIO.split("workload").next().expect("before").to_owned()
        + "workload: {trace: {file: t.csv}}\nslo: {ttft: 500ms, tbt: 25ms}\n";
    fs::write(at.join("t.csv"), "arrival_s,prompt_tokens,output_tokens\n0,7,2\n1,9,3\n")
        .expect("text");
    fs::write(at.join("traced.yaml"), traced).expect("writable");
    fs::create_dir(at.join("sub")).expect("made");
    let before = names(at);
    let read = |name: &str| fs::read(at.join(name)).expect("there");
    let whole = ["s.yaml", "m.json", "shard.json", "t.csv", "o.csv"].map(read);
    for line in [
        "run s.yaml -o s.yaml",
        "--scenario s.yaml -o sub/../s.yaml",
        "run s.yaml --report s.yaml",
        "run traced.yaml --requests t.csv",
        "run traced.yaml --tokens sub/../t.csv",
        "explain s.yaml --report s.yaml",
        "explain traced.yaml --report t.csv",
        "evaluate m.json -o m.json",
        "evaluate m.json --ttft-curve s.yaml --report s.yaml",
        "compare m.json shard.json -o shard.json",
        "validate s.yaml --observed o.csv -o o.csv",
        "calibrate s.yaml --observed o.csv -o s.yaml",
        "capacity s.yaml --report s.yaml",
        "capacity traced.yaml -o t.csv",
        "sweep s.yaml --vary seed=1,2 -o s.yaml",
        "sweep traced.yaml --vary workload.trace.file=t.csv -o t.csv",
        "merge shard.json -o shard.json",
    ] {
        let output = program(at, line).output().expect("ran");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(told.contains("names the input"), "{line}: {told}");
    }
    // A sweep has its folder of points before its points are looked at.
    let left: Vec<_> = names(at).into_iter().filter(|name| !name.ends_with(".points")).collect();
    assert_eq!(left, before);
    assert_eq!(["s.yaml", "m.json", "shard.json", "t.csv", "o.csv"].map(read), whole);
}
