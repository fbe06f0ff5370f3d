//! What there is to choose from.

use super::question::PlanQuestion;
use crate::catalog;
use crate::cost::{Dtype, Parallelism};
use crate::scenario::{Document, Experiment, Resolved};

/// GPUs that tensor parallelism is tried on where nobody says.
pub(super) const TENSOR: [u32; 4] = [1, 2, 4, 8];
/// Token budgets of a step that are tried beside the default.
const BUDGETS: [u32; 2] = [2_048, 4_096];
/// Seats that are tried beside the default.
const SEATS: [u32; 1] = [64];

/// A GPU with a parallelism and a number format: what one replica is.
pub(super) struct ReplicaKind {
    pub gpu: String,
    pub parallelism: Parallelism,
    /// What is set in the scenario for it.
    pub set: Vec<String>,
    /// The number format as it is called.
    pub dtype: String,
    /// The scenario with it, or why there can be none.
    pub experiment: Result<Box<Experiment>, Unfit>,
}

/// Why a scenario cannot have such replicas.
pub(super) struct Unfit {
    pub why: String,
    /// Whether the scenario is refused, which may be no replica's doing.
    pub refused: bool,
}

impl ReplicaKind {
    /// GPUs of a replica.
    pub(super) fn gpus(&self) -> u32 {
        self.parallelism.tensor * self.parallelism.pipeline
    }

    /// What is to be known of a format that is not its checkpoint's.
    pub(super) fn other_format(&self) -> Option<String> {
        let pricing = self.experiment.as_ref().ok()?.hardware.pricing.as_ref()?;
        let (model, asked) = (&pricing.model, pricing.precision.weights);
        let own = model.formats;
        let other = asked != Dtype::Auto
            && !own.is_16_bit()
            && pricing.precision.formats(model).classes() != own.classes();
        other.then(|| {
            format!(
                "{asked} in place of what the model's config says, {own}: that takes a checkpoint in \
                 {asked}"
            )
        })
    }
}

/// `TP2`, `TP8 PP2 EP, fp8`.
pub(super) fn spread(parallelism: Parallelism, dtype: &str) -> String {
    let mut text = format!("TP{}", parallelism.tensor);
    if parallelism.pipeline > 1 {
        text.push_str(&format!(" PP{}", parallelism.pipeline));
    }
    if parallelism.expert {
        text.push_str(" EP");
    }
    format!("{text}, {dtype}")
}

/// Every kind of replica on one GPU, the smallest first.
pub(super) fn kinds(question: &PlanQuestion, gpu: &str, seed: Option<u64>) -> Vec<ReplicaKind> {
    let catalogued = catalog::gpu(gpu).ok();
    let node = catalogued.as_ref().and_then(|gpu| gpu.gpus_per_node).unwrap_or(8);
    let fp8 = catalogued.as_ref().is_some_and(|gpu| gpu.peak.fp8_tflops.is_some());
    let tensor: Vec<u32> = match question.tensor.as_slice() {
        [] => TENSOR.iter().copied().filter(|&ranks| ranks <= node).collect(),
        given => given.to_vec(),
    };
    let own: Vec<Option<&str>> = match question.dtypes.as_slice() {
        [] if fp8 && !comes_quantised(question, gpu, seed) => vec![None, Some("fp8")],
        [] => vec![None],
        given => given.iter().map(|dtype| Some(dtype.as_str())).collect(),
    };
    let mut found: Vec<ReplicaKind> = Vec::new();
    let mut add = |tensor: u32, pipeline: u32, expert: bool, dtype: Option<&str>| -> Added {
        let parallelism = Parallelism { tensor, pipeline, expert, ..Parallelism::default() };
        let kind = kind(question, gpu, parallelism, dtype, seed);
        let fits = kind.experiment.is_ok();
        let pricing = kind.experiment.as_ref().ok().and_then(|one| one.hardware.pricing.clone());
        let experts = pricing.is_some_and(|pricing| pricing.model.experts().is_some());
        // The scenario's own format may be fp8 already.
        let same =
            |other: &ReplicaKind| other.parallelism == parallelism && other.dtype == kind.dtype;
        if !found.iter().any(same) {
            found.push(kind);
        }
        Added { fits, experts }
    };
    for &dtype in &own {
        for &ranks in &tensor {
            let added = add(ranks, 1, false, dtype);
            if added.experts && ranks > 1 {
                add(ranks, 1, true, dtype);
            }
            if !added.fits && ranks >= node {
                add(ranks, 2, false, dtype);
            }
        }
    }
    found
}

/// Whether the model's checkpoint is quantised: it is served as it comes, and an engine refuses to make
/// another format of it.
fn comes_quantised(question: &PlanQuestion, gpu: &str, seed: Option<u64>) -> bool {
    // With blocks given, weights that do not fit are no reason to refuse.
    let set = [format!("gpu={gpu}"), "engine.kv_blocks=65536".to_owned(), "replicas=1".to_owned()];
    let resolved = resolved(&question.document, &set, seed);
    let pricing = resolved.ok().and_then(|resolved| resolved.experiment.hardware.pricing);
    pricing.is_some_and(|pricing| !pricing.model.formats.is_16_bit())
}

struct Added {
    fits: bool,
    experts: bool,
}

fn kind(
    question: &PlanQuestion,
    gpu: &str,
    parallelism: Parallelism,
    dtype: Option<&str>,
    seed: Option<u64>,
) -> ReplicaKind {
    let mut set = vec![format!("gpu={gpu}")];
    if let Some((_, usd)) = question.prices.iter().find(|(name, _)| name == gpu) {
        set.push(format!("gpu.price_usd_per_hour={usd}"));
    }
    set.push(format!(
        "parallelism={{tensor: {}, pipeline: {}, expert: {}}}",
        parallelism.tensor, parallelism.pipeline, parallelism.expert
    ));
    set.extend(dtype.map(|dtype| format!("engine.dtype={dtype}")));
    let mut all = set.clone();
    all.push("replicas=1".to_owned());
    if !question.own_schedulers {
        all.push(format!("schedulers={}", settings()));
    }
    let resolved = resolve(&question.document, &all, seed);
    let (experiment, own) = match resolved {
        Ok((experiment, dtype)) => (Ok(experiment), dtype),
        Err(why) => (Err(why), None),
    };
    let dtype = dtype.map(str::to_owned).or(own).unwrap_or_else(|| "auto".to_owned());
    ReplicaKind { gpu: gpu.to_owned(), parallelism, set, dtype, experiment }
}

/// The settings of vllm-v1 that are tried, as a scenario lists them.
fn settings() -> String {
    let mut all = vec!["vllm-v1".to_owned()];
    for budget in [None].into_iter().chain(BUDGETS.map(Some)) {
        for seats in [None].into_iter().chain(SEATS.map(Some)) {
            let budget = budget.map(|tokens| format!("max_num_batched_tokens: {tokens}"));
            let seats = seats.map(|seats| format!("max_num_seqs: {seats}"));
            let given: Vec<String> = budget.into_iter().chain(seats).collect();
            if !given.is_empty() {
                all.push(format!("{{vllm-v1: {{{}}}}}", given.join(", ")));
            }
        }
    }
    format!("[{}]", all.join(", "))
}

/// The scenario with this set, or in words why it cannot be run.
pub(super) fn resolved(
    document: &Document,
    set: &[String],
    seed: Option<u64>,
) -> Result<Resolved, String> {
    document.clone().with(set).and_then(|document| document.resolve(seed)).map_err(|error| {
        let problem = error.problems().first();
        problem.map_or_else(|| "it cannot be run".to_owned(), |one| one.message.clone())
    })
}

/// The experiment and the number format that it is served in.
fn resolve(
    document: &Document,
    set: &[String],
    seed: Option<u64>,
) -> Result<(Box<Experiment>, Option<String>), Unfit> {
    let resolved = resolved(document, set, seed).map_err(|why| Unfit { why, refused: true })?;
    // A run says so and goes on; a GPU that does not hold them is no answer.
    if let Some(why) = resolved.beyond_memory {
        return Err(Unfit { why, refused: false });
    }
    let engine = resolved.scenario.filled.engine.as_ref();
    let dtype = engine.and_then(|engine| serde_json::to_value(engine.dtype?).ok());
    let dtype = dtype.and_then(|dtype| dtype.as_str().map(str::to_owned));
    let mut experiment = resolved.experiment;
    // Settings that come to the same are tried once.
    let mut seen = Vec::new();
    let info = |run: &crate::scenario::SchedulerRun, experiment: &Experiment| {
        let info = experiment.engine_info(&run.config);
        (run.name.clone(), run.config.resolved(&info).parameters())
    };
    let all = std::mem::take(&mut experiment.schedulers);
    for run in all {
        let what = info(&run, &experiment);
        if !seen.contains(&what) {
            seen.push(what);
            experiment.schedulers.push(run);
        }
    }
    Ok((Box::new(experiment), dtype))
}
