//! `validate` and `calibrate` end to end, on a "real" run that the simulator itself made with other
//! constants: what comes out is then known.

use std::fmt::Write;
use std::path::Path;

use assert_cmd::Command;
use metron_sim::catalog::EngineProfile;
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::Document;
use serde_json::Value;

const SCENARIO: &str = "\
model: llama-3.1-8b
gpu: rtx-pro-6000
engine: {profile: PROFILE}
schedulers: [vllm-v1: {max_num_seqs: 32, max_num_batched_tokens: 2048}]
workload: {trace: {file: trace.jsonl}}
";

/// Writes a trace, a scenario with the built-in profile, and a run seen on a server whose step gap
/// is 2 ms, with `between_s` between arrivals; its front end takes 20 ms before it queues a request.
fn set_up(folder: &Path, between_s: f64) {
    let mut trace = String::new();
    for i in 0..80u32 {
        let (prompt, output) = (100 + i * 337 % 1500, 20 + i * 71 % 150);
        let arrival = f64::from(i) * between_s;
        let row = format!(
            r#"{{"arrival_s":{arrival},"prompt_tokens":{prompt},"output_tokens":{output}}}"#
        );
        writeln!(trace, "{row}").expect("memory");
    }
    std::fs::write(folder.join("trace.jsonl"), trace).expect("written");
    let write = |name: &str, profile: &str| {
        let text = SCENARIO.replace("PROFILE", profile);
        std::fs::write(folder.join(name), text).expect("written");
    };
    write("scenario.yaml", "vllm-0.19");
    write("slower.yaml", "{file: slower-profile.yaml}");
    write("fitted.yaml", "{file: fitted-profile.yaml}");
    let mut profile = metron_sim::catalog::profile("vllm-0.19").expect("built in");
    profile.step_gap.iteration_us = 2000.0;
    let yaml = metron_sim::report::calibration::profile_yaml(&profile).expect("YAML");
    assert_eq!(EngineProfile::from_yaml(&yaml).expect("read back"), profile);
    std::fs::write(folder.join("slower-profile.yaml"), yaml).expect("written");

    let path = folder.join("slower.yaml");
    let document = Document::read(path.to_str().expect("text")).expect("YAML");
    let real = document.resolve(None).expect("it loads");
    let experiment = &real.experiment;
    let (requests, _) = Requests::of(experiment).expect("drawn");
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    let outcome = Simulator.simulate(experiment, &experiment.schedulers[0], &requests, options);
    let outcome = outcome.expect("it runs");
    let (trace, log) = (outcome.trace, &outcome.log.expect("kept")[0]);
    let mut rows = String::from(
        "idx,prompt_tokens,output_tokens,arrival_s,queued_s,scheduled_s,first_token_s,last_token_s\n",
    );
    let seconds = |time: metron_sim::time::Time| time.as_nanos() as f64 / 1e9 + 5.0;
    for (i, row) in trace.requests.iter().enumerate() {
        let last = trace.token_times(row).last().expect("tokens");
        // vLLM stamps a request when it looks at its queue: before it forms the next batch.
        let looked = log.iter().map(|step| step.decided).find(|&decided| decided >= row.arrival);
        let queued = looked.map_or(row.scheduled, |looked| looked.min(row.scheduled));
        let [entered, queued, scheduled, first, last] =
            [row.arrival, queued, row.scheduled, row.first_token, last].map(seconds);
        writeln!(
            rows,
            "{i},{},{},{:.9},{queued:.9},{scheduled:.9},{first:.9},{last:.9}",
            row.prompt_tokens,
            row.tokens,
            entered - 0.02
        )
        .expect("memory");
    }
    std::fs::write(folder.join("observed.csv"), rows).expect("written");
}

fn metron(folder: &Path, line: &str) -> std::process::Output {
    let mut command = Command::cargo_bin("metron-sim").expect("built");
    command.current_dir(folder).args(line.split_whitespace()).output().expect("it starts")
}

fn json(folder: &Path, line: &str) -> Value {
    let output = metron(folder, line);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn errors<'a>(validation: &'a Value, metric: &'a str) -> impl Iterator<Item = f64> + 'a {
    let rows = validation.as_array().expect("rows").iter();
    rows.filter(move |row| row["metric"] == metric).map(|row| row["error"].as_f64().expect("both"))
}

const METRICS: [&str; 7] = [
    "ttft_s",
    "ttft_from_queued_s",
    "tpot_s",
    "e2e_s",
    "e2e_from_queued_s",
    "output_tokens_per_s",
    "makespan_s",
];

#[test]
fn the_same_engine_has_no_error_and_another_has() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 0.11);
    let same = json(folder.path(), "validate slower.yaml --observed observed.csv --format json -q");
    for metric in METRICS {
        for error in errors(&same["validation"], metric) {
            assert!(error.abs() < 1e-6, "{metric}: {error}");
        }
    }
    let run = &same["runs"][0];
    assert!(run["per_request_e2e_mape"].as_f64().expect("a number") < 1e-6);
    assert!(run["unqueued"]["requests"].as_u64().expect("a count") > 10);
    assert_eq!(run["scheduler"], "vllm-v1");
    let tail = |metric: &str| {
        let rows = run["validation"].as_array().expect("rows");
        let row = rows.iter().find(|r| r["metric"] == metric && r["stat"] == "mean");
        row.expect("there")["observed"].as_f64().expect("a number")
    };
    let front_end_s = run["front_end_s"].as_f64().expect("a number");
    assert!((0.02..0.025).contains(&front_end_s), "{front_end_s}");
    // Of the step that ran, some 30 ms, half is waited for.
    assert!(tail("ttft_s") - tail("ttft_from_queued_s") > 0.025, "front end and the running step");

    let other = json(folder.path(), "validate scenario.yaml --observed observed.csv --format json");
    let worst = errors(&other["validation"], "tpot_s").fold(0.0, f64::min);
    assert!(worst < -0.02, "1.5 ms a step are missing: {worst}");
    for format in ["text", "csv"] {
        let line = format!("validate scenario.yaml --observed observed.csv --format {format}");
        let output = metron(folder.path(), &line);
        assert!(String::from_utf8_lossy(&output.stdout).contains("vllm-v1"), "{format}");
    }
}

#[test]
fn calibration_finds_what_the_run_was_made_with() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 0.11);
    let line = "calibrate scenario.yaml --observed observed.csv --fit host -o fitted-profile.yaml --format json -q";
    let found = json(folder.path(), line);
    let calibration = &found["calibration"];
    let mape = |part: &str| calibration[part]["per_request_e2e_mape"].as_f64().expect("a number");
    assert!(mape("before") > 0.03, "{calibration}");
    assert!(mape("out_of_sample") < 0.01 && mape("after") < 0.005, "{calibration}");

    // The profile's file is one that a scenario can name, and it says where it is from.
    let text = std::fs::read_to_string(folder.path().join("fitted-profile.yaml")).expect("there");
    let profile = EngineProfile::from_yaml(&text).expect("a profile");
    assert_eq!(profile.host_range, None, "this machine's figures have no range");
    assert!((1500.0..2500.0).contains(&profile.step_gap.iteration_us), "{profile:?}");
    assert!(profile.source.contains("observed.csv"), "{}", profile.source);
    let fitted = json(folder.path(), "validate fitted.yaml --observed observed.csv --format json");
    assert!(fitted["per_request_e2e_mape"].as_f64().expect("a number") < 0.005);

    let line = "calibrate scenario.yaml --observed observed.csv --fit kernels,gpu -o p.yaml -q";
    let output = metron(folder.path(), line);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(folder.path().join("p.yaml")).expect("there");
    let profile = EngineProfile::from_yaml(&text).expect("a profile");
    assert!(profile.host_range.is_some(), "host times were not fitted");
    assert!(profile.gpu.expect("it carries the GPU's constants").gemm_bf16.is_some());
}

#[test]
fn what_the_run_cannot_tell_apart_is_said() {
    // One request at a time: a gap for each step and one for each sequence are the same thing.
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 30.0);
    let line = "calibrate scenario.yaml --observed observed.csv --fit host -o p.yaml -q";
    let output = metron(folder.path(), line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("do not determine"), "{text}");
    assert!(text.contains("not determined"), "{text}");
    assert!(text.contains("Only what they make together is determined"), "{text}");
    let line = "calibrate scenario.yaml --observed observed.csv --fit kernels -o q.yaml -q";
    let output = metron(folder.path(), line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Every constant is determined"), "{text}");
}

/// A run made with known constants: they lie within what is said of each, and a fit that begins with its own
/// result stays there.
#[test]
fn known_constants_lie_within_what_is_said_and_a_fit_agrees_with_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    let scenario = |profile: &str| {
        format!(
            "model: llama-3.1-8b\ngpu: h100-sxm\nengine: {{profile: {profile}}}\n\
             schedulers: [vllm-v1: {{max_num_seqs: 128, max_num_batched_tokens: 2048}}]\n\
             workload: {{requests: 60, arrivals: {{poisson: {{rate: 8}}}}, lengths: {{table: chat}}}}\n"
        )
    };
    let mut profile = metron_sim::catalog::profile("vllm-0.12").expect("built in");
    (profile.host.iteration_us, profile.host.sequence_us) = (1000.0, 20.0);
    profile.kernel_factor = 1.1;
    let yaml = metron_sim::report::calibration::profile_yaml(&profile).expect("YAML");
    write("truth-profile.yaml", &yaml);
    write("truth.yaml", &scenario("{file: truth-profile.yaml}"));
    write("s.yaml", &scenario("vllm-0.12"));
    write("again.yaml", &scenario("{file: p.yaml}"));
    let output = metron(folder, "run truth.yaml --requests observed.csv -q");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let fit = |scenario: &str, to: &str| {
        let line = format!("calibrate {scenario} --observed observed.csv -o {to} --format json -q");
        let found = json(folder, &line);
        let constants = found["calibration"]["constants"].as_array().expect("constants").clone();
        let number = |value: &Value| value.as_f64().expect("a number");
        constants
            .iter()
            .map(|c| (number(&c["after"]), c["plus_minus"].as_f64().unwrap_or(f64::INFINITY)))
            .collect::<Vec<_>>()
    };
    let once = fit("s.yaml", "p.yaml");
    for ((found, within), truth) in once.iter().zip([1000.0, 20.0, 1.1]) {
        assert!((found - truth).abs() <= *within, "{truth}: {once:?}");
    }
    let again = fit("again.yaml", "q.yaml");
    for ((one, within), (other, _)) in once.iter().zip(&again) {
        assert!((one - other).abs() <= 1e-9 + 0.1 * within, "{once:?} {again:?}");
    }
}

/// What lies between clients and the engine is written down with the constants that were fitted behind it.
#[test]
fn a_front_end_goes_into_the_profile_and_edges_into_the_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 30.0);
    let scenario =
        SCENARIO.replace("PROFILE", "vllm-0.19, front_end: {before: 20ms, request: 1ms}");
    std::fs::write(folder.path().join("front.yaml"), scenario).expect("written");
    let line =
        "calibrate front.yaml --observed observed.csv --fit kernels -o p.yaml --format csv -q";
    let output = metron(folder.path(), line);
    let csv = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(csv.starts_with("constant,unit,before,after,plus_minus,at_bound\n"), "{csv}");
    assert!(csv.lines().nth(1).is_some_and(|row| row.ends_with(",false")), "{csv}");
    let text = std::fs::read_to_string(folder.path().join("p.yaml")).expect("there");
    let front_end = EngineProfile::from_yaml(&text).expect("a profile").front_end;
    let front_end = front_end.expect("the scenario has one");
    assert_eq!((front_end.before_us, front_end.after_us, front_end.request_us), (20e3, 0.0, 1e3));
}

#[test]
fn bad_input_is_said_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 0.11);
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    write("late.csv", "idx,arrival_s,first_token_s,last_token_s\n200,0,1,2\n");
    write("other.csv", "prompt_tokens,arrival_s,first_token_s,last_token_s\n7,0,1,2\n");
    write("broken.csv", "arrival_s,first_token_s,last_token_s\n0,3,2\n");
    let slower = std::fs::read_to_string(folder.path().join("slower-profile.yaml")).expect("there");
    write(
        "gpu-profile.yaml",
        &format!("{slower}gpu:\n  sampler: {{launch_us: -1, sequence_us: 0}}\n"),
    );
    write("gpu.yaml", &SCENARIO.replace("PROFILE", "{file: gpu-profile.yaml}"));
    for (line, want) in [
        ("validate scenario.yaml --observed missing.csv", "missing.csv"),
        ("validate scenario.yaml --observed late.csv", "request 200"),
        ("validate scenario.yaml --observed other.csv", "other prompts"),
        ("validate scenario.yaml --observed broken.csv", "line 2"),
        ("validate gpu.yaml --observed observed.csv", "sampler.launch_us"),
        ("calibrate scenario.yaml --observed observed.csv", "-o profile.yaml"),
        ("calibrate scenario.yaml --observed observed.csv --fit moon -o p.yaml", "moon"),
    ] {
        let output = metron(folder.path(), line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.contains(want), "{line}: {stderr}");
        assert!(!folder.path().join("p.yaml").exists(), "{line}");
    }
}

#[test]
fn a_profile_file_can_bring_gpu_constants_and_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    set_up(folder.path(), 0.11);
    let slower = std::fs::read_to_string(folder.path().join("slower-profile.yaml")).expect("there");
    let run = |name: &str, more: &str| {
        let profile = folder.path().join(format!("{name}-profile.yaml"));
        std::fs::write(profile, format!("{slower}{more}")).expect("written");
        let scenario = SCENARIO.replace("PROFILE", &format!("{{file: {name}-profile.yaml}}"));
        std::fs::write(folder.path().join(format!("{name}.yaml")), scenario).expect("written");
        let output = metron(folder.path(), &format!("run {name}.yaml --format json"));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let result: Value = serde_json::from_slice(&output.stdout).expect(&stderr);
        (result["runs"][0]["tpot_s"]["mean"].as_f64().expect("a number"), stderr)
    };
    let (plain, _) = run("plain", "");
    let (sampler, _) = run("sampler", "gpu:\n  sampler: {launch_us: 5000, sequence_us: 0}\n");
    assert!(sampler > plain + 0.004, "{sampler} {plain}");
    let table = "layer_table:\n  tokens: [8, 512]\n  layer_us: [1000, 2000]\n";
    let (measured, stderr) = run("table", table);
    assert!(measured > 0.03, "32 layers of 1 ms: {measured}");
    assert!(stderr.contains("layer_table covers 8 to 512 tokens"), "{stderr}");
}
