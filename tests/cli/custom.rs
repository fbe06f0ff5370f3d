//! The command line with a policy of a program around the library: `examples/custom_scheduler.rs`,
//! run as a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

const SCENARIO: &str = "examples/custom_scheduler.yaml";
const NAME: &str = "shortest-prompt-first";

/// The example's program, which `cargo test` builds; built here where only this test was asked for.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_metron-sim")).parent().expect("a folder");
        let name = format!("custom_scheduler{}", std::env::consts::EXE_SUFFIX);
        let program = beside.join("examples").join(name);
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let sources = ["custom_scheduler.rs", "policy/mod.rs", "policy/least_slack.rs"];
        let sources = sources.map(|source| root.join(source));
        if changed(&program).is_none() || sources.iter().any(|s| changed(s) > changed(&program)) {
            let profile = beside.file_name().and_then(|name| name.to_str()).expect("a profile");
            let profile = if profile == "debug" { "dev" } else { profile };
            let built = Command::new(env!("CARGO"))
                .args(["build", "-q", "--example", "custom_scheduler", "--profile", profile])
                .arg("--target-dir")
                .arg(beside.parent().expect("the target folder"))
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(built.expect("cargo runs").success(), "the example builds");
        }
        program
    })
}

fn run(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(program())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn json(arguments: &[&str]) -> Value {
    let (fine, stdout, stderr) = run(&[arguments, &["-q", "--format", "json"]].concat());
    assert!(fine, "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// The path of its only token budget.
fn budget(values: &str) -> String {
    format!("schedulers.{NAME}.token_budget={values}")
}

#[test]
fn it_runs_beside_a_built_in_one() {
    let result = json(&["run", SCENARIO]);
    let runs = result["runs"].as_array().expect("a list");
    let names: Vec<_> = runs.iter().map(|run| run["scheduler"].as_str().expect("text")).collect();
    assert_eq!(names, ["sarathi", NAME]);
    assert_eq!(runs[1]["label"], format!("{NAME}(token_budget=512, seats=64)"));
    assert_eq!(runs[1]["requests"]["completed"], 300);
    let given = &result["scenario"]["schedulers"][1][NAME];
    assert_eq!(*given, serde_json::json!({"token_budget": 512, "seats": 64}));
    // Short prompts overtake long ones: the median waits less than in order of arrival.
    let median = |run: &Value| run["ttft_s"]["p50"].as_f64().expect("a number");
    assert!(median(&runs[1]) < median(&runs[0]), "{result}");
    let reference = json(&["run", SCENARIO, "--reference"]);
    assert_eq!(result["runs"], reference["runs"]);
}

#[test]
fn one_that_looks_at_deadlines_runs_beside_those_that_are_built_in() {
    let all = "schedulers=[vllm-v1, fluid, least-slack]";
    let result = json(&["run", "chat", "--set", all]);
    let share = |run: usize| {
        let share = &result["runs"][run]["fluidity"]["fluid_request_share"];
        share.as_f64().expect("a number")
    };
    assert!(share(2) > share(0) && share(2) < share(1), "{result}");
    let reference = json(&["run", "chat", "--set", all, "--reference"]);
    assert_eq!(result["runs"], reference["runs"]);
    let (fine, text, stderr) = run(&["explain", "chat", "--set", "schedulers=[least-slack]"]);
    assert!(fine && text.contains("least-slack -> fluid"), "{text}{stderr}");
}

#[test]
fn two_of_its_results_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (one, other) = (file("one.json"), file("other.json"));
    for (file, tokens) in [(&one, "256"), (&other, "1024")] {
        let alone = format!("schedulers=[{{{NAME}: {{token_budget: {tokens}}}}}]");
        let (fine, _, stderr) =
            run(&["run", SCENARIO, "-q", "--format", "json", "-o", file, "--set", &alone]);
        assert!(fine, "{stderr}");
    }
    let (fine, text, stderr) = run(&["compare", &one, &other, "-q"]);
    assert!(fine && text.contains(NAME), "{text}{stderr}");
}

#[test]
fn its_stalls_are_explained_and_its_parameters_tried_as_cures() {
    let tries = |parameters: &str, change: &str| {
        let alone = format!("schedulers=[{{{NAME}: {{{parameters}}}}}]");
        let result = json(&["explain", SCENARIO, "--set", &alone]);
        let tried = result["cures"][0]["tried"].as_array().expect("a list");
        let said: Vec<_> = tried.iter().map(|one| one["change"].as_str().expect("text")).collect();
        assert!(said.iter().any(|said| said.starts_with(change)), "{parameters}: {said:?}");
    };
    tries("token_budget: 8192", "token_budget 8192 -> ");
    tries("seats: 4", "seats 4 -> ");
    tries("", &format!("scheduler {NAME} -> "));
}

#[test]
fn it_is_swept_and_its_capacity_found() {
    let vary = budget("256,512");
    let text = json(&["sweep", SCENARIO, "--vary", &vary]).to_string();
    assert!(text.contains(&format!("{NAME}(token_budget=256, seats=64)")), "{text}");
    let few = ["--set", "workload.requests=60"];
    let found = json(&[&["capacity", SCENARIO], &few[..]].concat()).to_string();
    assert!(found.contains(&format!("\"scheduler\":\"{NAME}\"")), "{found}");
}

#[test]
fn it_is_listed_and_in_the_schema() {
    let all = json(&["list", "schedulers"]);
    let one = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == NAME));
    let one = one.expect("listed");
    assert_eq!((&one["evidence"], &one["parameters"][0]["default"]), (&"own".into(), &512.into()));
    assert_eq!(one["parameters"][1]["description"], "Most requests that hold a seat at once.");
    let (_, schema, _) = run(&["schema", "scenario"]);
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let scenario = |parameters: Value| serde_json::json!({ "schedulers": [{ NAME: parameters }] });
    assert!(validator.is_valid(&scenario(serde_json::json!({"token_budget": 4}))));
    assert!(!validator.is_valid(&scenario(serde_json::json!({"token_budget": "x"}))));
    assert!(!validator.is_valid(&scenario(serde_json::json!({"window": 4}))));
}

#[test]
fn its_mistakes_have_places_and_suggestions() {
    let set = |text: &str| run(&["run", SCENARIO, "--set", text]);
    let refuses = |text: &str, words: &[&str]| {
        let (fine, _, stderr) = set(text);
        assert!(!fine && words.iter().all(|word| stderr.contains(word)), "{text}: {stderr}");
    };
    refuses(&budget("0"), &["token_budget: expected at least 1, found the number 0"]);
    refuses(&budget("many"), &["token_budget: expected a whole number", "`many`"]);
    refuses("schedulers=[shortest-prompt-frist]", &["shortest-prompt-frist", "did you mean", NAME]);
    let misspelt = format!("schedulers=[{{{NAME}: {{token_budgte: 3}}}}]");
    refuses(&misspelt, &["unknown key `token_budgte`", "did you mean `token_budget`"]);
}

#[test]
fn random_scenarios_hold_it_to_what_it_says() {
    let (fine, _, stderr) = run(&["swarm", "--seed", "5", "--runs", "60", "-q"]);
    assert!(fine, "{stderr}");
}
