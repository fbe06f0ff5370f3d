//! `metron-sim sweep` and `merge`: combinations, shards, resuming, the front.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::stopped::{kept, stop};

const SCENARIO: &str = "
seed: 7
schedulers:
  - sarathi: {chunk_size: 64}
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 4000, kv_block_tokens: 16, max_model_len: 4096}
workload:
  requests: 60
  arrivals: {poisson: {rate: 3}}
  lengths: {prompt: {lognormal: {mean: 200, sigma: 0.5}}, output: {fixed: 20}}
slo: {ttft: 1s, tbt: 25ms}
";
const GRID: [&str; 4] =
    ["--vary", "schedulers.sarathi.chunk_size=32,64", "--vary", "replicas=1,2,3"];

fn sweep(folder: &Path, flags: &[&str]) -> Command {
    fs::write(folder.join("s.yaml"), SCENARIO).expect("writable");
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.current_dir(folder).args(["sweep", "s.yaml", "-q"]).args(GRID).args(flags);
    command
}

#[test]
fn the_figures_of_a_front_are_in_its_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let front = ["--pareto", "throughput.requests_per_s,e2e_s.p50"];
    let output = sweep(folder.path(), &front).assert().code(0).get_output().stdout.clone();
    let text = String::from_utf8(output).expect("text");
    let heading = text.lines().find(|line| line.contains("SLO")).expect("a heading");
    assert!(
        heading.contains("throughput.requests_per_s") && heading.contains("e2e_s.p50"),
        "{text}"
    );
}

#[test]
fn shards_merge_to_the_bytes_of_the_whole_and_threads_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let pareto = ["--pareto", "throughput.output_tokens_per_s,ttft_s.p99"];
    let json = ["--format", "json"];
    let whole = |jobs: &str| {
        let mut command = sweep(at, &json);
        command.args(["--jobs", jobs]).args(pareto).assert().code(0).get_output().stdout.clone()
    };
    let one = whole("1");
    assert_eq!(one, whole("2"));
    for shard in ["1", "2"] {
        let flags = ["--shard", &format!("{shard}/2"), "-o", &format!("{shard}.json")];
        sweep(at, &json).args(flags).assert().code(0);
    }
    let mut merge = Command::cargo_bin("metron-sim").expect("built");
    merge.current_dir(at).args(["merge", "2.json", "1.json"]).args(json).args(pareto);
    assert_eq!(merge.assert().code(0).get_output().stdout, one);
    let mut twice = Command::cargo_bin("metron-sim").expect("built");
    twice.current_dir(at).args(["merge", "1.json", "1.json"]).assert().code(2);
    let mut half = Command::cargo_bin("metron-sim").expect("built");
    half.current_dir(at).args(["merge", "1.json"]).assert().code(2);
    let value: Value = serde_json::from_slice(&one).expect("JSON");
    assert_eq!(value["points"].as_array().map(Vec::len), Some(6));
    assert!(!value["sensitivities"].as_array().expect("a list").is_empty());
}

#[test]
fn an_interrupted_sweep_goes_on_from_its_finished_points() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let command = |output: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        command.current_dir(at).args(["sweep", "s.yaml", "--jobs", "1", "--format", "json"]);
        command.args(GRID).args(["-o", output]).stderr(std::process::Stdio::piped());
        command
    };
    let points = at.join("out.json.points");
    // One that is through before anybody looks is too short.
    let killed = [30_000, 60_000, 120_000, 240_000].iter().any(|requests| {
        fs::write(at.join("s.yaml"), SCENARIO.replace("60", &requests.to_string()))
            .expect("writable");
        let _ = fs::remove_file(at.join("out.json"));
        let sweep = command("out.json").spawn().expect("started");
        stop(sweep, "-KILL", |_| kept(&points) > 0).is_some()
    });
    assert!(killed && kept(&points) > 0, "killed in the middle");
    assert!(!at.join("out.json").exists(), "nothing half written");
    // A point that is damaged is worked out again; what this program did not write stays.
    let entries = || fs::read_dir(&points).expect("there").map(|entry| entry.expect("one").path());
    let one = entries().find(|path| path.extension().is_some_and(|e| e == "json")).expect("kept");
    let whole = fs::read_to_string(&one).expect("text");
    fs::write(&one, &whole[..whole.len() / 2]).expect("writable");
    fs::write(points.join("notes.txt"), "mine").expect("writable");

    let again = command("out.json").output().expect("ran");
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{told}");
    assert!(told.contains("of them from before"), "{told}");
    assert!(told.contains("files that metron-sim did not write"), "{told}");
    let left: Vec<_> = entries().collect();
    assert_eq!(left, [points.join("notes.txt")], "only the user's own is left");
    assert!(command("whole.json").output().expect("ran").status.success());
    assert_eq!(
        fs::read(at.join("out.json")).expect("there"),
        fs::read(at.join("whole.json")).expect("there")
    );
}

/// A sweep of capacity searches that is killed, or interrupted by hand, goes on from the simulations
/// and points that it had finished, to the bytes of one that was left alone.
#[test]
fn an_interrupted_sweep_of_capacities_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("s.yaml"), SCENARIO.replace("60", "4000")).expect("writable");
    let command = |output: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_metron-sim"));
        let flags = ["--capacity", "--seeds", "1", "--precision", "5%", "--jobs", "1"];
        command.current_dir(at).args(["sweep", "s.yaml", "--format", "json"]).args(flags);
        command.args(GRID).args(["-o", output]).stderr(std::process::Stdio::piped());
        command
    };
    assert!(command("whole.json").output().expect("ran").status.success());
    for (signal, output) in [("-KILL", "killed.json"), ("-INT", "interrupted.json")] {
        let points = at.join(format!("{output}.points"));
        let stopped = (0..20).find_map(|_| {
            let _ = fs::remove_file(at.join(output));
            let sweep = command(output).spawn().expect("started");
            stop(sweep, signal, |_| kept(&points) > 0)
        });
        let status = stopped.expect("every sweep was through before it was looked at");
        assert_eq!(status.code(), if signal == "-INT" { Some(130) } else { None }, "{signal}");
        let before = kept(&points);
        assert!(before >= 1, "{signal}: stopped in the middle");
        assert!(!at.join(output).exists(), "{signal}: nothing half written");
        let again = command(output).output().expect("ran");
        let told = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.success(), "{told}");
        assert!(told.contains("from before") && !told.contains("(0 of"), "{signal}: {told}");
        assert!(!points.exists(), "nothing is left beside a whole result");
        let bytes = |name: &str| fs::read(at.join(name)).expect("there");
        assert!(bytes(output) == bytes("whole.json"), "{signal}");
    }
}

#[test]
fn a_combination_that_is_no_scenario_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    sweep(at, &["--vary", "seed=1,x", "-o", "bad.json"]).assert().code(2);
    assert!(!at.join("bad.json").exists());
}

#[test]
fn csv_has_a_row_for_each_run_and_the_fields_in_front() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = sweep(folder.path(), &["--format", "csv"]).assert().code(0).get_output().clone();
    let mut reader = csv::Reader::from_reader(out.stdout.as_slice());
    let headers = reader.headers().expect("a header").clone();
    assert_eq!(&headers[1], "schedulers.sarathi.chunk_size");
    assert!(headers.iter().any(|name| name == "ttft_s.p99"));
    assert_eq!(reader.records().count(), 6);
}

#[test]
fn a_sweep_of_capacities_says_what_each_change_is_worth() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--capacity", "--seeds", "1", "--precision", "10%"];
    let out = sweep(folder.path(), &flags).assert().code(0).get_output().stdout.clone();
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("replicas 1 -> 2: capacity +"), "{text}");
}

/// The files of `../shared/cases`.
fn profile_case(at: &Path) {
    for name in ["cache-profile.yaml", "cache-profile.engine.yaml"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases").join(name);
        fs::copy(from, at.join(name)).expect("copied");
    }
}

fn slower_profile(at: &Path) {
    let path = at.join("cache-profile.engine.yaml");
    let text = fs::read_to_string(&path).expect("text");
    let slower = text.replace("iteration_us: 2000", "iteration_us: 9000");
    assert_ne!(text, slower);
    fs::write(path, slower).expect("writable");
}

fn of_profile(at: &Path, flags: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.current_dir(at).args(["sweep", "cache-profile.yaml", "--format", "json"]);
    command.args(["--vary", "seed=1,2"]).args(flags).output().expect("ran")
}

#[test]
fn a_changed_profile_is_another_point_and_a_damaged_one_is_worked_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    profile_case(at);
    let cached = || of_profile(at, &["--cache", "kept"]);
    let told = |out: &std::process::Output| String::from_utf8_lossy(&out.stderr).into_owned();
    let first = cached();
    assert!(told(&first).contains("(0 of them"), "{}", told(&first));
    let again = cached();
    assert!(told(&again).contains("(2 of them"), "{}", told(&again));
    assert_eq!(first.stdout, again.stdout);
    // Figures are changed, so that it is JSON still.
    for entry in fs::read_dir(at.join("kept")).expect("there") {
        let path = entry.expect("one").path();
        let text = fs::read_to_string(&path).expect("text");
        let damaged = text.replace("\"completed\":50", "\"completed\":49");
        assert_ne!(text, damaged);
        fs::write(path, damaged).expect("writable");
    }
    let mended = cached();
    assert!(told(&mended).contains("(0 of them"), "{}", told(&mended));
    assert_eq!(first.stdout, mended.stdout);
    slower_profile(at);
    let slower = cached();
    assert!(told(&slower).contains("(0 of them"), "{}", told(&slower));
    assert_ne!(first.stdout, slower.stdout);
}

#[test]
fn shards_of_two_profiles_or_builds_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    profile_case(at);
    let shard = |of: &str, output: &str| {
        let out = of_profile(at, &["--shard", of, "-o", output]);
        assert!(out.status.success());
    };
    shard("1/2", "1.json");
    shard("2/2", "2.json");
    let merge = |second: &str| {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        let out = command.current_dir(at).args(["merge", "1.json", second]).output().expect("ran");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(merge("2.json").0, Some(0));
    slower_profile(at);
    shard("2/2", "slower.json");
    let (code, said) = merge("slower.json");
    assert_eq!(code, Some(2));
    assert!(said.contains("the file `cache-profile.engine.yaml` had other contents"), "{said}");
    let mut other: Value =
        serde_json::from_slice(&fs::read(at.join("2.json")).expect("there")).expect("JSON");
    other["build"] = Value::from("another");
    fs::write(at.join("other.json"), other.to_string()).expect("writable");
    let (code, said) = merge("other.json");
    assert_eq!(code, Some(2));
    assert!(said.contains("two builds"), "{said}");
}

#[test]
fn a_folder_of_points_belongs_to_one_run_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let points = at.join("out.json.points");
    fs::create_dir(&points).expect("made");
    let marker = fs::File::create(points.join(".metron-sim")).expect("made");
    marker.lock().expect("locked");
    let out = sweep(at, &["-o", "out.json"]).output().expect("ran");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another run"), "{said}");
    assert!(!at.join("out.json").exists());
    drop(marker);
    sweep(at, &["-o", "out.json"]).assert().code(0);
    assert!(!points.exists(), "an empty marker is the program's");
}

#[test]
fn paths_of_a_user_are_checked_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flags, meant) in [
        (vec!["--pareto", "cost.usd,ttft.p99"], "did you mean `ttft_s.p99`"),
        (vec!["--assert", "ttft.p99<1"], "did you mean `ttft_s.p99`"),
        (vec!["--capacity", "--pareto", "price.usd_per_hour,request_per_s.mean"], "requests_per_s"),
        (vec!["--vary", "replicas=1,2", "--set", "replicas=3"], "leave it out"),
        (vec!["--set", "schedulers.0.sarathi.chunk_size=16"], "leave it out"),
        (vec!["--vary", "replcas=1,2"], "replicas"),
        (vec!["--vary", "replcas=1,2"], "--vary:1:1"),
        (vec!["--vary", "schedulers.sarathi.chunksize=1,2"], "chunk_size"),
    ] {
        let out = sweep(folder.path(), &flags).output().expect("ran");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(meant), "{flags:?}: {said}");
    }
}

#[test]
fn a_full_figure_is_worked_out_when_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let rates = |flags: &[&str]| -> (Vec<Option<f64>>, Option<i32>) {
        let out = sweep(folder.path(), &[&["--format", "json"], flags].concat()).output();
        let out = out.expect("ran");
        let value: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let runs = value["points"].as_array().expect("a list").iter();
        let rate = |point: &Value| point["runs"][0]["fluidity"]["fluid_tokens_per_s"].as_f64();
        (runs.map(rate).collect(), out.status.code())
    };
    let all = |(rates, code): (Vec<Option<f64>>, Option<i32>)| {
        assert!(rates.iter().all(Option::is_some), "{rates:?}");
        code
    };
    assert!(rates(&[]).0.iter().all(Option::is_none));
    assert_eq!(all(rates(&["--metrics", "full"])), Some(0));
    assert_eq!(all(rates(&["--pareto", "cost.usd,fluidity.fluid_tokens_per_s"])), Some(0));
    assert_eq!(all(rates(&["--assert", "fluidity.fluid_tokens_per_s>0"])), Some(0));
    assert_eq!(all(rates(&["--assert", "fluidity.fluid_tokens_per_s>1e6"])), Some(3));
}

/// A shard is what a sweep wrote, or it is refused: nothing else vouches for its figures.
#[test]
fn a_shard_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    profile_case(at);
    assert!(of_profile(at, &["--shard", "1/2", "-o", "1.json"]).status.success());
    assert!(of_profile(at, &["--shard", "2/2", "-o", "2.json"]).status.success());
    let text = fs::read_to_string(at.join("2.json")).expect("there");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let merge = |second: &Value| {
        fs::write(at.join("second.json"), second.to_string()).expect("writable");
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        command.current_dir(at).args(["merge", "1.json", "second.json"]);
        let out = command.output().expect("ran");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    // Blanks and line breaks are nobody's figures.
    assert_eq!(merge(&whole).0, Some(0));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = whole.clone();
        change(&mut other);
        merge(&other)
    };
    let (code, said) = changed(&|file| {
        let met = &mut file["points"][0]["runs"][0]["slo"]["met"];
        *met = (*met != true).into();
    });
    let (_, again) = changed(&|file| file["points"][0]["runs"][0]["ttft_s"]["p99"] = (-5).into());
    let (_, text) = changed(&|file| file["points"][0]["runs"][0]["fluidity"] = "x".into());
    let (_, index) = changed(&|file| file["points"][0]["values"][0] = "3".into());
    assert_eq!(code, Some(2), "{said}");
    for said in [&again, &text, &index] {
        assert!(said.contains("second.json is damaged"), "{said}");
    }
    let (code, said) = changed(&|file| drop(file.as_object_mut().expect("a map").remove("digest")));
    assert_eq!(code, Some(2));
    assert!(said.contains("make it again"), "{said}");
}

/// Of a field at its default, or off, nothing is said at that point: elsewhere it has no effect, so it
/// has none in the sweep.
#[test]
fn a_field_that_changes_nothing_is_told_though_it_is_off_somewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let scenario = "
engine: {profile: {fixed: {iteration: 10ms}}, kv_blocks: 2000, kv_block_tokens: 16, max_model_len: 2000}
schedulers: [orca: {max_num_seqs: 1}]
workload: {requests: 20, arrivals: {constant: {rate: 10}}, lengths: {prompt: {fixed: 16}, output: {fixed: 11}}}
slo: {ttft: 100ms, tbt: 15ms}
";
    fs::write(at.join("s.yaml"), scenario).expect("writable");
    let inert = |vary: &str| -> Value {
        let mut command = Command::cargo_bin("metron-sim").expect("built");
        command.current_dir(at).args(["sweep", "s.yaml", "--format", "json", "--vary", vary]);
        let out = command.output().expect("ran");
        let file: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let path = file["inert"][0]["path"].as_str();
        assert!(path.is_none_or(|path| said.contains(&format!("{path} has no effect"))), "{said}");
        file["inert"].clone()
    };
    for vary in [
        "engine.prefix_caching=false,true",
        "router=round-robin,least-requests",
        "engine.async_scheduling=false,true",
    ] {
        let path = vary.split('=').next().expect("a path");
        assert_eq!(inert(vary)[0]["path"], path, "{vary}");
    }
    assert!(inert("replicas=1,2").is_null());
    assert!(inert("schedulers.orca.max_num_seqs=1,2").is_null());
}
