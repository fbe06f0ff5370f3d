//! The model, the GPU and the engine's profile, looked up and put together.

use super::check::Check;
use super::fits;
use super::links::figure_of_link;
use super::owner::Owner;
use crate::catalog::{
    self, EngineProfile, Gpu, GpuOverrides, InvalidFigure, Model, StepLaw, UnknownName,
};
use crate::cost::{
    CapacityError, CostError, Drafter, KvCapacity, KvRequest, Parallelism, Precision, kv_capacity,
};
use crate::excerpt::quoted;
use crate::scenario::raw::{self, TextOr};
use crate::suggest::nearest;
use crate::time::Span;
use crate::yaml::Path;

/// Profile of an engine that names none.
pub(super) const DEFAULT_PROFILE: &str = "vllm-0.19";

/// Longest file that describes a model, a GPU or a profile.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// What an iteration costs by.
#[derive(Clone, Debug)]
pub(super) enum Profile {
    /// An engine's.
    Engine(Box<EngineProfile>),
    /// A constant time.
    Fixed(Span),
}

impl Profile {
    /// The engine's law of its steps' times, where it has one.
    pub(super) fn law(&self) -> Option<(StepLaw, &EngineProfile)> {
        match self {
            Profile::Engine(profile) => Some((profile.step_law?, profile)),
            Profile::Fixed(_) => None,
        }
    }

    /// Whether no model on a GPU is what an iteration costs by.
    pub(super) fn asks_no_gpu(&self) -> bool {
        matches!(self, Profile::Fixed(_)) || self.law().is_some()
    }
}

/// The GPU's figures; `None` when it is not given or wrong (and reported).
pub(super) fn gpu(
    check: &mut Check<'_>,
    owner: &Owner,
    given: Option<&raw::GpuRef>,
) -> Option<Gpu> {
    let path = owner.path(check, &["gpu"]);
    let figures = match given? {
        TextOr::Text(name) => return found(check, &path, catalog::gpu(name)),
        TextOr::Map(figures) => figures,
    };
    let gpu = match (&figures.file, &figures.base) {
        (Some(_), Some(_)) => {
            either(check, &path, "file", "base");
            return None;
        }
        (Some(file), None) => {
            let path = path.key("file");
            let text = check.read_file(&path, file, FILE_BYTES_MAX)?;
            match Gpu::from_yaml(&text) {
                Ok(gpu) => gpu,
                Err(error) => {
                    check.report(&path, format!("`{file}` does not describe a GPU: {error}"), "");
                    return None;
                }
            }
        }
        (None, Some(base)) => found(check, &path.key("base"), catalog::gpu(base))?,
        (None, None) => peak_gpu(check, &path, figures)?,
    };
    if figures.base.is_some() || figures.file.is_some() {
        let peaks = [
            ("memory_bandwidth", figures.memory_bandwidth.is_some()),
            ("bf16_tflops", figures.bf16_tflops.is_some()),
            ("fp8_tflops", figures.fp8_tflops.is_some()),
        ];
        if let Some((name, _)) = peaks.into_iter().find(|(_, given)| *given) {
            let message = format!("`{name}` goes with neither `base` nor `file`");
            let help = "leave `base` and `file` out to derive a GPU from its peak figures, or put \
                        measured constants in a file";
            check.report(&path.key(name), message, help);
            return None;
        }
    }
    let link = figures.interconnect.unwrap_or_default();
    let power = figures.power.unwrap_or_default();
    let overrides = GpuOverrides {
        memory_bytes: figures.memory.map(|m| m.0),
        interconnect_bytes_per_s: link.bandwidth.map(|b| b.0 as f64),
        interconnect_latency_us: link.latency.map(|l| l.0.as_nanos() as f64 / 1e3),
        price_usd_per_hour: figures.price_usd_per_hour,
        idle_w: power.idle_w,
        max_w: power.max_w,
    };
    figure(check, &path, gpu.with(&overrides))
}

/// A GPU from its peak figures alone.
fn peak_gpu(check: &mut Check<'_>, path: &Path, figures: &raw::GpuFigures) -> Option<Gpu> {
    let example = "`{memory: 80GiB, memory_bandwidth: 3350GB/s, bf16_tflops: 989}`";
    let (Some(memory), Some(bandwidth), Some(bf16)) =
        (figures.memory, figures.memory_bandwidth, figures.bf16_tflops)
    else {
        let wanted = [
            ("memory", figures.memory.is_none()),
            ("memory_bandwidth", figures.memory_bandwidth.is_none()),
            ("bf16_tflops", figures.bf16_tflops.is_none()),
        ];
        let missing: Vec<&str> =
            wanted.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
        if figures.memory_bandwidth.is_none() && figures.bf16_tflops.is_none() {
            let help = format!(
                "such as `{{base: h100-sxm, memory: 80GiB}}` or `{{file: my-gpu.yaml}}`, or peak \
                 figures such as {example}"
            );
            let message = "expected `base` or `file`, found neither";
            check.nothing_in(path, &["base", "file"], message, &help);
            return None;
        }
        let message =
            format!("a GPU given by its peak figures needs `{}` too", missing.join("` and `"));
        check.missing(path, &missing, message, &format!("such as {example}"));
        return None;
    };
    let peak = catalog::Peak {
        bf16_tflops: bf16,
        fp8_tflops: figures.fp8_tflops,
        fp4_tflops: None,
        int8_tops: None,
        memory_gb_per_s: bandwidth.0 as f64 / 1e9,
    };
    let gpu = figure(check, path, Gpu::from_peak(memory.0, peak))?;
    check.warnings.push(format!("{path}: its constants are {}", gpu.source.constants));
    Some(gpu)
}

/// The engine's profile; `None` when it is wrong (and reported).
pub(super) fn profile(
    check: &mut Check<'_>,
    owner: &Owner,
    given: Option<&raw::ProfileRef>,
) -> Option<Profile> {
    let path = owner.path(check, &["engine", "profile"]);
    let source = match given {
        None => return found(check, &path, catalog::profile(DEFAULT_PROFILE)).map(engine),
        Some(TextOr::Text(name)) => return found(check, &path, catalog::profile(name)).map(engine),
        Some(TextOr::Map(source)) => source,
    };
    let given = [
        ("file", source.file.is_some()),
        ("step_law", source.step_law.is_some()),
        ("fixed", source.fixed.is_some()),
    ];
    let mut given = given.iter().filter(|(_, there)| *there);
    if let (Some((one, _)), Some((other, _))) = (given.next(), given.next()) {
        either(check, &path, one, other);
        return None;
    }
    if let Some(law) = source.step_law {
        let profile = EngineProfile::of_law("step-law", law);
        if let Err(invalid) = profile.validate() {
            let keys = invalid.path.split('.');
            let at = keys.fold(path, |path, key| path.key(key));
            check.report(&at, invalid.problem, "");
            return None;
        }
        return Some(engine(profile));
    }
    match (&source.file, &source.fixed) {
        (Some(file), _) => {
            let path = path.key("file");
            let text = check.read_file(&path, file, FILE_BYTES_MAX)?;
            match EngineProfile::from_yaml(&text) {
                Ok(profile) => Some(engine(profile)),
                Err(error) => {
                    check.report(
                        &path,
                        format!("`{file}` does not describe an engine profile: {error}"),
                        "",
                    );
                    None
                }
            }
        }
        (None, Some(fixed)) => {
            let path = path.key("fixed").key("iteration");
            let iteration = check.time_above_zero(&path, fixed.iteration);
            if iteration > Span::from_nanos(3_600_000_000_000) {
                check.expected(&path, "at most an hour", fixed.iteration);
            }
            Some(Profile::Fixed(iteration))
        }
        (None, None) => {
            let help = "such as `{fixed: {iteration: 5ms}}` or `{file: profile.yaml}`";
            check.nothing_in(
                &path,
                &["fixed", "file", "step_law"],
                "expected `file`, `step_law` or `fixed`, found none",
                help,
            );
            None
        }
    }
}

fn engine(profile: EngineProfile) -> Profile {
    Profile::Engine(Box::new(profile))
}

/// Why so many KV blocks are more than all of the GPUs' memory holds beside the weights, if they are.
pub(super) fn beyond_memory(
    blocks: u32,
    model: &Model,
    gpu: &Gpu,
    parallelism: Parallelism,
    memory: &Memory<'_>,
) -> Option<String> {
    let all = Memory { gpu_memory_utilization: 1.0, overhead_bytes: 0, ..*memory };
    let capacity = match kv_capacity(&request(model, gpu, parallelism, &all)) {
        Ok(capacity) => capacity,
        Err(CapacityError::DoesNotFit { .. }) => {
            let weights = "the weights alone take more memory than each GPU has";
            return Some(format!("{blocks} blocks are taken as given, though {weights}"));
        }
        Err(CapacityError::Cost(error)) => {
            return Some(format!("{blocks} blocks are taken as given, though {error}"));
        }
    };
    let needed = u64::from(blocks).saturating_mul(capacity.bytes_per_block);
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    (blocks > capacity.blocks).then(|| {
        format!(
            "{blocks} blocks are taken as given: they need {} on each GPU, which has {}, {} of them \
             for weights",
            gib(needed),
            gib(gpu.memory_bytes),
            gib(capacity.weight_bytes)
        )
    })
}

fn request<'a>(
    model: &'a Model,
    gpu: &'a Gpu,
    parallelism: Parallelism,
    memory: &Memory<'a>,
) -> KvRequest<'a> {
    KvRequest {
        model,
        gpu,
        parallelism,
        precision: memory.precision,
        gpu_memory_utilization: memory.gpu_memory_utilization,
        block_tokens: memory.block_tokens,
        overhead_bytes: memory.overhead_bytes,
        drafter: memory.drafter,
    }
}

/// How many KV blocks fit; `None` when none does (and reported).
pub(super) fn kv_blocks(
    check: &mut Check<'_>,
    owner: &Owner,
    model: &Model,
    gpu: &Gpu,
    parallelism: Parallelism,
    memory: &Memory<'_>,
) -> Option<KvCapacity> {
    match kv_capacity(&request(model, gpu, parallelism, memory)) {
        Ok(capacity) => Some(capacity),
        Err(CapacityError::Cost(error)) => {
            cost_problem(check, owner, &error);
            None
        }
        Err(error @ CapacityError::DoesNotFit { .. }) => {
            let asked = request(model, gpu, parallelism, memory);
            let help = format!("use {}", fits::advice(&asked, 1));
            let path = match &owner.pool {
                Some(_) => owner.path(check, &["gpu"]),
                None => Path::root().key("model"),
            };
            check.report(&path, error.to_string(), &help);
            None
        }
    }
}

/// What decides how much memory is left for KV.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory<'d> {
    /// Number types of weights and KV.
    pub precision: Precision,
    /// Share of device memory that the engine may use.
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// Activations, graphs, context.
    pub overhead_bytes: u64,
    /// What drafts beside the model.
    pub drafter: Option<&'d Drafter>,
}

/// Reports why a model, a GPU and a parallelism do not go together.
pub(super) fn cost_problem(check: &mut Check<'_>, owner: &Owner, error: &CostError) {
    let at = |keys: &[&str]| owner.path(check, keys);
    let tensor = at(&["parallelism", "tensor"]);
    let (path, help) = match error {
        CostError::HeadsNotDivisible { heads, .. } => {
            let divisors: Vec<String> = [1, 2, 4, 8, 16, 32, 64]
                .iter()
                .filter(|t| heads % *t == 0)
                .map(u32::to_string)
                .collect();
            (tensor, format!("{heads} divides over {}", divisors.join(", ")))
        }
        CostError::AllReduceUnknown { .. } => (
            at(&["parallelism"]),
            "such as `links: {network: {bandwidth: 50GB/s, latency: 10us}}`, or `gpu: {base: \
             rtx-pro-6000, interconnect: {bandwidth: 16GB/s, latency: 20us}}`"
                .to_owned(),
        ),
        CostError::NoExperts { .. } => (
            at(&["parallelism", "expert"]),
            "leave `expert` out, or serve a mixture of experts such as `mixtral-8x7b`".to_owned(),
        ),
        CostError::FewerExpertsThanRanks { experts, .. } => (
            at(&["parallelism", "expert"]),
            format!("at most {experts} GPUs can share them: lower `tensor` or `data`"),
        ),
        CostError::TooManyStages { .. } => (at(&["parallelism", "pipeline"]), String::new()),
        CostError::NoRanks => (at(&["parallelism"]), String::new()),
        CostError::ExpertsUnknown { .. } => (at(&["gpu"]), String::new()),
        CostError::Figure(figure) => (at(&["gpu"]), figure.path.clone()),
    };
    check.report(&path, error.to_string(), &help);
}

pub(super) fn found<T>(
    check: &mut Check<'_>,
    path: &Path,
    looked_up: Result<T, UnknownName>,
) -> Option<T> {
    match looked_up {
        Ok(found) => Some(found),
        Err(unknown) => {
            let valid = unknown.valid.iter().map(String::as_str);
            let command = match unknown.kind {
                catalog::Kind::Gpu => "metron-sim list gpus",
                catalog::Kind::Model => "metron-sim list models",
                catalog::Kind::Profile => "metron-sim list profiles",
                catalog::Kind::Acceptance => "metron-sim list acceptance",
                catalog::Kind::Link => "metron-sim list links",
            };
            // The nearest name, and not a long list with it.
            // Of `Qwen/Qwen3-32B` the part behind the owner is the name.
            let given = unknown.given.rsplit('/').next().unwrap_or_default().to_lowercase();
            let help = match nearest(&given, valid) {
                Some(name) => format!("did you mean `{name}`? "),
                None => String::new(),
            };
            let own = own_figures(unknown.kind);
            let help = format!("{help}`{command}` shows all; {own}");
            let message = format!("unknown {} `{}`", unknown.kind, quoted(&unknown.given));
            let problem = check.at(path, message).label("unknown").help(help);
            check.problems.push(problem);
            None
        }
    }
}

/// How to go on with what the catalog does not have.
fn own_figures(kind: catalog::Kind) -> &'static str {
    match kind {
        catalog::Kind::Gpu => {
            "any other GPU goes by its peak figures, such as `gpu: {memory: 80GiB, memory_bandwidth: \
             3350GB/s, bf16_tflops: 989}`"
        }
        catalog::Kind::Model => {
            "any other model goes by its own config, such as `model: {config: path/to/config.json}`"
        }
        catalog::Kind::Profile => "any other engine goes by a file, such as `{file: profile.yaml}`",
        catalog::Kind::Acceptance => "any other goes by a figure, such as `{length: 2.4}`",
        catalog::Kind::Link => {
            "any other goes by its figures, such as `link: {bandwidth: 50GB/s, latency: 20us}`"
        }
    }
}

pub(super) fn figure<T>(
    check: &mut Check<'_>,
    path: &Path,
    given: Result<T, InvalidFigure>,
) -> Option<T> {
    match given {
        Ok(given) => Some(given),
        Err(invalid) => {
            if let Some((at, message)) = figure_of_link(&path.key("interconnect"), &invalid) {
                check.report(&at, message, "");
                return None;
            }
            // The catalog's key and the scenario's are the same but for units.
            let (at, same) = match invalid.path.as_str() {
                "memory_bytes" => (path.key("memory"), false),
                "peak.memory_gb_per_s" => (path.key("memory_bandwidth"), false),
                "peak.bf16_tflops" => (path.key("bf16_tflops"), false),
                "peak.fp8_tflops" => (path.key("fp8_tflops"), false),
                "power.idle_w" => (path.key("power").key("idle_w"), true),
                "power.max_w" => (path.key("power").key("max_w"), true),
                figure => {
                    let key = figure.split('.').next().unwrap_or(figure);
                    (path.key(key), key == figure)
                }
            };
            let message = match same {
                true => invalid.problem,
                false => format!("{} {}", invalid.path, invalid.problem),
            };
            check.report(&at, message, "");
            None
        }
    }
}

pub(super) fn either(check: &mut Check<'_>, path: &Path, one: &str, other: &str) {
    let message = format!("expected one of `{one}` and `{other}`, found both");
    check.report(path, message, "keep one of the two");
}
