//! What must hold of every run, looked at after every iteration.

use super::attribution;
use crate::fleet::Role;
use crate::kv::KeptBlocks;
use crate::request::RequestId;
use crate::result::{KvFacts, SessionsResult};
use crate::runner::{Requests, RunInput, RunOptions, SchedulerOutput, Simulator, run_scheduler};
use crate::scenario::{Experiment, PoolView, SchedulerRun};
use crate::scheduler::{Counted, Facts, Order};
use crate::sim::{Outcome, PoolUse};
use crate::time::Time;
use crate::trace::{Iteration, Lane, Log, RequestRow, Status};

/// Plays a scheduler by both paths and checks everything. Returns how many iterations it ran.
///
/// # Panics
/// When something does not hold.
pub(super) fn check(experiment: &Experiment, scheduler: &SchedulerRun) -> u64 {
    let (requests, _) = Requests::of(experiment).expect("what resolves can be drawn");
    let input = RunInput { experiment, requests: &requests };
    let play = |reference| {
        let options =
            RunOptions { reference, keep_log: true, full_metrics: true, ..RunOptions::default() };
        run_scheduler(input, scheduler, options, &Simulator)
    };
    // The slow path checks queues and memory for itself after every iteration.
    let (fast, slow) = match (play(false), play(true)) {
        (Ok(fast), Ok(slow)) => (fast, slow),
        (Err(fast), Err(slow)) => {
            assert_eq!(fast.to_string(), slow.to_string(), "fast = reference: why there is no run");
            assert!(may_hang(experiment, scheduler), "{fast}");
            return 0;
        }
        (fast, slow) => {
            let [fast, slow] = [fast.err(), slow.err()].map(|e| e.map(|e| e.to_string()));
            panic!("fast = reference: one has no run: {fast:?}, {slow:?}");
        }
    };
    equal(&fast, &slow);
    super::live::check(experiment, scheduler, &requests, &fast.outcome);
    let run = Run::new(experiment, scheduler, &fast.outcome);
    run.requests();
    let logs = fast.outcome.log.as_deref().expect("it was kept");
    let mut rest = logs;
    for lanes in fast.outcome.trace.lanes.chunk_by(|one, next| one.replica == next.replica) {
        let (own, others) = rest.split_at(lanes.len());
        rest = others;
        run.replica(&lanes[0], own);
    }
    assert!(rest.is_empty(), "each lane is a replica's");
    run.tokens_are_conserved();
    run.sessions();
    attribution::check(experiment, scheduler, &fast);
    attribution::check(experiment, scheduler, &slow);
    fast.outcome.iterations.total()
}

/// Whether the real system would wait for ever too.
fn may_hang(experiment: &Experiment, scheduler: &SchedulerRun) -> bool {
    let hangs =
        |pool: &PoolView<'_>| scheduler.config.facts(&pool.engine_info(&scheduler.config)).hangs;
    experiment.fleet().iter().any(hangs)
}

fn equal(fast: &SchedulerOutput, slow: &SchedulerOutput) {
    let (left, right) = (&fast.outcome, &slow.outcome);
    assert!(left.trace.requests == right.trace.requests, "fast = reference: requests");
    let logs = left.log.iter().flatten().zip(right.log.iter().flatten());
    for (place, (left, right)) in logs.flat_map(|(l, r)| l.iter().zip(r)).enumerate() {
        assert!(left == right, "fast = reference: iteration {place}:\n{left:?}\n{right:?}");
    }
    if left != right {
        let [left, right] = [left, right].map(|outcome| format!("{outcome:?}"));
        let same = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count();
        let around = |text: &str| {
            let from = same.saturating_sub(120);
            text.chars().skip(from).take(240).collect::<String>()
        };
        panic!(
            "fast = reference: memory, counts, routes\n  fast: ... {} ...\n  reference: ... {} ...",
            around(&left),
            around(&right)
        );
    }
    let json = |output: &SchedulerOutput| serde_json::to_value(&output.result).expect("plain");
    assert_eq!(json(fast), json(slow), "fast = reference: figures");
}

struct Run<'a> {
    experiment: &'a Experiment,
    outcome: &'a Outcome,
    pools: Vec<Pool>,
}

/// What replicas of a pool are held to.
struct Pool {
    facts: Facts,
    planned_ahead: bool,
    /// Whether ranks of it wait for each other's steps.
    in_step: bool,
    /// Whether it can wait for KV on its way.
    has_tiers: bool,
    used: PoolUse,
}

impl<'a> Run<'a> {
    fn new(experiment: &'a Experiment, scheduler: &SchedulerRun, outcome: &'a Outcome) -> Run<'a> {
        let pool = |(pool, &used): (PoolView<'_>, &PoolUse)| Pool {
            facts: scheduler.config.facts(&pool.engine_info(&scheduler.config)),
            planned_ahead: pool.plans_ahead(&scheduler.config),
            in_step: pool.hardware.lockstep() > 1,
            has_tiers: pool.engine.tiers.is_some(),
            used,
        };
        let pools = experiment.fleet();
        assert_eq!(pools.len(), outcome.pools.len());
        let pools = pools.into_iter().zip(&outcome.pools).map(pool).collect();
        Run { experiment, outcome, pools }
    }

    /// Every request ends as it should, its tokens in order.
    fn requests(&self) {
        let trace = &self.outcome.trace;
        for (id, row) in trace.requests.iter().enumerate() {
            let times: Vec<Time> = trace.token_times(row).collect();
            assert_eq!(times.len() as u32, row.tokens, "request {id}: tokens are counted");
            assert!(times.is_sorted(), "request {id}: time never goes backwards");
            assert!(times.first().is_none_or(|&at| at > row.arrival), "request {id}: no foresight");
            assert!(times.last().is_none_or(|&at| at <= trace.end), "request {id}: observed");
            let ends = self.experiment.horizon.is_some();
            assert!(row.status != Status::Unfinished || ends, "request {id} never ends");
            if row.first_token != Time::NEVER {
                assert!(row.scheduled >= row.arrival && row.scheduled < row.first_token);
            }
        }
        let rejected = trace.requests.iter().filter(|row| row.status == Status::Rejected).count();
        assert_eq!(rejected, self.outcome.rejections.len(), "rejections have reasons");
    }

    fn replica(&self, of: &Lane, lanes: &[Log]) {
        let pool = &self.pools[of.pool.index()];
        let rows = || {
            let trace = &self.outcome.trace;
            let rows = trace.requests.iter().zip((0..).map(RequestId));
            rows.filter(|(row, _)| trace.replica_of(row) == of.replica)
        };
        for log in lanes {
            pool.limits(log);
            pool.clock(log);
            for pair in log.iter().zip(log.iter().skip(1)) {
                let between = (pair.0.free, pair.1.start);
                // A request that comes from elsewhere was not here before.
                if self.experiment.disaggregation.is_none() {
                    self.works_while_there_is_work(pool, between, rows());
                }
            }
        }
        // One whose KV is on its way waits, and those behind it do not.
        let overtakes = self.experiment.disaggregation.is_some() || pool.has_tiers;
        if pool.facts.order == Order::Arrival && !overtakes {
            let scheduled = rows().map(|(row, _)| row.scheduled).filter(|&at| at != Time::NEVER);
            assert!(scheduled.is_sorted(), "first come, first served");
        }
        // Where lanes are turns, the chunks of a prompt go through several.
        let mut batches: Vec<Iteration<'_>> = lanes.iter().flatten().collect();
        batches.sort_by_key(|iteration| iteration.end);
        for (row, id) in rows() {
            self.prefills(row, id, &batches);
        }
    }
}

impl Pool {
    /// Budget, seats and memory are kept in every iteration.
    fn limits(&self, log: &Log) {
        for iteration in log {
            let chunks: u64 = iteration.chunks.iter().map(|c| u64::from(c.tokens)).sum();
            let tokens = chunks + u64::from(iteration.decoding().tokens());
            assert!(tokens > 0, "an iteration computes something: {iteration:?}");
            if let Some(most) = self.facts.most_tokens().map(u64::from) {
                assert!(tokens <= most, "{tokens} tokens, budget {most}: {iteration:?}");
            }
            if let Some(most) = self.facts.counted(Counted::Held).map(u64::from) {
                let seated = u64::from(iteration.running);
                assert!(seated <= most * self.lanes(), "{seated} seats of {most}: {iteration:?}");
            }
            if let Some(most) = self.facts.counted(Counted::InStep).map(u64::from) {
                let batch = u64::from(iteration.decodes) + iteration.chunks.len() as u64;
                assert!(batch <= most, "{batch} in a batch of {most}: {iteration:?}");
            }
            let kv = self.used.kv;
            assert!(iteration.kv_used <= kv.blocks, "KV blocks: {iteration:?}");
            assert!(iteration.kv_used <= kv.peak_used, "the peak is the peak");
        }
    }

    /// Iterations come one after another (in a pipeline, stage by stage).
    fn clock(&self, log: &Log) {
        for iteration in log {
            assert!(iteration.decided <= iteration.start, "planned before it starts");
            assert!(iteration.start < iteration.end, "time moves");
            assert!(iteration.end <= iteration.free || self.lanes() > 1);
        }
        for (one, next) in log.iter().zip(log.iter().skip(1)) {
            assert!(one.start < next.start, "starts move forward");
            assert!(self.lanes() > 1 || one.free <= next.start, "one batch at a time");
        }
    }

    /// Lanes of a replica: more than one with pipeline parallelism.
    fn lanes(&self) -> u64 {
        u64::from(self.used.lanes_per_replica)
    }
}

impl Run<'_> {
    /// A turn goes out a gap after the answer to the one before it, and finds no more than what the session has
    /// said before or all sessions share, never a whole prompt.
    fn sessions(&self) {
        let rows = &self.outcome.trace.requests;
        let drawn = self.experiment.workload.source.sessions().is_some();
        for (turn, row) in self.outcome.turns.iter().zip(rows) {
            let most = turn.inherits.max(turn.prefix_tokens).min(row.prompt_tokens - 1);
            // The ids of a recorded prompt may be those of any before it.
            assert!(
                !drawn || row.hit_tokens <= most,
                "{} found of {most}: {turn:?}",
                row.hit_tokens
            );
            let Some(before) = turn.before else {
                assert_eq!((turn.turn, turn.inherits), (0, 0));
                continue;
            };
            let earlier = &rows[before.index()];
            assert_eq!(earlier.status, Status::Completed, "nobody goes on from what was lost");
            let last = self.outcome.trace.last_token(earlier).expect("it was answered");
            // A recorded request may wait for others besides.
            let waited = row.arrival.since(last);
            assert!(waited == turn.gap || !drawn && waited > turn.gap, "{turn:?}");
        }
        let facts =
            KvFacts { cached: Some(KeptBlocks { tokens: 1, answers: true }), ..KvFacts::default() };
        let Some(figures) = SessionsResult::of(self.outcome, facts) else { return };
        let hits = figures.hit_tokens;
        let found: u64 = rows.iter().map(|row| u64::from(row.hit_tokens)).sum();
        assert_eq!(hits.own_session + hits.shared_prefix + hits.other, found);
        let brought = (0..).map(RequestId).zip(rows).filter_map(|(id, row)| {
            self.outcome.trace.first_load(id).filter(|_| row.scheduled != Time::NEVER)
        });
        assert_eq!(hits.tiers, brought.map(|load| u64::from(load.tokens)).sum::<u64>());
        assert!(figures.completed + figures.failed <= figures.begun);
    }

    /// A prompt is computed in order, without gaps, and its token comes when it is done.
    fn prefills(&self, row: &RequestRow, id: RequestId, batches: &[Iteration<'_>]) {
        let handed = self.outcome.trace.hand_over(id).is_some();
        let loaded = !self.outcome.trace.kv_loads.is_empty();
        let mut computed: Option<u32> = None;
        let mut first = None;
        for iteration in batches {
            if iteration.preempted.contains(&id) {
                computed = None;
                // A token in flight when it was preempted is thrown away by some, and sampled again.
                if first.is_some_and(|at| at > iteration.decided && at != row.first_token) {
                    first = None;
                }
            }
            for chunk in iteration.chunks.iter().filter(|chunk| chunk.request == id) {
                match computed {
                    Some(before) => assert_eq!(chunk.context, before, "request {id}: no gap"),
                    None => assert!(
                        chunk.context == 0
                            || handed
                            || loaded
                            || self.outcome.kv.prefix_hit_tokens > 0,
                        "request {id} begins at its beginning, or after a prefix hit"
                    ),
                }
                computed = Some(chunk.context + chunk.tokens);
                if chunk.samples {
                    first = first.or(Some(iteration.end));
                }
            }
        }
        let carried = self.outcome.trace.hand_over(id).filter(|hand| hand.carried);
        let seen = (row.first_token != Time::NEVER).then_some(row.first_token);
        let end = self.outcome.trace.end;
        if let Some(hand) = carried {
            // It goes out when a batch begins with it where it is answered; alone it needs none.
            let mut own =
                batches.iter().filter(|one| one.chunks.iter().any(|chunk| chunk.request == id));
            let begun = own.find(|one| one.start >= hand.landed).map(|one| one.start);
            let told = begun.or((row.tokens == 1).then_some(hand.landed)).filter(|&at| at <= end);
            assert_eq!(seen, told, "request {id}: the first token comes with its KV");
            return;
        }
        let observed = first.filter(|&at| at <= end);
        assert_eq!(seen, observed, "request {id}: the first token comes with the whole prompt");
    }

    /// Nobody who could be served waits while the replica stands still, unless it plans ahead, has
    /// several lanes, or waits for the step of other ranks or for KV from a tier.
    fn works_while_there_is_work<'r>(
        &self,
        pool: &Pool,
        (from, to): (Time, Time),
        mut rows: impl Iterator<Item = (&'r RequestRow, RequestId)>,
    ) {
        let waits = pool.planned_ahead || pool.in_step || pool.has_tiers;
        if from >= to || waits || pool.lanes() > 1 {
            return;
        }
        let trace = &self.outcome.trace;
        let present = rows.find(|(row, id)| {
            let last = trace.token_times(row).last();
            let leaves = match row.status {
                Status::Completed => last.unwrap_or(row.arrival),
                // The engine turns one away as it arrives; one that a policy drops has waited.
                Status::Unfinished => Time::NEVER,
                _ => Time::ZERO,
            };
            // Where a front end stands before it, a request is there when that has passed it on.
            let there = self.outcome.entered.get(id.index()).copied().unwrap_or(row.arrival);
            there < to && leaves > from
        });
        assert!(present.is_none(), "idle from {from:?} to {to:?} although {present:?} is there");
    }

    fn got_a_token(&self, request: RequestId) -> bool {
        self.outcome.trace.requests[request.index()].first_token != Time::NEVER
    }

    /// Each sampled sequence is a token of some request, and no token comes from nowhere.
    fn tokens_are_conserved(&self) {
        if self.experiment.horizon.is_some() {
            return;
        }
        // What replicas sample that prefill for others is thrown away.
        let fleet = self.experiment.fleet();
        let lanes = self.outcome.trace.lanes.iter();
        let log = self.outcome.log.iter().flatten().zip(lanes);
        let log = log.filter(|(_, lane)| fleet[lane.pool.index()].role != Role::Prefill);
        let log = log.flat_map(|(log, _)| log);
        let sampled: u64 = log.map(|iteration| u64::from(iteration.sampled())).sum();
        let tokens: u64 = self.outcome.trace.requests.iter().map(|r| u64::from(r.tokens)).sum();
        // Or it comes with the KV.
        let hands = self.outcome.trace.hand_overs.iter();
        let carried = hands.filter(|hand| hand.carried && self.got_a_token(hand.request)).count();
        let sampled = sampled + carried as u64;
        let drafts = self.outcome.log.iter().flatten().any(Log::has_drafts);
        if drafts || self.pools.iter().any(|pool| pool.planned_ahead) {
            assert!(sampled >= tokens, "{sampled} sampled, {tokens} tokens");
        } else {
            assert_eq!(sampled, tokens, "every sample is a token");
        }
    }
}
