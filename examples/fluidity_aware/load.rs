//! Workloads, GPUs, promises and schedulers of the study, and runs of them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use metron_sim::{
    Document, Files, Progress, RunInput, RunOptions, SchedulerOutput, Simulator, prepare,
    run_experiment,
};

use super::figures::Figures;

/// How much is run.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Requests of a run.
    pub(crate) requests: u32,
    /// Seeds of a point.
    pub(crate) seeds: u64,
    /// Runs at a time.
    pub(crate) jobs: usize,
    /// Azure's trace.
    pub(crate) azure: Option<PathBuf>,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { requests: 2000, seeds: 5, jobs: 2, azure: None }
    }
}

/// Which requests arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Chat,
    Mixture,
    Code,
    Azure,
}

impl Load {
    pub(crate) const ALL: [Load; 4] = [Load::Chat, Load::Mixture, Load::Code, Load::Azure];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Load::Chat => "chat",
            Load::Mixture => "mixture",
            Load::Code => "code",
            Load::Azure => "Azure",
        }
    }

    /// What a rate is of it: a second, or a multiple of the trace's own.
    pub(crate) fn unit(self) -> &'static str {
        if self == Load::Azure { "x" } else { "/s" }
    }

    /// Whether there is what it needs.
    pub(crate) fn is_there(self, sizes: &Sizes) -> bool {
        self != Load::Azure || sizes.azure.is_some()
    }

    fn model(self) -> &'static str {
        if self == Load::Code { "qwen2.5-7b" } else { "llama-3.1-8b" }
    }

    fn workload(self, rate: f64, sizes: &Sizes) -> String {
        let requests = sizes.requests;
        match self {
            Load::Chat => format!(
                "{{requests: {requests}, arrivals: {{poisson: {{rate: {rate}}}}}, lengths: {{table: chat}}"
            ),
            Load::Mixture => format!(
                "{{requests: {requests}, arrivals: {{poisson: {{rate: {rate}}}}}, \
                 lengths: {{prompt: {{lognormal: {{mean: 800, sigma: 0.8, max: 8000}}}}, \
                 output: {{lognormal: {{mean: 150, sigma: 0.7, max: 2000}}}}}}, \
                 classes: [{{name: short, share: 0.98}}, {{name: long, share: 0.02, \
                 lengths: {{prompt: {{uniform: {{min: 16000, max: 32000}}}}, \
                 output: {{lognormal: {{mean: 150, sigma: 0.7, max: 2000}}}}}}}}]"
            ),
            Load::Code => format!(
                "{{requests: {}, arrivals: {{gamma: {{rate: {rate}, cv: 3}}}}, lengths: {{table: code}}",
                requests + requests / 2
            ),
            Load::Azure => {
                let file = sizes.azure.as_deref().unwrap_or(Path::new("")).display();
                format!("{{requests: {requests}, trace: {{file: {file}, time_scale: {rate}}}")
            }
        }
    }
}

/// A promise: deadline of first tokens, of later ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    pub(crate) name: &'static str,
    ttft: &'static str,
    tbt: &'static str,
}

/// The three of the study, and one that is tighter.
pub(crate) const PROMISES: [Promised; 3] = [
    Promised { name: "25 ms, curve", ttft: "{prefill_curve_plus: 300ms}", tbt: "25ms" },
    Promised { name: "25 ms, 1 s", ttft: "1s", tbt: "25ms" },
    Promised { name: "50 ms, 1 s", ttft: "1s", tbt: "50ms" },
];

/// A GPU and how it is called in tables.
pub(crate) const GPUS: [(&str, &str); 2] = [("h100-sxm", "H100"), ("a100-sxm-80gb", "A100")];

/// Schedulers, and how they are called in tables.
pub(crate) const SCHEDULERS: [(&str, &str); 11] = [
    ("vllm-v1", "vllm-v1: {max_num_batched_tokens: 2048}"),
    ("sarathi", "sarathi: {chunk_size: 512, max_num_seqs: 256}"),
    ("sglang", "sglang"),
    ("edf", "edf"),
    ("srpt", "srpt"),
    ("vtc", "vtc"),
    ("slai", "slai"),
    ("medha", "medha"),
    ("qoserve", "qoserve"),
    ("fluid", "fluid"),
    ("fluid, give up at 10 s", "fluid: {give_up_after: 10s}"),
];

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Point<'s> {
    pub(crate) load: Load,
    pub(crate) rate: f64,
    pub(crate) gpu: &'s str,
    pub(crate) promise: Promised,
    pub(crate) scheduler: &'s str,
    /// What a prediction is wrong by.
    pub(crate) predictor: &'s str,
    pub(crate) seed: u64,
}

impl Point<'_> {
    fn text(&self, sizes: &Sizes) -> String {
        let Point { load, gpu, scheduler, predictor, .. } = self;
        let Promised { ttft, tbt, .. } = self.promise;
        format!(
            "model: {}\ngpu: {gpu}\n\
             engine: {{profile: vllm-0.12, predictor: {predictor}, async_scheduling: false, \
             prefix_caching: false}}\n\
             schedulers: [{scheduler}]\n\
             workload: {}, max_tokens: {{fixed: 2048}}}}\n\
             slo: {{ttft: {ttft}, tbt: {tbt}}}\n",
            load.model(),
            load.workload(self.rate, sizes),
        )
    }

    fn run(&self, sizes: &Sizes) -> Result<SchedulerOutput, Box<dyn Error>> {
        let files = Files::any("");
        let document = Document::from_text("study", &self.text(sizes), files)?;
        let prepared = prepare(&document, Some(self.seed), 1)?;
        let input = RunInput { experiment: &prepared.experiment, requests: &prepared.requests };
        let outputs = run_experiment(input, RunOptions::default(), &Simulator, &Progress::new(1))?;
        Ok(outputs.into_iter().next().ok_or("no scheduler")?)
    }
}

/// The figures of many points, each played once, so many at a time.
pub(crate) fn play(points: &[Point<'_>], sizes: &Sizes) -> Result<Vec<Figures>, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Figures, String>>>> = Mutex::new(vec![None; points.len()]);
    std::thread::scope(|scope| {
        for _ in 0..sizes.jobs {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(place) else { break };
                    let figures = point.run(sizes).map(|output| Figures::of(&output));
                    let figures = figures.map_err(|error| format!("{point:?}: {error}"));
                    done.lock().expect("no thread panics")[place] = Some(figures);
                }
            });
        }
    });
    let done = done.into_inner()?;
    let all: Result<Vec<Figures>, String> =
        done.into_iter().map(|one| one.unwrap_or_else(|| Err("not played".to_owned()))).collect();
    Ok(all?)
}
