//! `explain`'s advice on small scenarios whose best cure is known from what ails them.

use crate::shared::shared;
use assert_cmd::Command;
use serde_json::Value;

fn explain(scenario: &str, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.args(["explain", scenario, "-q", "--format", "json", "--top", "1"]).args(more);
    let output = command.output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn tried(cures: &Value) -> &[Value] {
    cures["tried"].as_array().expect("a list")
}

fn best(cures: &Value) -> Option<&Value> {
    cures["best"].as_u64().map(|place| &tried(cures)[place as usize])
}

fn text<'v>(of: &'v Value, member: &str) -> &'v str {
    of[member].as_str().expect("text")
}

/// Scenarios in `tests/data/cures`, and how the change that helps most begins.
const KNOWN: &[(&str, &[&str])] = &[
    // Steps of 8,192 prompt tokens beside decodes.
    ("big-steps", &["chunk_size 8192 -> "]),
    // Prompts alone in their steps, decodes wait.
    ("prefill-first", &["scheduler vllm-v0 -> "]),
    ("sglang", &["chunked_prefill_size 8192 -> "]),
    // Whole prompts of thousands of tokens beside decodes.
    ("whole-prompts", &["enable_chunked_prefill false -> true"]),
    // Requests that outgrow the memory together, and are preempted.
    ("thrash", &["max_num_seqs 256 -> ", "KV blocks "]),
    // Four seats where dozens of requests fit.
    ("few-seats", &["max_num_seqs 4 -> "]),
    ("slots", &["n_parallel 4 -> "]),
    // Books of 60,000 tokens ahead of short questions.
    ("huge-prompts", &["long_prefill_token_threshold -> "]),
    // A slow pool that gets as many requests as the fast one.
    ("slow-pool", &["router round-robin -> least-"]),
    // Prompts that share 3,000 of 3,200 tokens.
    ("no-caching", &["prefix caching"]),
    // The same of a policy that keeps some, and was told not to.
    ("tgi-prefixes", &["prefix_caching false -> true"]),
    // The same of a policy that keeps no prefixes.
    ("lightllm-prefixes", &["scheduler lightllm -> vllm-v1 with prefix caching"]),
    // The same with caching, and too little memory for all the prefixes.
    ("evicted", &["KV blocks "]),
    // The same, where the GPU has memory for them.
    ("evicted-share", &["gpu_memory_utilization 0.45 -> 0.95"]),
    // Chats behind batch jobs that can wait, in order of arrival.
    ("priorities", &["policy fcfs -> priority"]),
    // A slow pool at a rate that only all three GPUs together could serve.
    ("slow-pool-overload", &["router round-robin -> least-"]),
    // A closed loop with more users than one GPU serves.
    ("too-many-users", &["replicas 1 -> 2", "tensor 1 -> 2", "users 48 -> "]),
    // A rate beyond what one GPU serves.
    ("overload", &["replicas 1 -> 2", "tensor 1 -> 2", "rate "]),
    // Many decodes at once, each slowed by the others.
    ("batch-growth", &["tensor 1 -> 2", "replicas 1 -> 2"]),
    // 64 tokens a step.
    ("small-budget", &["chunk_size 64 -> "]),
    // Admissions that leave 70 % of the memory free.
    ("watermark", &["watermark 0.7 -> "]),
    // 80 % of the GPU's memory, weights that take most of it.
    ("low-utilization", &["gpu_memory_utilization 0.8 -> 0.95"]),
    // Unequal micro-batches in four stages.
    ("pipeline", &["max_num_batched_tokens 2048 -> ", "tensor 1, pipeline 4 -> "]),
    // Nobody joins a batch before all of it have ended.
    ("static", &["scheduler faster-transformer -> "]),
    // 65,536 tokens reserved for requests of a few hundred.
    ("reserved", &["scheduler orca -> ", "max_model_len 65536 -> "]),
    // Chunks of 16 tokens of prompts of 4,000.
    ("chunk-limit", &["long_prefill_token_threshold 16 -> 0"]),
    // Two sequences a step.
    ("step-seats", &["max_num_seqs 2 -> "]),
    // 1,300 tokens in memory for all.
    ("token-limit", &["max_batch_total_tokens 1300 -> default"]),
    // 200 decode steps between two prefills.
    ("prefill-interval", &["prefill_decode_interval 200 -> "]),
    // Prompts that wait for 200 times the last one's time.
    ("delay", &["delay_factor 200 -> 0"]),
    // Prompts that wait for 400 decode steps.
    ("long-wait", &["router_max_wait_tokens 400 -> "]),
    // Whole prompts of 6,000 tokens in a policy that can cut them.
    ("no-chunk-size", &["chunked_prefill_size -> "]),
    // Four GPUs that wait for their link.
    ("slow-link", &["tensor 4 -> 1"]),
    // One replica for nine requests of ten.
    ("class-router", &["router by class -> least-"]),
    // 36 prefixes, sent in turn to four replicas with room for a third of them each.
    (
        "blind-router",
        &["router round-robin -> sglang-cache-aware", "router round-robin -> dynamo-kv"],
    ),
    // A prefix that all begin with, at the one replica that had it first.
    ("never-balances", &["imbalanced_threshold none -> ", "router ray-prefix -> least-"]),
    // Two seats for twenty users.
    ("two-seats", &["max_num_seqs 2 -> "]),
    // A context and a budget that both refuse long prompts.
    ("short-context", &["max_model_len 1024 -> 3104, max_num_batched_tokens 1024 -> 3104"]),
    // Requests admitted to memory that they then outgrow together.
    ("admits-all", &["KV blocks ", "max_num_seqs ", "scheduler_reserve_full_isl"]),
];

#[test]
fn the_cure_that_is_known_helps_most() {
    let mut wrong = Vec::new();
    for (name, wanted) in KNOWN {
        let file = explain(&format!("tests/data/cures/{name}.yaml"), &[]);
        let cures = &file["cures"][0];
        let found = best(cures).map_or("nothing", |best| text(best, "change"));
        if !wanted.iter().any(|wanted| found.starts_with(wanted)) {
            let all: Vec<&str> = tried(cures).iter().map(|one| text(one, "change")).collect();
            wrong.push(format!("{name}: {found}, not {wanted:?}; in order: {all:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `run --set` makes of a change, as far as the row of the change says it.
fn run_of(scenario: &str, change: &Value) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metron-sim"));
    command.args(["run", scenario, "-q", "--format", "json"]);
    for set in change["set"].as_array().expect("a list") {
        command.args(["--set", set.as_str().expect("text")]);
    }
    let output = command.output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}, {change}: {errors}");
    let file: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let run = &file["runs"][0];
    [
        &run["slo"]["met"],
        &run["requests"]["completed"],
        &run["requests"]["rejected"],
        &run["ttft_s"]["p99"],
        &run["tbt_s"]["p99"],
        &run["throughput"]["output_tokens_per_s"],
    ]
    .map(Value::clone)
    .to_vec()
}

#[test]
fn a_change_does_what_its_row_says() {
    let all =
        [("context", false), ("evicted-share", true), ("priorities", true), ("reserved", true)];
    for (name, best_alone) in all {
        let scenario = format!("tests/data/cures/{name}.yaml");
        let file = explain(&scenario, &[]);
        let cures = &file["cures"][0];
        let changes: Vec<&Value> = match best_alone {
            true => best(cures).into_iter().collect(),
            false => tried(cures)[1..].iter().collect(),
        };
        assert!(!changes.is_empty(), "{cures}");
        for change in changes {
            let figures = &change["figures"];
            let row = [
                &figures["promise"]["kept"],
                &figures["completed"],
                &figures["rejected"],
                &figures["ttft_p99_s"],
                &figures["tbt_p99_s"],
                &figures["output_tokens_per_s"],
            ];
            assert_eq!(
                row.map(Value::clone).to_vec(),
                run_of(&scenario, change),
                "{name}: {change}"
            );
        }
    }
}

#[test]
fn a_run_that_keeps_its_promise_needs_no_cure() {
    let fine = explain("tests/data/cures/fine.yaml", &[]);
    assert_eq!(fine["cures"][0]["keeps_promise"], true);
    assert_eq!(fine["cures"][0]["best"], Value::Null);
    let output = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["explain", "tests/data/cures/fine.yaml", "-q"])
        .output()
        .expect("it runs");
    let words = String::from_utf8(output.stdout).expect("text");
    assert!(words.contains("sarathi keeps its promise"), "{words}");
    assert!(words.contains("nothing has to change"), "{words}");
    assert!(!words.contains("helps most"), "{words}");
}

#[test]
fn chat_is_not_told_to_give_its_promise_away() {
    let file = explain("scenarios/chat.yaml", &[]);
    let of = |label: &str| {
        let all = file["cures"].as_array().expect("a list");
        all.iter().find(|cures| text(cures, "label").starts_with(label)).expect("a run")
    };
    let best = best(of("vllm-v0")).expect("one helps");
    assert!(text(best, "change").starts_with("scheduler vllm-v0 -> "), "{best}");
    assert_eq!(best["effect"], "keeps_promise");
    let sarathi = of("sarathi");
    assert_eq!((&sarathi["keeps_promise"], &sarathi["best"]), (&Value::Bool(true), &Value::Null));
    let swap = |one: &&Value| text(one, "change") == "scheduler sarathi -> vllm-v0";
    let swap = tried(sarathi).iter().find(swap).expect("it was tried");
    assert_eq!((text(swap, "effect"), &swap["helps"]), ("breaks_promise", &Value::Bool(false)));
}

#[test]
fn a_swap_says_what_it_could_not_hold() {
    let file = explain("tests/data/cures/prefill-first.yaml", &[]);
    let swap = best(&file["cures"][0]).expect("one helps");
    let set = swap["set"][0].as_str().expect("text");
    assert!(set.contains("\"max_num_seqs\":256") && set.contains("\"watermark\":0.01"), "{set}");
    let lost = swap["not_held"][0].as_str().expect("text");
    assert!(lost.contains("no token budget of vllm-v0's kind"), "{lost}");
}

#[test]
fn changes_start_from_what_bound_the_run() {
    let Some(file) = shared("cases/cure-seats.yaml") else { return };
    // Of the synchronous engine without a cache the figures are known.
    let plain = ["--set", "engine.prefix_caching=false", "--set", "engine.async_scheduling=false"];
    let file = explain(file.to_str().expect("text"), &plain);
    let cures = &file["cures"][0];
    let named = |change: &str| tried(cures).iter().find(|one| text(one, "change") == change);
    let figures = |one: &Value| {
        let figures = &one["figures"];
        let preemptions = figures["preemptions"].as_u64().expect("a count");
        (preemptions, figures["output_tokens_per_s"].as_f64().expect("a rate"))
    };
    let (before, slow) = figures(&tried(cures)[0]);
    let seats = named("max_num_seqs 256 -> 64").expect("as many as memory holds");
    let (after, fast) = figures(seats);
    assert_eq!((before, after), (991, 91));
    assert!(fast > 1.08 * slow, "{slow} {fast}");
    assert_eq!(seats["helps"], true);
    assert!(named("max_num_seqs 256 -> 128").is_none(), "a limit that never binds");
    // What could not be tried is a note.
    assert!(tried(cures).iter().all(|one| one["figures"].is_object()));
    let notes = cures["notes"].as_array().expect("a list");
    let note =
        notes.iter().filter_map(Value::as_str).find(|note| note.starts_with("tensor 1 -> 2"));
    assert!(note.expect("a note").contains("was not tried"), "{notes:?}");
}

/// Requests that are turned away break a promise whatever the stalls: what admits them is tried.
#[test]
fn what_admits_rejected_requests_comes_first() {
    for (scenario, wanted) in [
        ("turned-away", "enable_chunked_prefill"),
        ("small-slots", "kv_unified"),
        ("small-slots", "n_parallel 64 -> "),
    ] {
        let file = explain(&format!("tests/data/cures/{scenario}.yaml"), &[]);
        let cures = &file["cures"][0];
        assert_eq!(cures["causes"], Value::Array(Vec::new()), "the stall was in time: {cures}");
        let of = |one: &&Value| text(one, "change").starts_with(wanted);
        let one = tried(cures).iter().find(of).unwrap_or_else(|| panic!("{wanted}: {cures}"));
        assert_eq!(
            (&one["helps"], &one["figures"]["rejected"]),
            (&true.into(), &0.into()),
            "{one}"
        );
        assert_eq!(best(cures).expect("one helps")["figures"]["rejected"], 0);
        let shorter = |one: &Value| one["effect"] == "shorter_stall";
        assert!(!tried(cures).iter().any(shorter), "no stall is to be cured");
    }
}

#[test]
fn a_policy_that_takes_whole_prompts_is_offered_one_that_cuts_them() {
    let file = explain("tests/data/cures/no-chunks.yaml", &[]);
    let cures = &file["cures"][0];
    assert_eq!(cures["main_cause"], "prefill_interference");
    let best = best(cures).expect("one helps");
    assert!(text(best, "change").starts_with("scheduler orca -> "), "{best}");
    assert_eq!((&best["effect"], &best["figures"]["gpus"]), (&"keeps_promise".into(), &1.into()));
}

#[test]
fn a_change_without_effect_is_a_note() {
    // The router of one busy replica of two makes no difference to one request.
    let one = ["--set", "workload.requests=1", "--set", "slo.bounds={ttft: {p99: 1ms}}"];
    let file =
        explain("tests/data/cures/slow-pool.yaml", &[&one[..], &["--request", "0"]].concat());
    let cures = &file["cures"][0];
    let notes = cures["notes"].as_array().expect("a list");
    let router = |of: &str| of.starts_with("router round-robin");
    assert!(tried(cures).iter().all(|one| !router(text(one, "change"))), "{cures}");
    let said = notes.iter().filter_map(Value::as_str).find(|note| router(note));
    assert!(said.expect("a note").contains("changes nothing"), "{notes:?}");
}

#[test]
fn a_bound_that_is_broken_without_a_late_token_has_cures_too() {
    let late = ["--set", "slo={ttft: 60s, tbt: 1s, bounds: {ttft: {p99: 1s}}}"];
    let file = explain("tests/data/cures/few-seats.yaml", &late[..2]);
    let cures = &file["cures"][0];
    assert_eq!((&cures["token"], &cures["keeps_promise"]), (&Value::from(0), &Value::Bool(false)));
    let none = explain("tests/data/cures/fine.yaml", &["--set", "slo.tbt=1s"]);
    assert_eq!(none["runs"][0]["stalls"], Value::Array(Vec::new()));
    assert_eq!(none["cures"], Value::Array(Vec::new()), "nothing was late, no bound was broken");
}

/// `UPDATE_CURES=1 cargo test --test cli cures` writes the example anew.
#[test]
fn the_example_is_what_the_program_prints() {
    const BEGIN: &str = "<!-- example -->\n```text\n";
    const END: &str = "```\n<!-- end of example -->";
    let document = std::fs::read_to_string("docs/cures.md").expect("the document");
    let output = Command::new(env!("CARGO_BIN_EXE_metron-sim"))
        .args(["explain", "tests/data/cures/few-seats.yaml", "--top", "1", "-q"])
        .output()
        .expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let (_, cures) = printed.split_once("What would have helped").expect("cures");
    let printed = format!("What would have helped{}\n", cures.trim_end());
    let (before, rest) = document.split_once(BEGIN).expect("an example");
    let (example, after) = rest.split_once(END).expect("the example ends");
    if std::env::var_os("UPDATE_CURES").is_some() {
        let text = format!("{before}{BEGIN}{printed}{END}{after}");
        std::fs::write("docs/cures.md", text).expect("writable");
        return;
    }
    assert_eq!(example, printed, "the example of docs/cures.md is out of date");
}
