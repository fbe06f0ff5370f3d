//! A point, simulated.

use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate};
use metron_sim::runner::{PlayOptions, Requests, Simulate, Simulator};
use metron_sim::scenario::{Document, Files};
use metron_sim::time::Span;

use super::served::{Served, of_inferencemax, served};
use super::{Engine, Point};

/// What came of it, mean milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Played {
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
}

impl Played {
    /// End to end, for answers of so many tokens.
    pub(crate) fn e2e_ms(self, tokens: f64) -> f64 {
        self.ttft_ms + self.tpot_ms * (tokens - 1.0)
    }
}

/// The scenario that says the point, as a user would write it. InferenceMAX asks ten times as often as there
/// are users; of others that is not known. All are taken to have its front end: behind none, users with answers
/// of one length would never be in step, and first tokens of aiconfigurator's own runs come as late as if
/// several prompts were there at once.
fn scenario(point: &Point) -> String {
    let (profile, scheduler) = system(point.engine, &point.version);
    let Served { parameters, kv_in_fp8, memory, .. } = served(point);
    let kv = if point.kv_in_fp8 || kv_in_fp8 { "fp8" } else { "auto" };
    let memory =
        memory.map_or_else(String::new, |share| format!(", gpu_memory_utilization: {share}"));
    let turns = match of_inferencemax(point) {
        true => 10,
        false if u64::from(point.users) * u64::from(point.output) > 1 << 18 => 4,
        false => 6,
    };
    let front_end = front_end(point.engine);
    let share = if point.fixed_lengths { 1.0 } else { 0.8 };
    let low = |tokens: u32| (share * f64::from(tokens)) as u32;
    format!(
        "model: {}\ngpu: {}\nparallelism: {{tensor: {}, data: {}, expert: {}}}\n\
         engine: {{profile: {profile}, dtype: {}, kv_cache_dtype: {kv}, max_model_len: {}, front_end: {front_end}{memory}}}\n\
         schedulers: [{scheduler}: {{{}}}]\n\
         workload:\n  requests: {}\n  arrivals: {{closed_loop: {{users: {}, think_time: 0s}}}}\n  \
         lengths: {{prompt: {{uniform: {{min: {}, max: {}}}}}, output: {{uniform: {{min: {}, max: {}}}}}}}\n",
        point.model,
        point.gpu,
        point.tensor,
        point.data,
        point.expert,
        point.dtype,
        point.prompt + point.output + 256,
        parameters.join(", "),
        turns * point.users,
        point.users,
        low(point.prompt),
        point.prompt,
        low(point.output),
        point.output,
    )
}

/// What lies between the client and the engine: HTTP, tokenising 1,000 to 8,000 tokens of which no two make
/// a word, and the client itself, one process. Fitted on first tokens of the half of the points that fits
/// may see.
fn front_end(engine: Engine) -> &'static str {
    match engine {
        Engine::Sglang => "{before: 60ms, request: 2500us}",
        Engine::TensorRtLlm => "{before: 20ms, request: 1ms}",
        Engine::Vllm => "{before: 22ms, request: 2ms}",
    }
}

/// The profile and the scheduler of its engine.
pub(crate) fn system(engine: Engine, version: &str) -> (&'static str, &'static str) {
    match engine {
        Engine::Sglang => ("sglang-0.5", "sglang"),
        Engine::TensorRtLlm if version.starts_with("1.0") => ("tensorrt-llm-1.0", "tensorrt-llm"),
        Engine::TensorRtLlm => ("tensorrt-llm-1", "tensorrt-llm"),
        Engine::Vllm if version.starts_with("0.12") => ("vllm-0.12", "vllm-v1"),
        Engine::Vllm if version.starts_with("0.19") => ("vllm-0.19", "vllm-v1"),
        Engine::Vllm => ("vllm-0.14", "vllm-v1"),
    }
}

/// Simulates it; with a profile changed by `change` where one is given.
///
/// # Errors
/// What the program says against it.
pub(crate) fn play(
    point: &Point,
    change: Option<&dyn Fn(&mut metron_sim::cost::Pricing)>,
) -> Result<Played, String> {
    // A user gives it with the profile's file.
    let graphs = served(point).graph_tokens;
    let with_graphs = |pricing: &mut metron_sim::cost::Pricing| {
        pricing.profile.chunk_graph_tokens = graphs.unwrap_or(pricing.profile.chunk_graph_tokens);
        change.into_iter().for_each(|change| change(pricing));
    };
    match graphs.is_some() {
        true => simulated(&scenario(point), Some(&with_graphs)),
        false => simulated(&scenario(point), change),
    }
}

/// What comes of a scenario.
///
/// # Errors
/// What the program says against it.
pub(super) fn simulated(
    text: &str,
    change: Option<&dyn Fn(&mut metron_sim::cost::Pricing)>,
) -> Result<Played, String> {
    let document =
        Document::from_text("a point", text, Files::any("")).map_err(|e| e.to_string())?;
    let resolved = document.resolve(None).map_err(|e| e.to_string())?;
    let mut experiment = resolved.experiment;
    if let Some(change) = change {
        let mut pricing = *experiment.hardware.pricing.clone().expect("priced");
        change(&mut pricing);
        experiment.cost = std::sync::Arc::new(pricing.roofline().map_err(|e| e.to_string())?);
    }
    let (requests, _) = Requests::of(&experiment).map_err(|e| e.to_string())?;
    let scheduler = &experiment.schedulers[0];
    let outcome = Simulator
        .simulate(&experiment, scheduler, &requests, PlayOptions::default())
        .map_err(|e| e.to_string())?;
    let (ttft_ms, tpot_ms) = summed(&outcome.trace);
    Ok(Played { ttft_ms, tpot_ms })
}

/// Mean TTFT and TPOT, milliseconds.
fn summed(trace: &metron_sim::trace::TokenTrace) -> (f64, f64) {
    let any = FirstToken::Fixed(Span::from_millis(1000));
    let deadlines = Deadlines::new(any, Span::from_millis(50), 0.9).expect("deadlines");
    let summary = evaluate(trace, &Options::new(deadlines));
    let mean = |mean: Option<f64>| mean.map_or(f64::NAN, |s| s * 1e3);
    (mean(summary.ttft_s.mean), mean(summary.tpot_s.mean))
}
