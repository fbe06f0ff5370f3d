//! A policy of one's own played by hand: step by step without time, then in time on a workload.
//!
//! Run it with `cargo run --release --example play_a_policy`.

mod policy;

use metron_sim::policy::{Parameters, Replay, ReplayRequest, register};
use metron_sim::{
    Document, Files, Progress, RunInput, RunOptions, Simulator, prepare, run_experiment,
};
use policy::ShortestPromptFirstParams;

/// The policy beside Sarathi-Serve, on the same requests.
const SCENARIO: &str = "
model: llama-3.1-8b
gpu: h100-sxm
engine: {max_model_len: 8192}
schedulers: [shortest-prompt-first, sarathi]
workload:
  requests: 2000
  arrivals: {poisson: {rate: 6}}
  lengths: {table: chat}
slo: {ttft: 500ms, tbt: 25ms, fluidity: {index: 0.9, share: 0.99}}
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    register::<ShortestPromptFirstParams>("shortest-prompt-first")?;
    let document = Document::from_text("by hand", SCENARIO, Files::none())?;
    let prepared = prepare(&document, Some(42), 1)?;

    // First step by step, without time; every invariant of the replica is checked after each.
    let engine = prepared.experiment.engine_info(&prepared.experiment.schedulers[0].config);
    let policy = ShortestPromptFirstParams::default().build(&engine);
    let request = |arrival_step, prompt_tokens| ReplayRequest {
        arrival_step,
        prompt_tokens,
        output_tokens: 3,
        max_tokens: 8,
        ..ReplayRequest::default()
    };
    let requests = vec![request(0, 700), request(0, 90), request(1, 300)];
    for step in Replay::new(policy, &engine, requests, false) {
        let batch: Vec<String> = step
            .scheduled
            .iter()
            .map(|s| format!("request {}: {} tokens", s.request, s.tokens))
            .collect();
        println!("step {}: {}; {} waiting", step.step, batch.join(", "), step.waiting);
    }

    // Then in time.
    let input = RunInput { experiment: &prepared.experiment, requests: &prepared.requests };
    let progress = Progress::new(2);
    for run in run_experiment(input, RunOptions::default(), &Simulator, &progress)? {
        let ttft = run.result.summary.ttft_s;
        let ms = |seconds: Option<f64>| seconds.unwrap_or_default() * 1e3;
        let (p50, p99) = (ms(ttft.p50), ms(ttft.p99));
        println!("{}: TTFT P50 {p50:.0} ms, P99 {p99:.0} ms", run.result.label);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().expect("the policy serves every request");
    }
}
