//! Prefill and decode apart at its edges: routers that know caches, memory that a prompt fills, seats, horizons,
//! front ends and sessions.

use metron_sim::explain::{Cause, Index};
use metron_sim::ids::RequestId;
use metron_sim::runner::recording;
use metron_sim::trace::Status;

use crate::disaggregation::handed;
use crate::played::{experiment, play};

/// Routers that know caches chose among all replicas, those that decode too, where a prompt for another was
/// computed and its answer lost.
#[test]
fn whatever_router_sends_prompts_to_those_who_prefill_alone() {
    let workload = "requests: 30, arrivals: {constant: {rate: 20}}, lengths: {prompt: {fixed: 100}, output: {fixed: 5}}, \
        prefix_groups: {count: 3, tokens: 64, share: 0.7}";
    for way in ["", "order: destination-first, first_token: carried, "] {
        for router in [
            "round-robin",
            "least-requests",
            "sglang-cache-aware",
            "dynamo-kv",
            "llm-d",
            "ray-prefix",
            "production-stack",
        ] {
            let text = handed(way, workload, &format!("router: {router}"));
            let output = play(&text.replace("replicas: 1", "replicas: 2"), false);
            let trace = &output.outcome.trace;
            let whole = |row: &metron_sim::trace::RequestRow| {
                row.status == Status::Completed && row.tokens == 5
            };
            assert!(trace.requests.iter().all(whole), "{router}, {way}");
            assert_eq!(trace.hand_overs.len(), 30, "{router}, {way}");
            let routes = output.outcome.routes.unwrap();
            assert!(routes.iter().all(|route| route.replica.0 < 2), "{router}, {way}");
        }
    }
}

/// A prompt whose load leaves no room for the next step's drafts is turned away; it stood in line for ever.
#[test]
fn a_prompt_that_leaves_no_room_for_drafts_is_turned_away() {
    for (prompt, comes_through) in [(600, true), (615, false)] {
        let workload = format!(
            "requests: 1, arrivals: all_at_once, lengths: {{prompt: {{fixed: {prompt}}}, output: {{fixed: 1}}}}"
        );
        let text = handed("", &workload, "").replace("kv_blocks: 10000", "kv_blocks: 40").replace(
            "engine: {",
            "engine: {prefix_caching: false, \
             speculative: {method: ngram, tokens: 3, acceptance: {rate: 0.0}}, ",
        );
        let output = play(&text, false);
        assert_eq!(output.outcome.rejections.is_empty(), comes_through, "{prompt}");
    }
}

/// Two seats where answers are made, taken for seconds: who waits for one waits for no other reason.
#[test]
fn a_wait_for_a_seat_is_called_so() {
    let workload = "requests: 20, arrivals: {constant: {rate: 50}}, lengths: {prompt: {fixed: 64}, output: {fixed: 50}}";
    let text = handed("", workload, "")
        .replace("max_num_batched_tokens: 512", "max_num_batched_tokens: 512, max_num_seqs: 2")
        .replace("1MB", "1kB");
    let (experiment, output) = (experiment(&text), play(&text, false));
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gap = index.gap(RequestId(19), 0).expect("it got a token");
    let waited = gap.split[Cause::NoSeat] as f64 / gap.split.total().as_nanos() as f64;
    assert!(waited > 0.8, "{waited}: {:?}", gap.split);
    assert_eq!(gap.split[Cause::PolicyDeferred], 0);
}

/// A horizon cuts a transfer: what the link carried counts, and what has not come did not go over.
#[test]
fn a_horizon_cuts_transfers() {
    let workload =
        "requests: 50, arrivals: all_at_once, lengths: {prompt: {fixed: 512}, output: {fixed: 4}}";
    let output = play(&handed("", workload, "horizon: 500ms"), false);
    let of = output.result.disaggregation.unwrap();
    assert!(of.busiest_link > 0.9, "{}", of.busiest_link);
    assert!(of.bytes <= 500_000_000, "{} at 1 GB/s", of.bytes);
}

/// What a front end takes is no wait for memory.
#[test]
fn a_front_end_is_no_wait_for_memory() {
    let workload = "requests: 3, arrivals: {constant: {rate: 1}}, lengths: {prompt: {fixed: 512}, output: {fixed: 4}}";
    let text = handed("order: destination-first, ", workload, "")
        .replace("engine: {", "engine: {front_end: {before: 30ms}, ");
    let of = play(&text, false).result.disaggregation.unwrap();
    assert_eq!((of.ttft.memory_s.max, of.ttft.queue_s.max), (Some(0.0), Some(0.030)));
}

/// Answers that only the replica has which gave them have not been evicted where prompts are computed, and prompt
/// tokens are found once.
#[test]
fn nothing_was_evicted_that_was_never_there() {
    let text =
        handed("", "sessions: {preset: chat, count: 20, arrivals: {poisson: {rate: 1}}}", "")
            .replace("engine: {", "engine: {prefix_caching: true, ")
            .replace("max_model_len: 8192", "max_model_len: 60000")
            .replace("kv_blocks: 10000", "kv_blocks: 100000")
            .replace("1MB", "1kB");
    let (experiment, output) = (experiment(&text), play(&text, false));
    let missed = output.result.sessions.as_ref().unwrap().missed_tokens;
    assert!(missed.evicted == 0 && missed.other_replica > 0, "{missed:?}");
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let rows = &output.outcome.trace.requests;
    for request in (0..rows.len()).map(RequestId::at) {
        let gap = index.gap(request, 0);
        assert!(gap.is_none_or(|gap| gap.split[Cause::CacheEvicted] == 0), "{request}");
    }
    let prompts: u64 = rows.iter().map(|row| u64::from(row.prompt_tokens)).sum();
    assert!(output.result.kv.is_none_or(|kv| kv.prefix_hit_tokens <= prompts));
}
