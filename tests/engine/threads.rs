//! Results do not depend on the number of threads, with requests enough for each of several.

use metron_sim::metrics::{evaluate, reference};
use metron_sim::progress::Progress;
use metron_sim::runner::{
    Requests, RunInput, RunOptions, SchedulerOutput, Simulator, on_threads, run_experiment,
};
use metron_sim::scenario::{Document, Experiment, Files};

/// Replicas that are played apart, short of KV blocks, so that requests are preempted and have
/// several runs; some prompts are too long, and the last requests are cut off.
const APART: &str = "
seed: 3
model: llama-3-8b
gpu: h100-sxm
engine: {profile: ideal, max_model_len: 2048, kv_blocks: 300}
schedulers: [{sarathi: {chunk_size: 512}}, vllm-v0]
replicas: 5
router: random
horizon: 590s
workload:
  requests: 60000
  arrivals: {gamma: {rate: 100, cv: 2}}
  lengths: {prompt: {lognormal: {mean: 300, sigma: 1.2}}, output: {lognormal: {mean: 60, sigma: 0.8}}}
  classes: [{name: chat, share: 0.7}, {name: batch, share: 0.3, slo: {ttft: 2s, tbt: 15ms}}]
slo: {ttft: {prefill_curve_plus: 300ms}, tbt: 9ms, fluidity: {index: 0.9, share: 0.99}}
";

/// One replica, of which all requests share a column.
const ALONE: &str = "
seed: 4
model: llama-3-8b
gpu: h100-sxm
engine: {profile: ideal, max_model_len: 4096}
schedulers: [{sarathi: {chunk_size: 1024}}]
workload:
  requests: 40000
  arrivals: {poisson: {rate: 40}}
  lengths: {prompt: {zipf: {min: 50, max: 1500, theta: 0.4}}, output: {geometric: {mean: 90}}}
  prefix_groups: {count: 7, tokens: 128, share: 0.5}
slo: {ttft: 400ms, tbt: 7ms}
";

fn experiment(scenario: &str) -> Experiment {
    let document = Document::from_text("threads", scenario, Files::none()).expect("a scenario");
    document.resolve(None).expect("a scenario").experiment
}

fn drawn(experiment: &Experiment) -> Requests {
    Requests::of(experiment).expect("requests").0
}

fn played(experiment: &Experiment, jobs: usize) -> Vec<SchedulerOutput> {
    let requests = on_threads(jobs, || drawn(experiment)).expect("threads");
    let input = RunInput { experiment, requests: &requests };
    let options = RunOptions { jobs, keep_log: true, ..RunOptions::default() };
    let progress = Progress::new(experiment.schedulers.len());
    run_experiment(input, options, &Simulator, &progress).expect("a run")
}

fn the_same_on(scenario: &str) -> Vec<SchedulerOutput> {
    let experiment = experiment(scenario);
    let one = played(&experiment, 1);
    for jobs in [2, 5] {
        for (one, other) in one.iter().zip(played(&experiment, jobs)) {
            assert!(one.outcome == other.outcome, "{jobs} threads: another trace");
            assert!(one.result == other.result, "{jobs} threads: other figures");
        }
    }
    one
}

#[test]
fn replicas_played_apart() {
    for output in the_same_on(APART) {
        let requests = output.result.summary.requests;
        assert!(requests.rejected > 100 && requests.unfinished > 0, "{requests:?}");
        assert!(output.outcome.kv.preemptions > 100, "{:?}", output.outcome.kv);
        assert!(!output.outcome.trace.more_runs.is_empty());
        let on_one = reference::evaluate(&output.outcome.trace, &output.judged_by);
        assert_eq!(output.result.summary, on_one);
    }
}

#[test]
fn one_replica() {
    for output in the_same_on(ALONE) {
        let (trace, judged_by) = (&output.outcome.trace, &output.judged_by);
        assert!(
            trace.columns[0].times.len() > 65_536,
            "{} iterations",
            trace.columns[0].times.len()
        );
        let outside = evaluate(trace, judged_by);
        assert_eq!(output.result.summary, outside);
        assert_eq!(outside, reference::evaluate(trace, judged_by));
    }
}

#[test]
fn lengths_in_turn_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let pairs: String = (1..=997).map(|i| format!("{},{}\n", i, i % 31 + 1)).collect();
    let file = folder.path().join("pairs.csv");
    std::fs::write(&file, format!("prompt_tokens,output_tokens\n{pairs}")).expect("written");
    let lengths = format!("lengths: {{file: {}}}", file.display());
    let scenario: String = ALONE
        .lines()
        .map(|line| {
            if line.starts_with("  lengths") {
                format!("  {lengths}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let path = folder.path().join("s.yaml");
    std::fs::write(&path, scenario).expect("written");
    let document = Document::read(&path.display().to_string()).expect("a scenario");
    let experiment = document.resolve(None).expect("a scenario").experiment;
    let of = |requests: Requests| match requests {
        Requests::Open(workload) => workload.requests,
        Requests::Closed(_) => unreachable!("arrivals are drawn"),
    };
    let one = of(drawn(&experiment));
    let prompts: Vec<u32> = one.iter().map(|request| request.prompt_tokens).collect();
    assert!(prompts.iter().copied().eq((1..=997).cycle().take(40_000)));
    assert!(one == of(on_threads(3, || drawn(&experiment)).expect("threads")));
}
