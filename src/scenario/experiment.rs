//! A scenario with every name looked up, every default filled in and every unit settled.

use std::sync::Arc;

use crate::cost::{CostError, CostModel};
pub use crate::fleet::RouterKind;
use crate::fleet::{Disaggregation, LoadOverlap, Role};
use crate::ids::{PoolId, ReplicaId};
use crate::metrics::Measure;
use crate::promise::{Promises, Slo};
use crate::replica::Predictor;
use crate::scheduler::{EngineInfo, Feature, KvGroups, QueueOrder, SchedulerConfig};
use crate::sim::FrontEnd;
use crate::speculative::Speculative;
use crate::time::Span;
use crate::workload::WorkloadSpec;

/// All that a run needs. Made by resolving a scenario file; a library user may fill one by hand.
#[derive(Clone)]
pub struct Experiment {
    /// The scenario's name.
    pub name: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Replicas behind the router, of all pools; each data-parallel rank is one.
    pub replicas: u32,
    /// Pools of replicas that differ. Empty where all replicas are alike: `cost`, `engine` and
    /// `hardware` are theirs then, and otherwise those of the first pool, but for
    /// `engine.max_model_len`, which is the longest of all pools. [`Experiment::fleet`] has both.
    pub pools: Vec<Pool>,
    /// How requests are spread over them.
    pub router: RouterKind,
    /// How requests go from pools that prefill to those that decode, where pools have such roles.
    pub disaggregation: Option<Disaggregation>,
    /// Prices iterations; shared by all schedulers.
    pub cost: Arc<dyn CostModel>,
    /// Engine limits shared by all schedulers.
    pub engine: EngineLimits,
    /// One run each, on the same requests.
    pub schedulers: Vec<SchedulerRun>,
    /// The requests.
    pub workload: WorkloadSpec,
    /// What users are promised: all of them, and those of classes that have their own.
    pub promises: Promises,
    /// Observation ends here; otherwise the run drains.
    pub horizon: Option<Span>,
    /// Requests outside are left out of the results, by arrival time.
    pub measure: Measure,
    /// What a replica runs on.
    pub hardware: Hardware,
}

/// What a replica runs on, for reports, money and energy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hardware {
    /// The model's name; `None` where a fixed iteration time stands for it.
    pub model: Option<String>,
    /// The GPU's name; `None` where a fixed iteration time stands for it.
    pub gpu: Option<String>,
    /// GPUs of one replica.
    pub gpus_per_replica: u32,
    /// Data-parallel ranks of one deployment: replicas come in groups of so many.
    pub data_ranks: u32,
    /// US dollars for one GPU and hour.
    pub price_usd_per_gpu_hour: Option<f64>,
    /// Electric power of one GPU.
    pub power: Option<crate::catalog::Power>,
    /// Whether the GPU has 70 GiB or more and is not an A100: vLLM's larger defaults.
    pub large_gpu: bool,
    /// GiB of memory of a GPU; `None` where a fixed iteration time stands for it.
    pub gpu_memory_gib: Option<u32>,
    /// What the cost model is made of; `None` for a fixed iteration time.
    pub pricing: Option<Box<crate::cost::Pricing>>,
    /// Where a step law is: its profile's name, and the most that the steps of its log held.
    pub law_log: Option<(String, crate::catalog::StepsSeen)>,
    /// What the scenario asks of the GPUs' memory; `None` where nobody asked.
    pub memory_asked: Option<MemoryAsked>,
}

/// What a scenario asks of the GPUs' memory, with defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryAsked {
    /// The part that the engine may use.
    pub utilization: f64,
    /// Bytes beside weights and KV.
    pub reserved_bytes: u64,
    /// Whether the number of KV blocks is given, and follows from neither.
    pub blocks_given: bool,
}

impl Hardware {
    /// The memory of a GPU, as defaults go by it.
    pub fn gpu_memory(&self) -> GpuMemory {
        GpuMemory { large: self.large_gpu, gib: self.gpu_memory_gib }
    }

    /// Whether iterations are priced by the GPU, not by a law of one machine's steps or a fixed time.
    pub fn times_follow_from_gpu(&self) -> bool {
        self.pricing.as_ref().is_some_and(|pricing| pricing.profile.step_law.is_none())
    }

    /// Replicas in a row that step together: data-parallel ranks that share experts. Ranks of
    /// pipelines are played apart.
    pub fn lockstep(&self) -> u32 {
        let shares = self.pricing.as_ref().is_some_and(|pricing| {
            pricing.model.experts().is_some() && pricing.parallelism.pipeline == 1
        });
        if shares { self.data_ranks.max(1) } else { 1 }
    }
}

/// How much memory a GPU has, as schedulers' defaults go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// See [`Hardware::large_gpu`].
    pub large: bool,
    /// GiB; `None` where it is not known.
    pub gib: Option<u32>,
}

impl GpuMemory {
    /// A GPU of each kind that some default tells apart.
    pub const KINDS: [GpuMemory; 4] = [
        GpuMemory { large: false, gib: Some(16) },
        GpuMemory { large: false, gib: Some(24) },
        GpuMemory { large: true, gib: Some(80) },
        GpuMemory { large: true, gib: Some(180) },
    ];
}

/// Replicas of a kind, within a fleet of several kinds.
#[derive(Clone)]
pub struct Pool {
    /// Its name, unlike that of any other pool.
    pub name: String,
    /// Replicas; each data-parallel rank is one.
    pub replicas: u32,
    /// Prices iterations.
    pub cost: Arc<dyn CostModel>,
    /// Engine limits of its replicas.
    pub engine: EngineLimits,
    /// What a replica runs on.
    pub hardware: Hardware,
    /// What the requests that it serves are promised, besides the promises to all and to classes.
    pub promise: Option<Slo>,
    /// What its replicas do for a request.
    pub role: Role,
}

/// A pool, or all replicas of a fleet that are alike.
#[derive(Clone, Copy)]
pub struct PoolView<'a> {
    /// The pool's name, where there are pools.
    pub name: Option<&'a str>,
    /// Its replicas.
    pub replicas: u32,
    /// What they do for a request.
    pub role: Role,
    /// Prices iterations.
    pub cost: &'a Arc<dyn CostModel>,
    /// Engine limits of its replicas.
    pub engine: &'a EngineLimits,
    /// What a replica runs on.
    pub hardware: &'a Hardware,
}

impl PoolView<'_> {
    /// What a scheduler is built for, what it has on by default where nobody says.
    pub fn engine_info(&self, config: &SchedulerConfig) -> EngineInfo {
        self.engine.info(self.hardware.gpu_memory(), config)
    }

    /// Whether a scheduler plans a step while the one before runs.
    pub fn plans_ahead(&self, config: &SchedulerConfig) -> bool {
        let needs = config.build(&self.engine_info(config)).needs();
        needs.plans_ahead && self.engine.async_scheduling(config)
    }

    /// Whether a scheduler makes use of a feature on these replicas.
    pub fn uses(&self, run: &SchedulerRun, feature: Feature) -> bool {
        let info = self.engine_info(&run.config);
        let needs = run.config.build(&info).needs();
        match feature {
            Feature::PrefixCaching => needs.caches_on(&info),
            Feature::AsyncScheduling => self.plans_ahead(&run.config),
            Feature::Priorities => needs.queue == QueueOrder::Priority || needs.priorities,
            Feature::DeclaredLengths => {
                run.config.has(feature) && !run.config.facts(&info).ignores_max_tokens
            }
        }
    }
}

impl Experiment {
    /// What a scheduler is built for, on replicas of the first pool.
    pub fn engine_info(&self, config: &SchedulerConfig) -> EngineInfo {
        self.fleet()[0].engine_info(config)
    }

    /// The pools in the order of their replicas; one where all replicas are alike.
    pub fn fleet(&self) -> Vec<PoolView<'_>> {
        if self.pools.is_empty() {
            let Experiment { replicas, cost, engine, hardware, .. } = self;
            let role = Role::Both;
            return vec![PoolView {
                name: None,
                replicas: *replicas,
                role,
                cost,
                engine,
                hardware,
            }];
        }
        fn view(pool: &Pool) -> PoolView<'_> {
            let Pool { name, replicas, cost, engine, hardware, promise: _, role } = pool;
            let (name, replicas, role) = (Some(name.as_str()), *replicas, *role);
            PoolView { name, replicas, role, cost, engine, hardware }
        }
        self.pools.iter().map(view).collect()
    }

    /// Whether the router may send a replica what arrives, for each: not where it only decodes.
    pub fn takes_requests(&self) -> Vec<bool> {
        let of_pool = |pool: &PoolView<'_>| {
            std::iter::repeat_n(pool.role != Role::Decode, pool.replicas as usize)
        };
        self.fleet().iter().flat_map(of_pool).collect()
    }

    /// The pool of a replica, where replicas differ.
    pub fn pool_of(&self, replica: ReplicaId) -> Option<PoolId> {
        let mut before = 0;
        let place = self.pools.iter().position(|pool| {
            before += pool.replicas;
            replica.0 < before
        });
        place.map(PoolId::at)
    }

    /// Whether pools serve different models.
    pub fn models_differ(&self) -> bool {
        fn model(pool: &Pool) -> (&Option<String>, Option<&crate::catalog::Model>) {
            let priced = pool.hardware.pricing.as_ref().map(|pricing| &pricing.model);
            (&pool.hardware.model, priced)
        }
        self.pools.iter().any(|pool| model(pool) != model(&self.pools[0]))
    }

    /// The pools that a class's requests may be sent to.
    pub fn serving(&self, class: &str) -> Vec<PoolView<'_>> {
        let fleet = self.fleet();
        let RouterKind::ClassToPool(classes) = &self.router else { return fleet };
        let Some((_, replicas)) = classes.pools.iter().find(|(name, _)| name == class) else {
            return fleet;
        };
        let mut before = 0;
        let serves = move |pool: &PoolView<'_>| {
            let own = before..before + pool.replicas;
            before = own.end;
            replicas.iter().any(|replica| own.contains(&replica.0))
        };
        fleet.into_iter().filter(serves).collect()
    }

    /// By how much the engine's own time differs from machine to machine: the least and the most, as
    /// multiples; over all pools. `None` where no profile has a range.
    pub fn host_range(&self) -> Option<[f64; 2]> {
        let of = |pool: PoolView<'_>| pool.hardware.pricing.as_ref()?.profile.host_range;
        let ranges = self.fleet().into_iter().filter_map(of);
        ranges.reduce(|[a, b], [c, d]| [a.min(c), b.max(d)])
    }

    /// The same on machines on which the engine's own time is `times` as long, where a pool's profile says
    /// that it differs.
    ///
    /// # Errors
    /// When that cannot be priced.
    pub fn with_host_time(&self, times: f64) -> Result<Experiment, CostError> {
        let slower =
            |hardware: &mut Hardware, cost: &mut Arc<dyn CostModel>| -> Result<(), CostError> {
                let Some(pricing) = &mut hardware.pricing else { return Ok(()) };
                let profile = &mut pricing.profile;
                if profile.host_range.is_none() {
                    return Ok(());
                }
                for own in [&mut profile.host, &mut profile.step_gap] {
                    own.iteration_us *= times;
                    own.sequence_us *= times;
                }
                *cost = Arc::new(pricing.roofline()?);
                Ok(())
            };
        let mut other = self.clone();
        slower(&mut other.hardware, &mut other.cost)?;
        for pool in &mut other.pools {
            slower(&mut pool.hardware, &mut pool.cost)?;
        }
        Ok(other)
    }

    /// GPUs of all replicas.
    pub fn gpus(&self) -> u32 {
        self.fleet().iter().map(|pool| pool.replicas * pool.hardware.gpus_per_replica).sum()
    }

    /// What stands before the fleet, and how many of it: one for each replica, one for all
    /// data-parallel ranks of a deployment.
    pub fn front_ends(&self) -> (FrontEnd, u32) {
        let fleet = self.fleet();
        let of = |pool: &PoolView<'_>| pool.replicas.div_ceil(pool.hardware.data_ranks.max(1));
        (fleet[0].engine.front_end, fleet.iter().map(of).sum())
    }

    /// Dollars an hour of all GPUs; `None` where the price of one is not known.
    pub fn usd_per_hour(&self) -> Option<f64> {
        let of = |pool: &PoolView<'_>| {
            let gpus = f64::from(pool.replicas * pool.hardware.gpus_per_replica);
            pool.hardware.price_usd_per_gpu_hour.map(|usd| usd * gpus)
        };
        self.fleet().iter().map(of).sum()
    }

    /// The same replicas, each of which prefills and decodes what the fewest outstanding requests send it.
    pub fn colocated(&self) -> Experiment {
        let both = |pool: &Pool| Pool { role: Role::Both, ..pool.clone() };
        Experiment {
            router: RouterKind::LeastRequests,
            disaggregation: None,
            pools: self.pools.iter().map(both).collect(),
            ..self.clone()
        }
    }

    /// The experiment on one replica of one of its pools.
    pub fn alone_on(&self, pool: PoolView<'_>) -> Experiment {
        Experiment {
            replicas: 1,
            router: RouterKind::RoundRobin,
            disaggregation: None,
            pools: Vec::new(),
            cost: pool.cost.clone(),
            engine: pool.engine.clone(),
            hardware: pool.hardware.clone(),
            ..self.clone()
        }
    }
}

impl EngineLimits {
    /// Whether a scheduler is asked to keep blocks for reuse.
    pub fn prefix_caching(&self, config: &SchedulerConfig) -> bool {
        self.prefix_caching.unwrap_or_else(|| config.on_by_default(Feature::PrefixCaching))
    }

    /// Whether a scheduler is asked to plan ahead.
    pub fn async_scheduling(&self, config: &SchedulerConfig) -> bool {
        self.async_scheduling.unwrap_or_else(|| config.on_by_default(Feature::AsyncScheduling))
    }

    /// What a scheduler is built for on GPUs of this memory.
    pub fn info(&self, gpu: GpuMemory, config: &SchedulerConfig) -> EngineInfo {
        EngineInfo {
            kv_block_tokens: self.kv_block_tokens,
            kv_blocks: self.kv_blocks,
            max_model_len: self.max_model_len,
            prefix_caching: self.prefix_caching(config),
            kv_groups: self.kv_groups,
            large_gpu: gpu.large,
            gpu_memory_gib: gpu.gib,
            speculative: self.speculative.as_ref().map(|speculative| speculative.rules),
        }
    }
}

/// Limits of one replica's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Tokens in a KV block.
    pub kv_block_tokens: u32,
    /// The engine's `num_gpu_blocks`.
    pub kv_blocks: u32,
    /// Which groups of the model's layers draw from the blocks.
    pub kv_groups: KvGroups,
    /// Longest prompt plus output.
    pub max_model_len: u32,
    /// Whether full blocks are kept and found again by content, by policies that can. `None`: as each
    /// scheduler's version has it where nobody says.
    pub prefix_caching: Option<bool>,
    /// Whether a step is planned while the one before runs, by policies that can. `None`: likewise.
    pub async_scheduling: Option<bool>,
    /// How it drafts tokens, where it does (for policies that can).
    pub speculative: Option<Arc<Speculative>>,
    /// What lies between clients and the engine.
    pub front_end: FrontEnd,
    /// How a policy that looks at deadlines is wrong about an iteration's time.
    pub predictor: PredictorError,
    /// What keeps KV behind its blocks, where anything does.
    pub tiers: Option<Arc<Tiers>>,
}

/// What keeps KV behind a replica's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers {
    /// The host's memory.
    pub host: TierPath,
    /// What lies below it.
    pub below: Option<TierPath>,
    /// Whether the replicas of a pool have that together.
    pub below_is_shared: bool,
    /// Bytes of a KV block on all GPUs of a replica.
    pub block_bytes: u64,
    /// KV blocks in a chunk.
    pub chunk_blocks: u32,
    /// Fewer tokens than these are computed.
    pub min_tokens: u32,
    /// Whether tokens are computed where that is faster than to bring them.
    pub recomputes_if_faster: bool,
    /// Whether only prompts are stored.
    pub prompt_only: bool,
    /// A chunk is stored when it was offered so often.
    pub store_threshold: u32,
    /// What a load from the host holds up.
    pub overlap: LoadOverlap,
}

/// A tier, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPath {
    /// What it is called.
    pub name: String,
    /// Chunks that it holds.
    pub chunks: u32,
    /// Bytes a second towards the GPUs.
    pub read_bytes_per_s: u64,
    /// Bytes a second away from them.
    pub write_bytes_per_s: u64,
    /// Before the first byte.
    pub latency: Span,
}

/// What a prediction of an iteration's time differs by from the time that it takes, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredictorError {
    bias: i64,
    spread: u32,
    answers: Option<u32>,
}

impl PredictorError {
    /// Shares: see [`Predictor`].
    pub(crate) fn new(bias: f64, spread: f64, answers: Option<f64>) -> PredictorError {
        let millionths = |share: f64| (share * 1e6).round() as u32;
        PredictorError {
            bias: (bias * 1e6).round() as i64,
            spread: millionths(spread),
            answers: answers.map(millionths),
        }
    }

    /// The predictor that is wrong by so much, for a seed of 0.
    pub fn predictor(self) -> Predictor {
        let share = |millionths: f64| millionths / 1e6;
        let (bias, spread) = (share(self.bias as f64), share(f64::from(self.spread)));
        let answer_spread = self.answers.map(|answers| share(f64::from(answers)));
        Predictor { bias, spread, seed: 0, answer_spread }
    }
}

/// One scheduler to run.
#[derive(Clone, Debug)]
pub struct SchedulerRun {
    /// Its registered name, such as `sarathi`.
    pub name: String,
    /// Name and the parameters that were given, such as `sarathi(chunk_size=512)`.
    pub label: String,
    /// Its parameters.
    pub config: SchedulerConfig,
}
