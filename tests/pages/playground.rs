//! The playground's questions and answers.

use metron_sim::playground::{REQUESTS_MAX, TEXT_BYTES_MAX, answer};
use metron_sim::scenario::{Files, bundled};
use metron_sim::scheduler::SchedulerConfig;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cpu::cpu_time;

const SMALL: &str = "\
seed: 3
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6}
schedulers:
  - vllm-v0: {}
  - sarathi: {chunk_size: 512}
workload:
  requests: 60
  arrivals: {poisson: {rate: 4}}
  lengths: {prompt: {lognormal: {mean: 1500, sigma: 0.6}}, output: {lognormal: {mean: 60, sigma: 0.6}}}
";

fn ask(question: &Value) -> Value {
    let text = answer(&question.to_string(), &Files::none());
    serde_json::from_str(&text).expect("an answer is JSON")
}

fn simulate(text: &str, set: &[&str]) -> Value {
    ask(&json!({"op": "simulate", "scenario": {"text": text, "set": set}}))
}

fn first_problem(answer: &Value) -> &Value {
    assert_eq!(answer["ok"], json!(false), "{answer}");
    &answer["problems"][0]
}

#[test]
fn a_scenario_is_played_as_on_the_command_line() {
    let played = simulate(SMALL, &["workload.requests=40", "schedulers.sarathi.chunk_size=256"]);
    assert_eq!(played["ok"], json!(true));
    let text = played["text"].as_str().expect("a text");
    assert!(text.contains("chunk_size: 256") && text.contains("requests: 40"), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.yaml");
    std::fs::write(&path, text).expect("written");
    let output = assert_cmd::Command::cargo_bin("metron-sim")
        .expect("built")
        .args(["run", "--format", "json"])
        .arg(&path)
        .output()
        .expect("runs");
    let mut file: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // The page draws where the time went instead of listing it.
    for run in file["runs"].as_array_mut().expect("a list") {
        run["stalls"] = Value::Null;
    }
    assert_eq!(file["runs"], played["results"]);
    assert_eq!(file["scenario"], played["scenario"]);
    assert_eq!(played["figures"][0]["values"].as_array().map(Vec::len), Some(2));
}

#[test]
fn every_dial_can_be_turned_and_changes_the_scenario() {
    let played = simulate(SMALL, &[]);
    let own = played["dials"].as_array().expect("dials").iter();
    let schedulers = played["scheduler_dials"].as_array().expect("dials").iter();
    let of_schedulers = schedulers.flat_map(|one| one["dials"].as_array().expect("a list"));
    let mut turned = 0;
    for dial in own.chain(of_schedulers) {
        let path = dial["path"].as_str().expect("all of these can be turned");
        let (low, high) = match dial["choices"].as_array().expect("a list").first() {
            Some(first) => {
                (first.clone(), dial["choices"].as_array().unwrap().last().unwrap().clone())
            }
            None => {
                let value = dial["value"].as_f64().expect("a number");
                let range = &dial["range"];
                assert!(range[0].as_f64() <= Some(value) && Some(value) <= range[1].as_f64());
                // Small enough to play, whole where it must be.
                let other = if value >= 64.0 { value / 2.0 } else { value + 1.0 };
                (json!(other.round()), json!(value))
            }
        };
        for value in [low, high] {
            let unit = dial["unit"].as_str().expect("a unit");
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = value.strip_suffix(".0").unwrap_or(&value);
            let set = format!("{path}={value}{unit}");
            let found = simulate(SMALL, &[&set, "workload.requests=20"]);
            // A model may not fit a GPU, which is said; anything else plays.
            if !dial["choices"].as_array().unwrap().is_empty() {
                continue;
            }
            assert_eq!(found["ok"], json!(true), "{set}: {found}");
            turned += 1;
        }
    }
    assert!(turned >= 20, "{turned}");
}

/// A trace that is not there, with a stand-in: the resolved scenario draws, the text names a file.
const STAND_IN: &str = "\
seed: 3
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6}
schedulers: [sarathi]
workload:
  trace:
    file: nowhere.csv
    stand_in:
      requests: 40
      arrivals: {gamma: {rate: 4, cv: 1.1}}
      lengths:
        prompt: {quantiles: {0: 3, 0.5: 900, 1: 4000}}
        output: {lognormal: {mean: 60, sigma: 0.6}}
";

#[test]
fn no_dial_writes_a_broken_scenario() {
    let classes = SMALL.replace(
        "workload:",
        "workload:\n  classes: [{name: a, share: 1}, {name: b, slo: {tbt: 50ms}}]",
    );
    let all_at_once = SMALL.replace("{poisson: {rate: 4}}", "all_at_once");
    let fixed = SMALL
        .replace(
            "engine: {profile: vllm-0.6}",
            "engine: {profile: {fixed: {iteration: 9ms}}, kv_blocks: 9000, max_model_len: 8000}",
        )
        .replace("model: llama-3.1-8b\n", "")
        .replace("gpu: h100-sxm\n", "");
    for text in [STAND_IN, &classes, &all_at_once, &fixed, SMALL] {
        let played = simulate(text, &[]);
        assert_eq!(played["ok"], json!(true), "{played}");
        let own = played["dials"].as_array().expect("dials").iter();
        let schedulers = played["scheduler_dials"].as_array().expect("dials").iter();
        for dial in own.chain(schedulers.flat_map(|one| one["dials"].as_array().expect("a list"))) {
            let mut tried: Vec<Vec<String>> = Vec::new();
            let free = dial["free"].as_array().expect("a list");
            if !free.is_empty() {
                tried.push(free.iter().map(|set| set.as_str().expect("text").to_owned()).collect());
            }
            let sliders = dial["path"].as_str().zip(dial["range"].as_array());
            if let Some((path, range)) = sliders {
                let unit = dial["unit"].as_str().expect("a unit");
                tried.extend(range.iter().map(|end| {
                    let end = end.as_f64().expect("a number");
                    vec![format!("{path}={end}{unit}")]
                }));
            }
            for set in tried {
                let set: Vec<&str> = set.iter().map(String::as_str).collect();
                let found = simulate(text, &set);
                if found["ok"] == json!(true) {
                    continue;
                }
                // Too little memory, or too much to play, is said; a field in the wrong place is not.
                let problem = first_problem(&found);
                let told = problem["message"].as_str().expect("words");
                let sound =
                    ["no request can run", "the page plays", "the page draws", "page tracks"];
                assert!(sound.iter().any(|known| told.contains(known)), "{set:?}: {problem}");
            }
        }
    }
    // The stand-in's own figures are what is turned.
    let turned = simulate(STAND_IN, &["workload.trace.stand_in.arrivals.gamma.rate=8"]);
    let dial = &turned["dials"][0];
    assert_eq!(dial["path"], json!("workload.trace.stand_in.arrivals.gamma.rate"));
    assert_eq!(dial["value"], json!(8.0));
    assert_eq!(turned["dials"][1]["path"], json!("workload.trace.stand_in.requests"));
}

/// Both sliders' ends are played, of a scenario that is near what the page plays.
#[test]
fn no_slider_leads_beyond_what_the_page_plays() {
    let heavy = "\
seed: 3
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6}
schedulers: [sarathi: {chunk_size: 1024, max_num_seqs: 128}]
workload:
  requests: 1500
  arrivals: {poisson: {rate: 6}}
  lengths: {prompt: {lognormal: {mean: 2000, sigma: 0.4}}, output: {lognormal: {mean: 400, sigma: 0.4}}}
";
    let played = simulate(heavy, &[]);
    let own = played["dials"].as_array().expect("dials").iter();
    let schedulers = played["scheduler_dials"].as_array().expect("dials").iter();
    let mut turned = 0;
    for dial in own.chain(schedulers.flat_map(|one| one["dials"].as_array().expect("a list"))) {
        let Some((path, range)) = dial["path"].as_str().zip(dial["range"].as_array()) else {
            continue;
        };
        for end in range {
            let number = end.as_f64().expect("a number");
            let set = format!("{path}={number}{}", dial["unit"].as_str().expect("a unit"));
            let found = simulate(heavy, &[&set]);
            if found["ok"] == json!(true) {
                turned += 1;
                continue;
            }
            let told = first_problem(&found)["message"].as_str().expect("words");
            assert!(told.contains("no request can run"), "{set}: {told}");
        }
    }
    assert!(turned >= 14, "{turned}");
}

#[test]
fn a_model_that_is_chosen_gets_the_gpus_that_it_needs() {
    let tensor = |played: &Value| {
        let dials = played["dials"].as_array().expect("dials");
        dials.iter().find(|dial| dial["id"] == "tensor").expect("a dial").clone()
    };
    let small = simulate(SMALL, &[]);
    assert_eq!(tensor(&small)["value"], json!(1));
    assert_eq!((small.get("fitted"), tensor(&small).get("note")), (None, None));
    let large = simulate(SMALL, &["model=llama-3.1-70b"]);
    assert_eq!(large["ok"], json!(true), "{large}");
    assert_eq!(tensor(&large)["value"], json!(2));
    assert!(large["fitted"].as_str().expect("words").contains("now 2"), "{}", large["fitted"]);
    let text = large["text"].as_str().expect("a text");
    assert!(text.contains("tensor: 2"), "{text}");
    // And back: the same field, by the dial.
    let back = simulate(text, &["model=llama-3.1-8b", "parallelism.tensor=1"]);
    assert_eq!((tensor(&back)["value"].clone(), back.get("fitted")), (json!(1), None));
    // What somebody wrote or asked for stays as it is.
    let written = SMALL.replace("llama-3.1-8b", "llama-3.1-70b");
    for (text, set) in [(&written[..], "seed=4"), (text, "parallelism.tensor=1")] {
        let told = simulate(text, &[set]);
        assert!(first_problem(&told)["message"].as_str().expect("words").contains("does not fit"));
    }
    // Heads that do not divide over what was set: fewer GPUs.
    let spread = SMALL.replace("gpu: h100-sxm", "gpu: h100-sxm\nparallelism: {tensor: 8}");
    let other = simulate(&spread, &["model=qwen2.5-7b"]);
    assert_eq!(tensor(&other)["value"], json!(1), "{other}");
}

#[test]
fn each_class_is_judged_by_its_own_promise() {
    let text = SMALL.replace(
        "workload:",
        "workload:\n  classes: [{name: fast, slo: {tbt: 1ms}}, {name: slow, slo: {tbt: 10s, ttft: 1h}}]",
    );
    let played = simulate(&text, &[]);
    assert_eq!(played["ok"], json!(true), "{played}");
    let figures = played["figures"].as_array().expect("a list");
    let values = |name: &str| {
        let found = figures.iter().find(|figure| figure["name"] == json!(name));
        found.unwrap_or_else(|| panic!("no row {name}"))["values"].clone()
    };
    assert_eq!(values("slow: fluid requests"), json!([1.0, 1.0]));
    assert_eq!(values("slow: promise"), json!([1.0, 1.0]));
    assert_eq!(values("fast: promise"), json!([0.0, 0.0]));
    let of = |class: &str| {
        played["results"][0]["classes"][class]["fluidity"]["fluid_request_share"].clone()
    };
    assert_eq!(values("fast: fluid requests")[0], of("fast"));
    // The distributions show both promises.
    let lines = played["runs"][0]["lines"].as_array().expect("a list");
    let paces: Vec<&Value> =
        lines.iter().filter(|line| line["of"] == "tbt").map(|line| &line["value"]).collect();
    assert!(paces.contains(&&json!(0.001)) && paces.contains(&&json!(10.0)), "{paces:?}");
}

#[test]
fn problems_come_with_places_and_the_words_of_the_command_line() {
    let wrong = SMALL.replace("rate: 4", "rate: fast").replace("h100-sxm", "h100-sxn");
    let answer = simulate(&wrong, &[]);
    let problem = first_problem(&answer);
    assert_eq!((problem["line"].clone(), problem["path"].clone()), (json!(3), json!("gpu")));
    assert!(problem["help"].as_str().expect("advice").contains("h100-sxm"), "{problem}");
    assert_eq!(answer["problems"][1]["line"], json!(10));
    // An override's mistake is found in the text that it makes.
    let answer = simulate(SMALL, &["schedulers.1.sarathi.chunk_size=0"]);
    assert!(answer["text"].as_str().expect("a text").contains("chunk_size: 0"));
    assert_eq!(first_problem(&answer)["line"], json!(7));
    let answer = simulate(SMALL, &["nonsense"]);
    assert_eq!(first_problem(&answer)["file"], json!("--set"));
    // YAML that is none, and questions that are none.
    assert!(first_problem(&simulate("a: [", &[]))["line"].is_u64());
    for question in
        ["", "{", "[]", "null", "{\"op\": \"delete\"}", "{\"op\": \"simulate\"}", "\u{0}"]
    {
        let value: Value = serde_json::from_str(&answer_text(question)).expect("JSON");
        assert_eq!(value["ok"], json!(false), "{question}");
    }
}

fn answer_text(question: &str) -> String {
    answer(question, &Files::none())
}

#[test]
fn no_file_can_be_read() {
    let named = [
        "workload: {trace: {file: /etc/passwd}}",
        "workload: {requests: 5, arrivals: {all_at_once: {}}, lengths: {file: ../../../etc/passwd}}",
        "workload: {requests: 5, arrivals: {all_at_once: {}}, lengths: {table: chat}}\nmodel: {config: /etc/passwd}",
        "workload: {requests: 5, arrivals: {all_at_once: {}}, lengths: {table: chat}}\nengine: {profile: {file: /etc/passwd}}",
    ];
    for part in named {
        let mut text = "schedulers: [sarathi]\ngpu: h100-sxm\n".to_owned();
        for (key, line) in [("model:", "model: llama-3.1-8b\n"), ("engine:", "")] {
            if !part.contains(key) {
                text.push_str(line);
            }
        }
        text.push_str(part);
        let told = simulate(&text, &[]).to_string();
        assert!(told.contains("\"ok\":false"), "{part}");
        assert!(!told.contains("root:") && !told.contains("/bin/"), "{told}");
    }
}

#[test]
fn what_would_take_long_is_refused_before_it_starts() {
    let began = cpu_time();
    let too_much: &[&[&str]] = &[
        &["workload.requests=4000000000"],
        &["workload.requests=20001"],
        &["workload={requests: 40000000, arrivals: all_at_once, lengths: {table: chat}}"],
        &[
            "workload={duration: 1000000000s, arrivals: {poisson: {rate: 100000}}, lengths: {table: chat}}",
        ],
        &[
            "workload={duration: 1000000h, arrivals: {piecewise: [{for: 10s, rate: 0}, {for: 10s, rate: 900000}]}, lengths: {table: chat}}",
        ],
        &["workload.lengths={prompt: {fixed: 100000000}, output: {fixed: 1}}"],
        &[
            "workload.lengths={prompt: {fixed: 1}, output: {fixed: 4000000000}}",
            "engine.max_model_len=4000000000",
        ],
        &[
            "workload.lengths={prompt: {quantiles: {0: 1, 0.01: 100000000, 1: 100000000}}, output: {fixed: 1}}",
        ],
        &[
            "workload={arrivals: {piecewise: [{for: 1000000s, rate: 100000}]}, lengths: {table: chat}}",
        ],
        &[
            "workload.requests=20000",
            "workload.lengths={prompt: {fixed: 900}, output: {fixed: 1}}",
            "schedulers=[{sarathi: {chunk_size: 1}}]",
        ],
        &[
            "workload.requests=20000",
            "workload.arrivals={closed_loop: {users: 9, think_time: 0s}}",
            "workload.lengths={prompt: {quantiles: {0: 1, 0.01: 100000, 1: 100000}}, output: {fixed: 1}}",
        ],
        &["replicas=10000"],
        &["engine={profile: {fixed: {iteration: 1ns}}, kv_blocks: 4000000000}"],
        &[
            "workload={duration: 1000h, arrivals: {closed_loop: {users: 100, think_time: 0s}}, lengths: {table: chat}}",
        ],
        &[
            "workload={requests: 100, arrivals: {closed_loop: {users: 4000000000, think_time: 0s}}, lengths: {table: chat}}",
        ],
        &["workload.prefix_groups={count: 4000000000, tokens: 4000000000, share: 0.5}"],
        &["workload.prefix_groups={count: 100000, tokens: 1000000, share: 0.5}"],
        // Each figure is fine alone; prefix caches track blocks x replicas x schedulers.
        &[
            "schedulers=[vllm-v1, nano-vllm]",
            "engine={profile: {fixed: {iteration: 10ms}}, kv_blocks: 3000000, max_model_len: 9000, prefix_caching: true}",
        ],
        &["engine.kv_block_tokens=65536", "engine.kv_blocks=1000", "replicas=64"],
        &["schedulers=[{llama-cpp: {n_parallel: 1000000000, kv_unified: true}}]"],
        &[
            "workload={requests: 9, arrivals: {closed_loop: {users: 2, think_time: 0s}}, lengths: {prompt: {fixed: 1}, output: {lognormal: {mean: 1000, sigma: 9}}}}",
            "engine={profile: {fixed: {iteration: 1ns}}, kv_blocks: 20000000, max_model_len: 300000000}",
        ],
    ];
    for set in too_much {
        let answer = simulate(SMALL, set);
        let problem = first_problem(&answer);
        assert!(problem["message"].is_string(), "{set:?}: {problem}");
    }
    // Tens of millions of iterations would be: one prompt token each.
    let slow = simulate(
        SMALL,
        &[
            "workload.requests=1000",
            "schedulers=[{sarathi: {chunk_size: 1}}]",
            "workload.lengths={prompt: {fixed: 3000}, output: {fixed: 900}}",
        ],
    );
    assert!(
        first_problem(&slow)["message"].as_str().expect("words").contains("iterations"),
        "{slow}"
    );
    let long = format!("# {}\n{SMALL}", "x".repeat(TEXT_BYTES_MAX));
    assert!(
        first_problem(&simulate(&long, &[]))["message"].as_str().expect("words").contains("longer")
    );
    let took = cpu_time() - began;
    assert!(took.as_secs() < 30, "{took:?} of CPU");
    let most = simulate(SMALL, &[&format!("workload.requests={}", REQUESTS_MAX + 1)]);
    assert!(first_problem(&most)["help"].as_str().expect("advice").contains("metron-sim run"));
}

#[test]
fn steps_hold_what_the_batches_held() {
    let crowded = [
        "workload.arrivals={all_at_once: {}}",
        "engine.kv_blocks=700",
        "workload.lengths.prompt={lognormal: {mean: 600, sigma: 0.6}, max: 3000}",
    ];
    for name in SchedulerConfig::names() {
        let mut set: Vec<String> = crowded.iter().map(|&one| one.to_owned()).collect();
        set.push(format!("schedulers=[{name}]"));
        let scenario = json!({"text": SMALL, "set": set});
        let mut from = 0;
        let mut told = 0;
        loop {
            let question = json!({"op": "steps", "scenario": scenario, "scheduler": 0, "from": from, "count": 400});
            let steps = ask(&question);
            assert_eq!(steps["ok"], json!(true), "{name}: {steps}");
            let list = steps["steps"].as_array().expect("a list");
            for step in list {
                let running = step["running"].as_u64().expect("a count");
                let decodes = step["decodes"].as_array().expect("a list").len() as u64;
                let chunks = step["chunks"].as_array().expect("a list").len() as u64;
                assert!(decodes + chunks > 0, "{name}: an iteration of nothing: {step}");
                assert!(decodes <= running.max(decodes + chunks), "{name}");
                let waiting = step["waiting"].as_array().expect("a list").len() as u64;
                let count = step["waiting_count"].as_u64().expect("a count");
                assert!(waiting <= count, "{name}: {step}");
                // Whoever waits is not in the batch.
                for request in step["waiting"].as_array().expect("a list") {
                    assert!(
                        !step["decodes"].as_array().unwrap().contains(request),
                        "{name}: {step}"
                    );
                }
                told += decodes
                    + step["chunks"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter(|chunk| {
                            chunk[1].as_u64().unwrap() + chunk[2].as_u64().unwrap()
                                >= chunk[3].as_u64().unwrap()
                        })
                        .count() as u64;
            }
            from += list.len();
            if from as u64 >= steps["iterations"].as_u64().expect("a count") {
                break;
            }
        }
        let played = ask(&json!({"op": "simulate", "scenario": scenario}));
        let tokens = played["results"][0]["tokens"]["output"].as_u64().expect("a count");
        // Every token is a decode or ends a prompt; recomputed prompts bring one too.
        assert!(told >= tokens && told <= tokens + tokens / 10, "{name}: {told} of {tokens}");
    }
}

/// Every iteration of a lane, in order.
fn all_steps(scenario: &Value, lane: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let question = json!({"op": "steps", "scenario": scenario, "scheduler": 0, "replica": lane,
                              "from": all.len(), "count": 400});
        let steps = ask(&question);
        assert_eq!(steps["ok"], json!(true), "{steps}");
        assert_eq!(steps["replica"], json!(lane));
        all.extend(steps["steps"].as_array().expect("a list").iter().cloned());
        if all.len() as u64 >= steps["iterations"].as_u64().expect("a count") {
            return all;
        }
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().map(|n| n.as_u64().expect("a number")).collect()
}

#[test]
fn lanes_of_a_pipeline_tell_their_own_requests() {
    // Two replicas of two lanes each: a lane's number is no replica's.
    let scenario = json!({"text": SMALL, "set": [
        "schedulers=[sarathi]", "parallelism={pipeline: 2}", "replicas=2", "workload.requests=40",
        "workload.arrivals={poisson: {rate: 20}}",
    ]});
    let played =
        ask(&json!({"op": "simulate", "scenario": scenario, "steps": {"at_us": 0, "count": 400}}));
    let lanes = played["runs"][0]["lanes"].as_array().expect("a list");
    assert_eq!(lanes.len(), 4, "{played}");
    let mut lane_of = std::collections::BTreeMap::new();
    let mut decoded = 0;
    for (lane, view) in lanes.iter().enumerate() {
        assert_eq!(view["replica"], json!(lane));
        assert_eq!(view["part"], json!([lane / 2, lane % 2]));
        let steps = all_steps(&scenario, lane);
        let counts: Vec<usize> = steps.iter().map(|step| numbers(&step["decodes"]).len()).collect();
        // A column may stand for several iterations, with the most of each.
        let each = view["all"]["each"].as_u64().expect("a count") as usize;
        let most: Vec<u64> =
            counts.chunks(each).map(|some| *some.iter().max().expect("one") as u64).collect();
        assert_eq!(most, numbers(&view["all"]["decodes"]), "lane {lane}");
        decoded += counts.iter().sum::<usize>();
        for step in &steps {
            let chunks = step["chunks"].as_array().expect("a list").iter().map(|chunk| &chunk[0]);
            let there = numbers(&step["decodes"]).into_iter();
            for request in there.chain(chunks.map(|request| request.as_u64().expect("a number"))) {
                assert_eq!(*lane_of.entry(request).or_insert(lane), lane, "request {request}");
            }
        }
    }
    let result = &played["results"][0];
    let tokens = result["tokens"]["output"].as_u64().expect("a count");
    let requests = result["requests"]["completed"].as_u64().expect("a count");
    // The first token of each comes with its prompt.
    assert_eq!(decoded as u64, tokens - requests);
    assert_eq!(lane_of.len() as u64, requests);
    let first = &played["steps"][0];
    assert_eq!(first["replica"], lanes[0]["replica"]);
    let decodes = first["steps"].as_array().expect("a list").iter();
    assert!(decodes.map(|step| numbers(&step["decodes"]).len()).sum::<usize>() > 0);
}

#[test]
fn who_waits_and_who_stands_still_is_told_at_every_instant() {
    let scenario = json!({"text": SMALL, "set": ["schedulers=[vllm-v0]"]});
    let steps = all_steps(&scenario, 0);
    // A prefill alone freezes all who decoded before it.
    let frozen = steps.windows(2).filter(|two| {
        !two[0]["decodes"].as_array().unwrap().is_empty()
            && two[1]["decodes"].as_array().unwrap().is_empty()
    });
    let mut seen = 0;
    for two in frozen {
        let (before, now) = (numbers(&two[0]["decodes"]), numbers(&two[1]["frozen"]));
        let stay: Vec<u64> = before.iter().copied().filter(|one| now.contains(one)).collect();
        assert_eq!(now, stay, "nobody else holds a seat");
        assert_eq!(two[1]["frozen_count"], json!(now.len()));
        seen += now.len();
    }
    assert!(seen > 50, "{seen}");
    for step in &steps {
        let busy = numbers(&step["decodes"]).len() + step["chunks"].as_array().unwrap().len();
        let seated = busy as u64 + step["frozen_count"].as_u64().expect("a count");
        assert_eq!(step["running"], json!(seated), "{step}");
    }
    // As long as all requests waited together, somebody stands in the queue.
    let (mut waited, mut at) = (0.0, 0.0);
    let mut length = 0i64;
    for step in &steps {
        let start = step["start_us"].as_f64().expect("a time");
        waited += (start - at) * length as f64;
        (at, length) = (start, step["waiting_count"].as_i64().expect("a count"));
        for change in step["queue"].as_array().into_iter().flatten() {
            let when = change[0].as_f64().expect("a time");
            waited += (when - at) * length as f64;
            at = when;
            length += if change[2] == json!(true) { 1 } else { -1 };
        }
    }
    let played = ask(&json!({"op": "simulate", "scenario": scenario}));
    let delays = &played["results"][0]["scheduling_delay_s"];
    let all = delays["mean"].as_f64().expect("a mean") * delays["count"].as_f64().expect("a count");
    assert!((waited / 1e6 - all).abs() < 1e-3 * all, "{} s against {all} s", waited / 1e6);
    // The timeline's queue is the same.
    let all = &played["runs"][0]["lanes"][0]["all"];
    let (drawn, each) = (numbers(&all["waiting"]), all["each"].as_u64().expect("a count"));
    assert!(drawn.iter().any(|&waiting| waiting > 0));
    for (steps, &most) in steps.chunks(each as usize).zip(&drawn) {
        let mut seen = 0;
        for step in steps {
            let mut waiting = step["waiting_count"].as_i64().expect("a count");
            seen = seen.max(waiting);
            for change in step["queue"].as_array().into_iter().flatten() {
                waiting += if change[2] == json!(true) { 1 } else { -1 };
                seen = seen.max(waiting);
            }
        }
        assert_eq!(seen as u64, most, "{steps:?}");
    }
}

/// What is drawn against the load are the figures that the page would show there.
#[test]
fn curves_against_the_load_are_figures_of_the_results() {
    let sessions = bundled().into_iter().find(|one| one.name == "kv-tiers").expect("bundled").text;
    for (text, path, rates) in [
        (SMALL, "workload.arrivals.poisson.rate", ["2", "4", "9"]),
        (sessions, "workload.sessions.arrivals.poisson.rate", ["0.1", "0.3", "0.6"]),
    ] {
        let mut shares = Vec::new();
        for rate in rates {
            let scenario =
                json!({"text": text, "set": [format!("{path}={rate}"), "engine.kv_blocks=2000"]});
            let told = ask(&json!({"op": "load", "scenario": scenario}));
            assert_eq!(told["ok"], true, "{told}");
            let played = ask(&json!({"op": "simulate", "scenario": scenario}));
            assert_eq!(told["runs"], played["load"], "where the page is, it has them already");
            let results = played["results"].as_array().expect("results");
            for (run, result) in told["runs"].as_array().expect("runs").iter().zip(results) {
                assert_eq!(run["ttft_p99_s"], result["ttft_s"]["p99"]);
                assert_eq!(run["tbt_p99_s"], result["tbt_s"]["p99"]);
                // The promise of sessions bounds single requests; the other has none of its own.
                let goodput = &result["goodput"];
                let (share, per_s) = match text == SMALL {
                    false => (goodput["share"].as_f64(), goodput["requests_per_s"].as_f64()),
                    true => {
                        let share = result["fluidity"]["fluid_request_share"].as_f64();
                        (share, share.zip(result["duration_s"].as_f64()).map(|(s, d)| 60.0 * s / d))
                    }
                };
                assert_eq!(run["kept_share"].as_f64(), share);
                let (a, b) = (run["kept_per_s"].as_f64(), per_s);
                assert!((a.expect("known") - b.expect("known")).abs() < 1e-9, "{a:?} and {b:?}");
                let least = if text == SMALL { 0.99 } else { 0.95 };
                assert_eq!(run["least_share"].as_f64(), Some(least));
                shares.push(share.expect("known"));
            }
        }
        let falls = shares.last() < shares.first() || text == SMALL;
        assert!(falls, "more load keeps fewer promises: {shares:?}");
    }
}

/// Where prompts are computed on one replica and answered on another, each has its own in its batches: nobody
/// stands still where they have left, or are yet to come.
#[test]
fn seats_are_told_where_prefill_and_decode_are_apart() {
    let bundled = bundled();
    let text = bundled.iter().find(|one| one.name == "apart-won").expect("bundled").text;
    let scenario = json!({"text": text,
        "set": ["workload.requests=60", "engine.async_scheduling=false"]});
    let played = ask(&json!({"op": "simulate", "scenario": scenario}));
    let lanes = played["runs"][0]["lanes"].as_array().expect("lanes").len();
    assert_eq!(lanes, 8);
    let mut waiting = 0;
    for lane in 0..lanes {
        for step in all_steps(&scenario, lane) {
            let busy = numbers(&step["decodes"]).len() + step["chunks"].as_array().unwrap().len();
            let seated = busy as u64 + step["frozen_count"].as_u64().expect("a count");
            assert_eq!(step["running"], json!(seated), "lane {lane}: {step}");
            let line = numbers(&step["waiting"]);
            let in_batch = numbers(&step["decodes"]);
            assert!(line.iter().all(|one| !in_batch.contains(one)), "lane {lane}: {step}");
            waiting += line.len();
        }
    }
    assert!(waiting > 0);
}

/// What threads say of the turns' prompts adds up to what the results say.
#[test]
fn threads_of_sessions_are_the_results_own_turns() {
    let with_sessions = ["agents", "kv-tiers", "outgrown-cache", "slow-tier"];
    for name in with_sessions {
        let text = bundled().into_iter().find(|one| one.name == name).expect("bundled").text;
        let scenario = json!({"text": text, "set": ["workload.sessions.count=25"]});
        let played = ask(&json!({"op": "simulate", "scenario": scenario}));
        assert_eq!(played["ok"], true, "{name}: {played}");
        let told = ask(&json!({"op": "sessions", "scenario": scenario, "from_us": 0,
            "to_us": u64::MAX / 2000, "rows": 60}));
        assert_eq!(told["there"], 25, "{name}: {told}");
        let runs = told["runs"].as_array().expect("runs");
        for (threads, result) in runs.iter().zip(played["results"].as_array().expect("results")) {
            let result = &result["sessions"];
            let threads = threads.as_array().expect("threads");
            let turns = || threads.iter().flat_map(|one| one["turns"].as_array().expect("turns"));
            let sum = |of: &dyn Fn(&Value) -> &Value| -> u64 {
                turns().map(|turn| of(turn).as_u64().expect("a number")).sum()
            };
            assert_eq!(turns().count() as u64, result["turns"].as_u64().expect("a number"));
            for source in ["own_session", "shared_prefix", "other", "tiers"] {
                let hits = sum(&|turn| &turn["hits"][source]);
                assert_eq!(json!(hits), result["hit_tokens"][source], "{name}: {source}");
            }
            let prompts = sum(&|turn| &turn["prompt_tokens"]);
            assert_eq!(json!(prompts), result["prompt_tokens"], "{name}");
            let missed = ["evicted", "other_replica"].map(|one| &result["missed_tokens"][one]);
            let missed: u64 = missed.iter().filter_map(|one| one.as_u64()).sum();
            assert_eq!(sum(&|turn| &turn["again"]), missed, "{name}");
            for turn in turns() {
                let hits = turn["hits"].as_object().expect("sources").values();
                let hits: u64 = hits.filter_map(Value::as_u64).sum();
                let of = |part: &str| turn[part].as_u64().expect("a number");
                assert_eq!(hits + of("again") + of("computed"), of("prompt_tokens"), "{turn}");
                assert!(of("arrival_us") <= of("end_us"), "{turn}");
            }
        }
        // Of many those that fared worst, the same under all schedulers, one that is asked for among them.
        let few = ask(&json!({"op": "sessions", "scenario": scenario, "from_us": 0,
            "to_us": u64::MAX / 2000, "rows": 3, "request": 0}));
        let names = |run: &Value| -> Vec<Value> {
            run.as_array().expect("threads").iter().map(|one| one["session"].clone()).collect()
        };
        let runs = few["runs"].as_array().expect("runs");
        assert_eq!(names(&runs[0]).len(), 3);
        assert!(runs.iter().all(|run| names(run) == names(&runs[0])), "{name}");
        let first = runs[0].as_array().expect("threads").iter();
        let mut first = first.flat_map(|one| one["turns"].as_array().expect("turns"));
        assert!(first.any(|turn| turn["request"] == 0), "{name}");
    }
}

#[test]
fn columns_are_the_iterations_of_a_stretch() {
    let scenario = json!({"text": SMALL, "set": []});
    let played = ask(&json!({"op": "simulate", "scenario": scenario}));
    let lane = &played["runs"][0]["lanes"][0];
    let steps = ask(
        &json!({"op": "steps", "scenario": scenario, "scheduler": 0, "from": 50, "count": 100}),
    );
    let list = steps["steps"].as_array().expect("a list");
    let (from, to) = (&list[0]["start_us"], &list[99]["end_us"]);
    let question = json!({"op": "columns", "scenario": scenario, "scheduler": 0, "replica": 0, "from_us": from, "to_us": to});
    let answered = ask(&question);
    let columns = &answered["columns"];
    assert_eq!(columns["each"], 1, "{answered}");
    let first = columns["first"].as_u64().expect("a count");
    assert!(first == 50 || first == 49, "{first}");
    let decodes = columns["decodes"].as_array().expect("a list");
    for (step, at) in list.iter().zip(50 - first as usize..) {
        assert_eq!(decodes[at], step["decodes"].as_array().expect("a list").len());
    }
    assert!(decodes.len() as u64 <= lane["iterations"].as_u64().expect("a count"));
    // Beyond the run there is nothing; a replica that is not there is a problem.
    let beyond = json!({"op": "columns", "scenario": scenario, "scheduler": 0, "replica": 0, "from_us": u64::MAX, "to_us": 0});
    assert_eq!(ask(&beyond)["columns"]["start_us"], json!([]));
    let nobody = json!({"op": "columns", "scenario": scenario, "scheduler": 0, "replica": 9, "from_us": 0, "to_us": 1});
    assert_eq!(ask(&nobody)["ok"], json!(false));
}

#[test]
fn a_stall_has_cures_that_can_be_tried() {
    let played = simulate(SMALL, &[]);
    let stall = &played["runs"][0]["stalls"][0];
    let question = json!({
        "op": "cures", "scenario": {"text": SMALL}, "scheduler": 0,
        "request": stall["request"], "token": stall["token"],
    });
    let cured = ask(&question);
    assert_eq!(cured["stall"]["length_ns"], stall["length_ns"]);
    let tried = cured["tried"].as_array().expect("a list");
    assert!(tried.len() > 1);
    for one in tried {
        let set: Vec<&str> =
            one["set"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let again = simulate(SMALL, &set);
        assert_eq!(again["results"][0]["tbt_s"]["p99"], one["figures"]["tbt_p99_s"], "{set:?}");
    }
    for (request, token) in [(0_u32, 4_000_000_000_u32), (4_000_000_000, 0)] {
        let question = json!({"op": "cures", "scenario": {"text": SMALL}, "scheduler": 0, "request": request, "token": token});
        first_problem(&ask(&question));
    }
    let question = json!({"op": "cures", "scenario": {"text": SMALL}, "scheduler": 7, "request": 0, "token": 0});
    first_problem(&ask(&question));
}

#[test]
fn a_second_scheduler_is_added_and_taken_away() {
    let one = simulate(SMALL, &["schedulers=[orca]"]);
    let add = one["add"].as_str().expect("there is one");
    let two = simulate(SMALL, &["schedulers=[orca]", add]);
    assert_eq!(two["schedulers"], json!(["orca", "sarathi"]));
    let remove = two["remove"].as_str().expect("there are two");
    assert_eq!(simulate(SMALL, &[remove])["schedulers"], json!(["orca"]));
    let many = ask(
        &json!({"op": "simulate", "scenario": {"text": SMALL, "set": ["schedulers=[orca, sarathi, vllm-v1]"], "show": [2, 0, 1, 9]}}),
    );
    assert_eq!(many["shown"], json!([2, 0]));
    assert_eq!(many["results"][0]["scheduler"], json!("vllm-v1"));
}

#[test]
fn keys_without_effect_are_told_by_their_place_in_the_file() {
    let set = ["schedulers=[orca, vllm-v1, {sarathi: {low_chunk_size: 64}}]"];
    for show in [json!([2]), json!([1, 2]), json!([2, 1])] {
        let scenario = json!({"text": SMALL, "set": set, "show": show});
        let told = ask(&json!({"op": "simulate", "scenario": scenario}))["warnings"].to_string();
        assert!(told.contains("schedulers.2.sarathi.low_chunk_size has no effect"), "{told}");
    }
}

#[test]
fn what_the_verdict_says_is_said_once() {
    let set = [
        "schedulers=[orca, vllm-v1]",
        "engine.prefix_caching=true",
        "workload.prefix_groups={count: 3, tokens: 512}",
    ];
    let played = simulate(SMALL, &set);
    let (verdict, told) = (played["verdict"].to_string(), played["warnings"].to_string());
    assert!(verdict.contains("refix caching is on for vllm-v1"), "{verdict}");
    assert!(!told.contains("refix caching is on for"), "{told}");
    assert!(!told.contains("engine.prefix_caching"), "{told}");
    assert!(told.contains("workload.prefix_groups has no effect here"), "{told}");
}

#[test]
fn pools_are_played_and_their_dials_say_why_they_cannot_be_turned() {
    let pools = "pools=[{name: fast, replicas: 1}, {name: cheap, replicas: 2, gpu: l40s, \
                 engine: {kv_blocks: 3000}}]";
    let played = simulate(SMALL, &[pools, "router=least-requests"]);
    assert_eq!(played["ok"], json!(true), "{played}");
    assert_eq!(played["results"][0]["pools"]["cheap"]["replicas"], json!(2));
    let lanes = played["runs"][0]["lanes"].as_array().expect("a list");
    let told: Vec<_> = lanes.iter().map(|lane| (&lane["pool"], &lane["kv_blocks"])).collect();
    assert_eq!((told[1], told[2]), (told[2], (&json!("cheap"), &json!(3000))));
    for dial in played["dials"].as_array().expect("a list") {
        if ["gpu", "replicas", "kv_blocks"].contains(&dial["id"].as_str().expect("a name")) {
            assert!(dial["why"].as_str().expect("a reason").contains("pools"), "{dial}");
        }
    }
    let text = played["text"].as_str().expect("a text");
    let steps =
        ask(&json!({"op": "steps", "scenario": {"text": text}, "scheduler": 0, "replica": 2,
                            "from": 0, "count": 3}));
    assert_eq!(steps["kv_blocks"], json!(3000), "{steps}");
}

#[test]
fn every_bundled_scenario_plays_or_says_why_not() {
    for scenario in bundled() {
        let played = simulate(scenario.text, &[]);
        let large = scenario.name == "azure-conv";
        assert_eq!(played["ok"], json!(!large), "{}: {}", scenario.name, played["problems"]);
    }
    let catalog = ask(&json!({"op": "catalog"}));
    assert_eq!(
        catalog["schedulers"].as_array().map(Vec::len),
        Some(SchedulerConfig::names().len())
    );
    assert_eq!(catalog["lessons"].as_array().map(Vec::len), Some(14));
    assert_eq!(ask(&json!({"op": "lesson", "number": 14}))["ok"], json!(false));
}

/// "Longest pause" stands in the figures; whoever looks for it in the timeline finds that one, even
/// where waits for first tokens are all of the worst stalls.
#[test]
fn the_longest_pause_is_among_the_stalls() {
    let mut pauses = 0;
    for set in [
        &["slo={ttft: 200ms, tbt: 20ms}"][..],
        &["slo={ttft: 1ms, tbt: 20ms}", "workload.arrivals.poisson.rate=20"],
    ] {
        let played = simulate(SMALL, set);
        for (run, result) in ["/runs/0", "/runs/1"].iter().zip(["/results/0", "/results/1"]) {
            let longest = played
                .pointer(&format!("{result}/tbt_s/max"))
                .and_then(Value::as_f64)
                .expect("a pause");
            let stalls =
                played.pointer(&format!("{run}/stalls")).and_then(Value::as_array).expect("stalls");
            if longest <= 0.020 {
                continue;
            }
            let pause = stalls.iter().filter(|stall| stall["token"] != json!(0));
            let told =
                pause.filter_map(|stall| stall["length_ns"].as_f64()).fold(0.0, f64::max) / 1e9;
            assert!((told - longest).abs() < 1e-6, "{set:?}: {told} of {longest}");
            pauses += 1;
        }
    }
    assert!(pauses >= 2, "nothing stood still");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}", op in 0..3usize, n in any::<u32>()) {
        let scenario = json!({"text": text, "set": [text.clone()], "show": [n]});
        let question = match op {
            0 => json!({"op": "simulate", "scenario": scenario}),
            1 => json!({"op": "steps", "scenario": scenario, "scheduler": n, "replica": n, "from": n, "at_us": n, "count": n}),
            _ => json!({"op": "cures", "scenario": scenario, "scheduler": n, "request": n, "token": n}),
        };
        prop_assert_eq!(&ask(&question)["ok"], &json!(false));
        let raw: Value = serde_json::from_str(&answer_text(&text)).expect("JSON");
        prop_assert_eq!(&raw["ok"], &json!(false));
    }

    #[test]
    fn any_step_window_of_a_real_run_is_answered(from in any::<u64>(), at in any::<Option<u64>>(), count in any::<u32>()) {
        let question = json!({"op": "steps", "scenario": {"text": SMALL, "set": ["workload.requests=5"]}, "scheduler": 0, "from": from, "at_us": at, "count": count});
        let steps = ask(&question);
        prop_assert_eq!(&steps["ok"], &json!(true));
        prop_assert!(!steps["steps"].as_array().unwrap().is_empty());
    }
}
