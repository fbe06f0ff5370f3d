//! Two fleets, and how they are played.

use metron_sim::runner::{
    Requests, RunInput, RunOptions, SchedulerOutput, Simulator, run_scheduler,
};
use metron_sim::scenario::{Document, Experiment, Files, Resolved};
use metron_sim::trace::Status;

/// An iteration takes 10 ms on one replica, and 40 ms on the other.
pub(super) const TWO_PACES: &str = "
seed: 7
pools:
  - {name: quick, replicas: 1, engine: {profile: {fixed: {iteration: 10ms}}}}
  - {name: slow, replicas: 1, engine: {profile: {fixed: {iteration: 40ms}}}}
engine: {kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 4096}
schedulers: [sarathi: {chunk_size: 64}]
workload:
  requests: 4
  arrivals: {all_at_once: {}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 3}}
slo: {ttft: {prefill_curve_plus: 5ms}, tbt: 25ms}
";

/// Two GPUs that the catalog prices, with pipelines of different depth.
pub(super) const TWO_GPUS: &str = "
seed: 3
model: llama-3.1-8b
pools:
  - {name: fast, replicas: 2, gpu: h100-sxm}
  - {name: cheap, replicas: 2, gpu: l40s, parallelism: {pipeline: 2}}
engine: {profile: vllm-0.19, kv_blocks: 900}
schedulers: [vllm-v1]
workload:
  requests: 120
  arrivals: {poisson: {rate: 20}}
  lengths: {prompt: {lognormal: {mean: 700, sigma: 0.9}, max: 4000}, output: {geometric: {mean: 60}}}
  classes: [{name: chat, share: 0.6}, {name: batch, share: 0.4}]
slo: {ttft: 1s, tbt: 25ms}
";

pub(super) fn document(text: &str, set: &[&str]) -> Document {
    let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
    let document = Document::from_text("s.yaml", text, Files::none());
    document.and_then(|d| d.with(&set)).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

pub(super) fn resolved(text: &str, set: &[&str]) -> Resolved {
    document(text, set).resolve(None).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

pub(super) fn refused(text: &str, set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
    let document = Document::from_text("s.yaml", text, Files::none());
    let resolved = document.and_then(|d| d.with(&set)).and_then(|d| d.resolve(None));
    resolved.err().expect("it is refused").render(false)
}

pub(super) fn play(experiment: &Experiment, reference: bool) -> SchedulerOutput {
    let (requests, _) = Requests::of(experiment).unwrap();
    let input = RunInput { experiment, requests: &requests };
    let options =
        RunOptions { reference, keep_log: true, full_metrics: true, ..RunOptions::default() };
    run_scheduler(input, &experiment.schedulers[0], options, &Simulator).unwrap()
}

pub(super) fn played(text: &str, set: &[&str]) -> SchedulerOutput {
    play(&resolved(text, set).experiment, false)
}

pub(super) fn token_times_ms(output: &SchedulerOutput, request: usize) -> Vec<f64> {
    let trace = &output.outcome.trace;
    let times = trace.token_times(&trace.requests[request]);
    times.map(|at| at.as_nanos() as f64 / 1e6).collect()
}

pub(super) fn statuses(output: &SchedulerOutput) -> Vec<(u32, Status)> {
    let trace = &output.outcome.trace;
    trace.requests.iter().map(|row| (trace.replica_of(row).0, row.status)).collect()
}
