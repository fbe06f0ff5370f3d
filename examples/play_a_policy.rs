//! A policy of one's own played by hand: step by step without time, then in time on a workload.
//!
//! Run it with `cargo run --release --example play_a_policy`.

mod policy;

use metron_sim::catalog;
use metron_sim::cost::{Dtype, Parallelism, Roofline};
use metron_sim::fleet::{Routing, Setup};
use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate};
use metron_sim::scheduler::{EngineInfo, Scheduler, SchedulerConfig};
use metron_sim::sim::{Replay, ReplayRequest, SimOptions, play};
use metron_sim::time::Span;
use metron_sim::workload::{
    Amount, Arrivals, LengthTable, Lengths, Limits, MaxTokens, Source, WorkloadSpec, draw,
};
use policy::ShortestPromptFirst;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = EngineInfo {
        kv_block_tokens: 16,
        kv_blocks: 25_000,
        max_model_len: 8192,
        prefix_caching: false,
        large_gpu: true,
    };
    let make = || -> Box<dyn Scheduler> {
        Box::new(ShortestPromptFirst { token_budget: 512, seats: 128 })
    };

    // First step by step, without time; every invariant of the replica is checked after each.
    let request = |arrival_step, prompt_tokens| ReplayRequest {
        arrival_step,
        prompt_tokens,
        output_tokens: 3,
        max_tokens: 8,
        ..ReplayRequest::default()
    };
    let requests = vec![request(0, 700), request(0, 90), request(1, 300)];
    for step in Replay::new(make(), &engine, requests, false) {
        let batch: Vec<String> = step
            .scheduled
            .iter()
            .map(|s| format!("request {}: {} tokens", s.request, s.tokens))
            .collect();
        println!("step {}: {}; {} waiting", step.step, batch.join(", "), step.waiting);
    }

    // Then in time, against Sarathi-Serve on the same requests.
    let limits = Limits { max_model_len: engine.max_model_len, kv_block_tokens: 16 };
    let spec = WorkloadSpec {
        source: Source::Synthetic {
            arrivals: Arrivals::Poisson { rate: 6.0 },
            lengths: Lengths::Table(LengthTable::Chat),
        },
        amount: Amount { requests: Some(2000), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    let workload = draw(&spec, 42, limits)?.workload;
    let cost = Roofline::new(
        &catalog::model("llama-3.1-8b")?,
        &catalog::gpu("h100-sxm")?,
        &catalog::profile("vllm-0.12")?,
        Parallelism::default(),
        Dtype::Bf16,
    )?;
    let setup = Setup {
        cost: &cost,
        engine,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling: false,
        horizon: None,
    };
    let sarathi = SchedulerConfig::by_name("sarathi").expect("registered");
    let build_sarathi = || sarathi.build(&engine);
    let first_token = FirstToken::Fixed(Span::from_millis(500));
    let options = Options::new(Deadlines::new(first_token, Span::from_millis(25), 0.9)?);
    let report = |name: &str, make: &(dyn Fn() -> Box<dyn Scheduler> + Sync)| {
        let outcome = play(&setup, make, &mut workload.arriving(), SimOptions::default())?;
        let ttft = evaluate(&outcome.trace, &options).ttft_s;
        let ms = |seconds: Option<f64>| seconds.unwrap_or_default() * 1e3;
        println!("{name}: TTFT P50 {:.0} ms, P99 {:.0} ms", ms(ttft.p50), ms(ttft.p99));
        Ok(())
    };
    report("shortest prompt first", &make)?;
    report("sarathi", &build_sarathi)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().expect("the policy serves every request");
    }
}
