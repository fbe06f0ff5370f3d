//! What the benches of the simulator play: requests of 1,024 and 256 tokens in the mean, Llama-3-8B on
//! one H100.

use metron_sim::catalog;
use metron_sim::cost::{Dtype, Parallelism, Roofline};
use metron_sim::fleet::{FleetSetup, PoolSetup, Role, Routing};
use metron_sim::replica::EngineInfo;
use metron_sim::scheduler::{KvGroups, SchedulerConfig};
use metron_sim::sim::{Outcome, SimOptions, play_fleet};
use metron_sim::workload::{
    Amount, Arrivals, Dist, Lengths, Limits, MaxTokens, Shape, Source, Workload, WorkloadSpec, draw,
};

pub(crate) const ENGINE: EngineInfo = EngineInfo {
    kv_block_tokens: 16,
    kv_blocks: 27_000,
    max_model_len: 8192,
    prefix_caching: false,
    kv_groups: KvGroups::ONE,
    large_gpu: true,
    gpu_memory_gib: Some(80),
    speculative: None,
};

pub(crate) fn workload(requests: u32, rate: f64) -> Workload {
    let length = |mean| Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None };
    let lengths = Lengths::Independent { prompt: length(1024.0), output: length(256.0) };
    let spec = WorkloadSpec {
        source: Source::Synthetic { arrivals: Arrivals::Poisson { rate }, lengths },
        amount: Amount { requests: Some(requests), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    };
    let limits = Limits { max_model_len: 8192, kv_block_tokens: 16 };
    draw(&spec, 42, limits).expect("a valid workload").workload
}

pub(crate) fn scheduler(json: &str) -> SchedulerConfig {
    serde_json::from_str(json).expect("a scheduler")
}

pub(crate) fn cost(profile: &str) -> Roofline {
    let model = catalog::model("llama-3-8b").expect("in the catalog");
    let gpu = catalog::gpu("h100-sxm").expect("in the catalog");
    let profile = catalog::profile(profile).expect("in the catalog");
    Roofline::new(&model, &gpu, &profile, Parallelism::default(), Dtype::Bf16).expect("it fits")
}

pub(crate) fn simulate(
    cost: &Roofline,
    scheduler: &SchedulerConfig,
    workload: &Workload,
    keep_log: bool,
) -> Outcome {
    let make = || scheduler.build(&ENGINE);
    let pool = PoolSetup {
        lockstep: 1,
        cost,
        engine: ENGINE,
        replicas: 1,
        role: Role::Both,
        async_scheduling: false,
        luck: None,
        answers_end_at: None,
        outlook: None,
        tiers: None,
        make: &make,
    };
    let setup = FleetSetup {
        pools: vec![pool],
        routing: Routing::default(),
        controllers: &Vec::new,
        disaggregation: None,
        horizon: None,
    };
    let options = SimOptions { keep_log, ..SimOptions::default() };
    play_fleet(&setup, &mut workload.arriving(), options).expect("it drains")
}
