//! A machine of which nothing is known but an iteration log: real vLLM runs on a CPU, each predicted
//! from the logs of others. Needs the shared data; says so when it is not there.

use std::path::{Path, PathBuf};

use crate::shared::{say, shared};
use metron_sim::catalog::EngineProfile;
use metron_sim::report::calibration::profile_yaml;
use metron_sim::report::step_law::to_text;
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::Document;
use metron_sim::validation::{
    IterationLog, LawFit, ObservedRun, Replay, Validation, compare, fit_law, read_log,
};
use metron_sim::workload::Limits;
use serde_json::Value;

/// One real run.
struct Run {
    name: String,
    folder: PathBuf,
    flags: String,
    kv_tokens: u64,
    log: IterationLog,
}

/// Runs of vLLM, but for the one that drafts: how many drafts will be accepted is not known beforehand.
fn runs(folder: &Path) -> Vec<Run> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("there").path());
    let mut folders: Vec<PathBuf> =
        entries.filter(|path| path.join("steps.jsonl.gz").exists()).collect();
    folders.sort();
    let run = |folder: PathBuf| {
        let meta = std::fs::read_to_string(folder.join("meta.json")).expect("there");
        let meta: Value = serde_json::from_str(&meta).expect("JSON");
        let flags = meta["server_flags"].as_str().expect("text").to_owned();
        let line = meta["kv_cache_line"].as_str().expect("text");
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        let log = read_log(&folder.join("steps.jsonl.gz"), None).expect("a log");
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        Run { name, kv_tokens: digits.parse().expect("a number"), folder, flags, log }
    };
    folders.into_iter().map(run).filter(|run| !run.flags.contains("speculative")).collect()
}

fn flag(flags: &str, name: &str) -> Option<String> {
    let mut words = flags.split_whitespace();
    words.find(|word| *word == format!("--{name}"))?;
    words.next().map(str::to_owned)
}

/// The scenario of a run: no model and no GPU.
fn scenario(run: &Run) -> String {
    let own = |name: &str, default: u64| {
        flag(&run.flags, name).map_or(default, |v| v.parse().expect("whole"))
    };
    let blocks = own("num-gpu-blocks-override", run.kv_tokens / 32);
    let mut scheduler = format!(
        "max_num_batched_tokens: {}, max_num_seqs: {}",
        own("max-num-batched-tokens", 2048),
        own("max-num-seqs", 128)
    );
    if let Some(policy) = flag(&run.flags, "scheduling-policy") {
        scheduler.push_str(&format!(", policy: {policy}"));
    }
    if let Some(tokens) = flag(&run.flags, "long-prefill-token-threshold") {
        scheduler.push_str(&format!(", long_prefill_token_threshold: {tokens}"));
    }
    format!(
        "engine:\n  profile: {{file: law.yaml}}\n  kv_block_tokens: 32\n  kv_blocks: {blocks}\n  \
         max_model_len: 4096\n  prefix_caching: {}\n  async_scheduling: {}\n\
         schedulers: [vllm-v1: {{{scheduler}}}]\n\
         workload: {{trace: {{file: {}, format: jsonl}}}}\n",
        !run.flags.contains("no-enable-prefix-caching"),
        run.flags.contains("--async-scheduling"),
        run.folder.join("trace.jsonl").display(),
    )
}

fn profile(fit: &LawFit) -> EngineProfile {
    EngineProfile { host: fit.host.unwrap_or_default(), ..EngineProfile::of_law("law", fit.law) }
}

/// A run as these logs predict it, as its engine saw it.
fn predict(folder: &Path, run: &Run, fit: &LawFit) -> Validation {
    predict_as(folder, run, fit, &[], &run.folder.join("requests_queued.csv"))
}

fn predict_as(
    folder: &Path,
    run: &Run,
    fit: &LawFit,
    sets: &[String],
    observed: &Path,
) -> Validation {
    let yaml = profile_yaml(&profile(fit)).expect("YAML");
    std::fs::write(folder.join("law.yaml"), yaml).expect("written");
    let text = scenario(run);
    let path = folder.join("scenario.yaml");
    std::fs::write(&path, &text).expect("written");
    let document =
        Document::read(path.to_str().expect("text")).expect("YAML").with(sets).expect("there");
    let resolved = document.resolve(None).unwrap_or_else(|e| panic!("{}: {e}\n{text}", run.name));
    let experiment = &resolved.experiment;
    assert_eq!((&experiment.hardware.gpu, &experiment.hardware.model), (&None, &None));
    let (drawn, _) = Requests::of(experiment).expect("the trace is there");
    let observed = ObservedRun::read(observed, None).expect("a run");
    let limits = Limits { max_model_len: 4096, kv_block_tokens: 32 };
    let mut replay = Replay::new(&drawn, true, limits, &observed).expect("they go together");
    if !experiment.front_ends().0.is_none() {
        replay = replay.at_the_client();
    }
    let options = PlayOptions { keep_log: true, ..PlayOptions::default() };
    let outcome =
        Simulator.simulate(experiment, &experiment.schedulers[0], &replay.requests, options);
    compare(&replay, &outcome.expect("it runs"))
}

fn error(validation: &Validation, metric: &str) -> f64 {
    let rows = &validation.validation;
    let row = rows.iter().find(|row| row.metric == metric && row.stat == "mean").expect("there");
    row.error.expect("both sides") * 100.0
}

const METRICS: [&str; 3] = ["ttft_s", "tpot_s", "e2e_s"];

fn within(errors: &[f64], most: f64) -> usize {
    errors.iter().filter(|error| error.abs() <= most).count()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn every_local_run_from_other_runs_logs() {
    let Some(folder) = shared("data/runs-local") else { return };
    let runs = runs(&folder);
    assert!(runs.len() >= 20, "{}", runs.len());
    let work = tempfile::tempdir().expect("a folder");
    let fits: Vec<LawFit> =
        runs.iter().map(|run| fit_law(std::slice::from_ref(&run.log))).collect();
    // Which machine it was is known beforehand: this run had a compiler beside it (its README).
    let quiet = |run: &&Run| run.name != "iterlog-chat2";
    say(
        "\nmean errors, %        own log               all other logs pooled  each other log alone",
    );
    say("run                    TTFT   TPOT    E2E    TTFT   TPOT    E2E   E2E median, within 5 %");
    let (mut own_e2e, mut pooled_e2e, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for (index, run) in runs.iter().enumerate() {
        let own = predict(work.path(), run, &fits[index]);
        let others: Vec<IterationLog> = runs
            .iter()
            .filter(|other| other.name != run.name)
            .filter(quiet)
            .map(|other| other.log.clone())
            .collect();
        let pooled = predict(work.path(), run, &fit_law(&others));
        let alone: Vec<f64> = runs
            .iter()
            .zip(&fits)
            .filter(|(other, _)| other.name != run.name && quiet(other))
            .map(|(_, fit)| error(&predict(work.path(), run, fit), "e2e_s"))
            .collect();
        let three = |validation: &Validation| {
            METRICS.map(|metric| format!("{:>+7.1}", error(validation, metric))).concat()
        };
        say(&format!(
            "{:<20} {} {}   {:>+6.1}  {:>2} of {}",
            run.name,
            three(&own),
            three(&pooled),
            median(alone.clone()),
            within(&alone, 5.0),
            alone.len()
        ));
        own_e2e.push(error(&own, "e2e_s"));
        if quiet(&run) {
            pooled_e2e.push(error(&pooled, "e2e_s"));
            single.extend(alone);
        }
    }
    for (name, errors) in
        [("own log", &own_e2e), ("other logs pooled", &pooled_e2e), ("another log alone", &single)]
    {
        say(&format!(
            "E2E within 5 % from {name}: {} of {}, within 10 %: {}; median {:.1} %",
            within(errors, 5.0),
            errors.len(),
            within(errors, 10.0),
            median(errors.iter().map(|e| e.abs()).collect())
        ));
    }
    // The law has the form of this engine: its own log says how long a run takes.
    assert!(within(&own_e2e, 5.0) * 10 >= own_e2e.len() * 9, "{own_e2e:?}");
    // The machine is another's as well: it is 10 to 40 % faster in some runs than in others.
    assert!(median(pooled_e2e.iter().map(|e| e.abs()).collect()) < 10.0, "{pooled_e2e:?}");
}

/// The same server and requests a second time, on a busier machine: what no prediction can know.
#[test]
fn real_against_real() {
    let Some(folder) = shared("data/runs-local") else { return };
    say("\nreal runs against their repeats, mean E2E");
    for name in ["default-chat1", "kvtight-over1"] {
        let mean = |run: String| {
            let file = folder.join(run).join("requests_engine.csv");
            let run = ObservedRun::read(&file, None).expect("a run");
            let times = run.requests.iter().filter_map(|r| Some(r.tokens_s?.1 - r.arrival_s));
            times.sum::<f64>() / run.requests.len() as f64
        };
        let (first, again) = (mean(name.to_owned()), mean(format!("repeat-{name}")));
        say(&format!(
            "{name}: {first:.3} s, {again:.3} s, {:+.1} %",
            (again / first - 1.0) * 100.0
        ));
    }
}

/// What the client saw, with a front end of a few milliseconds: its first tokens are a few milliseconds
/// later than the engine's, and those of a burst later still.
#[test]
fn a_clients_first_tokens_need_a_front_end() {
    let Some(folder) = shared("data/runs-local") else { return };
    let work = tempfile::tempdir().expect("a folder");
    let front_end = "engine.front_end={before: 3500us, after: 1500us, request: 600us}";
    say("\nclient's mean TTFT, ms: real, without a front end, with one");
    let (mut without, mut with) = (0.0, 0.0);
    for run in runs(&folder) {
        if !["default-chat1", "b256-chat1", "seqs4-burst2", "kvtight-prefix2"].contains(&&*run.name)
        {
            continue;
        }
        let fit = fit_law(std::slice::from_ref(&run.log));
        let client = run.folder.join("requests.csv");
        let [none, some] = [&[][..], &[front_end.to_owned()]].map(|sets| {
            let validation = predict_as(work.path(), &run, &fit, sets, &client);
            let rows = &validation.validation;
            let row = rows.iter().find(|row| row.metric == "ttft_s" && row.stat == "mean");
            let row = row.expect("there");
            (row.observed.expect("real") * 1e3, row.simulated.expect("simulated") * 1e3)
        });
        say(&format!("{:<20} {:>6.1} {:>6.1} {:>6.1}", run.name, none.0, none.1, some.1));
        without += (none.1 / none.0 - 1.0).abs();
        with += (some.1 / some.0 - 1.0).abs();
    }
    assert!(with < without, "{with} {without}");
}

/// vLLM's own lines, with the KV cache's size from the scenario; and a report that says what is not told.
#[test]
fn vllms_own_lines_make_a_law_too() {
    let Some(folder) = shared("data/runs-local/iterlog-chat2") else { return };
    let own = read_log(&folder.join("vllm-iteration-log.txt.gz"), Some(232_992)).expect("a log");
    let steps = read_log(&folder.join("steps.jsonl.gz"), None).expect("a log");
    assert_eq!((own.asynchronous, steps.asynchronous), (None, Some(false)));
    assert!(own.notes.iter().any(|note| note.contains("no host time")), "{:?}", own.notes);
    let (own, steps) = (fit_law(&[own]), fit_law(&[steps]));
    say(&to_text(&steps));
    assert_eq!(steps.requests, 120);
    assert!(own.host.is_none() && steps.host.is_some());
    let all = |fit: &LawFit| fit.residuals.last().expect("all").sum_error.expect("steps").abs();
    assert!(all(&own) < 0.1 && all(&steps) < 0.1, "{} {}", all(&own), all(&steps));
    // Both are of one run: a decode step of 20 requests with 500 tokens each costs much the same.
    let decode = |fit: &LawFit| {
        let law = fit.law;
        law.iteration_us + 20.0 * law.decode_us + 10_000.0 * law.kv_token_us
    };
    let (a, b) = (decode(&own), decode(&steps));
    assert!((a / b - 1.0).abs() < 0.2, "{a} {b}");
}

#[test]
fn a_law_is_a_profile_and_bad_logs_are_refused_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    let metron = |line: &str| {
        let mut command = assert_cmd::Command::cargo_bin("metron-sim").expect("built");
        command
            .current_dir(folder.path())
            .args(line.split_whitespace())
            .output()
            .expect("it starts")
    };
    let mut log = String::new();
    for i in 0..60_u32 {
        let (start, tokens) = (f64::from(i) * 0.1, if i % 6 == 0 { 64 + i } else { 1 });
        let gpu = 0.004 + 0.0001 * f64::from(tokens);
        let emitted = format!(r#"{{"{}":1}}"#, i / 6);
        log.push_str(&format!(
            "{{\"schedule_start_s\":{start},\"schedule_end_s\":{},\"update_start_s\":{},\"update_end_s\":{},\
             \"batch\":[[{},{tokens},{}]],\"emitted\":{emitted}}}\n",
            start + 0.0002,
            start + 0.0002 + gpu,
            start + 0.0003 + gpu,
            i / 6,
            if i % 6 == 0 { 0 } else { 100 + i % 6 },
        ));
    }
    write("steps.jsonl", &log);
    write("bad.jsonl", &log.replacen("\"batch\":[[1,", "\"batch\":[[", 1));
    write("words.txt", "nothing of this kind\n");
    let lines: Vec<&str> = log.lines().collect();
    write("back.jsonl", &[&lines[..30], &lines[..20]].concat().join("\n"));
    write("three.jsonl", &lines[..3].join("\n"));
    // The same steps, each planned while the one before runs.
    let ahead = (0..60).map(|i| {
        format!(
            "{{\"schedule_start_s\":{},\"schedule_end_s\":{},\"update_start_s\":{},\"update_end_s\":{},\
             \"batch\":[[1,1,{}]],\"emitted\":{{\"1\":1}}}}\n",
            f64::from(i) * 0.01,
            f64::from(i) * 0.01 + 0.001,
            f64::from(i) * 0.01 + 0.018,
            f64::from(i) * 0.01 + 0.019,
            100 + i
        )
    });
    write("ahead.jsonl", &ahead.collect::<String>());
    let output = metron("calibrate --iterations steps.jsonl -o law.yaml --format json");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    assert_eq!(found["requests"], 10);
    assert!(found["residuals"][2]["mape"].as_f64().expect("a number") < 0.02, "{found}");
    for (line, want) in [
        ("calibrate --iterations bad.jsonl -o p.yaml", "line 7"),
        ("calibrate --iterations words.txt -o p.yaml", "--enable-logging-iteration-details"),
        ("calibrate --iterations none.txt -o p.yaml", "none.txt"),
        ("calibrate --iterations back.jsonl -o p.yaml", "line 31: expected steps in order of time"),
        ("calibrate --iterations three.jsonl -o p.yaml", "3 steps are too few"),
        (
            "calibrate --iterations steps.jsonl --iterations ahead.jsonl -o p.yaml",
            "planned while the one before ran",
        ),
        ("calibrate --iterations steps.jsonl -o p.yaml --seed 3", "--seed has no effect"),
        ("calibrate --iterations steps.jsonl -o p.yaml --set a=1", "--set has no effect"),
        ("calibrate --iterations steps.jsonl", "-o profile.yaml"),
        ("calibrate --iterations steps.jsonl --observed o.csv -o p.yaml", "--observed"),
        ("calibrate -o p.yaml", "--observed"),
    ] {
        let output = metron(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.contains(want), "{line}: {stderr}");
    }
    // A machine of which nothing is known but this.
    write(
        "s.yaml",
        "engine: {profile: {file: law.yaml}, kv_blocks: 500, max_model_len: 2048}\nschedulers: [vllm-v1]\n\
         workload:\n  requests: 20\n  arrivals: {poisson: {rate: 5}}\n  lengths: {prompt: {fixed: 90}, output: {fixed: 9}}\n",
    );
    let output = metron("run s.yaml --format json");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tpot = result["runs"][0]["tpot_s"]["mean"].as_f64().expect("a number");
    assert!((0.004..0.02).contains(&tpot), "{tpot}");
    // The log's engine planned one step after the other, and so does this one; a scenario may differ, and hears of
    // it. So does a run beyond the log's steps. What they draw nobody knows, also on a GPU that is named.
    assert_eq!(result["scenario"]["engine"]["async_scheduling"], false, "{result}");
    let line = "run s.yaml --format json --set engine.async_scheduling=true --set gpu=h100-sxm \
                --set workload.lengths.prompt.fixed=1800";
    let output = metron(line);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    for want in [
        "engine where it was false",
        "the law of step-law-fitted is a guess here: ",
        "tokens of context",
    ] {
        assert!(stderr.contains(want), "{want}: {stderr}");
    }
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(result["runs"][0]["energy"].is_null(), "{}", result["runs"][0]["energy"]);
}
