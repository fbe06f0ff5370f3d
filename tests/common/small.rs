//! Systems of one replica, small enough to be worked out by hand.

use metron_sim::cost::CostModel;
use metron_sim::fleet::Routing;
use metron_sim::ids::ClassId;
use metron_sim::request::Request;
use metron_sim::scheduler::{EngineInfo, KvGroups, SchedulerConfig};
use metron_sim::sim::{Outcome, SimOptions};
use metron_sim::time::{Span, Time};
use metron_sim::workload::Workload;

use crate::alike::{Setup, play};

/// More memory than the small systems need.
pub(crate) const ENGINE: EngineInfo = EngineInfo {
    kv_block_tokens: 16,
    kv_blocks: 10_000,
    max_model_len: 8192,
    prefix_caching: false,
    kv_groups: KvGroups::ONE,
    large_gpu: false,
    gpu_memory_gib: None,
    speculative: None,
};

pub(crate) fn request(arrival: Span, prompt_tokens: u32, output_tokens: u32) -> Request {
    Request {
        arrival: Time::ZERO + arrival,
        prompt_tokens,
        output_tokens,
        max_tokens: output_tokens,
        priority: 0,
        class: ClassId(0),
    }
}

pub(crate) fn workload(requests: Vec<Request>) -> Workload {
    Workload { requests, classes: vec![String::new()], ..Workload::default() }
}

/// Plays `scheduler`, given as JSON, by both paths, which must agree.
pub(crate) fn simulate(
    cost: &dyn CostModel,
    engine: EngineInfo,
    scheduler: &str,
    async_scheduling: bool,
    requests: Vec<Request>,
) -> Outcome {
    let setup = Setup {
        luck: None,
        cost,
        engine,
        replicas: 1,
        routing: Routing::default(),
        async_scheduling,
        horizon: None,
    };
    let config: SchedulerConfig = serde_json::from_str(scheduler).expect("a scheduler");
    let workload = workload(requests);
    let make = || config.build(&engine);
    let run = |reference| {
        let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
        play(&setup, &make, &mut workload.arriving(), options).expect("nobody is stuck")
    };
    let (fast, slow) = (run(false), run(true));
    assert_eq!(fast, slow, "both paths give the same");
    fast
}
