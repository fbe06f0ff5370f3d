//! The engine of a replica: its limits and what its iterations cost.

use std::sync::Arc;

use super::check::Check;
use super::hardware::{self, Memory, Profile};
use super::kv;
use super::kv_tiers::{Behind, tiers};
use super::links::linked;
use super::model;
use super::owner::Owner;
use super::speculative::{Drafted, speculative};
use crate::catalog::{EngineProfile, Gpu, Model};
use crate::cost::{
    CostModel, Dtype, ExpertChoice, ExpertLoad, FixedCost, FixedPipeline, Parallelism, Precision,
    Pricing, StepLawCost, experts_vary, format_notes, kv_format_note,
};
use crate::kv::KvGroups;
use crate::scenario::experiment::{EngineLimits, Hardware, MemoryAsked, PredictorError};
use crate::scenario::raw::{self, TextOr};
use crate::scenario::resolved::{DerivedBlocks, DerivedGpu, DerivedProfile, DerivedReplicas};
use crate::scheduler::{EngineInfo, SchedulerConfig};
use crate::sim::FrontEnd;
use crate::time::Span;
use crate::units::{Bytes, Duration};
use crate::yaml::Path;

/// An engine that can be built.
pub(super) struct Engine {
    /// Data-parallel ranks of each deployment; each is a replica.
    pub data_ranks: u32,
    /// Pipeline stages.
    pub stages: u32,
    /// Limits shared by all schedulers.
    pub limits: EngineLimits,
    /// Prices iterations.
    pub cost: Arc<dyn CostModel>,
    /// What it runs on.
    pub hardware: Hardware,
    /// The model's figures.
    pub model: Option<Model>,
    /// What follows of its replicas.
    pub derived: DerivedReplicas,
    /// How the model is spread, as a scenario has it with every default filled in.
    pub filled_parallelism: raw::Parallelism,
    /// The engine, likewise.
    pub filled: raw::Engine,
}

impl Engine {
    /// The number formats that the model is served in, in words.
    pub(super) fn formats_in_words(&self) -> Option<String> {
        let pricing = self.hardware.pricing.as_ref()?;
        let formats = pricing.precision.formats(&pricing.model);
        Some(Model { formats, ..pricing.model.clone() }.formats_in_words())
    }

    /// What a scheduler is built for.
    pub(super) fn info(&self, config: &SchedulerConfig) -> EngineInfo {
        self.limits.info(self.hardware.gpu_memory(), config)
    }
}

/// An engine to check parameters against when the scenario's own is in doubt.
pub(super) fn any_engine() -> EngineInfo {
    EngineInfo {
        kv_block_tokens: 16,
        kv_blocks: 1 << 16,
        max_model_len: 8192,
        prefix_caching: false,
        kv_groups: KvGroups::ONE,
        large_gpu: false,
        gpu_memory_gib: None,
        speculative: None,
    }
}

/// What a replica is built from, as given.
pub(super) struct Given<'g> {
    /// The model.
    pub model: Option<&'g raw::ModelRef>,
    /// Whether pools have models of their own.
    pub own_models: bool,
    /// The GPU.
    pub gpu: Option<&'g raw::GpuRef>,
    /// How the model is spread.
    pub parallelism: raw::Parallelism,
    /// What joins the GPUs.
    pub links: raw::Links,
    /// The engine.
    pub engine: &'g raw::Engine,
    /// The way to experts.
    pub experts: Option<&'g raw::ExpertTraffic>,
    /// The workload's classes.
    pub classes: &'g [String],
}

/// The engine of the scenario or of one of its pools; `None` when something is wrong (and reported).
pub(super) fn engine(check: &mut Check<'_>, owner: &Owner, given: Given<'_>) -> Option<Engine> {
    let Given {
        model: given_model,
        own_models,
        gpu: given_gpu,
        parallelism: spread,
        links,
        engine: given,
        experts,
        classes,
    } = given;
    let parallelism = self::parallelism(check, owner, spread);
    let path = |check: &Check<'_>, key: &str| owner.path(check, &["engine", key]);
    let mut profile = hardware::profile(check, owner, given.profile.as_ref());
    if let (Some(Profile::Engine(profile)), Some(eager)) = (&mut profile, given.enforce_eager) {
        profile.enforce_eager = eager;
    }
    let engine_profile = match &profile {
        Some(Profile::Engine(profile)) => Some(&**profile),
        _ => None,
    };

    let default_block_tokens = engine_profile.map_or(16, |p| p.kv_block_tokens);
    let block_tokens = given.kv_block_tokens.unwrap_or(default_block_tokens);
    check.whole(&path(check, "kv_block_tokens"), block_tokens, 1, 65_536);
    let utilization_path = path(check, "gpu_memory_utilization");
    let default_utilization = engine_profile.map_or(0.9, |p| p.gpu_memory_utilization);
    let utilization = given.gpu_memory_utilization.unwrap_or(default_utilization);
    check.share_above_zero(&utilization_path, utilization);
    let default_reserved =
        engine_profile.map_or(crate::catalog::DEFAULT_OVERHEAD_BYTES, |p| p.overhead_bytes);
    let reserved = given.reserved_memory.unwrap_or(Bytes(default_reserved));
    if let Some(blocks) = given.kv_blocks {
        check.whole(&path(check, "kv_blocks"), blocks, 1, 1 << 30);
    }
    if let Some(length) = given.max_model_len {
        check.whole(&path(check, "max_model_len"), length, 2, 1 << 30);
    }
    let prefix_caching =
        switch(given.prefix_caching, engine_profile.and_then(|p| p.prefix_caching));
    let front_end = front_end(check, owner, given, engine_profile);
    let predictor = predictor(check, owner, given);
    let fixed = match &profile {
        Some(profile) => profile.asks_no_gpu(),
        // What is wrong with such a profile is told: no GPU is missed besides.
        None => matches!(
            &given.profile,
            Some(TextOr::Map(source)) if source.step_law.is_some() || source.fixed.is_some()
        ),
    };
    let needed = needed_for(fixed, given);
    let model = model::model(check, owner, given_model);
    let gpu = hardware::gpu(check, owner, given_gpu)
        .and_then(|gpu| linked(check, owner, gpu, given_gpu, links));
    let precision = precision(check, &path(check, "dtype"), given, model.as_ref());
    let experts = super::experts::experts(check, owner, experts, model.as_ref());
    let drafting = given.speculative.as_ref().and_then(|given| {
        speculative(check, owner, given, Drafted { model: model.as_ref(), precision, classes })
    });
    let drafter = drafting.as_ref().and_then(|drafting| drafting.drafter.as_ref());
    let on_host = drafting
        .as_ref()
        .is_some_and(|drafting| drafting.speculative.rules.method.drafts_on_host());
    let async_scheduling = switch(
        given.async_scheduling,
        engine_profile.and_then(|p| match p.async_with_host_drafts {
            Some(ahead) if on_host => Some(ahead),
            _ => p.async_scheduling,
        }),
    );
    let choice_unknown = experts.choice == ExpertChoice::default();
    {
        let missing = [
            (
                "model",
                needed.model && given_model.is_none(),
                "which model is served?",
                "such as `model: llama-3.1-8b`, or `model: {config: path/to/config.json}` for one of your own",
            ),
            (
                "gpu",
                needed.gpu && given_gpu.is_none(),
                "what does it run on?",
                "such as `gpu: h100-sxm`, or its peak figures, `gpu: {memory: 80GiB, memory_bandwidth: \
                 3350GB/s, bf16_tflops: 989}`",
            ),
        ];
        for (name, missing, question, example) in missing {
            if missing {
                let message = format!("`{name}` is missing: {question}{}", needed.why);
                let place =
                    if name == "model" && !own_models { Path::root() } else { owner.place() };
                check.missing(&place, &[name], message, example);
            }
        }
    }
    let (profile, trouble) = (profile?, in_trouble(check, owner));
    if trouble || needed.model && model.is_none() || needed.gpu && gpu.is_none() {
        return None;
    }
    let memory = Memory {
        precision,
        gpu_memory_utilization: utilization,
        block_tokens,
        overhead_bytes: reserved.0,
        drafter,
    };
    // With both fixed the model is only named.
    let lies = profile.law().is_some() || !fixed || given.kv_blocks.is_none();
    let laid_out = model.as_ref().filter(|_| lies);
    let layout = kv::layout(check, owner, given, laid_out, parallelism, &memory)?;
    let block_tokens = layout.block_tokens;
    let kv_blocks =
        kv::kv_blocks(check, owner, given, model.as_ref(), gpu.as_ref(), parallelism, &memory)?;
    let kv_blocks =
        DerivedBlocks { groups: kv::told_groups(&layout.groups), kept: layout.kept, ..kv_blocks };
    let info = EngineInfo {
        kv_block_tokens: block_tokens,
        kv_blocks: kv_blocks.value,
        kv_groups: layout.groups,
        ..any_engine()
    };
    let max_model_len = kv::max_model_len(check, owner, given, model.as_ref(), &info);
    if let Profile::Engine(profile) = &profile {
        warn_of_table(check, profile);
        warn_of_planning(check, owner, given, profile);
    }
    let pricing =
        pricing(&profile, model.as_ref(), gpu.as_ref(), parallelism, (precision, experts));
    let pricing =
        pricing.map(|pricing| Box::new(Pricing { drafter: drafter.cloned(), ..*pricing }));
    let fitted_here = pricing.as_ref().map(|pricing| pricing.fitted_here());
    if let (Profile::Engine(profile), Some(here)) = (&profile, &fitted_here)
        && let Some(fitted) = &profile.fitted_on
    {
        let unlike = fitted.unlike(here);
        if !unlike.is_empty() {
            let at = owner.path(check, &["engine", "profile"]);
            check.warnings.push(format!(
                "{at}: {}'s constants were fitted elsewhere and carry what is particular there: {}",
                profile.name,
                unlike.join(", ")
            ));
        }
    }
    let cost = cost(check, owner, &profile, pricing.as_deref(), parallelism)?;
    let behind =
        Behind { pricing: pricing.as_deref(), parallelism, groups: layout.groups, block_tokens };
    let (tiers, kv_tiers, kv_load) = tiers(check, owner, given, &behind);
    if let (Profile::Engine(_), None, Some(model)) = (&profile, profile.law(), &model) {
        check.warnings.extend(model.approximations());
        if let (Some(experts), true) = (model.experts(), choice_unknown) {
            let how = match experts_vary(experts.count) {
                true => {
                    "some experts more often than others, as other models do in public measurements"
                }
                false => "their experts evenly at random",
            };
            let message =
                format!("{}: tokens are taken to choose {how} (`experts.imbalance`)", model.name);
            check.warnings.push(message);
        }
        if let Some(gpu) = &gpu {
            let at = owner.path(check, &["engine", "dtype"]);
            let notes = format_notes(model, gpu, &precision.formats(model));
            check.warnings.extend(notes.into_iter().map(|note| format!("{at}: {note}")));
            let at = owner.path(check, &["engine", "kv_cache_dtype"]);
            let note = kv_format_note(gpu, precision.kv);
            check.warnings.extend(note.map(|note| format!("{at}: {note}")));
        }
    }
    warn_of_groups(check, model.as_ref(), parallelism);
    let hardware_of = hardware_of(model.as_ref(), gpu.as_ref(), parallelism);
    Some(Engine {
        data_ranks: parallelism.data,
        stages: parallelism.pipeline,
        limits: EngineLimits {
            kv_block_tokens: block_tokens,
            kv_blocks: kv_blocks.value,
            kv_groups: layout.groups,
            max_model_len: max_model_len.value,
            prefix_caching,
            async_scheduling,
            speculative: drafting.as_ref().map(|drafting| drafting.speculative.clone()),
            front_end,
            predictor,
            tiers: tiers.map(Arc::new),
        },
        cost,
        hardware: Hardware {
            pricing,
            memory_asked: Some(MemoryAsked {
                utilization,
                reserved_bytes: reserved.0,
                blocks_given: given.kv_blocks.is_some(),
            }),
            law_log: profile
                .law()
                .and_then(|(_, law)| Some((law.name.clone(), law.fitted_on.as_ref()?.most?))),
            ..match profile.law() {
                // Nobody knows what a law's steps compute, and so what they draw.
                Some(_) => Hardware { power: None, ..hardware_of },
                None => hardware_of,
            }
        },
        filled_parallelism: raw::Parallelism {
            tensor: Some(parallelism.tensor),
            pipeline: Some(parallelism.pipeline),
            ..spread
        },
        filled: raw::Engine {
            profile: Some(given.profile.clone().unwrap_or_else(default_profile)),
            dtype: Some(precision.weights),
            kv_cache_dtype: given.kv_cache_dtype,
            kv_block_tokens: Some(block_tokens),
            gpu_memory_utilization: Some(utilization),
            reserved_memory: Some(reserved),
            kv_blocks: Some(kv_blocks.value),
            max_model_len: Some(max_model_len.value),
            prefix_caching,
            async_scheduling,
            enforce_eager: given.enforce_eager,
            front_end: given.front_end,
            predictor: given.predictor,
            speculative: drafting.map(|drafting| drafting.filled),
            kv_tiers,
            kv_load,
        },
        derived: DerivedReplicas {
            kv_blocks,
            max_model_len,
            gpu: gpu.map(derived_gpu),
            profile: match profile {
                Profile::Engine(profile) => DerivedProfile {
                    name: profile.name.clone(),
                    evidence: Some(profile.evidence.clone()),
                    host: host_in_words(&profile),
                    source: Some(profile.source.clone()),
                },
                Profile::Fixed(_) => {
                    DerivedProfile { name: "fixed".to_owned(), ..DerivedProfile::default() }
                }
            },
        },
        model,
    })
}

/// How predictions of an iteration's time are wrong.
fn predictor(check: &mut Check<'_>, owner: &Owner, given: &raw::Engine) -> PredictorError {
    let given = given.predictor.unwrap_or_default();
    let (bias, spread) = (given.bias.unwrap_or(0.0), given.spread.unwrap_or(0.0));
    let path = owner.path(check, &["engine", "predictor"]);
    if !(bias > -1.0 && bias <= 100.0) {
        check.expected(&path.key("bias"), "a number above -1, up to 100", bias.to_string());
    }
    if !(0.0..1.0).contains(&spread) {
        check.expected(&path.key("spread"), "a number from 0 to below 1", spread.to_string());
    }
    let answers = given.answer_spread;
    if let Some(spread) = answers.filter(|spread| !(0.0..1.0).contains(spread)) {
        let path = path.key("answer_spread");
        check.expected(&path, "a number from 0 to below 1", spread.to_string());
    }
    PredictorError::new(bias, spread, answers)
}

/// What the engine adds to a step, such as `0.85 ms a step (0 to 1.3 ms on other machines)`.
fn host_in_words(profile: &EngineProfile) -> Option<String> {
    let [least, most] = profile.host_range?;
    let (host, gap) = (profile.host, profile.step_gap);
    let (step_ms, each_us) =
        (1e-3 * (host.iteration_us + gap.iteration_us), host.sequence_us + gap.sequence_us);
    // Less than is shown is nothing.
    let step = (step_ms >= 0.005).then(|| {
        let [low, high] = [least, most].map(|times| figure(times * step_ms));
        format!("{} ms a step ({low} to {high} on other machines)", figure(step_ms))
    });
    let each = (each_us >= 0.005).then(|| {
        let [low, high] = [least, most].map(|times| figure(times * each_us));
        format!("{} us for each request in it ({low} to {high})", figure(each_us))
    });
    let parts: Vec<String> = step.into_iter().chain(each).collect();
    let evidence = &profile.evidence;
    let from = match evidence.from.is_empty() {
        true => String::new(),
        false => format!("; {}: {}", evidence.kind, evidence.from),
    };
    (!parts.is_empty()).then(|| parts.join(" and ") + &from)
}

/// Two digits that count.
fn figure(value: f64) -> String {
    let places = match value {
        v if v >= 9.95 || v == 0.0 => 0,
        v if v >= 0.995 => 1,
        _ => 2,
    };
    format!("{value:.places$}")
}

/// What lies between clients and the engine.
fn front_end(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    profile: Option<&EngineProfile>,
) -> FrontEnd {
    let Some(times) = given.front_end else {
        let times = profile.and_then(|profile| profile.front_end).unwrap_or_default();
        let [before, after, request] =
            [times.before_us, times.after_us, times.request_us].map(Span::from_micros_f64);
        return FrontEnd { before, after, request };
    };
    let path = owner.path(check, &["engine", "front_end"]);
    let mut time = |key: &str, time: Option<Duration>| {
        time.map_or(Span::ZERO, |time| check.time(&path.key(key), time))
    };
    let front_end = FrontEnd {
        before: time("before", times.before),
        after: time("after", times.after),
        request: time("request", times.request),
    };
    if front_end.request > front_end.before {
        let message = "expected at most `before`, which it is a part of";
        check.report(
            &path.key("request"),
            message.to_owned(),
            "such as `{before: 3ms, request: 500us}`",
        );
    }
    front_end
}

fn default_profile() -> raw::ProfileRef {
    TextOr::Text(hardware::DEFAULT_PROFILE.to_owned())
}

fn derived_gpu(gpu: Gpu) -> DerivedGpu {
    let Gpu { name, memory_bytes, peak, price_usd_per_hour, power, evidence, source, .. } = gpu;
    DerivedGpu { name, memory_bytes, peak, price_usd_per_hour, power, evidence, source }
}

/// A switch as the scenario has it. Where it says nothing, a profile whose version is without it turns it
/// off for all; otherwise, `None`, each scheduler's version decides.
fn switch(given: Option<bool>, of_profile: Option<bool>) -> Option<bool> {
    given.or(of_profile.filter(|&on| !on))
}

/// What a run cannot do without.
struct Needed {
    model: bool,
    gpu: bool,
    /// A remark on that.
    why: &'static str,
}

/// What is needed of a model and a GPU. Where times do not come from them, the GPU says how much memory
/// there is, and the model how much of it KV takes and how long a request may be.
fn needed_for(fixed: bool, engine: &raw::Engine) -> Needed {
    if !fixed {
        return Needed { model: true, gpu: true, why: "" };
    }
    let gpu = engine.kv_blocks.is_none();
    let why = match gpu {
        true => " (it decides how many KV blocks there are, unless `engine.kv_blocks` is given)",
        false => " (it says how long a request may be, unless `engine.max_model_len` is given)",
    };
    Needed { model: gpu || engine.max_model_len.is_none(), gpu, why }
}

/// Whether one of the engine's own fields is wrong.
fn in_trouble(check: &Check<'_>, owner: &Owner) -> bool {
    let root = Path::root();
    let mut parts: Vec<Path> =
        ["engine", "parallelism", "model", "gpu", "links"].map(|name| root.key(name)).to_vec();
    parts.extend(owner.pool.clone());
    parts.iter().any(|part| {
        let within = part.to_string();
        check.is_cut(part) || check.problems.iter().any(|p| p.path.starts_with(&within))
    })
}

fn parallelism(check: &mut Check<'_>, owner: &Owner, given: raw::Parallelism) -> Parallelism {
    let [tensor_path, pipeline_path, data_path] =
        ["tensor", "pipeline", "data"].map(|key| owner.path(check, &["parallelism", key]));
    let tensor = check.whole(&tensor_path, given.tensor.unwrap_or(1), 1, 1024);
    let pipeline = check.whole(&pipeline_path, given.pipeline.unwrap_or(1), 1, 64);
    let data = check.whole(&data_path, given.data.unwrap_or(1), 1, 1024);
    Parallelism { tensor, pipeline, data, expert: given.expert.unwrap_or(false) }
}

fn cost(
    check: &mut Check<'_>,
    owner: &Owner,
    profile: &Profile,
    pricing: Option<&Pricing>,
    parallelism: Parallelism,
) -> Option<Arc<dyn CostModel>> {
    if let Some((law, profile)) = profile.law() {
        if parallelism.pipeline > 1 {
            let path = owner.path(check, &["parallelism", "pipeline"]);
            let message = "a step law is of whole steps, and cannot be cut into pipeline stages";
            check.report(&path, message.to_owned(), "leave `pipeline` out");
            return None;
        }
        return Some(Arc::new(StepLawCost::new(law, profile)));
    }
    match profile {
        Profile::Fixed(iteration) => Some(match parallelism.pipeline {
            1 => Arc::new(FixedCost { iteration: *iteration }),
            stages => Arc::new(FixedPipeline { iteration: *iteration, stages }),
        }),
        Profile::Engine(_) => match pricing?.roofline() {
            Ok(cost) => Some(Arc::new(cost)),
            Err(error) => {
                hardware::cost_problem(check, owner, &error);
                None
            }
        },
    }
}

/// The number types of the weights and of KV. Unless the scenario gives one, the weights are as the
/// model's config says.
fn precision(
    check: &mut Check<'_>,
    path: &Path,
    given: &raw::Engine,
    model: Option<&Model>,
) -> Precision {
    let kv = given.kv_cache_dtype.unwrap_or_default();
    let own = model.map(|model| model.formats).filter(|formats| !formats.is_16_bit());
    let weights = match (given.dtype, own) {
        (None | Some(Dtype::Auto), None) => Dtype::Bf16,
        (None | Some(Dtype::Auto), Some(_)) => Dtype::Auto,
        (Some(dtype), own) => {
            if let Some(own) = own {
                check.warnings.push(format!(
                    "{path}: {dtype} in place of what the model's config says: {own}"
                ));
            }
            dtype
        }
    };
    Precision { weights, kv }
}

/// What data-parallel ranks that share experts leave out.
fn warn_of_groups(check: &mut Check<'_>, model: Option<&Model>, parallelism: Parallelism) {
    let Some(model) = model.filter(|m| m.experts().is_some() && parallelism.data > 1) else {
        return;
    };
    if parallelism.pipeline > 1 {
        check.warnings.push(format!(
            "parallelism.data: the {} ranks that share the experts of {} do not wait for each other, \
             because they are pipelines; each batch is priced as if those of the others had as many \
             tokens",
            parallelism.data, model.name
        ));
    }
}

/// A law's times are those of an engine that planned ahead, or of one that did not.
fn warn_of_planning(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    profile: &EngineProfile,
) {
    if let (true, Some(here), Some(there)) =
        (profile.step_law.is_some(), given.async_scheduling, profile.async_scheduling)
        && here != there
    {
        let at = owner.path(check, &["engine", "async_scheduling"]);
        check.warnings.push(format!(
            "{at}: {here}, and the law of {} was fitted on the log of an engine where it was {there}: leave it \
             out, or take a log of an engine like this one",
            profile.name
        ));
    }
}

/// A measured layer says nothing of batches outside of its table.
fn warn_of_table(check: &mut Check<'_>, profile: &EngineProfile) {
    /// Few engines batch more tokens than this.
    const COMMON_BATCH_TOKENS: u32 = 8192;
    /// Few batches decode more requests, and few requests are longer.
    const COMMON: [(u32, u32); 4] = [(1, 256), (256, 8192), (128, 8192), (0, 8192)];
    if let Some(table) = &profile.attention_table {
        let decode = table.decode.as_ref();
        let prefill = table.prefill.as_ref();
        let axes = [
            ("decode.decodes", decode.map(|t| &t.decodes)),
            ("decode.kv_tokens", decode.map(|t| &t.kv_tokens)),
            ("prefill.tokens", prefill.map(|t| &t.tokens)),
            ("prefill.context", prefill.map(|t| &t.context)),
        ];
        for ((name, axis), (low, high)) in axes.into_iter().zip(COMMON) {
            if let Some((&first, &last)) = axis.and_then(|a| Some((a.first()?, a.last()?)))
                && (first > low || last < high)
            {
                check.warnings.push(format!(
                    "engine.profile: its attention_table.{name} covers {first} to {last}: beyond, its \
                     edge is scaled as the constants' price grows"
                ));
            }
        }
    }
    let Some(tokens) = profile.layer_table.as_ref().map(|table| &table.tokens) else { return };
    if let (Some(&first), Some(&last)) = (tokens.first(), tokens.last())
        && (first > 1 || last < COMMON_BATCH_TOKENS)
    {
        check.warnings.push(format!(
            "engine.profile: its layer_table covers {first} to {last} tokens in a batch: smaller \
             batches are priced like its first point, larger ones along the roofline's growth"
        ));
    }
}

fn pricing(
    profile: &Profile,
    model: Option<&Model>,
    gpu: Option<&Gpu>,
    parallelism: Parallelism,
    (precision, experts): (Precision, ExpertLoad),
) -> Option<Box<Pricing>> {
    let Profile::Engine(profile) = profile else { return None };
    if profile.step_law.is_some() {
        return None;
    }
    let (model, gpu) = (model?.clone(), gpu?.clone());
    let profile = EngineProfile::clone(profile);
    Some(Box::new(Pricing { model, gpu, profile, parallelism, precision, experts, drafter: None }))
}

fn hardware_of(model: Option<&Model>, gpu: Option<&Gpu>, parallelism: Parallelism) -> Hardware {
    const LARGE_BYTES: u64 = 70 << 30;
    Hardware {
        model: model.map(|m| m.name.clone()),
        gpu: gpu.map(|g| g.name.clone()),
        gpus_per_replica: parallelism.tensor * parallelism.pipeline,
        data_ranks: parallelism.data,
        price_usd_per_gpu_hour: gpu.and_then(|g| g.price_usd_per_hour),
        power: gpu.and_then(|g| g.power),
        pricing: None,
        law_log: None,
        memory_asked: None,
        large_gpu: gpu.is_some_and(|g| g.memory_bytes >= LARGE_BYTES && !g.name.contains("a100")),
        gpu_memory_gib: gpu.map(|g| u32::try_from(g.memory_bytes >> 30).unwrap_or(u32::MAX)),
    }
}
