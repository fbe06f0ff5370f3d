//! The fast path against the slow one that specifies it: equal traces, iterations and counts on
//! random small systems, for every registered scheduler.

use crate::alike::{Setup, play};
use metron_sim::content::{Parent, Turn};
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::request::{BlockIds, Request, RequestId};
use metron_sim::scheduler::{Draws, EngineInfo, KvGroups, Scale, SchedulerConfig, WindowGroups};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use std::sync::Arc;

use metron_sim::fleet::{ClassPools, RouteReason, RouterKind, Routing};
use metron_sim::ids::{ClassId, ReplicaId};
use metron_sim::sim::{Outcome, SimOptions};
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Status, TokenTrace};
use metron_sim::workload::{
    Amount, Arrivals, Arriving, ClosedLoop, Dist, Lengths, Limits, MaxTokens, Shape, Source,
    Workload, WorkloadSpec,
};
use proptest::prelude::*;

/// Times that depend on every figure of the shape, so that a wrong one shows.
struct Uneven;

impl CostModel for Uneven {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let chunk = |c: &metron_sim::cost::Chunk| {
            u64::from(c.tokens) * 31_013 + u64::from(c.tokens) * u64::from(c.context) * 7
        };
        let prefill: u64 = shape.chunks().iter().map(chunk).sum();
        let decode =
            u64::from(shape.decodes().requests()) * 50_021 + shape.decodes().kv_tokens() * 101;
        let gpu = 2_000_003 + prefill + decode + u64::from(shape.sampled()) * 977;
        let host = 600_011 + 20_011 * u64::from(shape.decodes().requests());
        IterationTime { gpu: Span::from_nanos(gpu), host: Span::from_nanos(host) }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }
}

/// The same in pipeline stages, each with times of its own.
struct Stages(u32);

impl Stages {
    fn stage(shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        let IterationTime { gpu, host } = Uneven.time(shape);
        let gpu = gpu.as_nanos() / 3
            + u64::from(stage) * 300_007
            + u64::from(shape.decodes().requests()) * 11;
        IterationTime {
            gpu: Span::from_nanos(gpu),
            host: if stage == 0 { host } else { Span::ZERO },
        }
    }
}

impl CostModel for Stages {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let stages = (0..self.0).map(|stage| Stages::stage(shape, stage).gpu.as_nanos());
        let over = self.hand_over(shape).as_nanos() * u64::from(self.0 - 1);
        let gpu = Span::from_nanos(stages.sum::<u64>() + over);
        IterationTime { gpu, host: Uneven.time(shape).host }
    }

    fn parts(&self, _: &BatchShape<'_>) -> Parts {
        Parts::default()
    }

    fn stages(&self) -> u32 {
        self.0
    }

    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        Stages::stage(shape, stage)
    }

    fn hand_over(&self, shape: &BatchShape<'_>) -> Span {
        Span::from_nanos(70_001 + 13 * u64::from(shape.decodes().requests()))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct System {
    pipeline: u32,
    scheduler: SchedulerConfig,
    engine: EngineInfo,
    replicas: u32,
    routing: Routing,
    async_scheduling: bool,
    horizon: Option<Span>,
    workload: Workload,
}

impl System {
    /// The same, observed up to `horizon`.
    pub(crate) fn until(&self, horizon: Option<Span>) -> System {
        System { horizon, ..self.clone() }
    }
}

type Drawn = (u64, u32, u32, u32, i32, Option<u64>, u32, Option<(u32, u32)>);

fn request() -> impl Strategy<Value = Drawn> {
    let output = prop_oneof![1..4u32, 1..80u32];
    let extra = prop_oneof![Just(0), 0..30u32];
    let group = prop_oneof![Just(None), (0..3u64).prop_map(Some)];
    // How many requests before it is the one that it goes on from, and from how many of its tokens.
    let follows = prop_oneof![3 => Just(None), 1 => (1..4u32, 1..400u32).prop_map(Some)];
    (0..60_000_000u64, 1..400u32, output, extra, -2..3i32, group, 0..120u32, follows)
}

fn workload() -> impl Strategy<Value = Workload> {
    let gap_scale = prop_oneof![Just(0u64), Just(1), Just(4)];
    let all = (prop::collection::vec(request(), 1..40), gap_scale, any::<bool>());
    all.prop_map(|(drawn, scale, ids_cover_answers)| {
        let mut workload =
            Workload { block_tokens: 16, classes: vec![String::new()], ..Workload::default() };
        workload.ids_cover_answers = ids_cover_answers;
        let mut ids = Vec::new();
        let mut at = 0;
        for (gap, prompt, output, extra, priority, group, shared, follows) in drawn {
            at += gap * scale;
            let start = ids.len() as u32;
            if let Some(group) = group {
                let named = if ids_cover_answers { prompt + output } else { prompt };
                ids.extend((0..u64::from(shared.min(named) / 16)).map(|k| (group << 32) | k));
            }
            let len = ids.len() as u32 - start;
            let place = workload.requests.len();
            workload.turns.push(Turn::default());
            if let Some((back, tokens)) = follows.filter(|&(back, _)| back as usize <= place) {
                let request = RequestId::at(place - back as usize);
                let said: &Request = &workload.requests[request.index()];
                let tokens = tokens.min(prompt).min(said.prompt_tokens + said.output_tokens);
                workload.turns[place].parent = Some(Parent { request, tokens });
                workload.turns[request.index()].followed = true;
            }
            workload.requests.push(Request {
                arrival: Time::from_nanos(at),
                prompt_tokens: prompt,
                output_tokens: output,
                max_tokens: output + extra,
                priority,
                class: ClassId(0),
            });
            workload.blocks.push(BlockIds { start, len });
        }
        workload.block_ids = Arc::new(ids);
        workload
    })
}

/// Outputs end at the context's length; the workload takes care of that in a scenario.
fn cut(mut workload: Workload, max_model_len: u32) -> Workload {
    for request in &mut workload.requests {
        let room = max_model_len.saturating_sub(request.prompt_tokens).max(1);
        request.output_tokens = request.output_tokens.min(room);
    }
    workload
}

/// The policy with small limits, for prompts of up to 400 tokens. A stream of its own, since proptest's
/// is not one that parameters are drawn from.
fn tight(name: &str, seed: u64, engine: &EngineInfo) -> SchedulerConfig {
    let scale = Scale {
        seats: 1..=12,
        chunk: 20..=400,
        whole: 600..=900,
        block_tokens_max: engine.kv_block_tokens,
        long_prefill_tokens: 100,
        hangs: false,
    };
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    loop {
        let config = SchedulerConfig::draw(name, &mut Draws::new(&mut rng, scale.clone())).unwrap();
        if config.problems(engine).is_empty() {
            return config;
        }
    }
}

/// Replicas, and what spreads requests over them.
fn fleet() -> impl Strategy<Value = (u32, Routing)> {
    let router = prop::sample::select(RouterKind::NAMES.to_vec());
    let router = (router, prop::bool::weighted(0.2));
    (prop_oneof![2 => 1..3u32, 1 => 3..6u32], router, 0..4u64).prop_map(
        |(replicas, (name, pooled), seed)| {
            let mut router = RouterKind::by_name(name).unwrap();
            if pooled {
                // Every request has the class without a name: the first replica gets none.
                let pools =
                    vec![(String::new(), (replicas / 2..replicas).map(ReplicaId).collect())];
                router = RouterKind::ClassToPool(Arc::new(ClassPools { pools, within: router }));
            }
            (replicas, Routing { router, seed, notes_held: seed != 0 })
        },
    )
}

/// One group of layers with full attention, or several of all kinds.
fn groups() -> impl Strategy<Value = KvGroups> {
    let window = (1..200u32, 0..3u32).prop_map(|(tokens, count)| WindowGroups { tokens, count });
    let several = (0..3u32, [window.clone(), window], 0..3u32);
    let several = several.prop_filter_map("some group", |(full, windows, states)| {
        KvGroups::new(full, &windows, states)
    });
    prop_oneof![2 => Just(KvGroups::ONE), 1 => several]
}

pub(crate) fn system() -> impl Strategy<Value = System> {
    let engine = (prop_oneof![Just(16u32), Just(8), Just(1)], 30..120u32, any::<bool>());
    let limits = (any::<prop::sample::Index>(), any::<bool>(), any::<u64>());
    let horizon = prop_oneof![3 => Just(None), 1 => (1..900u64).prop_map(Some)];
    let pipeline = prop_oneof![1 => Just(1u32), 1 => 2..5u32];
    let engine = (engine, groups(), prop_oneof![Just(600u32), 60..500u32], pipeline);
    (engine, limits, workload(), fleet(), any::<bool>(), horizon).prop_map(
        |(engine, limits, workload, (replicas, routing), async_scheduling, horizon)| {
            let ((block, blocks, prefix_caching), groups, max_model_len, pipeline) = engine;
            let workload = cut(workload, max_model_len);
            let (which, tightened, seed) = limits;
            let name = *which.get(SchedulerConfig::names());
            let engine = EngineInfo {
                kv_block_tokens: block,
                kv_blocks: blocks * 16 / block * groups.growing().max(1) + 2 * groups.states(),
                max_model_len,
                prefix_caching: prefix_caching && block == 16,
                kv_groups: groups,
                large_gpu: seed.is_multiple_of(2),
                gpu_memory_gib: Some(16 << (seed % 5)),
                speculative: None,
            };
            let mut system = System {
                pipeline,
                scheduler: match tightened {
                    true => tight(name, seed, &engine),
                    false => SchedulerConfig::by_name(name).unwrap(),
                },
                engine,
                replicas,
                routing,
                async_scheduling,
                horizon: horizon.map(Span::from_millis),
                workload,
            };
            if system.scheduler.build(&system.engine).needs().one_lane {
                system.pipeline = 1;
            }
            system
        },
    )
}

/// Users who ask again as soon as they are answered, or after a think time.
fn closed_loop() -> impl Strategy<Value = (WorkloadSpec, u64)> {
    let think = prop_oneof![Just(0u64), Just(7_000_000), Just(100_000_000)];
    (1..12u32, think, 1..40u32, 1..300u32, any::<u64>(), any::<bool>()).prop_map(
        |(users, think, requests, longest, seed, by_eos)| {
            let uniform =
                |max| Dist { shape: Shape::Uniform { min: 1, max }, min: None, max: None };
            let arrivals = Arrivals::ClosedLoop { users, think_time: Span::from_nanos(think) };
            let lengths = Lengths::Independent { prompt: uniform(longest), output: uniform(60) };
            let spec = WorkloadSpec {
                source: Source::Synthetic { arrivals, lengths },
                amount: Amount { requests: Some(requests), duration: None },
                max_tokens: if by_eos { MaxTokens::Factor(1.5) } else { MaxTokens::Exact },
                classes: Vec::new(),
                prefix_groups: None,
            };
            (spec, seed)
        },
    )
}

pub(crate) fn run(system: &System, reference: bool) -> Outcome {
    run_on(system, &mut system.workload.arriving(), reference)
}

fn run_on(system: &System, arriving: &mut dyn Arriving, reference: bool) -> Outcome {
    let staged = Stages(system.pipeline);
    let setup = Setup {
        luck: None,
        cost: if system.pipeline == 1 { &Uneven } else { &staged },
        engine: system.engine,
        replicas: system.replicas,
        routing: system.routing.clone(),
        async_scheduling: system.async_scheduling,
        horizon: system.horizon,
    };
    let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
    let make = || system.scheduler.build(&system.engine);
    play(&setup, &make, arriving, options).unwrap_or_else(|error| panic!("{error}"))
}

/// What holds of every outcome, whoever made it.
fn check(system: &System, outcome: &Outcome) {
    let policy = system.scheduler.build(&system.engine);
    let trace: &TokenTrace = &outcome.trace;
    if system.horizon.is_none() {
        assert_eq!(trace.requests.len(), system.workload.requests.len(), "no request is lost");
    }
    for (row, request) in trace.requests.iter().zip(&system.workload.requests) {
        let times: Vec<Time> = trace.token_times(row).collect();
        assert_eq!(times.len() as u32, row.tokens, "tokens are counted as they are emitted");
        assert!(times.is_sorted(), "tokens come in order");
        assert!(times.first().is_none_or(|&first| first > row.arrival));
        assert!(times.last().is_none_or(|&last| last <= trace.end));
        match row.status {
            Status::Completed => {
                let longest = policy.longest_answer(request.prompt_tokens, request.max_tokens);
                assert_eq!(row.tokens, request.output_tokens.min(longest));
            }
            Status::Unfinished => {
                assert!(system.horizon.is_some(), "without a horizon all end");
                assert!(row.tokens < request.output_tokens, "a whole answer is complete");
            }
            Status::Rejected => {}
            other => panic!("a simulated request is never {other:?}"),
        }
    }
    let routes = outcome.routes.as_ref().unwrap();
    assert_eq!(routes.len(), trace.requests.len(), "every request was sent somewhere");
    for (row, route) in trace.requests.iter().zip(routes) {
        assert_eq!(trace.replica_of(row), route.replica);
        assert!(route.replica.0 < system.replicas);
        if let (RouteReason::FewestRequests(outstanding), false) = (route.why, route.within_pool) {
            let there = trace.requests.len() as u32;
            assert!(outstanding <= there / system.replicas, "the least is no more than the mean");
        }
    }
    for lane in outcome.log.as_ref().unwrap() {
        for (one, next) in lane.iter().zip(lane.iter().skip(1)) {
            let ahead = system.async_scheduling && system.pipeline == 1;
            assert!(one.end <= next.start || ahead, "one step at a time");
            assert!(one.start < next.start);
        }
    }
}

/// `PROPTEST_CASES`, or enough for every scheduler to meet every shortage.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_fast_path_equals_the_reference_in_a_closed_loop(
        system in system(),
        (spec, seed) in closed_loop(),
    ) {
        let EngineInfo { max_model_len, kv_block_tokens, .. } = system.engine;
        let limits = Limits { max_model_len, kv_block_tokens };
        let users = ClosedLoop::new(&spec, seed, limits).unwrap();
        let fast = run_on(&system, &mut users.clone(), false);
        let slow = run_on(&system, &mut users.clone(), true);
        prop_assert_eq!(&fast.trace.requests, &slow.trace.requests);
        prop_assert_eq!(&fast, &slow);
    }

    #[test]
    fn the_fast_path_equals_the_reference(system in system()) {
        let fast = run(&system, false);
        check(&system, &fast);
        let slow = run(&system, true);
        prop_assert_eq!(&fast.trace.requests, &slow.trace.requests);
        for (fast, slow) in fast.log.iter().flatten().zip(slow.log.iter().flatten()) {
            for (fast, slow) in fast.iter().zip(slow) {
                prop_assert_eq!(fast, slow);
            }
        }
        prop_assert_eq!(fast.kv, slow.kv);
        prop_assert_eq!(&fast, &slow);
    }
}

/// A step that takes a seat from somebody is told of when it is over, whether or not its decision repeats
/// afterwards: a router that reads the engines' metrics was told when the last of the repeats was.
#[test]
fn a_router_that_listens_hears_of_a_lost_seat_when_the_step_is_over() {
    let text = "model: llama-3.1-8b\ngpu: h100-sxm\nseed: 1\n\
        engine: {kv_block_tokens: 8, kv_blocks: 72, max_model_len: 600, prefix_caching: false, async_scheduling: false}\n\
        schedulers: [splitfuse: {max_ragged_batch_size: 768, max_ragged_sequence_count: 512}]\nrouter: llm-d\n\
        workload: {requests: 60, arrivals: {closed_loop: {users: 9}}, \
        lengths: {prompt: {uniform: {min: 1, max: 248}}, output: {uniform: {min: 1, max: 60}}}}\n";
    let [fast, slow] = [false, true].map(|slow| crate::played::play(text, slow).outcome);
    assert!(fast.kv.preemptions > 0, "seats are taken");
    assert!(fast.routes.is_some() && fast.routes == slow.routes);
}
