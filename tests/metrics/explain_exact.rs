//! Index is exact: on random loads under every policy, the causes of each gap add up to it,
//! and the blame that requests are given adds up to the delay that others had.

use crate::alike::{Setup, play};
use crate::bubbles::Reference;
use crate::random::{seeds, small};
use std::collections::BTreeMap;
use std::sync::Arc;

use metron_sim::cost::{BatchShape, Chunk, CostModel, Decodes, DraftShape, IterationTime, Parts};
use metron_sim::explain::{
    Blame, Cause, Culprit, Gap, Index, Misses, SHARED, Split, culprits, victims,
};
use metron_sim::fleet::Routing;
use metron_sim::ids::{ClassId, LaneId};
use metron_sim::metrics::{Deadlines, FirstToken, Options, evaluate, per_request};
use metron_sim::replica::Accepts;
use metron_sim::request::{Request, RequestId};
use metron_sim::runner::recording_of_alike;
use metron_sim::scheduler::{EngineInfo, SchedulerConfig};
use metron_sim::sim::{ChunkRecord, Outcome, SimError, SimOptions};
use metron_sim::speculative::{Acceptance, AcceptanceRule, DraftRules, Method, Speculative};
use metron_sim::time::{Span, Time};
use metron_sim::trace::Status;
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
        let tokens = shape.chunks().iter().map(|c| f64::from(c.tokens)).sum::<f64>();
        let context = shape.chunks().iter().map(|c| f64::from(c.context)).sum::<f64>();
        let compute = 3.317 * (tokens + f64::from(shape.decodes().tokens()));
        let memory = 41.7713 + 0.2137 * shape.decodes().kv_tokens() as f64;
        libm::sqrt(compute * compute + memory * memory)
            + 0.0713 * context
            + 0.31 * f64::from(shape.sampled())
    }

    fn sequences(shape: &BatchShape<'_>) -> f64 {
        f64::from(shape.decodes().requests()) + shape.chunks().len() as f64
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

    fn draft_time(&self, draft: &DraftShape<'_>) -> IterationTime {
        let us = 1.937 * f64::from(draft.tokens) + 0.0517 * draft.kv_tokens as f64;
        let host = Span::from_micros_f64(0.213 * f64::from(draft.requests));
        IterationTime { gpu: Span::from_micros_f64(us), host }
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
    /// Whose drafts are accepted, where the engine drafts.
    luck: Option<Arc<dyn Accepts>>,
}

impl Case {
    fn draw(name: &str, seed: u64) -> Case {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (config, engine) = small(name, &mut rng);
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
                class: ClassId(0),
            }
        };
        let requests: Vec<Request> = (0..30).map(request).collect();
        let workload = Workload {
            requests,
            block_tokens: engine.kv_block_tokens,
            classes: vec![String::new()],
            ..Workload::default()
        };
        let horizon =
            rng.random_bool(0.2).then(|| Span::from_nanos(rng.random_range(1..=at + 1_000)));
        Case {
            config,
            engine,
            cost: Odd { host_us: if rng.random_bool(0.3) { 150.0 } else { 7.3 }, stages: 1 },
            replicas: rng.random_range(1..=2),
            horizon,
            workload,
            luck: None,
        }
    }

    fn play(&self, planned_ahead: bool, reference: bool) -> Outcome {
        self.try_play(planned_ahead, reference).unwrap_or_else(|error| {
            let stages = self.cost.stages;
            panic!("{stages} stages, {:?} on {:?}: {error}", self.config, self.engine)
        })
    }

    /// Whether it comes to an end.
    fn ends(&self, planned_ahead: bool) -> bool {
        self.try_play(planned_ahead, false).is_ok()
    }

    fn try_play(&self, planned_ahead: bool, reference: bool) -> Result<Outcome, SimError> {
        let setup = Setup {
            luck: self.luck.as_ref(),
            routing: Routing::default(),
            cost: &self.cost,
            engine: self.engine,
            replicas: self.replicas,
            async_scheduling: planned_ahead,
            horizon: self.horizon,
        };
        let options = SimOptions { reference, keep_log: true, ..SimOptions::default() };
        let make = || self.config.build(&self.engine);
        play(&setup, &make, &mut self.workload.arriving(), options)
    }

    /// Returns what was seen, and how much of pipeline bubbles had culprits, and of waits for another
    /// lane's turn, so that the test can tell whether it had anything to look at.
    fn check(&self, planned_ahead: bool) -> (Split, [u64; 2]) {
        let outcome = self.play(planned_ahead, false);
        let slow = self.play(planned_ahead, true);
        same(&outcome, &slow);
        let needs = self.config.build(&self.engine).needs();
        let recording =
            recording_of_alike(&outcome, &self.cost, &self.engine, &needs, planned_ahead);
        let index = Index::new(recording);
        let mut seen = Split::ZERO;
        for request in index.requests() {
            let row = &outcome.trace.requests[request.index()];
            let mut times: Vec<Time> = outcome.trace.token_times(row).collect();
            if row.status == Status::Unfinished {
                let last = times.last().copied().unwrap_or(row.arrival);
                times.push(outcome.trace.end.max(last));
            }
            let gaps = index.gaps(request);
            assert_eq!(gaps.len(), times.len(), "a gap for each token, and one that is open");
            let mut from = row.arrival;
            let mut sum = Split::ZERO;
            for (token, (gap, &to)) in gaps.iter().zip(&times).enumerate() {
                assert_eq!((gap.token, gap.from, gap.to), (token as u32, from, to));
                assert_eq!(gap.split.total(), to.since(from), "request {request}: {gap:?}");
                assert_eq!(index.gap(request, gap.token), Some(*gap));
                sum += gap.split;
                from = to;
            }
            assert_eq!(index.totals_of(request).all(), sum, "differences of running sums");
            seen += sum;
        }
        assert_eq!(index.totals().all(), seen, "all requests together");
        self.check_blame(&index, &seen);
        let by_turns = self.cost.stages > 1 && needs.by_request;
        let shared = match self.cost.stages {
            1 => [0; 2],
            _ if by_turns => self.check_turns(&index, &outcome),
            _ => self.check_bubbles(&index, &outcome, planned_ahead && needs.plans_ahead),
        };
        self.check_memory(&index, &outcome, planned_ahead);
        self.check_misses(&index, &outcome);
        (seen, shared)
    }

    /// Shares in pipeline bubbles are those of the reference: in each gap, in the blame of each
    /// culprit, and for each victim in another lane. Returns what was shared, and what there was to
    /// share of waits for another lane's turn.
    fn check_bubbles(&self, index: &Index<'_>, outcome: &Outcome, planned_ahead: bool) -> [u64; 2] {
        let reference = Reference::new(outcome, &self.cost, planned_ahead, index);
        let requests = index.requests();
        let mut caused = vec![vec![0; requests.len()]; requests.len()];
        for victim in requests.clone() {
            for gap in index.gaps(victim) {
                let expected =
                    reference.culprits(outcome, index.lane(victim).index(), victim, &gap);
                for (&culprit, &(ns, _)) in &expected {
                    caused[culprit.index()][victim.index()] += ns;
                }
                // A third of them, as above.
                if victim.0 % 3 > 0 {
                    continue;
                }
                let found = culprits(index, victim, gap.token).into_iter();
                let found = found.filter(|culprit| culprit.cause == Cause::PipelineBubble);
                let found: BTreeMap<RequestId, (u64, u64)> =
                    found.map(|one| (one.request, (one.ns, one.tokens))).collect();
                assert_eq!(found, expected, "request {victim}, {gap:?}");
            }
        }
        let blame = Blame::new(index);
        let all: Vec<RequestId> = requests.clone().collect();
        let victims = victims(index, &blame, &all);
        for ((culprit, victims), caused) in requests.clone().zip(victims).zip(&caused) {
            let given = blame.given[culprit.index()][Cause::PipelineBubble];
            assert_eq!(given, caused.iter().sum::<u64>(), "blame of request {culprit}");
            let delayed: BTreeMap<RequestId, u64> = victims.delayed.into_iter().collect();
            let lane = |request| index.lane(request);
            for victim in requests.clone().filter(|&victim| lane(victim) != lane(culprit)) {
                let delayed = delayed.get(&victim).copied().unwrap_or(0);
                assert_eq!(delayed, caused[victim.index()], "{culprit} delayed {victim}");
            }
        }
        [caused.iter().flatten().sum(), reference.turns()]
    }

    /// The same where lanes are turns of one running list. Victims are delayed as their gaps' culprits
    /// say, in whatever lanes.
    fn check_turns(&self, index: &Index<'_>, outcome: &Outcome) -> [u64; 2] {
        let reference = Reference::by_turns(outcome, &self.cost, index);
        let requests = index.requests();
        let mut caused = vec![vec![[0; 2]; requests.len()]; requests.len()];
        for victim in requests.clone() {
            for gap in index.gaps(victim) {
                let expected = reference.culprits_by_turns(outcome, victim, &gap);
                let all = culprits(index, victim, gap.token);
                for one in &all {
                    let [bubbles, sum] = &mut caused[one.request.index()][victim.index()];
                    *bubbles += if one.cause == Cause::PipelineBubble { one.ns } else { 0 };
                    *sum += one.ns;
                }
                let found = all.iter().filter(|one| one.cause == Cause::PipelineBubble);
                let found: BTreeMap<RequestId, (u64, u64)> =
                    found.map(|one| (one.request, (one.ns, one.tokens))).collect();
                assert_eq!(found, expected, "request {victim}, {gap:?}");
            }
        }
        let blame = Blame::new(index);
        let all: Vec<RequestId> = requests.clone().collect();
        for ((culprit, victims), caused) in
            requests.clone().zip(victims(index, &blame, &all)).zip(&caused)
        {
            let given = blame.given[culprit.index()][Cause::PipelineBubble];
            let bubbles: u64 = caused.iter().map(|&[bubbles, _]| bubbles).sum();
            assert_eq!(given, bubbles, "blame of request {culprit}");
            let delayed: BTreeMap<RequestId, u64> = victims.delayed.into_iter().collect();
            for victim in requests.clone() {
                let delayed = delayed.get(&victim).copied().unwrap_or(0);
                assert_eq!(delayed, caused[victim.index()][1], "{culprit} delayed {victim}");
            }
        }
        [caused.iter().flatten().map(|&[bubbles, _]| bubbles).sum(), 0]
    }

    /// Blame given equals delay received, cause by cause: in the run, by the stalls' culprits, and
    /// by the culprits' victims.
    fn check_blame(&self, index: &Index<'_>, seen: &Split) {
        let blame = Blame::new(index);
        let mut given = Split::ZERO;
        blame.given.iter().for_each(|&one| given += one);
        let blamed = |cause: Cause| SHARED.contains(&cause) || CULPABLE.contains(&cause);
        for &cause in Cause::ALL {
            let received = if blamed(cause) { seen[cause] } else { 0 };
            if matches!(cause, Cause::PipelineBubble | Cause::Communication) {
                assert!(given[cause] <= seen[cause], "what is nobody's is blamed on nobody");
            } else if self.cost.stages > 1 && SHARED.contains(&cause) {
                assert_eq!(given[cause], 0, "who was in the way in a pipeline is not told apart");
            } else {
                assert_eq!(given[cause], received, "blame equals delay by {}", cause.name());
            }
        }
        // A third of them: each gap is a walk.
        for request in index.requests().step_by(3) {
            for gap in index.gaps(request) {
                let mut by = Split::ZERO;
                let named = culprits(index, request, gap.token);
                named.iter().for_each(|culprit| by.add(culprit.cause, culprit.ns));
                for (cause, ns) in gap.split.iter().filter(|&(cause, _)| blamed(cause)) {
                    let whole = self.cost.stages == 1 || !SHARED.contains(&cause);
                    assert!(by[cause] <= ns && (by[cause] == ns || !whole), "{request}: {named:?}");
                }
                assert!(by[Cause::PipelineBubble] <= gap.split[Cause::PipelineBubble]);
                if self.cost.stages > 1 && self.luck.is_some() || index.recording.pools[0].by_turns
                {
                    assert!(by[Cause::Communication] <= gap.split[Cause::Communication]);
                } else {
                    let communication = self.communication(index, request, &gap);
                    assert_eq!(by[Cause::Communication], communication, "{request}: {gap:?}");
                }
                let selfish = named.iter().find(|culprit| culprit.request == request);
                // Its own earlier batch may still be in the pipeline while it waits.
                let own = |culprit: &Culprit| culprit.cause == Cause::Recompute;
                // And so may a step whose token was thrown away when it was preempted meanwhile.
                let wasted = index.recording.pools[0].planned_ahead
                    && index.recording.trace.requests[request.index()].preemptions > 0;
                let may_be_own = self.cost.stages > 1 || wasted;
                assert!(selfish.is_none_or(own) || may_be_own, "{selfish:?}");
            }
        }
        let all: Vec<RequestId> = index.requests().collect();
        for (of, given) in victims(index, &blame, &all).iter().zip(&blame.given) {
            assert_eq!(of.total_ns(), given.total().as_nanos(), "victims' delays add up");
        }
    }

    /// Communication that others' prefill adds to a gap: to the step that brought the token, beyond
    /// what its decodes alone would have; to its own chunks' steps, beyond what each would have alone.
    fn communication(&self, index: &Index<'_>, request: RequestId, gap: &Gap) -> u64 {
        let log = &index.recording.log[index.lane(request).index()];
        let of = |chunks: &[Chunk], decodes: Decodes, sampled| {
            let shape = BatchShape::new(chunks, decodes, sampled);
            self.cost.overheads(&shape).communication.as_nanos()
        };
        let mut sum = 0;
        let from = log.partition_point(|iteration| iteration.end <= gap.from);
        let to = log.partition_point(|iteration| iteration.end <= gap.to);
        for i in log.range(from..to).filter(|i| !i.chunks.is_empty()) {
            let chunk = |c: &ChunkRecord| Chunk { context: c.context, tokens: c.tokens };
            let chunks: Vec<Chunk> = i.chunks.iter().map(chunk).collect();
            let decodes = match i.drafts.verified {
                0 => Decodes::one_token_each(i.decodes, i.decode_kv_tokens),
                more => Decodes::verifying(i.decodes, i.decodes + more, i.decode_kv_tokens),
            };
            let whole = of(&chunks, decodes, i.sampled());
            if let Some(own) = i.chunks.iter().position(|chunk| chunk.request == request) {
                let completed = i.chunks.iter().filter(|chunk| chunk.samples).count() as u32;
                let all = of(&chunks, Decodes::NONE, completed).min(whole);
                let alone = of(&chunks[own..=own], Decodes::NONE, i.chunks[own].samples.into());
                sum += if chunks.len() > 1 { all.saturating_sub(alone) } else { 0 };
            } else if i.end == gap.to && i.decodes > 0 {
                sum += whole.saturating_sub(of(&[], decodes, decodes.tokens()));
            }
        }
        sum
    }

    /// Missed deadlines charged to causes are those that the metrics count.
    fn check_misses(&self, index: &Index<'_>, outcome: &Outcome) {
        let first = FirstToken::Fixed(Span::from_micros(400));
        let deadlines = Deadlines::new(first, Span::from_micros(90), 0.9).expect("valid");
        for judge_first_token in [true, false] {
            let options = Options { judge_first_token, ..Options::new(deadlines.clone()) };
            let misses = Misses::new(index, &options);
            let judged = per_request(&outcome.trace, &options);
            for one in &judged {
                let (missed, by_cause) = misses.of(one.row);
                assert_eq!(missed, one.tally.missed, "request {}", one.row);
                assert_eq!(by_cause.total().as_nanos(), missed, "charges sum to the misses");
            }
            let summary = evaluate(&outcome.trace, &options);
            let rate = summary.fluidity.and_then(|fluidity| fluidity.service_miss_rate);
            if let Some(rate) = rate {
                let all: u64 = judged.iter().map(|one| one.tally.total()).sum();
                assert_eq!(
                    misses.sum(index.requests()).0 as f64 / all as f64,
                    rate,
                    "service miss rate"
                );
            }
        }
    }

    /// What requests hold adds up to the blocks in use, where none are shared or kept for reuse.
    fn check_memory(&self, index: &Index<'_>, outcome: &Outcome, planned_ahead: bool) {
        if planned_ahead
            || self.luck.is_some()
            || self.cost.stages > 1
            || self.engine.prefix_caching
            || self.config.build(&self.engine).needs().always_caches
            || outcome.kv.overdrawn > 0
            || outcome.trace.requests.iter().any(|row| row.status == Status::Rejected)
        {
            return;
        }
        for (lane, log) in (0..).map(LaneId).zip(outcome.log.iter().flatten()) {
            // A step in flight at the horizon has brought nobody a token yet.
            let seen = log.iter().take_while(|i| i.end <= outcome.trace.end);
            let used: Vec<u64> = seen.map(|i| u64::from(i.kv_used)).collect();
            assert_eq!(index.blocks_held(lane)[..used.len()], used, "in use");
        }
    }
}

/// Causes besides [`SHARED`] that have culprits.
const CULPABLE: [Cause; 3] = [Cause::PrefillInterference, Cause::PrefillOnly, Cause::HeadOfLine];

fn check(name: &str, seed: u64) -> (Split, [u64; 2]) {
    let mut case = Case::draw(name, seed);
    let needs = case.config.build(&case.engine).needs();
    let (mut seen, mut shared) = (Split::ZERO, [0; 2]);
    let mut add = |(more, of_it): (Split, [u64; 2])| {
        seen += more;
        shared = [shared[0] + of_it[0], shared[1] + of_it[1]];
    };
    let staged = if needs.one_lane { 1 } else { 2 + (seed % 3) as u32 };
    for stages in [1, staged] {
        case.cost.stages = stages;
        add(case.check(false));
        if needs.plans_ahead {
            add(case.check(true));
        }
    }
    (seen, shared)
}

/// Set `METRON_SEED` to play one seed again.
#[test]
fn causes_add_up_and_blame_equals_delay_under_every_policy() {
    let seeds = seeds(300);
    let (mut seen, mut shared, mut turns) = (Split::ZERO, 0, 0);
    for name in SchedulerConfig::names() {
        for seed in seeds.clone() {
            let checked = std::panic::catch_unwind(|| check(name, seed));
            let checked = checked.unwrap_or_else(|_| panic!("{name}: METRON_SEED={seed}"));
            seen += checked.0;
            shared += checked.1[0];
            turns += checked.1[1];
        }
    }
    if seeds.end - seeds.start > 1 {
        // Ranks that step together: tests/engine/lockstep.rs; KV on its way: tests/engine/disaggregation.rs;
        // what was pushed out of a cache: tests/engine/session_workloads.rs; drafts: below.
        let never = [
            Cause::CutOff,
            Cause::FrontEnd,
            Cause::Idle,
            Cause::LockstepWait,
            Cause::KvTransfer,
            Cause::KvLoad,
            Cause::CacheEvicted,
            Cause::DraftRejected,
        ];
        for (cause, ns) in seen.iter().filter(|(cause, _)| !never.contains(cause)) {
            assert!(ns > 0, "the random loads never showed {}", cause.name());
        }
        let bubbles = seen[Cause::PipelineBubble];
        assert!(0 < shared && shared < bubbles, "{shared} ns of {bubbles} ns had culprits");
        assert!(turns > 0, "nobody waited for another lane's turn");
    }
}

/// Both paths write the same, the logs included.
fn same(fast: &Outcome, slow: &Outcome) {
    for (row, (one, other)) in fast.trace.requests.iter().zip(&slow.trace.requests).enumerate() {
        let times = |outcome: &Outcome, of| outcome.trace.token_times(of).collect::<Vec<Time>>();
        assert_eq!(times(fast, one), times(slow, other), "tokens of request {row}");
        assert_eq!(one, other, "request {row}");
    }
    assert!(fast.trace == slow.trace, "both paths bring the same tokens");
    let logs = |outcome: &Outcome| outcome.log.clone().unwrap_or_default();
    for (lane, (fast, slow)) in logs(fast).iter().zip(&logs(slow)).enumerate() {
        assert_eq!(fast.len(), slow.len(), "iterations of lane {lane}");
        let both = fast.iter().zip(slow).zip(0..);
        both.for_each(|((fast, slow), at)| assert_eq!(fast, slow, "lane {lane}, iteration {at}"));
    }
    assert_eq!(fast.iterations, slow.iterations);
    assert_eq!(fast.kv, slow.kv);
    assert_eq!(fast.gpu_busy, slow.gpu_busy);
    assert_eq!(fast.rejections, slow.rejections);
    assert!(fast == slow, "both paths log the same");
}

/// Draws who drafts, and how many drafts are accepted.
fn drafting(rng: &mut Xoshiro256PlusPlus) -> Speculative {
    let tokens = rng.random_range(1..=4);
    let method = match rng.random_range(0..4) {
        0 => Method::Eagle,
        1 => Method::Mtp { modules: rng.random_range(1..=2) },
        2 => Method::DraftModel,
        _ => Method::Ngram,
    };
    let off_above_running = rng.random_bool(0.3).then(|| rng.random_range(0..=4));
    let rules = DraftRules { method, tokens, off_above_running, by_batch_size: None };
    let rate = [0.0, 0.4, 0.8, 1.0][rng.random_range(0..4)];
    Speculative { rules, acceptance: Acceptance::of_all(AcceptanceRule::rate(rate, tokens)) }
}

fn check_drafts(seed: u64) -> Split {
    let mut case = Case::draw("vllm-v1", seed);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5bec);
    let drafting = Arc::new(drafting(&mut rng));
    case.engine.speculative = Some(drafting.rules);
    // Drafts need room of their own.
    case.engine.kv_blocks *= 2;
    if !case.config.problems(&case.engine).is_empty() {
        return Split::ZERO;
    }
    case.luck = Some(Arc::new(drafting.luck(seed)));
    let mut seen = Split::ZERO;
    for stages in [1, 2 + (seed % 2) as u32] {
        case.cost.stages = stages;
        for planned_ahead in [false, true] {
            // Drafting without asynchronous scheduling is not there on a pipeline.
            // A prompt that must end with more tokens than a step may take of it never does.
            if (stages == 1 || planned_ahead) && case.ends(planned_ahead) {
                seen += case.check(planned_ahead).0;
            }
        }
    }
    seen
}

/// Set `METRON_SEED` to play one seed again.
#[test]
fn causes_add_up_with_drafts_too() {
    let seeds = seeds(300);
    let mut seen = Split::ZERO;
    for seed in seeds.clone() {
        let checked = std::panic::catch_unwind(|| check_drafts(seed));
        seen += checked.unwrap_or_else(|_| panic!("METRON_SEED={seed}"));
    }
    if seeds.end - seeds.start > 1 {
        assert!(seen[Cause::DraftRejected] > 0, "no draft was rejected");
        assert!(seen[Cause::PreemptedWaiting] > 0, "nobody was preempted");
    }
}
