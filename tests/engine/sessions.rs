//! Follow-up turns: prompts that begin with the prompt and the answer of the turn before.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::alike::{Setup, play};
use crate::golden::recorded_runs;
use crate::shared::{say, shared};
use crate::small::ENGINE;
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::fleet::Routing;
use metron_sim::scheduler::{EngineInfo, SchedulerConfig};
use metron_sim::sim::SimOptions;
use metron_sim::time::Span;
use metron_sim::workload::{
    Amount, Drawn, Limits, MaxTokens, Source, TraceSpec, WorkloadSpec, draw,
};

/// A step lasts a millisecond: less than any of the real run's, so that a turn has ended when the
/// next one comes.
struct Quick;

impl CostModel for Quick {
    fn time(&self, _: &BatchShape<'_>) -> IterationTime {
        IterationTime { gpu: Span::from_millis(1), host: Span::ZERO }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// The rows of a trace, read from a file.
fn read(rows: &[Value], block_tokens: u32) -> Drawn {
    let mut text = format!("{}\n", json!({ "block_tokens": block_tokens }));
    rows.iter().for_each(|row| writeln!(text, "{row}").expect("a string takes it"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.jsonl");
    std::fs::write(&file, text).expect("written");
    let trace = TraceSpec {
        file,
        format: None,
        time_scale: 1.0,
        arrivals: None,
        by_answers: false,
        keeps_times: false,
        gap_cap: None,
    };
    let spec = WorkloadSpec {
        source: Source::Trace(trace),
        amount: Amount { requests: None, duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    draw(&spec, 1, Limits { max_model_len: 4096, kv_block_tokens: block_tokens }).expect("a trace")
}

/// Prompt tokens that each request computes with vLLM's prefix cache.
fn computed(drawn: &Drawn, block_tokens: u32) -> Vec<u32> {
    let engine = EngineInfo {
        kv_block_tokens: block_tokens,
        kv_blocks: 7281,
        max_model_len: 4096,
        prefix_caching: true,
        ..ENGINE
    };
    let setup = Setup {
        luck: None,
        cost: &Quick,
        engine,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling: false,
        horizon: None,
    };
    let config: SchedulerConfig =
        serde_json::from_value(json!({"vllm-v1": {"max_num_batched_tokens": 2048}})).unwrap();
    let make = || config.build(&engine);
    let run = |reference| {
        let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
        play(&setup, &make, &mut drawn.workload.arriving(), options).expect("nobody is stuck")
    };
    let (fast, slow) = (run(false), run(true));
    assert_eq!(fast, slow, "both paths give the same");
    fast.trace.requests.iter().map(|row| row.prompt_tokens - row.hit_tokens).collect()
}

fn turn(arrival_s: f64, prompt: u32, output: u32, session: &str) -> Value {
    json!({
        "arrival_s": arrival_s, "prompt_tokens": prompt, "output_tokens": output,
        "session": session,
    })
}

#[test]
fn a_turn_of_a_session_begins_with_the_turn_before_it() {
    let rows = [
        turn(0.0, 40, 25, "a"),
        turn(1.0, 80, 1, "a"),
        // Too short for the turn before it.
        turn(2.0, 80, 1, "a"),
        turn(3.0, 160, 1, "b"),
        // 80 tokens and one answer token before it.
        turn(4.0, 96, 10, "a"),
    ];
    let drawn = read(&rows, 16);
    // Of 40 + 25 tokens 64 are computed, which fill four blocks; of 80 + 1 all 80.
    assert_eq!(computed(&drawn, 16), [40, 16, 80, 160, 16]);
    let told: Vec<String> = drawn.warnings.iter().map(|warning| warning.message.clone()).collect();
    let begin = "2 rows are long enough to begin with the row of their session before them, prompt \
                 and answer, and are taken to do so";
    assert!(told.contains(&begin.to_owned()), "{told:?}");
}

/// A turn may come before the answer that it begins with has ended: what is there by then is found.
#[test]
fn blocks_of_an_answer_are_found_while_it_goes_on() {
    let rows = [turn(0.0, 16, 1000, "a"), turn(0.1005, 1016, 1, "a")];
    // A token a millisecond from 1 ms on: when the second comes 101 steps have begun, the last of
    // which computes token 116, and the next is the one that takes it in.
    assert_eq!(computed(&read(&rows, 16), 16), [16, 1016 - 112]);
}

#[test]
fn content_ids_beyond_a_prompt_are_its_answers() {
    let row = |arrival_s: f64, prompt: u32, output: u32, ids: &[u64]| {
        json!({
            "arrival_s": arrival_s, "prompt_tokens": prompt, "output_tokens": output,
            "block_hash_ids": ids,
        })
    };
    let asked = |first: &[u64]| {
        computed(&read(&[row(0.0, 24, 25, first), row(1.0, 64, 1, &[1, 2, 3, 4])], 16), 16)
    };
    // Tokens 0 to 47 are computed, the 49th is sampled last.
    assert_eq!(asked(&[1, 2, 3]), [24, 16]);
    // The block in which the prompt ends is named only where the ids go on beyond it.
    assert_eq!(asked(&[1, 2]), [24, 48]);
    // The ids of one row say how those of all are meant.
    let rows = [row(0.0, 24, 25, &[1, 2]), row(1.0, 64, 1, &[1, 2, 3, 4, 5])];
    assert_eq!(computed(&read(&rows, 16), 16), [24, 32]);
}

/// 76 turns of conversations with a vLLM 0.32 server: the 56 that follow others computed 3,607 tokens
/// of their prompts, and would have computed 7,735 had answers not been kept.
#[test]
fn real_conversations_compute_what_they_did() {
    let Some(run) = shared("data/runs-local/b2048-sessions1") else { return };
    let Some(cases) = recorded_runs("golden-sessions") else { return };
    let text = |name: &str| std::fs::read_to_string(run.join(name)).expect("readable");
    let as_it_lies: Vec<Value> = text("trace.jsonl")
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    let requests = text("requests.csv");
    let mut lines = requests.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| names.iter().position(|n| *n == name).expect("a column");
    let fields: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let follows = |place: usize| !fields[place][column("after")].is_empty();
    let follow_up = |rows: &[Value]| -> u32 {
        let drawn = read(rows, 32);
        let computed = computed(&drawn, 32);
        assert_eq!(computed.len(), fields.len());
        (0..computed.len()).filter(|&place| follows(place)).map(|place| computed[place]).sum()
    };
    let real: u32 = (0..fields.len())
        .filter(|&place| follows(place))
        .map(|place| {
            let number = |name: &str| fields[place][column(name)].parse::<u32>().expect("a number");
            number("prompt_tokens") - number("cached_tokens")
        })
        .sum();
    // The file has ids of prompts alone.
    assert_eq!((real, follow_up(&as_it_lies)), (3607, 7735));
    // With those of answers, which vLLM cached too.
    let ids = cases[0].block_ids();
    let with_answers: Vec<Value> = (0..as_it_lies.len())
        .map(|place| {
            let mut row = as_it_lies[place].clone();
            row["block_hash_ids"] = json!(ids[place]);
            row
        })
        .collect();
    assert_eq!(follow_up(&with_answers), real);
    // And without ids, by the session that a turn belongs to: `sessions1-s03t1` is its turn 1.
    let by_session: Vec<Value> = (0..as_it_lies.len())
        .map(|place| {
            let mut row = as_it_lies[place].clone();
            let id = fields[place][column("id")];
            row["session"] = json!(id.rsplit_once('t').expect("a turn").0);
            row.as_object_mut().expect("a row").remove("block_hash_ids");
            row
        })
        .collect();
    assert_eq!(follow_up(&by_session), real);
    say(&format!("real conversations: {} turns, follow-ups computed {real} tokens", ids.len()));
}
