//! What the mock server sent is what the simulator gives for the same arrivals, to the nanosecond.

use metron_sim::live::client::Wish;
use metron_sim::request::BlockIds;
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::workload::Workload;

use crate::support::{bench, mock, pose, prepared};

/// Several replicas behind a router that looks at their load, chunked prefills, drafts, a prefix cache, little
/// memory, and a burst in the middle; much faster than the wall clock, so that arrivals are dense.
const SCENARIOS: [&str; 4] = [
    "
model: llama-3.1-8b
gpu: h100-sxm
replicas: 3
router: least-requests
schedulers: [vllm-v1]
workload:
  requests: 120
  arrivals: {poisson: {rate: 300}}
  lengths: {table: chat}
  prefix_groups: {count: 4, tokens: 64, share: 0.7}
slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
",
    "
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [sarathi: {chunk_size: 256}]
engine: {kv_blocks: 700}
workload:
  requests: 100
  arrivals: {poisson: {rate: 500}}
  lengths: {prompt: {uniform: {min: 10, max: 600}}, output: {uniform: {min: 1, max: 150}}}
slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
",
    "
model: llama-3.1-8b
gpu: h100-sxm
parallelism: {pipeline: 2}
schedulers: [vllm-v1]
workload:
  requests: 60
  arrivals: all_at_once
  lengths: {prompt: {fixed: 200}, output: {uniform: {min: 1, max: 60}}}
slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
",
    "
model: llama-3.1-8b
gpu: h100-sxm
schedulers: [sglang]
workload:
  requests: 80
  arrivals: {poisson: {rate: 400}}
  lengths: {prompt: {uniform: {min: 10, max: 900}}, output: {uniform: {min: 1, max: 90}}}
slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
",
];

#[test]
fn the_tokens_sent_are_those_of_the_simulator() {
    for text in SCENARIOS {
        let prepared = prepared(text);
        let mut pose = pose();
        pose.speed = 5.0;
        let mock = mock(&prepared, pose);
        let got = bench(&prepared, mock.address(), &Wish::default());
        let (played, _) = mock.stop();
        assert_eq!(played.broken, None);
        let asked = prepared.requests.count(&prepared.experiment).expect("known") as usize;
        assert_eq!(got.ran.exchanges.len(), asked);
        for exchange in &got.ran.exchanges {
            let asked = &got.ran.asked[exchange.index as usize];
            assert_eq!(exchange.error, None);
            assert_eq!(exchange.output_tokens(), asked.output_tokens);
            assert_eq!(exchange.usage.map(|usage| usage.prompt), Some(asked.prompt_tokens));
        }

        let (mut block_ids, mut blocks) = (Vec::new(), Vec::new());
        for ids in &played.ids {
            blocks.push(BlockIds { start: block_ids.len() as u32, len: ids.len() as u32 });
            block_ids.extend_from_slice(ids);
        }
        let workload = Workload {
            requests: played.requests.clone(),
            block_ids: block_ids.into(),
            blocks,
            block_tokens: prepared.experiment.engine.kv_block_tokens,
            ids_cover_answers: true,
            classes: vec![String::new()],
            ..Workload::default()
        };
        let requests = Requests::Open(workload);
        let scheduler = &prepared.experiment.schedulers[0];
        let outcome = Simulator
            .simulate(&prepared.experiment, scheduler, &requests, PlayOptions::default())
            .expect("it runs");
        let (sent, simulated) = (&played.outcome.trace, &outcome.trace);
        assert_eq!(sent.requests.len(), simulated.requests.len());
        for (one, other) in sent.requests.iter().zip(&simulated.requests) {
            assert_eq!(one.status, other.status);
            let times = |trace: &metron_sim::trace::TokenTrace, row| {
                trace.token_times(row).collect::<Vec<_>>()
            };
            assert_eq!(times(sent, one), times(simulated, other), "{text}");
        }
        assert_eq!(played.outcome.kv.preemptions, outcome.kv.preemptions);
        assert_eq!(played.outcome.kv.prefix_hit_tokens, outcome.kv.prefix_hit_tokens);
    }
}
