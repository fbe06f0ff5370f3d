//! Prompts that are computed when blocks are taken for them where they are answered, and first tokens that come
//! with the KV: times worked out by hand, room that is left, what explains them, and both paths.

use metron_sim::explain::{Cause, Index};
use metron_sim::ids::RequestId;
use metron_sim::runner::{SchedulerOutput, recording};
use metron_sim::trace::Status;

use crate::played::{experiment, ms, play};

/// One replica of each role, iterations of 10 ms, a token of 1 MB over 1 GB/s after 3 ms.
fn fixed(way: &str, workload: &str, more: &str) -> String {
    format!(
        "engine: {{profile: {{fixed: {{iteration: 10ms}}}}, kv_block_tokens: 16, kv_blocks: 10000, \
         max_model_len: 8192, async_scheduling: false}}\n\
         schedulers: [vllm-v1: {{max_num_batched_tokens: 512}}]\n\
         pools: [{{name: p, role: prefill, replicas: 1}}, {{name: d, role: decode, replicas: 1}}]\n\
         disaggregation: {{{way}, transfer: {{link: {{bandwidth: 1GB/s, latency: 1ms}}, setup: 2ms, \
         bytes_per_token: 1MB}}}}\n\
         workload: {{{workload}}}\n{more}"
    )
}

fn alone(prompt: u32, output: u32) -> String {
    format!(
        "requests: 1, arrivals: all_at_once, lengths: {{prompt: {{fixed: {prompt}}}, output: {{fixed: {output}}}}}"
    )
}

const SGLANG: &str = "order: destination-first, first_token: carried";

fn times(output: &SchedulerOutput, request: usize) -> Vec<f64> {
    let trace = &output.outcome.trace;
    trace.token_times(&trace.requests[request]).map(ms).collect()
}

/// A prompt of two chunks, computed at 10 and 20 ms, each 512 MB: the first sets out when it is there, so that
/// the last byte comes 10 ms before it would if all waited for the second.
#[test]
fn chunks_set_out_as_they_are_computed() {
    let landed = |way: &str| {
        let output = play(&fixed(way, &alone(1024, 4), ""), false);
        let hand = output.outcome.trace.hand_overs[0];
        assert_eq!((hand.blocks, hand.bytes, hand.tokens), (64, 1_024_000_000, 1024));
        ([hand.at, hand.begun, hand.landed, hand.released].map(ms), times(&output, 0))
    };
    // The first byte at 13 ms, and 1,024 MB at 1 GB/s: the chunks share the link.
    let (instants, tokens) = landed(SGLANG);
    assert_eq!(instants, [20.0, 0.0, 1037.0, 1037.0]);
    // The first token comes with the last byte; then a step each.
    assert_eq!(tokens, [1037.0, 1047.0, 1057.0, 1067.0]);
    let (instants, tokens) = landed("order: source-first, first_token: recomputed");
    assert_eq!(instants, [20.0, 20.0, 1047.0, 1047.0]);
    assert_eq!(tokens, [1057.0, 1067.0, 1077.0, 1087.0]);
    let (_, tokens) = landed("order: destination-first, first_token: recomputed");
    assert_eq!(tokens[0], 1047.0);
    let (_, tokens) = landed("order: source-first, first_token: carried");
    assert_eq!(tokens, [1047.0, 1057.0, 1067.0, 1077.0]);
}

#[test]
fn stages_of_the_first_token_add_up() {
    let output = play(&fixed(SGLANG, &alone(1024, 4), ""), false);
    let of = &output.result.disaggregation.as_ref().unwrap().ttft;
    let stages = [&of.queue_s, &of.prefill_s, &of.memory_s, &of.transfer_s, &of.first_step_s];
    assert_eq!(stages.map(|stage| stage.mean.unwrap()), [0.0, 0.020, 0.0, 1.017, 0.0]);
}

/// An answer of one token ends where its KV arrives: no step decodes it.
#[test]
fn an_answer_of_one_token_ends_when_it_arrives() {
    let output = play(&fixed(SGLANG, &alone(512, 1), ""), false);
    assert_eq!(times(&output, 0), [525.0]);
    let trace = &output.outcome.trace;
    assert_eq!(trace.requests[0].status, Status::Completed);
    let decode = &output.outcome.log.as_ref().unwrap()[1];
    assert!(decode.is_empty(), "the replica that decodes runs nothing");
}

/// Of its 1,037 ms two steps are its prompt's and the rest the transfer; the second token is the first that a
/// step of the replica that answers brings.
#[test]
fn each_wait_has_a_name() {
    let text = fixed(SGLANG, &alone(1024, 4), "");
    let (experiment, output) = (experiment(&text), play(&text, false));
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gap = |token| index.gap(RequestId(0), token).expect("it got the token");
    assert_eq!(gap(0).split[Cause::KvTransfer], 1_017_000_000, "{:?}", gap(0).split);
    assert_eq!(gap(0).split.total().as_nanos(), 1_037_000_000);
    for token in 1..4 {
        assert_eq!(gap(token).split.total().as_nanos(), 10_000_000, "{:?}", gap(token).split);
        assert_eq!(gap(token).split[Cause::KvTransfer], 0);
    }
}

/// 512 tokens of answer each, a prompt of 512, 16 tokens a block: a replica of 100 blocks that answers has room
/// for one request beside the 512 tokens that it leaves free, and for three where it leaves none. Prompts of
/// those that wait for its memory are not begun.
#[test]
fn room_is_left_for_those_who_decode() {
    let of = |reserved: u32| {
        let way = format!("{SGLANG}, reserved_decode_tokens: {reserved}");
        let workload = "requests: 3, arrivals: all_at_once, lengths: {prompt: {fixed: 512}, output: {fixed: 40}}";
        let text = fixed(&way, workload, "").replace("1MB", "1kB").replace("10000", "101");
        let output = play(&text, false);
        let hands = output.outcome.trace.hand_overs.clone();
        let rows = &output.outcome.trace.requests;
        (hands.iter().map(|hand| ms(hand.begun)).collect::<Vec<_>>(), ms(rows[1].scheduled))
    };
    let (begun, scheduled) = of(0);
    assert!(begun.iter().all(|&at| at < 50.0), "{begun:?}");
    assert_eq!(scheduled, 10.0, "the second prompt is the second step");
    // The first ends at 10 + 3.512 + 39 steps.
    let (begun, scheduled) = of(512);
    assert_eq!(begun[0], 0.0);
    assert!(begun[1] > 400.0 && begun[2] > 800.0, "{begun:?}");
    assert!(scheduled >= begun[1], "{scheduled}: its prompt waits for memory where it is answered");
}

/// A prompt beside which the tokens to be left free can never be is turned away at once.
#[test]
fn what_never_has_room_is_turned_away() {
    let way = format!("{SGLANG}, reserved_decode_tokens: 1200");
    let text = fixed(&way, &alone(512, 4), "").replace("10000", "101");
    let output = play(&text, false);
    assert_eq!(output.outcome.rejections.len(), 1);
}

#[test]
fn the_fast_path_gives_the_bytes_of_the_slow_one() {
    let base = "model: llama-3.1-8b\ngpu: h100-sxm\nseed: 3\nschedulers: [vllm-v1]\n\
        pools: [{name: p, role: prefill, replicas: 2}, {name: d, role: decode, replicas: 2, parallelism: {tensor: 2}}]\n\
        router: least-tokens\n";
    let workload = "workload: {requests: 150, arrivals: {poisson: {rate: 20}}, \
        lengths: {prompt: {lognormal: {mean: 1500, sigma: 0.8}}, output: {geometric: {mean: 60}}}, \
        prefix_groups: {count: 5, tokens: 640, share: 0.6}}\n";
    for more in [
        "engine: {prefix_caching: true, profile: sglang-0.5}\ndisaggregation: {transfer: {link: ib-400g}, decode_router: least-requests}",
        "engine: {prefix_caching: true, kv_blocks: 900, async_scheduling: false}\n\
         disaggregation: {order: destination-first, transfer: {link: tcp-100g, missing_only: false}}",
        "engine: {prefix_caching: false, kv_blocks: 700}\nhorizon: 6s\n\
         disaggregation: {order: destination-first, first_token: carried, reserved_decode_tokens: 16, \
         transfer: {link: {bandwidth: 2GB/s, scope: fleet}, per_block: 10us}}",
        "engine: {profile: tensorrt-llm-1, kv_blocks: 700, speculative: {method: ngram, tokens: 2, acceptance: {rate: 0.5}}}\n\
         disaggregation: {kv_lease: 500ms, on_failure: recompute, transfer: {link: tcp-100g}}",
    ] {
        let text = format!("{base}{workload}{more}");
        let (fast, slow) = (play(&text, false), play(&text, true));
        assert!(fast.outcome == slow.outcome, "{more}");
        let hands = &fast.outcome.trace.hand_overs;
        assert!(
            hands.iter().filter(|hand| hand.landed <= fast.outcome.trace.end).count() > 50,
            "{more}"
        );
    }
}
