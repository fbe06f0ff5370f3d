//! Prompts that are computed when blocks are taken for them where they are answered, and first tokens that come
//! with the KV: times worked out by hand, room that is left, and what explains them (both paths: `disaggregation`).

use metron_sim::explain::{Cause, Index};
use metron_sim::ids::RequestId;
use metron_sim::runner::{SchedulerOutput, recording};
use metron_sim::trace::Status;

use crate::disaggregation::handed;
use crate::played::{experiment, ms, play};

fn alone(prompt: u32, output: u32) -> String {
    format!(
        "requests: 1, arrivals: all_at_once, lengths: {{prompt: {{fixed: {prompt}}}, output: {{fixed: {output}}}}}"
    )
}

const SGLANG: &str = "order: destination-first, first_token: carried, ";

fn times(output: &SchedulerOutput, request: usize) -> Vec<f64> {
    let trace = &output.outcome.trace;
    trace.token_times(&trace.requests[request]).map(ms).collect()
}

/// A prompt of two chunks, computed at 10 and 20 ms, each 512 MB: the first sets out when it is there, so that
/// the last byte comes 10 ms before it would if all waited for the second.
#[test]
fn chunks_set_out_as_they_are_computed() {
    let landed = |way: &str| {
        let output = play(&handed(way, &alone(1024, 4), ""), false);
        let hand = output.outcome.trace.hand_overs[0];
        assert_eq!((hand.blocks, hand.bytes, hand.tokens), (64, 1_024_000_000, 1024));
        ([hand.at, hand.begun, hand.landed, hand.released].map(ms), times(&output, 0))
    };
    // The first byte at 13 ms, and 1,024 MB at 1 GB/s: the chunks share the link.
    let (instants, tokens) = landed(SGLANG);
    assert_eq!(instants, [20.0, 0.0, 1037.0, 1037.0]);
    // The first token comes with the last byte; then a step each.
    assert_eq!(tokens, [1037.0, 1047.0, 1057.0, 1067.0]);
    let (instants, tokens) = landed("order: source-first, first_token: recomputed, ");
    assert_eq!(instants, [20.0, 20.0, 1047.0, 1047.0]);
    assert_eq!(tokens, [1057.0, 1067.0, 1077.0, 1087.0]);
    let (_, tokens) = landed("order: destination-first, first_token: recomputed, ");
    assert_eq!(tokens[0], 1047.0);
    let (_, tokens) = landed("order: source-first, first_token: carried, ");
    assert_eq!(tokens, [1047.0, 1057.0, 1067.0, 1077.0]);
}

#[test]
fn stages_of_the_first_token_add_up() {
    let output = play(&handed(SGLANG, &alone(1024, 4), ""), false);
    let of = &output.result.disaggregation.as_ref().unwrap().ttft;
    let stages = [&of.queue_s, &of.prefill_s, &of.memory_s, &of.transfer_s, &of.first_step_s];
    assert_eq!(stages.map(|stage| stage.mean.unwrap()), [0.0, 0.020, 0.0, 1.017, 0.0]);
}

/// An answer of one token ends where its KV arrives: no step decodes it.
#[test]
fn an_answer_of_one_token_ends_when_it_arrives() {
    let output = play(&handed(SGLANG, &alone(512, 1), ""), false);
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
    let text = handed(SGLANG, &alone(1024, 4), "");
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
        let way = format!("{SGLANG}reserved_decode_tokens: {reserved}, ");
        let workload = "requests: 3, arrivals: all_at_once, lengths: {prompt: {fixed: 512}, output: {fixed: 40}}";
        let text = handed(&way, workload, "").replace("1MB", "1kB").replace("10000", "101");
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
    let way = format!("{SGLANG}reserved_decode_tokens: 1200, ");
    let text = handed(&way, &alone(512, 4), "").replace("10000", "101");
    let output = play(&text, false);
    assert_eq!(output.outcome.rejections.len(), 1);
}
