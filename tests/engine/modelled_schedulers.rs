//! The policies written from descriptions of their systems: small cases computed by hand, step by
//! step.

use metron_sim::request::RequestId;
use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig};
use metron_sim::sim::{Replay, ReplayRequest, StepRecord};
use serde_json::{Value, json};

/// A request: the step before which it arrives, prompt, output and declared longest output.
type Load = (u64, u32, u32, u32);

fn engine(kv_blocks: u32, kv_block_tokens: u32) -> EngineInfo {
    EngineInfo {
        kv_block_tokens,
        kv_blocks,
        max_model_len: 8192,
        prefix_caching: false,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    }
}

fn replay(config: &Value, engine: &EngineInfo, load: &[ReplayRequest], reference: bool) -> Replay {
    let config: SchedulerConfig = serde_json::from_value(config.clone()).expect("a valid config");
    let problems = config.problems(engine);
    assert!(problems.is_empty(), "{config:?}: {problems:?}");
    Replay::new(config.build(engine), engine, load.to_vec(), reference)
}

fn requests(load: &[Load]) -> Vec<ReplayRequest> {
    let request = |&(arrival_step, prompt_tokens, output_tokens, max_tokens)| ReplayRequest {
        arrival_step,
        prompt_tokens,
        output_tokens,
        max_tokens,
        ..ReplayRequest::default()
    };
    load.iter().map(request).collect()
}

/// One step as text: prefill chunks as `request+tokens` in batch order, decodes after `/`,
/// preempted requests after `~`, dropped ones after `!`.
fn line(record: &StepRecord) -> String {
    let mut line: Vec<String> = Vec::new();
    for chunk in record.scheduled.iter().filter(|s| s.prefill) {
        line.push(format!("{}+{}", chunk.request, chunk.tokens));
    }
    let mut decodes: Vec<RequestId> =
        record.scheduled.iter().filter(|s| !s.prefill).map(|s| s.request).collect();
    decodes.sort_unstable();
    for (mark, ids) in [("/", &decodes), ("~", &record.preempted), ("!", &record.dropped)] {
        if !ids.is_empty() {
            line.push(mark.to_owned());
            line.extend(ids.iter().map(RequestId::to_string));
        }
    }
    line.join(" ")
}

#[track_caller]
fn steps(config: Value, engine: EngineInfo, load: &[Load], expected: &[&str]) {
    let load = requests(load);
    let played: Vec<String> = replay(&config, &engine, &load, true).map(|r| line(&r)).collect();
    let wanted: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
    assert_eq!(played, wanted, "{config}");
}

// SGLang ----------------------------------------------------------------------------------------

#[test]
fn sglang_prefills_before_it_decodes_and_carries_one_chunk_over() {
    let config = json!({"sglang": {"chunked_prefill_size": 100}});
    let load = [(0, 50, 4, 4), (1, 250, 2, 2), (3, 30, 2, 2)];
    steps(
        config,
        engine(1000, 1),
        &load,
        &[
            "0+50",
            // A prompt that can be prefilled always wins: request 0 does not decode.
            "1+100",
            // The cut prompt goes on before anyone else.
            "1+100",
            // Its last 50 tokens leave 50 of the chunk, into which request 2 fits whole.
            "1+50 2+30",
            "/ 0 1 2",
            "/ 0",
            "/ 0",
        ],
    );
}

#[test]
fn sglang_decodes_between_prefills_by_the_interval() {
    let config = json!({"sglang": {"chunked_prefill_size": 100, "prefill_decode_interval": 1}});
    let load = [(0, 50, 4, 4), (1, 250, 2, 2)];
    // After every prefill batch one round is the decodes', chunks that carry over included.
    let expected = ["0+50", "/ 0", "1+100", "/ 0", "1+100", "/ 0", "1+50", "/ 1"];
    steps(config, engine(1000, 1), &load, &expected);
}

#[test]
fn sglang_looks_for_requests_once_in_so_many_decode_turns() {
    let config = json!({"sglang": {"scheduler_recv_interval": 4}});
    let load = [(0, 50, 6, 6), (2, 30, 2, 2)];
    // It looked after the prefill; then the fourth decode turn fills the count.
    let expected = ["0+50", "/ 0", "/ 0", "/ 0", "/ 0", "1+30", "/ 0 1"];
    steps(config, engine(1000, 1), &load, &expected);
}

#[test]
fn tensorrt_llm_lets_prompts_wait_for_others() {
    let config = json!({"tensorrt-llm": {
        "max_num_tokens": 100, "batch_wait_max_tokens_ratio": 0.9, "batch_wait_timeout_iters": 3,
    }});
    // Alone it waits three steps; nobody waits while nobody decodes.
    let alone = [(0, 50, 8, 8), (1, 30, 2, 2)];
    let expected = ["0+50", "/ 0", "/ 0", "/ 0", "1+30 / 0", "/ 0 1", "/ 0", "/ 0"];
    steps(config.clone(), engine(1000, 1), &alone, &expected);
    // Two make 91 tokens with the decode: enough.
    let two = [(0, 50, 3, 3), (1, 45, 1, 1), (1, 45, 1, 1)];
    steps(config, engine(1000, 1), &two, &["0+50", "1+45 2+45 / 0", "/ 0"]);
}

#[test]
fn sglang_mixes_decodes_into_chunks() {
    let config = json!({"sglang": {"chunked_prefill_size": 100, "enable_mixed_chunk": true}});
    let load = [(0, 50, 4, 4), (1, 250, 2, 2)];
    // One running request takes one token off the chunk: 99 + 99 + 52.
    let expected = ["0+50", "1+99 / 0", "1+99 / 0", "1+52 / 0", "/ 1"];
    steps(config, engine(1000, 1), &load, &expected);
}

#[test]
fn sglang_counts_max_tokens_of_new_requests_in_full_and_of_running_ones_in_part() {
    // 100 tokens of memory, ratio 0.7. Request 0 takes 20, and 10 of its 11 are still to come: 7.
    // So 73 are left: request 1 needs 40 + 32 + 1 = 73, which is not less; with 31 it is.
    let config = json!({"sglang": {}});
    let blocked = [(0, 20, 3, 11), (1, 40, 1, 32)];
    steps(config.clone(), engine(100, 1), &blocked, &["0+20", "/ 0", "/ 0", "1+40"]);
    let fits = [(0, 20, 3, 11), (1, 40, 1, 31)];
    steps(config, engine(100, 1), &fits, &["0+20", "1+40", "/ 0", "/ 0"]);
}

#[test]
fn sglang_retracts_those_with_the_fewest_output_tokens() {
    // With a conservativeness of 0 nothing is kept for running requests.
    let config = json!({"sglang": {"schedule_conservativeness": 0.0}});
    let load = [(0, 6, 8, 8), (2, 5, 6, 6), (5, 8, 2, 8)];
    steps(
        config,
        engine(20, 1),
        &load,
        &[
            "0+6", "/ 0", // Memory 20 - 7; 5 + 6 + 1 = 12 is less than 13.
            "1+5", "/ 0 1", "/ 0 1",
            // Request 2 would need 8 + 8 + 1: the batch is full.
            "/ 0 1", "/ 0 1",
            // 11 + 9 tokens are held and two more needed. Request 1 has 5 output tokens, request 0
            // has 6: request 1 goes, behind request 2.
            "/ 0 ~ 1", "/ 0",
            // Request 0 has ended. Request 2 is first; 20 - 16 leave too little for request 1.
            "2+8", "/ 2",
            // Prompt and 5 output tokens are computed anew, which gives the sixth.
            "1+10",
        ],
    );
}

#[test]
fn sglang_cuts_at_whole_pages() {
    // Pages of 16: 2 * 16 = 32 is the most of a chunk of 40; 70 = 32 + 38, and 38 <= 40.
    let config = json!({"sglang": {"chunked_prefill_size": 40, "page_size": 16}});
    steps(config, engine(100, 16), &[(0, 70, 1, 1)], &["0+32", "0+38"]);
}

#[test]
fn sglang_prefers_long_prefixes_under_lpm() {
    let mut load = requests(&[(0, 33, 1, 1), (1, 33, 1, 1), (1, 33, 1, 1)]);
    load[0].block_ids = vec![7, 8];
    load[1].block_ids = vec![5, 6];
    load[2].block_ids = vec![7, 8];
    let engine = EngineInfo { prefix_caching: true, ..engine(100, 16) };
    let play = |policy: &str| -> Vec<String> {
        let config = json!({"sglang": {"schedule_policy": policy, "max_running_requests": 1}});
        replay(&config, &engine, &load, true).map(|record| line(&record)).collect()
    };
    assert_eq!(play("fcfs"), ["0+33", "1+33", "2+1"]);
    assert_eq!(play("lpm"), ["0+33", "2+1", "1+33"]);
}

// TensorRT-LLM ----------------------------------------------------------------------------------

#[test]
fn tensorrt_llm_reserves_to_the_end_and_never_overtakes() {
    let config = json!({"tensorrt-llm": {"max_num_tokens": 50}});
    // 100 tokens of memory: request 0 reserves 60, request 1 would 50. Request 2 would only 10, but
    // does not overtake.
    let load = [(0, 30, 3, 30), (0, 30, 2, 20), (0, 5, 2, 5)];
    let expected = ["0+30", "/ 0", "/ 0", "1+30 2+5", "/ 1 2"];
    steps(config, engine(100, 1), &load, &expected);
}

#[test]
fn tensorrt_llm_without_chunks_breaks_at_a_prompt_that_does_not_fit() {
    let config = json!({"tensorrt-llm": {"max_num_tokens": 50}});
    let load = [(0, 30, 2, 2), (0, 30, 1, 1), (0, 5, 1, 1)];
    // 30 + 30 > 50 ends the step, though request 2 would fit; then 1 + 30 + 5 do.
    steps(config, engine(1000, 1), &load, &["0+30", "1+30 2+5 / 0"]);
}

#[test]
fn tensorrt_llm_chunks_by_order_or_equally() {
    let config = |policy: &str| {
        json!({"tensorrt-llm": {
            "max_num_tokens": 50, "enable_chunked_prefill": true, "context_chunking_policy": policy,
        }})
    };
    let load = [(0, 40, 2, 2), (0, 40, 1, 1), (0, 40, 1, 1)];
    // In order: 40, then 10 of 40, cut to whole blocks of 16: none. Decodes come first: 49 are left
    // for 40 and 9, again none.
    let by_order = ["0+40", "1+40 / 0", "2+40"];
    steps(config("FIRST_COME_FIRST_SERVED"), engine(100, 16), &load, &by_order);
    // A block to each in turn: 48 of 50. Then 24 are left of each, 16 + 16 + 16; then 8 + 8 + 8.
    let equally = ["0+16 1+16 2+16", "0+16 1+16 2+16", "0+8 1+8 2+8", "/ 0"];
    steps(config("EQUAL_PROGRESS"), engine(100, 16), &load, &equally);
}

#[test]
fn tensorrt_llm_max_utilization_pauses_the_youngest() {
    let with = |reuse: bool| {
        json!({"tensorrt-llm": {
            "capacity_scheduler_policy": "MAX_UTILIZATION", "enable_block_reuse": reuse,
        }})
    };
    let load = [(0, 6, 8, 8), (0, 6, 8, 8)];
    steps(
        with(false),
        engine(20, 1),
        &load,
        &[
            // Nothing is reserved: 6 + 6 of 20, though both may grow to 14.
            "0+6 1+6", "/ 0 1", "/ 0 1", "/ 0 1", "/ 0 1",
            // All 20 are held; the older request's next token costs the younger its place.
            "/ 0 ~ 1", // 11 tokens to recompute, 8 are free.
            "/ 0", "/ 0", "1+11", "/ 1", "/ 1",
        ],
    );
    // It finds of its own what the older one has not taken since: 3 of 10 blocks.
    let again = ["0+6 1+6", "/ 0 1", "/ 0 1", "/ 0 1", "/ 0 1", "/ 0 ~ 1", "/ 0", "/ 0", "1+4"];
    let played = replay(&with(true), &engine(20, 1), &requests(&load), true);
    let played: Vec<String> = played.map(|record| line(&record)).take(again.len()).collect();
    assert_eq!(played, again);
}

#[test]
fn tensorrt_llm_static_batch_admits_nobody_while_anyone_decodes() {
    let config = json!({"tensorrt-llm": {"capacity_scheduler_policy": "STATIC_BATCH"}});
    let load = [(0, 10, 3, 3), (1, 10, 1, 1)];
    steps(config, engine(100, 1), &load, &["0+10", "/ 0", "/ 0", "1+10"]);
}

// llama.cpp -------------------------------------------------------------------------------------

#[test]
fn llama_cpp_gives_the_batch_to_the_lowest_slot() {
    let config = json!({"llama-cpp": {"n_batch": 100, "n_parallel": 2, "kv_unified": true}});
    let load = [(0, 500, 2, 2), (0, 50, 2, 2), (0, 120, 1, 1)];
    steps(
        config,
        engine(1000, 1),
        &load,
        &[
            // On a cold server the first to come gets the highest slot.
            "1+50 0+50",
            "0+99 / 1",
            // Request 2 has got slot 0, so it goes before the prompt that slot 1 is in the middle of.
            "2+100",
            "2+20 0+80",
            "0+100",
            "0+100",
            "0+71",
            "/ 0",
        ],
    );
}

#[test]
fn llama_cpp_fails_every_slot_when_unified_memory_is_full() {
    let config = json!({"llama-cpp": {"n_parallel": 2, "kv_unified": true}});
    let load = [(0, 10, 8, 8), (0, 6, 8, 8), (0, 4, 1, 1)];
    // 16, 18, 20 tokens held of 20; two more do not fit. The deferred request finds free slots.
    let expected = ["1+6 0+10", "/ 0 1", "/ 0 1", "2+4 ~ 1 0 ! 1 0"];
    steps(config, engine(20, 1), &load, &expected);
}

#[test]
fn llama_cpp_slots_own_their_memory_unless_unified() {
    let config = json!({"llama-cpp": {"n_parallel": 2}});
    let load = requests(&[(0, 10, 2, 2), (0, 6, 2, 2), (0, 4, 1, 1)]);
    let played: Vec<_> = replay(&config, &engine(30, 1), &load, true).collect();
    // Each slot takes 15 of 30 at once; the third request waits for a slot.
    assert_eq!(played[0].free_blocks, 0);
    let lines: Vec<String> = played.iter().map(line).collect();
    assert_eq!(lines, ["1+6 0+10", "/ 0 1", "2+4"]);
}

#[test]
fn llama_cpp_without_continuous_batching_keeps_prompts_back() {
    let config = json!({"llama-cpp": {"cont_batching": false}});
    let load = [(0, 10, 3, 3), (1, 6, 1, 1)];
    steps(config, engine(100, 1), &load, &["0+10", "/ 0", "/ 0", "1+6"]);
}

/// A request whose first blocks have these contents: the step before which it arrives, prompt and
/// output.
type Alike<'a> = (u64, u32, u32, &'a [u64]);

fn alike(load: &[Alike<'_>]) -> Vec<ReplayRequest> {
    let request = |&(arrival_step, prompt_tokens, output_tokens, ids): &Alike<'_>| ReplayRequest {
        arrival_step,
        prompt_tokens,
        output_tokens,
        max_tokens: output_tokens,
        block_ids: ids.to_vec(),
        ..ReplayRequest::default()
    };
    load.iter().map(request).collect()
}

#[track_caller]
fn steps_alike(config: &Value, engine: &EngineInfo, load: &[Alike<'_>], expected: &[&str]) {
    let played: Vec<String> =
        replay(config, engine, &alike(load), true).map(|r| line(&r)).collect();
    assert_eq!(played, expected, "{config}");
}

#[test]
fn llama_cpp_serves_those_who_waited_last_first_when_slots_come_free_together() {
    let config = json!({"llama-cpp": {"n_parallel": 2}});
    let load = [(0, 5, 1, 1), (0, 6, 1, 1), (0, 7, 2, 2), (0, 8, 1, 1), (0, 9, 1, 1)];
    // Slots 0 and 1 come free in this order. Of requests 2 and 3 the later gets the slot that has been
    // free for longer; request 4 waits for the next.
    steps(config, engine(200, 1), &load, &["1+6 0+5", "3+8 2+7", "4+9 / 2"]);
}

#[test]
fn llama_cpp_goes_on_from_what_a_slot_holds() {
    let head: Vec<u64> = (1..=10).collect();
    let longer: Vec<u64> = (1..=10).chain(50..60).collect();
    let other: Vec<u64> = (90..100).collect();
    let load: [Alike<'_>; 5] = [
        (0, 10, 3, &head),
        (5, 10, 1, &head),
        (7, 20, 1, &longer),
        (9, 10, 1, &other),
        (11, 11, 1, &other),
    ];
    let with = |cache_prompt: bool, similarity: f64| {
        json!({"llama-cpp": {
            "cache_prompt": cache_prompt, "slot_prompt_similarity": similarity, "n_parallel": 2,
            "cache_ram_tokens": 0,
        }})
    };
    let engine = engine(200, 1);
    // All but the last token of the same prompt, 10 of 20 of the longer one; the other prompt gets the
    // slot that was never used, and there all its known tokens are found.
    let expected = ["0+10", "/ 0", "/ 0", "1+1", "2+10", "3+10", "4+1"];
    steps_alike(&with(true, 0.1), &engine, &load, &expected);
    // A slot that holds no more than half of a prompt is not looked for: request 2 gets the other one.
    let expected = ["0+10", "/ 0", "/ 0", "1+1", "2+20", "3+10", "4+1"];
    steps_alike(&with(true, 0.5), &engine, &load, &expected);
    let expected = ["0+10", "/ 0", "/ 0", "1+10", "2+20", "3+10", "4+11"];
    steps_alike(&with(false, 0.1), &engine, &load, &expected);
}

#[test]
fn llama_cpp_copies_what_a_slot_would_lose() {
    let (head, other): (Vec<u64>, Vec<u64>) = ((1..=10).collect(), (90..100).collect());
    let load: [Alike<'_>; 3] = [(0, 10, 1, &head), (2, 10, 1, &other), (4, 11, 1, &head)];
    let with = |room: u32| json!({"llama-cpp": {"n_parallel": 1, "cache_ram_tokens": room}});
    for (room, last) in [(0, "2+11"), (9, "2+11"), (10, "2+1"), (1000, "2+1")] {
        steps_alike(&with(room), &engine(200, 1), &load, &["0+10", "1+10", last]);
    }
}

#[test]
fn llama_cpp_empties_idle_slots_of_a_unified_cache() {
    let (head, other): (Vec<u64>, Vec<u64>) = ((1..=10).collect(), (90..105).collect());
    let load: [Alike<'_>; 3] = [(0, 10, 1, &head), (2, 15, 1, &other), (4, 11, 1, &head)];
    let with = |copies: u32| json!({"llama-cpp": {"n_parallel": 2, "kv_unified": true, "cache_ram_tokens": copies}});
    // 10 + 15 tokens do not fit into 24: what the first left gives way.
    let expected = |last| ["0+10", "1+15", last];
    steps_alike(&with(0), &engine(24, 1), &load, &expected("2+11"));
    steps_alike(&with(0), &engine(25, 1), &load, &expected("2+1"));
    // It had been copied when the second got its slot.
    steps_alike(&with(100), &engine(24, 1), &load, &expected("2+1"));
}

// TGI -------------------------------------------------------------------------------------------

#[test]
fn tgi_finds_prompts_of_requests_that_have_ended() {
    let load: [Alike<'_>; 4] =
        [(0, 8, 3, &[1, 2]), (1, 8, 1, &[1, 2]), (4, 8, 1, &[1, 2]), (6, 13, 1, &[1, 2, 9])];
    let with = |caching: bool| json!({"tgi": {"prefix_caching": caching}});
    // While the first runs, nothing of it can be found; then all but the last token, and what is alike of a
    // prompt that goes on differently.
    let expected = ["0+8", "1+8 / 0", "/ 0", "2+1", "3+5"];
    steps_alike(&with(true), &engine(100, 4), &load, &expected);
    let expected = ["0+8", "1+8 / 0", "/ 0", "2+8", "3+13"];
    steps_alike(&with(false), &engine(100, 4), &load, &expected);
}

#[test]
fn tgi_counts_what_it_finds_neither_as_memory_nor_as_work() {
    let config = json!({"tgi": {"max_batch_prefill_tokens": 12}});
    // The third prompt fits beside the second as 1 token is computed of it, and its blocks are there.
    let load: [Alike<'_>; 3] = [(0, 8, 1, &[1, 2]), (2, 8, 1, &[5, 6]), (2, 8, 1, &[1, 2])];
    steps_alike(&config, &engine(4, 4), &load, &["0+8", "1+8 2+1"]);
    // Memory for two of different content is all there is.
    let load: [Alike<'_>; 3] = [(0, 8, 1, &[1, 2]), (2, 8, 1, &[5, 6]), (2, 8, 1, &[7, 8])];
    steps_alike(&config, &engine(4, 4), &load, &["0+8", "1+8 2+4", "2+4"]);
}

#[test]
fn tgi_evicts_all_that_is_idle_in_search_of_memory_that_is_not_there() {
    let kept: Alike<'_> = (0, 8, 1, &[1, 2]);
    let long: Alike<'_> = (2, 16, 4, &[11, 12, 13, 14]);
    let last: Alike<'_> = (8, 8, 1, &[1, 2]);
    let config = json!({"tgi": {}});
    let expected = ["0+8", "1+16", "/ 1", "/ 1", "/ 1", "2+1"];
    steps_alike(&config, &engine(10, 4), &[kept, long, last], &expected);
    // 5 of 10 blocks are reserved; one that asks for 6 does not get them, and takes what is cached away.
    let waits: Alike<'_> = (3, 24, 1, &[21, 22, 23, 24, 25, 26]);
    let expected = ["0+8", "1+16", "/ 1", "/ 1", "/ 1", "2+24", "3+8"];
    steps_alike(&config, &engine(10, 4), &[kept, long, waits, last], &expected);
}

// TensorRT-LLM's reuse --------------------------------------------------------------------------

#[test]
fn tensorrt_llm_finds_a_prompt_when_it_is_computed_and_answers_when_they_end() {
    let load: [Alike<'_>; 3] = [(0, 8, 2, &[1, 2]), (1, 8, 1, &[1, 2]), (3, 8, 1, &[1, 2])];
    let with = |reuse: bool, partial: bool| json!({"tensorrt-llm": {"enable_block_reuse": reuse, "enable_partial_reuse": partial}});
    // Of the first prompt a block can be found at once: the other holds its last token. When the request
    // has ended that is there too; all but a token of it is copied.
    let expected = ["0+8", "1+4 / 0", "2+1"];
    steps_alike(&with(true, true), &engine(100, 4), &load, &expected);
    steps_alike(&with(true, false), &engine(100, 4), &load, &["0+8", "1+4 / 0", "2+4"]);
    steps_alike(&with(false, true), &engine(100, 4), &load, &["0+8", "1+8 / 0", "2+8"]);
}

#[test]
fn tensorrt_llm_lets_a_prompt_wait_for_what_another_computes() {
    // The second would compute the first's blocks; the third, behind it, is not held up.
    let load: [Alike<'_>; 3] = [(0, 8, 1, &[1, 2]), (0, 12, 1, &[1, 2, 3]), (0, 8, 1, &[5, 6])];
    for policy in ["GUARANTEED_NO_EVICT", "MAX_UTILIZATION"] {
        let config = json!({"tensorrt-llm": {"capacity_scheduler_policy": policy}});
        // When they have ended, both of its first two blocks are there.
        steps_alike(&config, &engine(100, 4), &load, &["0+8 2+8", "1+4"]);
    }
    let config = json!({"tensorrt-llm": {"capacity_scheduler_policy": "STATIC_BATCH"}});
    steps_alike(&config, &engine(100, 4), &load, &["0+8 1+12 2+8"]);
}

#[test]
fn tensorrt_llm_reserves_no_block_that_another_holds() {
    // Prompt and answer of each: 4 blocks of 6. The second holds two of the first's.
    let load: [Alike<'_>; 2] = [(0, 12, 4, &[1, 2, 3]), (1, 12, 4, &[1, 2, 7])];
    let with = |reuse: bool| json!({"tensorrt-llm": {"enable_block_reuse": reuse}});
    let expected = ["0+12", "1+4 / 0", "/ 0 1", "/ 0 1", "/ 1"];
    steps_alike(&with(true), &engine(6, 4), &load, &expected);
    let expected = ["0+12", "/ 0", "/ 0", "/ 0", "1+12", "/ 1", "/ 1", "/ 1"];
    steps_alike(&with(false), &engine(6, 4), &load, &expected);
}

#[test]
fn tgi_without_chunks_waits_for_enough_or_long_enough() {
    let config = json!({"tgi": {
        "prefill_chunking": false, "waiting_served_ratio": 1.0, "max_waiting_tokens": 3,
    }});
    let load =
        [(0, 10, 10, 10), (0, 10, 10, 10), (1, 10, 9, 9), (5, 5, 2, 2), (5, 5, 2, 2), (5, 5, 2, 2)];
    steps(
        config,
        engine(1000, 1),
        &load,
        &[
            "0+10 1+10",
            // One waits for two that run: too few, at 1 and at 2 waiting tokens...
            "/ 0 1",
            "/ 0 1",
            // ...but at 3 anyone will do. The prefill is alone.
            "2+10",
            "/ 0 1 2",
            // Three wait for three.
            "3+5 4+5 5+5",
            "/ 0 1 2 3 4 5",
            "/ 0 1 2",
            "/ 0 1 2",
            "/ 0 1 2",
            "/ 0 1 2",
            "/ 0 1 2",
            "/ 2",
        ],
    );
}

#[test]
fn tgi_decodes_after_every_joining_prefill() {
    // Any one request may join, but not two steps in a row.
    let config = json!({"tgi": {"prefill_chunking": false, "max_batch_prefill_tokens": 10}});
    let load = [(0, 10, 4, 4), (0, 10, 1, 1), (0, 10, 1, 1)];
    // The first batch is followed by another look at the queue; one that joined by a decode.
    steps(config, engine(1000, 1), &load, &["0+10", "1+10", "/ 0", "2+10", "/ 0", "/ 0"]);
}

#[test]
fn tgi_chunks_join_the_decodes_within_one_budget() {
    let config = json!({"tgi": {"max_batch_prefill_tokens": 50}});
    let load = [(0, 30, 7, 7), (1, 40, 6, 6), (2, 100, 2, 2), (4, 100, 1, 1)];
    steps(
        config,
        engine(1000, 1),
        &load,
        &[
            "0+30",
            "1+40 / 0",
            // Two decodes leave 48.
            "2+48 / 0 1",
            "2+48 / 0 1",
            // 2 + 4 are taken; the next prompt gets 44.
            "2+4 3+44 / 0 1",
            // Three others: 47.
            "3+47 / 0 1 2",
            "3+9 / 0 1",
        ],
    );
}

#[test]
fn tgi_reserves_prompt_and_max_tokens() {
    // 16 + 10 - 1 = 25 of 40 tokens; another 25 do not fit, whatever is really held.
    let config = json!({"tgi": {"max_batch_total_tokens": 40}});
    let load = [(0, 16, 2, 10), (0, 16, 1, 10)];
    steps(config, engine(1000, 1), &load, &["0+16", "/ 0", "1+16"]);
}

// DeepSpeed-FastGen -----------------------------------------------------------------------------

#[test]
fn splitfuse_cuts_only_the_last_prompt() {
    let config = json!({"splitfuse": {"max_ragged_batch_size": 20}});
    let load = [(0, 12, 2, 2), (0, 15, 1, 1), (0, 10, 1, 1)];
    // 12 + 8 = 20; then one decode, the rest of request 1 first, and 12 of 12 for request 2.
    steps(config, engine(100, 4), &load, &["0+12 1+8", "1+7 2+10 / 0"]);
}

#[test]
fn splitfuse_starts_a_prompt_only_if_all_of_it_fits() {
    let config = json!({"splitfuse": {"max_ragged_batch_size": 10}});
    // 5 blocks of 4: request 0 takes 3, and 2 do not hold 12 tokens.
    let load = [(0, 9, 2, 2), (1, 12, 1, 1)];
    steps(config, engine(5, 4), &load, &["0+9", "/ 0", "1+10", "1+2"]);
}

#[test]
fn splitfuse_flushes_the_last_request_when_nobody_can_go_on() {
    let config = json!({"splitfuse": {}});
    let load = [(0, 7, 12, 12), (0, 8, 12, 12)];
    let mut expected = vec!["0+7 1+8"];
    // Up to 12 tokens each: 6 blocks of 4, all there are.
    expected.extend(["/ 0 1"; 4]);
    // Request 0 came to its third block later and still has room in it.
    expected.push("/ 0");
    // Now neither can go on. Request 1 was passed over, so it stands before request 0, which is
    // flushed.
    expected.push("/ 1 ~ 0");
    // 13 tokens to recompute need 4 blocks; 2, then 1 are free until request 1 ends.
    expected.extend(["/ 1"; 6]);
    expected.push("0+13");
    expected.extend(["/ 0"; 5]);
    steps(config, engine(6, 4), &load, &expected);
}

// LightLLM --------------------------------------------------------------------------------------

#[test]
fn lightllm_looks_at_its_queue_every_ten_decodes() {
    let config = json!({"lightllm": {}});
    let mut expected = vec!["0+10"];
    expected.extend(["/ 0"; 10]);
    expected.extend(["1+10", "/ 0 1", "/ 0 1"]);
    expected.extend(["/ 0"; 7]);
    // Of request 0's 20 tokens 1 came with its prefill, 10 before the other's and 9 after.
    steps(config, engine(100, 1), &[(0, 10, 20, 20), (1, 10, 3, 3)], &expected);
}

#[test]
fn lightllm_admits_by_the_predicted_peak() {
    let load = [(0, 10, 12, 21), (0, 10, 1, 21)];
    let config = json!({"lightllm": {}});
    // After their prefills both hold 11 and have 19 to come: 2 * 11 + 2 * 19 = 60 at the peak,
    // which must be less than the memory.
    let mut at_once = vec!["0+10 1+10"];
    at_once.extend(["/ 0"; 11]);
    steps(config.clone(), engine(61, 1), &load, &at_once);
    // Ten decodes later request 0 holds 21 and has 9 to come, so the peak is
    // max(11 + 19, 11 + 21 + 2 * 9) = 50.
    let mut later = vec!["0+10"];
    later.extend(["/ 0"; 10]);
    later.extend(["1+10", "/ 0"]);
    steps(config, engine(60, 1), &load, &later);
}

#[test]
fn every_parameter_has_a_default_and_survives_json() {
    for name in SchedulerConfig::names() {
        let config = SchedulerConfig::by_name(name).expect("a registered name");
        assert!(config.problems(&engine(1000, 16)).is_empty(), "{name}");
        let value = serde_json::to_value(&config).expect("plain data");
        let back: SchedulerConfig = serde_json::from_value(value).expect("its own output");
        assert_eq!(back, config, "{name}");
        let wrong = json!({*name: {"no_such_parameter": 1}});
        assert!(serde_json::from_value::<SchedulerConfig>(wrong).is_err(), "{name}");
    }
}

/// Chunks are whole blocks: below one there are none. A block that holds a state is said to.
#[test]
fn chunks_below_a_block_are_refused_in_its_tokens() {
    let chunked = json!({"tensorrt-llm":
                         {"max_num_tokens": 512, "enable_chunked_prefill": true}});
    let systems = [
        (chunked, "at least 528, or no `enable_chunked_prefill`"),
        (json!({"tgi": {"max_batch_total_tokens": 512}}), "at least 528"),
    ];
    let states = KvGroups::new(1, &[], 3).expect("few groups");
    for (config, expected) in systems {
        let config: SchedulerConfig = serde_json::from_value(config).expect("a valid config");
        assert!(config.problems(&engine(1000, 512)).is_empty());
        let said = |engine: &EngineInfo| -> Vec<String> {
            config.problems(engine).into_iter().map(|problem| problem.expected).collect()
        };
        let plain = format!("{expected} (the tokens of a KV block)");
        assert_eq!(said(&engine(1000, 528)), [plain]);
        let wide = EngineInfo { kv_groups: states, ..engine(1000, 528) };
        let why = "the tokens of a KV block, so wide that it holds a state of the model";
        assert_eq!(said(&wide), [format!("{expected} ({why})")]);
    }
}
