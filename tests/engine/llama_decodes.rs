//! Real runs of llama-server, `llama_decode` call by call. Compared: which requests are in each
//! call, in the engine's order, with how many tokens, from which position on, and whether they are a prompt's;
//! and that there are as many calls. The order tells the slots: generating ones come in order of their numbers,
//! then prompts.
//!
//! Taken from the recording: prompts and answers as long as they came out, and when a request was there:
//! at the first call after the last one that left a slot free before the request had one, since
//! whoever is there gets a free slot. Time plays no part. The runs were made with `cache_prompt: false`.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;

use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig};
use metron_sim::sim::{Replay, ReplayRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::shared::{say, shared};

#[derive(Deserialize)]
struct Decode {
    ok: u32,
    /// Slot and task of all slots at work.
    busy: Vec<(usize, u32)>,
    /// Slot, tokens, first position, 1 if of a prompt.
    batch: Vec<(usize, u32, u32, u32)>,
}

struct Run {
    folder: &'static str,
    slots: usize,
    flags: Value,
    /// Two requests that came within a millisecond and were queued in the order opposite to that in
    /// which they got their numbers: front-end threads number a request before they queue it.
    turned: Option<(u32, u32)>,
}

/// The task of a request, its tokens, how many it had before, whether they are a prompt's.
type Entry = (u32, u32, u32, bool);

fn read(folder: &Path) -> Vec<Decode> {
    let file = std::fs::File::open(folder.join("decodes.jsonl.gz")).expect("it is there");
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let decode = |line: std::io::Result<String>| {
        serde_json::from_str(&line.expect("readable")).expect("a decode")
    };
    lines.map(decode).collect()
}

/// The requests in the order in which they were queued, by task.
fn requests(run: &Run, decodes: &[Decode]) -> (Vec<u32>, Vec<ReplayRequest>) {
    let mut lengths: BTreeMap<u32, (usize, u32, u32)> = BTreeMap::new();
    for (call, decode) in decodes.iter().enumerate() {
        let tasks: HashMap<usize, u32> = decode.busy.iter().copied().collect();
        for task in tasks.values() {
            lengths.entry(*task).or_insert((call, 0, 1));
        }
        for (slot, tokens, _, prompt) in &decode.batch {
            let of = lengths.get_mut(&tasks[slot]).expect("who is in a batch is busy");
            match prompt {
                1 => of.1 += tokens,
                _ => of.2 += 1,
            }
        }
    }
    let mut tasks: Vec<u32> = lengths.keys().copied().collect();
    if let Some((early, late)) = run.turned {
        let place = tasks.iter().position(|&task| task == early).expect("it is there");
        assert_eq!(tasks[place + 1], late);
        tasks.swap(place, place + 1);
    }
    let free: Vec<usize> =
        (0..decodes.len()).filter(|&call| decodes[call].busy.len() < run.slots).collect();
    let mut arrival_step = 0;
    let request = |task: &u32| {
        let (first, prompt_tokens, output_tokens) = lengths[task];
        let before = free.partition_point(|&call| call < first);
        let there = before.checked_sub(1).map_or(0, |last| free[last] + 1);
        arrival_step = (there as u64).max(arrival_step);
        ReplayRequest {
            arrival_step,
            prompt_tokens,
            output_tokens,
            max_tokens: output_tokens,
            ..ReplayRequest::default()
        }
    };
    let requests = tasks.iter().map(request).collect();
    (tasks, requests)
}

/// Compares every call; says how many there were.
fn compare(run: &Run, folder: &Path) -> usize {
    let decodes = read(folder);
    assert!(decodes.iter().all(|decode| decode.ok == 1), "{}: a call failed", run.folder);
    let (tasks, requests) = requests(run, &decodes);
    // 16384 cells for four slots, 32768 for eight.
    let engine = EngineInfo {
        kv_block_tokens: 1,
        kv_blocks: 4096 * run.slots as u32,
        max_model_len: 4096,
        prefix_caching: false,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    };
    let config: SchedulerConfig =
        serde_json::from_value(json!({"llama-cpp": run.flags})).expect("a valid config");
    assert!(config.problems(&engine).is_empty());
    let mut replay = Replay::new(config.build(&engine), &engine, requests, true);
    for (call, decode) in decodes.iter().enumerate() {
        let busy: HashMap<usize, u32> = decode.busy.iter().copied().collect();
        let real: Vec<Entry> = decode
            .batch
            .iter()
            .map(|&(slot, tokens, from, prompt)| (busy[&slot], tokens, from, prompt == 1))
            .collect();
        let step = replay.next().unwrap_or_else(|| panic!("{}: call {call}", run.folder));
        let ours: Vec<Entry> = step
            .scheduled
            .iter()
            .map(|one| (tasks[one.request.index()], one.tokens, one.computed_before, one.prefill))
            .collect();
        assert_eq!(ours, real, "{}: call {call}", run.folder);
    }
    assert!(replay.next().is_none(), "{}: more calls than recorded", run.folder);
    decodes.len()
}

#[test]
fn every_recorded_decode_call_of_llama_server_holds_the_same() {
    let Some(runs) = shared("data/runs-local") else { return };
    let all = [
        Run {
            folder: "llama-default-lburst2",
            slots: 4,
            flags: json!({"cache_prompt": false}),
            turned: None,
        },
        Run {
            folder: "llama-default-lchat1",
            slots: 4,
            flags: json!({"cache_prompt": false}),
            turned: None,
        },
        Run {
            folder: "llama-nocb-lchat1",
            slots: 4,
            flags: json!({
                "cache_prompt": false, "n_parallel": 4, "n_batch": 512, "n_ubatch": 512,
                "cont_batching": false,
            }),
            turned: Some((1635, 1636)),
        },
        Run {
            folder: "llama-np8b512-lburst2",
            slots: 8,
            flags: json!({
                "cache_prompt": false, "n_parallel": 8, "n_batch": 512, "n_ubatch": 256,
            }),
            turned: None,
        },
    ];
    let (mut compared, mut calls) = (0, 0);
    for run in &all {
        let folder = runs.join(run.folder);
        if !folder.is_dir() {
            say(&format!("SKIPPED: {} is not there", folder.display()));
            continue;
        }
        compared += 1;
        calls += compare(run, &folder);
    }
    say(&format!("llama-server decodes: {compared} runs, {calls} calls, all equal"));
}
