//! Keys of the model, the GPUs, the engine and the router.

use super::Effect::{Always, Unless};
use super::facts::Replicas;
use super::{Entry, Facts, Written};
use crate::catalog::{Arithmetic, Format, Mlp};
use crate::cost::Pricing;
use crate::fleet::RouterKind;
use crate::scenario::SchedulerRun;
use crate::scheduler::{Feature, SchedulerConfig};
use crate::time::Span;

const OWN: &str = "every pool has its own";
const FIXED: &str = "iterations take a fixed time, or that of a step law";
const GIVEN: &str = "`kv_blocks` is given, and the memory is not asked";

/// Every key of these parts.
pub(super) const TABLE: &[Entry] = &[
    ("Scenario.name", Always("words for people")),
    ("Scenario.description", Always("words for people")),
    ("Scenario.derived", Always("written into results for the reader")),
    ("Scenario.model", Unless(model)),
    ("Scenario.gpu", Unless(gpu)),
    ("Scenario.parallelism", Always("its keys are judged one by one")),
    ("Scenario.experts", Always("its keys are judged one by one")),
    ("Scenario.links", Always("its links are judged one by one")),
    ("Scenario.replicas", Always("how many there are")),
    ("Scenario.pools", Always("what there is")),
    ("Scenario.router", Unless(router)),
    ("Scenario.engine", Always("its keys are judged one by one")),
    ("Scenario.schedulers", Always("what is compared")),
    ("SchedulerEntry.label", Always("words for people")),
    ("ModelFigures.config", Always("the model")),
    ("ModelFigures.gguf", Always("the model")),
    ("ModelFigures.assume", Always("what of the config is left out")),
    ("ModelFigures.weights", Always("the formats of the weights")),
    ("ModelFigures.base", Always("the model")),
    ("ModelFigures.hidden_size", Always("part of every price")),
    ("ModelFigures.intermediate_size", Unless(intermediate_size)),
    ("ModelFigures.layers", Always("part of every price")),
    ("ModelFigures.heads", Always("part of every price")),
    ("ModelFigures.kv_heads", Always("part of every price")),
    ("ModelFigures.head_dim", Always("part of every price")),
    ("ModelFigures.vocab_size", Always("part of every price")),
    ("ModelFigures.max_position_embeddings", Unless(max_position_embeddings)),
    ("GpuFigures.base", Always("the GPU")),
    ("GpuFigures.file", Always("the GPU")),
    ("GpuFigures.memory", Unless(gpu_memory)),
    ("GpuFigures.memory_bandwidth", Unless(priced)),
    ("GpuFigures.bf16_tflops", Unless(priced)),
    ("GpuFigures.fp8_tflops", Unless(fp8_tflops)),
    ("GpuFigures.interconnect", Unless(link)),
    ("GpuFigures.price_usd_per_hour", Always("part of the cost")),
    ("GpuFigures.power", Always("part of the energy")),
    ("Interconnect.bandwidth", Always("judged with the whole link")),
    ("Interconnect.latency", Always("judged with the whole link")),
    ("Power.idle_w", Always("part of the energy")),
    ("Power.max_w", Always("part of the energy")),
    ("Parallelism.tensor", Unless(tensor)),
    ("Parallelism.pipeline", Unless(each_own)),
    ("Parallelism.data", Unless(each_own)),
    ("Parallelism.expert", Unless(expert)),
    ("ExpertTraffic.exchange", Unless(exchange)),
    ("ExpertTraffic.imbalance", Unless(imbalance)),
    ("ExpertShares.cv", Always("judged with the whole imbalance")),
    ("ExpertShares.zipf", Always("judged with the whole imbalance")),
    ("ExpertShares.file", Always("judged with the whole imbalance")),
    ("Pool.name", Always("what it is called")),
    ("Pool.replicas", Always("how many there are")),
    ("Pool.model", Unless(model)),
    ("Pool.gpu", Unless(gpu)),
    ("Pool.parallelism", Always("its keys are judged one by one")),
    ("Pool.experts", Always("its keys are judged one by one")),
    ("Pool.links", Always("its links are judged one by one")),
    ("Links.node", Unless(link)),
    ("Links.network", Unless(network)),
    ("Pool.engine", Always("its keys are judged one by one")),
    ("Pool.promise", Always("a term of the SLO")),
    ("Engine.profile", Unless(each_own)),
    ("Engine.dtype", Unless(dtype)),
    ("Engine.kv_cache_dtype", Unless(dtype)),
    ("Engine.kv_block_tokens", Unless(each_own)),
    ("Engine.gpu_memory_utilization", Unless(memory_share)),
    ("Engine.reserved_memory", Unless(memory_share)),
    ("Engine.kv_blocks", Unless(each_own)),
    ("Engine.max_model_len", Unless(each_own)),
    ("Engine.prefix_caching", Unless(prefix_caching)),
    ("Engine.async_scheduling", Unless(async_scheduling)),
    ("Engine.enforce_eager", Unless(enforce_eager)),
    ("Engine.front_end", Always("part of the time to first token")),
    ("FrontEnd.before", Always("part of the time to first token")),
    ("FrontEnd.after", Always("part of the time to first token")),
    ("FrontEnd.request", Always("part of the time to first token")),
    ("Engine.predictor", Always("its keys are judged one by one")),
    ("PredictorError.bias", Unless(predictor)),
    ("PredictorError.spread", Unless(predictor)),
    ("PredictorError.answer_spread", Unless(answers)),
    ("Engine.speculative", Always("its keys are judged one by one")),
    ("Speculative.method", Always("who drafts")),
    ("Speculative.num_speculative_tokens", Always("how many are drafted")),
    ("Speculative.tokens", Always("how many are drafted")),
    ("Speculative.draft_model", Always("who drafts")),
    ("Speculative.off_above_running", Always("how many are drafted")),
    ("Speculative.num_speculative_tokens_per_batch_size", Always("how many are drafted")),
    ("Speculative.acceptance", Always("how many are accepted")),
    ("DraftAcceptance.rate", Always("how many are accepted")),
    ("DraftAcceptance.by_position", Always("how many are accepted")),
    ("DraftAcceptance.length", Always("how many are accepted")),
    ("DraftAcceptance.by_class", Always("how many are accepted")),
    ("DraftAcceptance.trace", Always("how many are accepted")),
    ("DraftAcceptance.preset", Always("how many are accepted")),
    ("ProfileSource.file", Always("the profile")),
    ("ProfileSource.fixed", Always("the profile")),
    ("ProfileSource.step_law", Always("the profile")),
    ("StepLaw.iteration_us", Always("part of every price")),
    ("StepLaw.prefill_iteration_us", Always("part of every price")),
    ("StepLaw.chunk_us", Always("part of every price")),
    ("StepLaw.prefill_token_us", Always("part of every price")),
    ("StepLaw.decode_us", Always("part of every price")),
    ("StepLaw.draft_token_us", Unless(draft_tokens)),
    ("StepLaw.kv_token_us", Always("part of every price")),
    ("StepLaw.attention_pair_us", Always("part of every price")),
    ("FixedProfile.iteration", Always("the time of every iteration")),
    ("RouterMap.class-to-pool", Always("judged with the whole router")),
    ("RouterMap.within", Unless(within)),
    ("RouterMap.vllm-dp", Always("judged with the whole router")),
    ("WithinMap.vllm-dp", Always("judged with the whole router")),
    ("VllmDpRouter.clients", Always("judged with the whole router")),
    ("RouterMap.sglang-cache-aware", Always("judged with the whole router")),
    ("RouterMap.dynamo-kv", Always("judged with the whole router")),
    ("RouterMap.llm-d", Always("judged with the whole router")),
    ("RouterMap.ray-prefix", Always("judged with the whole router")),
    ("RouterMap.production-stack", Always("judged with the whole router")),
    ("WithinMap.sglang-cache-aware", Always("judged with the whole router")),
    ("WithinMap.dynamo-kv", Always("judged with the whole router")),
    ("WithinMap.llm-d", Always("judged with the whole router")),
    ("WithinMap.ray-prefix", Always("judged with the whole router")),
    ("WithinMap.production-stack", Always("judged with the whole router")),
    ("SglangCacheAwareRouter.cache_threshold", Always("whom a prompt is sent to hangs on it")),
    ("SglangCacheAwareRouter.balance_abs_threshold", Always("it can be passed at any time")),
    ("SglangCacheAwareRouter.balance_rel_threshold", Always("it can be passed at any time")),
    ("SglangCacheAwareRouter.max_tree_size", Unless(never_evicts)),
    ("SglangCacheAwareRouter.eviction_interval", Always("the tree can grow beyond its size")),
    ("DynamoKvRouter.overlap_score_credit", Always("what is cached counts by it")),
    ("DynamoKvRouter.overlap_score_credit_decay", Always("what is cached counts by it")),
    ("DynamoKvRouter.prefill_load_scale", Always("costs hang on it")),
    ("DynamoKvRouter.decode_active_request_weight", Always("costs hang on it")),
    ("DynamoKvRouter.router_temperature", Always("whom a prompt is sent to hangs on it")),
    ("DynamoKvRouter.use_kv_events", Always("what the router knows hangs on it")),
    ("DynamoKvRouter.router_ttl", Unless(hears_kv_events)),
    ("LlmDRouter.weights", Always("scores hang on them")),
    ("LlmDRouter.metrics_interval", Unless(no_metrics)),
    ("LlmDRouter.block_tokens", Unless(no_prompts)),
    ("LlmDRouter.lru_capacity", Unless(no_list_of_blocks)),
    ("LlmDRouter.affinity_threshold", Always("whom a prompt is sent to hangs on it")),
    ("RayPrefixRouter.imbalanced_threshold", Always("it can be passed at any time")),
    ("RayPrefixRouter.match_rate_threshold", Always("whom a prompt is sent to hangs on it")),
    ("RayPrefixRouter.do_eviction", Always("what the tree forgets hangs on it")),
    ("RayPrefixRouter.eviction_threshold_chars", Unless(ray_never_evicts)),
    ("RayPrefixRouter.eviction_target_chars", Unless(ray_never_evicts)),
    ("RayPrefixRouter.eviction_interval", Unless(ray_never_evicts)),
    ("ProductionStackRouter.routing_logic", Unless(logic_without_sessions)),
    ("ProductionStackRouter.kv_aware_threshold", Unless(not_kvaware)),
];

/// The reason that holds for all replicas that a key is about; of none, that each pool has its own.
fn for_all(
    facts: &Facts<'_>,
    key: &Written,
    reason: impl Fn(&Replicas<'_>) -> Option<&'static str>,
) -> Option<String> {
    let owners = facts.owners(key);
    let reasons: Option<Vec<&str>> = owners.iter().map(reason).collect();
    Some(reasons?.first().copied().unwrap_or(OWN).to_owned())
}

fn each_own(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |_| None)
}

fn model(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        // What one pool of blocks for all layers does not need to know.
        let one_group = one.pool.engine.kv_groups.is_one();
        let nothing_asks = one.fixed && one.kv_blocks_given && one.max_model_len_given && one_group;
        nothing_asks.then_some(
            "iterations take a fixed time, or that of a step law, and `kv_blocks` and `max_model_len` \
             are given: it is only named",
        )
    })
}

fn gpu(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let hardware = one.pool.hardware;
        let costs = hardware.price_usd_per_gpu_hour.is_some() || hardware.power.is_some();
        (one.fixed && one.kv_blocks_given && !costs && !facts.large_gpu_matters())
            .then_some("iterations take a fixed time, or that of a step law, and `kv_blocks` is given: it is only named")
    })
}

fn gpu_memory(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| (one.kv_blocks_given && !facts.large_gpu_matters()).then_some(GIVEN))
}

fn priced(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| one.fixed.then_some(FIXED))
}

fn draft_tokens(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| one.pool.engine.speculative.is_none().then_some("nobody drafts"))
}

fn fp8_tflops(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| match &one.pool.hardware.pricing {
        None => Some(FIXED),
        Some(pricing) => {
            let formats = pricing.precision.formats(&pricing.model);
            let fp8 = |(_, format): &(_, Format)| format.arithmetic() == Arithmetic::Fp8;
            (!formats.classes().iter().any(fp8)).then_some("no weights are in fp8")
        }
    })
}

/// What goes between the GPUs of one replica.
struct Groups {
    /// More than one GPU takes part.
    any: bool,
    /// Some of it stays within nodes, or there is no network.
    in_node: bool,
    /// Some of it goes between nodes.
    between: bool,
}

impl Groups {
    fn of(one: &Replicas<'_>, pricing: &Pricing) -> Groups {
        let shares_experts = one.data > 1 && pricing.model.experts().is_some();
        // A stage hands over to the next as one of two GPUs.
        let stages = if one.pipeline > 1 { 2 } else { 1 };
        let experts = if shares_experts { one.tensor.saturating_mul(one.data) } else { 1 };
        let node = pricing.gpu.gpus_per_node.unwrap_or(u32::MAX);
        let node = if pricing.gpu.network.is_some() { node } else { u32::MAX };
        let sizes = [one.tensor, stages, experts];
        Groups {
            any: sizes.iter().any(|&size| size > 1),
            in_node: sizes.iter().any(|&size| size > 1 && size <= node),
            between: sizes.iter().any(|&size| size > node),
        }
    }
}

fn link(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let Some(pricing) = &one.pool.hardware.pricing else { return Some(FIXED) };
        let groups = Groups::of(one, pricing);
        if !groups.any {
            return Some("the model is on one GPU, and nothing goes over the link");
        }
        (!groups.in_node).then_some("all that GPUs exchange goes between nodes")
    })
}

fn network(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let Some(pricing) = &one.pool.hardware.pricing else { return Some(FIXED) };
        (!Groups::of(one, pricing).between).then_some(
            "no more GPUs exchange data than a node has, and nothing goes over the network",
        )
    })
}

/// Why the way to experts has no effect on replicas, whatever it is.
fn no_way_to_experts(one: &Replicas<'_>) -> Option<&'static str> {
    match &one.pool.hardware.pricing {
        None => Some(FIXED),
        Some(pricing) => {
            pricing.model.experts().is_none().then_some("the model is dense: it has no experts")
        }
    }
}

fn exchange(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let pricing = one.pool.hardware.pricing.as_ref();
        let whole = pricing.is_some_and(|pricing| pricing.parallelism.expert) && one.data > 1;
        no_way_to_experts(one).or((!whole).then_some(
            "no data-parallel ranks hold whole experts (`parallelism: {data: 2, expert: true}`)",
        ))
    })
}

fn imbalance(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let ratio = key.value.is_number();
    for_all(facts, key, |one| {
        let pricing = one.pool.hardware.pricing.as_ref();
        let whole = pricing.is_some_and(|pricing| pricing.parallelism.expert)
            && one.tensor.saturating_mul(one.data) > 1;
        no_way_to_experts(one).or((ratio && !whole).then_some(
            "every rank has a slice of every expert, and none is busier (`parallelism: {expert: true}`)",
        ))
    })
}

fn tensor(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let alike = facts.experiment.pools.is_empty();
    for_all(facts, key, |one| {
        let hardware = one.pool.hardware;
        let costs = hardware.price_usd_per_gpu_hour.is_some() || hardware.power.is_some();
        (one.fixed && one.kv_blocks_given && !costs && alike).then_some(
            "iterations take a fixed time, or that of a step law, and `kv_blocks` is given",
        )
    })
}

fn enforce_eager(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let Some(pricing) = &one.pool.hardware.pricing else { return Some(FIXED) };
        let profile = &pricing.profile;
        (profile.cuda_graph_sizes.is_empty() && profile.eager_us_per_kernel == 0.0)
            .then_some("the profile has neither CUDA graphs nor a time to launch a kernel")
    })
}

fn expert(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        if one.fixed && one.kv_blocks_given {
            return Some(
                "iterations take a fixed time, or that of a step law, and `kv_blocks` is given",
            );
        }
        let one_rank = one.tensor * one.data == 1;
        one_rank.then_some("one rank holds every expert either way")
    })
    .filter(|_| key.value == true)
}

fn dtype(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        (one.fixed && one.kv_blocks_given).then_some(
            "iterations take a fixed time, or that of a step law, and `kv_blocks` is given",
        )
    })
}

fn memory_share(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| one.kv_blocks_given.then_some(GIVEN))
}

fn max_position_embeddings(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| one.max_model_len_given.then_some("`max_model_len` is given"))
}

fn intermediate_size(facts: &Facts<'_>, key: &Written) -> Option<String> {
    for_all(facts, key, |one| {
        let model = &one.pool.hardware.pricing.as_ref()?.model;
        let dense = model.groups.iter().any(|group| matches!(group.mlp, Mlp::Dense(_)));
        (!dense).then_some("every layer of the model has experts, which have a width of their own")
    })
}

fn prefix_caching(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if let Some(own) = each_own(facts, key) {
        return Some(own);
    }
    let asked = |(_, run): &(usize, &SchedulerRun)| {
        let info = facts.experiment.engine_info(&run.config);
        run.config.has(Feature::PrefixCaching) && !run.config.build(&info).needs().always_caches
    };
    let kept_anyway = facts.any_has(Feature::PrefixCaching) && !facts.runs.iter().any(asked);
    if kept_anyway {
        return Some(
            "prefixes are kept whether asked or not, unless the scheduler's own key says otherwise"
                .to_owned(),
        );
    }
    // Off is what a policy without a cache has in any case.
    if key.value != true {
        return None;
    }
    let schedulers = facts.schedulers();
    if !facts.any_has(Feature::PrefixCaching) {
        return Some(format!("no prefix caching of {schedulers} is modelled"));
    }
    // A preempted request may find its own blocks again.
    let found = facts.ended().is_some_and(|ended| ended.hit_tokens > 0);
    (!facts.shares_prefixes() && !found).then(|| {
        "no two prompts begin with the same KV block: give `workload.prefix_groups`, or a trace with \
         block ids"
            .to_owned()
    })
}

fn async_scheduling(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if let Some(own) = each_own(facts, key) {
        return Some(own);
    }
    (key.value == true && !facts.any_has(Feature::AsyncScheduling))
        .then(|| format!("{} cannot plan a step while the one before runs", facts.schedulers()))
}

fn predictor(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if let Some(own) = each_own(facts, key) {
        return Some(own);
    }
    // What holds unless it is written.
    let right = key.value.as_f64() == Some(0.0);
    let experiment = &facts.experiment;
    let predicts = |run: &SchedulerRun| {
        let info = experiment.engine_info(&run.config);
        run.config.build(&info).needs().predicts
    };
    (!right && !experiment.schedulers.iter().any(predicts))
        .then(|| format!("{} predicts no iteration's time", facts.schedulers()))
}

fn answers(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if let Some(own) = each_own(facts, key) {
        return Some(own);
    }
    let looks = |run: &SchedulerRun| run.name == "fluid" || !SchedulerConfig::all_built_in();
    (!facts.experiment.schedulers.iter().any(looks))
        .then(|| format!("{} asks for no answer's length", facts.schedulers()))
}

fn router(facts: &Facts<'_>, key: &Written) -> Option<String> {
    if key.value == "round-robin" {
        return None;
    }
    if facts.experiment.replicas <= 1 {
        return Some("there is one replica".to_owned());
    }
    affinity_without_sessions(facts, &facts.experiment.router)
}

fn within(facts: &Facts<'_>, key: &Written) -> Option<String> {
    let RouterKind::ClassToPool(pools) = &facts.experiment.router else { return None };
    if key.value == "round-robin" {
        return None;
    }
    if pools.pools.iter().all(|(_, replicas)| replicas.len() <= 1) && names_every_class(facts) {
        return Some("no class has more than one replica".to_owned());
    }
    affinity_without_sessions(facts, &pools.within)
}

fn never_evicts(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| match router {
            RouterKind::SglangCacheAware(set) => set.eviction_interval == Span::ZERO,
            _ => false,
        })
        .then(|| "the tree is never cut down: `eviction_interval` is 0".to_owned())
}

fn hears_kv_events(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| matches!(router, RouterKind::DynamoKv(set) if set.use_kv_events))
        .then(|| "engines tell the router what they cache: nothing is guessed".to_owned())
}

fn no_metrics(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| matches!(router, RouterKind::LlmD(_)) && !router.hears_engines())
        .then(|| "no scorer with a weight looks at the engines' metrics".to_owned())
}

fn no_prompts(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| matches!(router, RouterKind::LlmD(_)) && !router.reads_prompts())
        .then(|| "no scorer with a weight looks at prompts".to_owned())
}

fn no_list_of_blocks(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let guesses = |router: &RouterKind| router.reads_prompts() && !router.asks_caches();
    facts
        .chooses(|router| matches!(router, RouterKind::LlmD(_)) && !guesses(router))
        .then(|| "no scorer with a weight goes by what the router has sent".to_owned())
}

fn logic_without_sessions(facts: &Facts<'_>, _: &Written) -> Option<String> {
    let by_session = facts.chooses(|router| {
        matches!(router, RouterKind::ProductionStack(_)) && router.goes_by_session()
    });
    (by_session && !facts.requests.has_sessions()).then(|| {
        "no request has a session: they go by the requests of the last minute, as under `priority`"
            .to_owned()
    })
}

fn ray_never_evicts(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| matches!(router, RouterKind::RayPrefix(set) if !set.do_eviction))
        .then(|| "the router's tree forgets nothing without `do_eviction`".to_owned())
}

fn not_kvaware(facts: &Facts<'_>, _: &Written) -> Option<String> {
    facts
        .chooses(|router| matches!(router, RouterKind::ProductionStack(_)) && !router.asks_caches())
        .then(|| "only `kvaware` knows what is cached".to_owned())
}

/// Whether no request is of a class that may go to any replica.
fn names_every_class(facts: &Facts<'_>) -> bool {
    let RouterKind::ClassToPool(pools) = &facts.experiment.router else { return false };
    let named = |class: &String| pools.pools.iter().any(|(name, _)| name == class);
    facts.requests.known().is_some_and(|workload| workload.classes.iter().all(named))
}

fn affinity_without_sessions(facts: &Facts<'_>, router: &RouterKind) -> Option<String> {
    (*router == RouterKind::SessionAffinity && !facts.requests.has_sessions()).then(|| {
        "no request has a session: they go to the replicas in turn, as under `round-robin`"
            .to_owned()
    })
}
