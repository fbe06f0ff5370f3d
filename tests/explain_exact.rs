//! Attribution is exact: on random loads under every policy, the causes of each gap add up to it,
//! and the blame that requests are given adds up to the delay that others had.

#[path = "common/limits.rs"]
mod limits;

use limits::small;
use metron_sim::cost::{BatchShape, CostModel, IterationTime, Parts};
use metron_sim::explain::{Attribution, Blame, Cause, Recording, Split};
use metron_sim::request::{BlockIds, Request};
use metron_sim::scheduler::{EngineInfo, SchedulerConfig};
use metron_sim::sim::{Outcome, Routing, Setup, SimOptions, play};
use metron_sim::time::{Span, Time};
use metron_sim::workload::Workload;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A roofline with a knee, communication, host work and a gap between steps, in odd nanoseconds.
struct Odd {
    host_us: f64,
    stages: u32,
}

impl Odd {
    fn kernels_us(&self, shape: &BatchShape<'_>) -> f64 {
        let tokens = shape.chunks.iter().map(|c| f64::from(c.tokens)).sum::<f64>();
        let context = shape.chunks.iter().map(|c| f64::from(c.context)).sum::<f64>();
        let compute = 3.317 * (tokens + f64::from(shape.decodes));
        let memory = 41.7713 + 0.2137 * shape.decode_kv_tokens as f64;
        libm::sqrt(compute * compute + memory * memory)
            + 0.0713 * context
            + 0.31 * f64::from(shape.sampled)
    }

    fn sequences(shape: &BatchShape<'_>) -> f64 {
        f64::from(shape.decodes) + shape.chunks.len() as f64
    }
}

impl CostModel for Odd {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        let parts = self.parts(shape);
        let gap = 0.0371 * Odd::sequences(shape);
        IterationTime {
            gpu: Span::from_micros_f64(parts.layers_us + parts.communication_us + gap),
            host: Span::from_micros_f64(parts.host_us - gap),
        }
    }

    fn stages(&self) -> u32 {
        self.stages
    }

    /// Stage s takes s + 1 parts of the kernels; the gap is in the first.
    fn stage_time(&self, shape: &BatchShape<'_>, stage: u32) -> IterationTime {
        if self.stages == 1 {
            return self.time(shape);
        }
        let IterationTime { gpu, host } = self.time(shape);
        let over = self.hand_over(shape).as_nanos() * u64::from(self.stages - 1);
        let (all, parts) = (gpu.as_nanos() - over, u64::from(self.stages * (self.stages + 1) / 2));
        let upto = |stage: u32| all * u64::from(stage * (stage + 1) / 2) / parts;
        IterationTime {
            gpu: Span::from_nanos(upto(stage + 1) - upto(stage)),
            host: if stage == 0 { host } else { Span::ZERO },
        }
    }

    fn hand_over(&self, _: &BatchShape<'_>) -> Span {
        Span::from_nanos(if self.stages > 1 { 1_101 } else { 0 })
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        let sequences = Odd::sequences(shape);
        Parts {
            layers_us: self.kernels_us(shape),
            communication_us: 5.5 + 0.113 * sequences,
            host_us: self.host_us + 0.731 * sequences + 0.0371 * sequences,
            ..Parts::default()
        }
    }
}

struct Case {
    config: SchedulerConfig,
    engine: EngineInfo,
    cost: Odd,
    replicas: u32,
    horizon: Option<Span>,
    workload: Workload,
}

impl Case {
    fn draw(name: &str, seed: u64) -> Case {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let config = small(name, &mut rng);
        let kv_block_tokens = [1, 2, 4, 8][rng.random_range(0..4)];
        let least = 64_u32.div_ceil(kv_block_tokens) + 2;
        let slots = if config[name]["kv_unified"] == serde_json::json!(false) { 3 } else { 1 };
        let engine = EngineInfo {
            kv_block_tokens,
            kv_blocks: slots * rng.random_range(least..=3 * least),
            max_model_len: 64,
            prefix_caching: rng.random_bool(0.4),
            large_gpu: false,
        };
        let gap_ns = rng.random_range(1_000..400_000_u64);
        let prompt_max = if rng.random_bool(0.5) { 8 } else { 40 };
        let exact = rng.random_bool(0.5);
        let mut at = 0;
        let request = |_| {
            at += rng.random_range(0..=gap_ns);
            let max_tokens = rng.random_range(1..=63 - prompt_max);
            Request {
                arrival: Time::from_nanos(at),
                prompt_tokens: rng.random_range(1..=prompt_max),
                output_tokens: if exact { max_tokens } else { rng.random_range(1..=max_tokens) },
                max_tokens,
                priority: rng.random_range(0..=1),
                class: 0,
                blocks: BlockIds::default(),
            }
        };
        let requests: Vec<Request> = (0..30).map(request).collect();
        let workload = Workload {
            requests,
            block_tokens: kv_block_tokens,
            classes: vec![String::new()],
            ..Workload::default()
        };
        let horizon =
            rng.random_bool(0.2).then(|| Span::from_nanos(rng.random_range(1..=at + 1_000)));
        Case {
            config: serde_json::from_value(config).expect("a valid config"),
            engine,
            cost: Odd { host_us: if rng.random_bool(0.3) { 150.0 } else { 7.3 }, stages: 1 },
            replicas: rng.random_range(1..=2),
            horizon,
            workload,
        }
    }

    fn play(&self, planned_ahead: bool, reference: bool) -> Outcome {
        let setup = Setup {
            routing: Routing::default(),
            cost: &self.cost,
            engine: self.engine,
            replicas: self.replicas,
            async_scheduling: planned_ahead,
            horizon: self.horizon,
        };
        let options = SimOptions { reference, keep_log: true, progress: None };
        let make = || self.config.build(&self.engine);
        play(&setup, &make, &mut self.workload.arriving(), options).expect("nobody is stuck")
    }

    /// Returns what was seen, so that the test can tell whether it had anything to look at.
    fn check(&self, planned_ahead: bool) -> Split {
        let outcome = self.play(planned_ahead, false);
        assert!(alike(&outcome, &self.play(planned_ahead, true)), "both paths log the same");
        let log = outcome.log.as_deref().expect("kept");
        let recording = Recording { trace: &outcome.trace, log, cost: &self.cost, planned_ahead };
        let attribution = Attribution::new(recording);
        let mut seen = Split::ZERO;
        for request in attribution.requests() {
            let row = &outcome.trace.requests[request as usize];
            let times: Vec<Time> = outcome.trace.token_times(row).collect();
            let gaps = attribution.gaps(request);
            assert_eq!(gaps.len(), times.len(), "a gap for each token");
            let mut from = row.arrival;
            let mut sum = Split::ZERO;
            for (token, (gap, &to)) in gaps.iter().zip(&times).enumerate() {
                assert_eq!((gap.token, gap.from, gap.to), (token as u32, from, to));
                assert_eq!(gap.split.total(), to.since(from), "request {request}: {gap:?}");
                assert_eq!(attribution.gap(request, gap.token), Some(*gap));
                sum += gap.split;
                from = to;
            }
            assert_eq!(attribution.totals_of(request).all(), sum, "differences of running sums");
            if let Some(open) = attribution.open_gap(request) {
                assert_eq!((open.from, open.to), (from, outcome.trace.end.max(from)));
                assert_eq!(open.split.total(), open.to.since(open.from));
            }
            seen += sum;
        }
        let given = Blame::new(&attribution).given;
        let sum = |of: fn(&metron_sim::explain::Given) -> u64| given.iter().map(of).sum::<u64>();
        assert_eq!(
            sum(|g| g.prefill_ns),
            seen[Cause::PrefillInterference] + seen[Cause::PrefillOnly],
            "blame for prefill equals delay by prefill"
        );
        let (seats, blocks) = (sum(|g| g.seat_ns), sum(|g| g.kv_ns));
        let memory = seen[Cause::NoKvBlocks] + seen[Cause::PreemptedWaiting];
        if self.cost.stages == 1 {
            assert_eq!((seats, blocks), (seen[Cause::NoSeat], memory), "seats and memory");
        } else {
            // Who holds them in other lanes is not looked for.
            assert!(seats <= seen[Cause::NoSeat] && blocks <= memory, "seats and memory");
        }
        seen
    }
}

/// Equal but for the reasons that policies gave: some promise to repeat a batch although they
/// would give another reason for it.
fn alike(fast: &Outcome, slow: &Outcome) -> bool {
    let (mut fast, mut slow) = (fast.clone(), slow.clone());
    for outcome in [&mut fast, &mut slow] {
        let log = outcome.log.iter_mut().flatten().flatten();
        log.for_each(|iteration| iteration.held = None);
    }
    fast == slow
}

fn check(name: &str, seed: u64) -> Split {
    let mut case = Case::draw(name, seed);
    let needs = case.config.build(&case.engine).needs();
    let mut seen = Split::ZERO;
    let staged = if needs.one_lane { 1 } else { 2 + (seed % 3) as u32 };
    for stages in [1, staged] {
        case.cost.stages = stages;
        seen += case.check(false);
        if needs.plans_ahead {
            seen += case.check(true);
        }
    }
    seen
}

/// Set `METRON_SEED` to play one seed again.
#[test]
fn causes_add_up_and_blame_equals_delay_under_every_policy() {
    let seeds = match std::env::var("METRON_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("METRON_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..300,
    };
    let mut seen = Split::ZERO;
    for name in SchedulerConfig::NAMES {
        for seed in seeds.clone() {
            let checked = std::panic::catch_unwind(|| check(name, seed));
            seen += checked.unwrap_or_else(|_| panic!("{name}: METRON_SEED={seed}"));
        }
    }
    if seeds.end - seeds.start > 1 {
        for (cause, ns) in
            seen.iter().filter(|(cause, _)| *cause != Cause::CutOff && *cause != Cause::Idle)
        {
            assert!(ns > 0, "the random loads never showed {}", cause.name());
        }
    }
}
