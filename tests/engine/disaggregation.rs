//! Prefill and decode on replicas of their own: times worked out by hand, measured transfers, limits that
//! queueing theory knows, memory that is held on both sides, and the fast path beside the slow one.

use metron_sim::explain::{Cause, Index};
use metron_sim::ids::RequestId;
use metron_sim::runner::{SchedulerOutput, recording};
use metron_sim::trace::{HandOver, Status};

use crate::played::{experiment, ms, play};

/// One replica of each role, iterations of 10 ms, a token of 1 MB over 1 GB/s after 3 ms; `way` begins with how
/// requests are handed over.
pub(crate) fn handed(way: &str, workload: &str, more: &str) -> String {
    format!(
        "engine: {{profile: {{fixed: {{iteration: 10ms}}}}, kv_block_tokens: 16, kv_blocks: 10000, \
         max_model_len: 8192, async_scheduling: false}}\n\
         schedulers: [vllm-v1: {{max_num_batched_tokens: 512}}]\n\
         pools: [{{name: p, role: prefill, replicas: 1}}, {{name: d, role: decode, replicas: 1}}]\n\
         disaggregation: {{{way}transfer: {{link: {{bandwidth: 1GB/s, latency: 1ms}}, setup: 2ms, \
         bytes_per_token: 1MB}}}}\n\
         workload: {{{workload}}}\n{more}"
    )
}

fn fixed(workload: &str, more: &str) -> String {
    handed("", workload, more)
}

const ALONE: &str =
    "requests: 1, arrivals: all_at_once, lengths: {prompt: {fixed: 512}, output: {fixed: 4}}";

#[test]
fn alone_a_request_takes_its_prefill_the_transfer_and_a_step() {
    let output = play(&fixed(ALONE, ""), false);
    let trace = &output.outcome.trace;
    let row = &trace.requests[0];
    // A step, 2 + 1 ms, 512 MB at 1 GB/s, and the step that computes the last prompt token again.
    let times: Vec<f64> = trace.token_times(row).map(ms).collect();
    assert_eq!(times, [535.0, 545.0, 555.0, 565.0]);
    let HandOver { at, begun, landed, released, tokens, blocks, bytes, .. } = trace.hand_overs[0];
    assert_eq!([at, begun, landed, released].map(ms), [10.0, 10.0, 525.0, 525.0]);
    assert_eq!((tokens, blocks, bytes), (512, 32, 512_000_000));
    let of = output.result.disaggregation.unwrap();
    assert_eq!((of.handed_over, of.bytes, of.lost), (1, 512_000_000, 0));
    let mean = |stage: &metron_sim::metrics::Distribution| stage.mean.unwrap();
    let stages = [
        &of.ttft.queue_s,
        &of.ttft.prefill_s,
        &of.ttft.memory_s,
        &of.ttft.transfer_s,
        &of.ttft.first_step_s,
    ];
    assert_eq!(stages.map(mean), [0.0, 0.010, 0.0, 0.515, 0.010]);
    // Both hold the prompt's 32 blocks while it is on its way.
    assert_eq!((of.prefill.held_block_s, of.decode.held_block_s), (32.0 * 0.515, 32.0 * 0.515));
}

/// Of the 535 ms to its first token a step is its prompt's, 515 are the transfer, and a step is the
/// first where it is answered.
#[test]
fn the_wait_for_the_transfer_has_a_name() {
    let text = fixed(ALONE, "");
    let (experiment, output) = (experiment(&text), play(&text, false));
    let index = Index::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
    let gap = index.gap(RequestId(0), 0).expect("it got a token");
    assert_eq!(gap.split[Cause::KvTransfer], 515_000_000, "{:?}", gap.split);
    assert_eq!(gap.split.total().as_nanos(), 535_000_000);
    assert_eq!(index.gap(RequestId(0), 1).expect("another").split[Cause::KvTransfer], 0);
}

/// A prompt of 128 tokens is shorter than the decider's 200, and of 512 tokens it is all new: the first is
/// computed where it is answered, in one step, and the second as without a decider.
#[test]
fn a_prompt_stays_where_it_is_answered_where_the_decider_says_so() {
    let of = |prompt: u32, decider: &str| {
        let workload = format!(
            "requests: 1, arrivals: all_at_once, lengths: {{prompt: {{fixed: {prompt}}}, output: {{fixed: 4}}}}"
        );
        let text = fixed(&workload, "");
        let text =
            text.replace("disaggregation: {", &format!("disaggregation: {{decider: {decider}, "));
        let output = play(&text, false);
        let trace = &output.outcome.trace;
        let of = output.result.disaggregation.as_ref().unwrap();
        let routes = output.outcome.routes.as_ref().unwrap();
        let first = ms(trace.requests[0].first_token);
        (of.handed_over, of.prefilled_where_answered, first, routes[0].to_string())
    };
    let llm_d = "{prefix-based: {non_cached_tokens: 16, prompt_tokens: 200}}";
    let why = "only 128 tokens are new: computed where it is answered";
    assert_eq!(of(128, llm_d), (0, 1, 10.0, why.to_owned()));
    let (handed, stayed, first, _) = of(512, llm_d);
    assert_eq!((handed, stayed, first), (1, 0, 535.0));
    // All of a prompt is new, which is more than .7 of it.
    assert_eq!(of(128, "{conditional: {}}").0, 1);
    let (handed, stayed, ..) = of(128, "{conditional: {min_new_ratio: 1.0, min_new_tokens: 129}}");
    assert_eq!((handed, stayed), (1, 0), "no less than all of it");
}

#[test]
fn transfers_at_once_share_the_link_and_one_after_the_other_do_not() {
    let two = |arrivals: &str| {
        let workload = format!(
            "requests: 2, arrivals: {arrivals}, lengths: {{prompt: {{fixed: 256}}, output: {{fixed: 1}}}}"
        );
        let output = play(&fixed(&workload, ""), false);
        let spans = output.outcome.trace.hand_overs.iter();
        spans.map(|hand| ms(hand.landed) - ms(hand.begun)).collect::<Vec<f64>>()
    };
    // Two prompts of 256 tokens are one step: both of 256 MB leave together.
    assert_eq!(two("all_at_once"), [515.0, 515.0]);
    assert_eq!(two("{constant: {rate: 1}}"), [259.0, 259.0]);
}

/// vLLM with Mooncake's connector: Qwen3-8B, TP8 on 8 x RoCE 200 Gb/s, one request at a time: prompt
/// tokens, and milliseconds of the transfer (Mooncake, `docs/source/performance/vllm/vllm-v1-pd-performance.md`).
const MEASURED: [(u32, f64); 9] = [
    (128, 0.54),
    (256, 0.61),
    (512, 0.92),
    (1024, 1.50),
    (2048, 2.51),
    (4096, 4.75),
    (8192, 8.84),
    (16384, 16.43),
    (32768, 31.65),
];

#[test]
fn an_unloaded_transfer_takes_as_long_as_was_measured() {
    for (tokens, measured) in MEASURED {
        let text = format!(
            "model: qwen3-8b\ngpu: h100-sxm\nparallelism: {{tensor: 8}}\n\
             engine: {{max_model_len: 40000}}\nschedulers: [vllm-v1]\n\
             pools: [{{name: p, role: prefill, replicas: 1}}, {{name: d, role: decode, replicas: 1}}]\n\
             disaggregation: {{transfer: {{link: roce-200g}}}}\n\
             workload: {{requests: 1, arrivals: all_at_once, \
             lengths: {{prompt: {{fixed: {tokens}}}, output: {{fixed: 2}}}}}}"
        );
        let output = play(&text, false);
        let hand = output.outcome.trace.hand_overs[0];
        let simulated = ms(hand.landed) - ms(hand.begun);
        let error = simulated / measured - 1.0;
        println!(
            "{tokens:>6} tokens: measured {measured} ms, simulated {simulated:.2} ms, {:+.1} %",
            100.0 * error
        );
        assert!(error.abs() <= 0.10, "{tokens} tokens: {simulated} ms, measured {measured}");
    }
}

/// With a link of no account and memory without end, a replica that computes one prompt a step is an
/// M/D/1 queue, whose mean wait is rho / (2 (1 - rho)) services (Pollaczek and Khinchine).
#[test]
fn the_queue_before_prefill_is_that_of_m_d_1() {
    for rho in [0.4, 0.7] {
        let workload = format!(
            "requests: 40000, arrivals: {{poisson: {{rate: {}}}}}, \
             lengths: {{prompt: {{fixed: 512}}, output: {{fixed: 1}}}}",
            rho * 100.0
        );
        let text =
            fixed(&workload, "seed: 5").replace("bytes_per_token: 1MB", "bytes_per_token: 1kB");
        let text = text
            .replace("bandwidth: 1GB/s", "bandwidth: 900GB/s")
            .replace("kv_blocks: 10000", "kv_blocks: 900000");
        let output = play(&text, false);
        let of = output.result.disaggregation.unwrap();
        let wait = of.ttft.queue_s.mean.unwrap();
        let expected = 0.010 * rho / (2.0 * (1.0 - rho));
        assert!((wait / expected - 1.0).abs() < 0.05, "rho {rho}: {wait} s, expected {expected}");
        // Blocks are taken when the next step is planned: the one that runs is waited for, no more.
        assert!(
            of.ttft.memory_s.max.unwrap() <= 0.010,
            "memory without end: {:?}",
            of.ttft.memory_s
        );
        // Little: what is held on the way, over the whole run, is the rate times how long each is held.
        let held = of.prefill.held_block_s;
        let [memory, transfer] = [&of.ttft.memory_s, &of.ttft.transfer_s].map(|s| s.mean.unwrap());
        let each = (memory + transfer) * 32.0 * of.handed_over as f64;
        assert!((held / each - 1.0).abs() < 1e-6, "{held} block seconds, {each} by Little's law");
    }
}

/// A replica that decodes and is full is felt where prompts are computed, by the blocks alone.
#[test]
fn a_full_decode_side_fills_the_prefill_side_and_then_its_queue() {
    let workload = "requests: 60, arrivals: {constant: {rate: 40}}, lengths: {prompt: {fixed: 512}, output: {fixed: 100}}";
    let text = fixed(workload, "").replace("bytes_per_token: 1MB", "bytes_per_token: 1kB");
    let few = text.replace("kv_blocks: 10000", "kv_blocks: 200");
    let (ample, few) = (play(&text, false), play(&few, false));
    let of = |output: &SchedulerOutput| output.result.disaggregation.clone().unwrap();
    assert!(of(&ample).ttft.memory_s.max.unwrap() <= 0.010, "no more than the step that runs");
    let full = of(&few);
    assert!(full.ttft.memory_s.max.unwrap() > 1.0, "{:?}", full.ttft.memory_s);
    // Five prompts of 32 blocks fill the 199 there are: then nobody's prompt is computed.
    assert!(full.ttft.queue_s.max.unwrap() > 1.0, "{:?}", full.ttft.queue_s);
    let most = few.outcome.log.as_ref().unwrap()[0].iter().map(|step| step.kv_used).max();
    assert!(most.unwrap() > 150, "{most:?} of 199 blocks are held where prompts are computed");
    let done = few.outcome.trace.requests.iter().all(|row| row.status == Status::Completed);
    assert!(done, "all come through");
}

#[test]
fn blocks_that_nobody_fetches_in_time_are_gone() {
    let workload = "requests: 60, arrivals: {constant: {rate: 40}}, lengths: {prompt: {fixed: 512}, output: {fixed: 100}}";
    let text = fixed(workload, "").replace("bytes_per_token: 1MB", "bytes_per_token: 1kB");
    let text = text.replace("kv_blocks: 10000", "kv_blocks: 200");
    let leased = text.replace("disaggregation: {", "disaggregation: {kv_lease: 200ms, ");
    let failed = play(&leased, false);
    let lost = failed.result.disaggregation.as_ref().unwrap().lost;
    assert!(lost > 0);
    assert_eq!(failed.outcome.rejections.len() as u64, lost, "each ends with an error");
    let again = leased.replace("disaggregation: {", "disaggregation: {on_failure: recompute, ");
    let again = play(&again, false);
    assert!(again.result.disaggregation.as_ref().unwrap().lost > 0);
    assert!(again.outcome.rejections.is_empty(), "its prompt is computed where it is answered");
    let done = again.outcome.trace.requests.iter().all(|row| row.status == Status::Completed);
    assert!(done);
}

/// A model with states keeps scratch blocks for drafts beside each. A load takes them as well, and what a
/// request holds comes back whole: more came back than had been taken.
#[test]
fn a_load_of_states_takes_the_scratch_blocks_of_drafts() {
    let text = "model: falcon-h1-7b\ngpu: h100-sxm\nschedulers: [vllm-v1]\n\
        engine: {speculative: {method: ngram, tokens: 2, acceptance: {rate: 0.5}}, prefix_caching: true}\n\
        pools: [{name: p, role: prefill, replicas: 1}, {name: d, role: decode, replicas: 1}]\n\
        disaggregation: {transfer: {link: ib-400g}}\n\
        workload: {requests: 4, arrivals: {poisson: {rate: 1}}, lengths: {prompt: {fixed: 2000}, output: \
        {fixed: 20}}}\n";
    for reference in [false, true] {
        let output = play(text, reference);
        let of = output.result.disaggregation.unwrap();
        assert_eq!(of.handed_over, 4);
        let done = |row: &metron_sim::trace::RequestRow| row.status == Status::Completed;
        assert!(output.outcome.trace.requests.iter().all(done));
    }
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
        "engine: {prefix_caching: true}\ndisaggregation: {transfer: {link: ib-400g}, decode_router: least-requests}",
        "engine: {prefix_caching: true, kv_blocks: 900, async_scheduling: false}\n\
         disaggregation: {transfer: {link: tcp-100g, missing_only: false}, kv_lease: 500ms, on_failure: recompute}",
        "engine: {prefix_caching: false, kv_blocks: 700}\nhorizon: 6s\n\
         disaggregation: {transfer: {link: {bandwidth: 2GB/s, scope: fleet}, per_block: 10us}}",
        "engine: {prefix_caching: true, profile: sglang-0.5}\n\
         disaggregation: {transfer: {link: ib-400g}, decode_router: least-requests}",
        "engine: {prefix_caching: true, kv_blocks: 900, async_scheduling: false}\n\
         disaggregation: {order: destination-first, transfer: {link: tcp-100g, missing_only: false}}",
        "engine: {prefix_caching: false, kv_blocks: 700}\nhorizon: 6s\n\
         disaggregation: {order: destination-first, first_token: carried, reserved_decode_tokens: 16, \
         transfer: {link: {bandwidth: 2GB/s, scope: fleet}, per_block: 10us}}",
        "engine: {profile: tensorrt-llm-1, kv_blocks: 700, \
         speculative: {method: ngram, tokens: 2, acceptance: {rate: 0.5}}}\n\
         disaggregation: {kv_lease: 500ms, on_failure: recompute, transfer: {link: tcp-100g}}",
    ] {
        let text = format!("{base}{workload}{more}");
        let (fast, slow) = (play(&text, false), play(&text, true));
        assert!(fast.outcome == slow.outcome, "{more}");
        let trace = &fast.outcome.trace;
        let landed = trace.hand_overs.iter().filter(|hand| hand.landed <= trace.end);
        assert!(landed.count() > 50, "{more}");
    }
}
