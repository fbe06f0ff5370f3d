//! A replica in pipeline stages, or with several batches out, turn by turn as vLLM V1's engine core
//! takes them.
//!
//! There is one running list and one queue. A turn plans a batch and sends it; while fewer are out than
//! may be, the next turn follows at once, and otherwise the engine waits for the oldest batch, which
//! it processes. A batch passes the stages in turn, and a stage holds one at a time:
//!
//! ```text
//! start(b, 1) = max(turn + host, end(b - 1, 1), with placeholders: end(b - p) if that batch sampled)
//! start(b, s) = max(end(b, s - 1) + hand-over, end(b - 1, s))
//! ```
//!
//! An empty batch takes a place among those that are out and no time; after a turn that planned none
//! although requests are there the engine sleeps for a millisecond. Rules read from vLLM 0.33.0
//! (`v1/engine/core.py`: `step_with_batch_queue`, `_process_engine_step`).
//!
//! Lane `l` is the turns `l`, `l + p`, ...: a request decodes in one lane until it misses its turn.

use std::collections::VecDeque;

use super::planner::{Instants, Planner};
use super::tally::Tally;
use crate::cost::CostModel;
use crate::replica::{BatchesOut, Plan, Replica};
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::Log;

/// How long the engine sleeps after a turn without a batch.
const SLEEP: Span = Span::from_nanos(1_000_000);

/// A replica, its policy (the first lane's planner has it) and the batches that are out.
pub(super) struct Turns<'a> {
    pub replica: Replica,
    /// One a lane.
    pub planners: Vec<Planner>,
    cost: &'a dyn CostModel,
    batches: BatchesOut,
    /// Oldest first.
    out: VecDeque<Out>,
    /// When each stage has done all that was sent.
    free: Vec<Time>,
    /// By lane: when its last batch has left the last stage, and whether that batch sampled.
    last: Vec<(Time, bool)>,
    /// When the engine can take its next turn; later than that where it waits for a batch.
    next_turn: Time,
    /// Since when the engine sleeps before that turn, where it does.
    sleeps: Option<Time>,
    /// The turn that the calendar knows of.
    told: Time,
    /// Whether that one is still to come.
    pending: bool,
    /// Whether the oldest batch is waited for.
    waits: bool,
    turns: u64,
    /// GPU time of all stages so far.
    pub gpu_busy: Span,
}

struct Out {
    lane: usize,
    plan: Box<Plan>,
    end: Time,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Its batch is not empty.
    planned: bool,
    /// It is, or the queue has changed.
    changed: bool,
}

/// When a server is to be looked at again, where anything is to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Next {
    /// It takes its next turn.
    pub turn: Option<Time>,
    /// A batch that it waits for is over.
    pub end: Option<Time>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(
        replica: Replica,
        planners: Vec<Planner>,
        batches: BatchesOut,
        cost: &'a dyn CostModel,
    ) -> Turns<'a> {
        let lanes = planners.len();
        Turns {
            replica,
            planners,
            cost,
            batches,
            out: VecDeque::new(),
            free: vec![Time::ZERO; lanes],
            last: vec![(Time::ZERO, false); lanes],
            next_turn: Time::ZERO,
            sleeps: None,
            told: Time::ZERO,
            pending: false,
            waits: false,
            turns: 0,
            gpu_busy: Span::ZERO,
        }
    }

    /// Processes the batch that is over at `now`.
    pub(super) fn end_step(
        &mut self,
        now: Time,
        tally: &mut Tally,
        finished: impl FnMut(RequestId, Time),
    ) {
        debug_assert!(self.waits && self.out.front().is_some_and(|batch| batch.end == now));
        self.waits = false;
        self.process(tally, finished);
    }

    fn process(&mut self, tally: &mut Tally, finished: impl FnMut(RequestId, Time)) {
        if let Some(Out { lane, plan, end }) = self.out.pop_front() {
            self.planners[lane].end(plan, end, &mut self.replica, tally, finished);
        }
    }

    /// Whether nothing is computed.
    pub(super) fn runs_nothing(&self) -> bool {
        self.out.iter().all(|batch| batch.plan.is_empty())
    }

    /// Whether it will go on by itself: a turn is to come, whatever arrives.
    pub(super) fn goes_on(&self) -> bool {
        self.pending
    }

    /// Takes the turns that are due.
    pub(super) fn decide(
        &mut self,
        now: Time,
        tally: &mut Tally,
        mut ended: impl FnMut(RequestId, Time),
    ) -> Next {
        loop {
            if self.waits {
                return Next::default();
            }
            self.pending = self.next_turn > now;
            if self.pending {
                let told = std::mem::replace(&mut self.told, self.next_turn);
                let turn = Some(self.next_turn).filter(|&at| at != told);
                return Next { turn, end: None };
            }
            let alive = !self.replica.is_empty();
            if !alive && self.runs_nothing() {
                // What is out are empty batches, over as soon as they are waited for.
                while !self.out.is_empty() {
                    self.process(tally, &mut ended);
                }
                return Next::default();
            }
            let mut turn = Turn { planned: true, changed: true };
            if alive {
                turn = self.plan(now, tally, &mut ended);
                if self.out.len() < self.batches.most() as usize {
                    if !turn.changed && self.runs_nothing() {
                        // Nothing that it waits for would change its mind.
                        return Next::default();
                    }
                    continue;
                }
            }
            let oldest = self.out.front().expect("something is out");
            let end = oldest.end;
            if end > now {
                self.waits = true;
                if !turn.planned {
                    self.sleep(end);
                }
                return Next { turn: None, end: Some(end) };
            }
            // Whatever it brought may change the next turn's mind.
            let changed = turn.changed || !oldest.plan.is_empty();
            self.process(tally, &mut ended);
            if !turn.planned && !self.replica.is_empty() {
                if !changed && self.runs_nothing() {
                    return Next::default();
                }
                self.sleep(now);
            }
        }
    }

    fn sleep(&mut self, from: Time) {
        self.next_turn = from + SLEEP;
        self.sleeps = Some(from);
    }

    /// Plans and sends a batch.
    fn plan(
        &mut self,
        now: Time,
        tally: &mut Tally,
        dropped: &mut impl FnMut(RequestId, Time),
    ) -> Turn {
        let lane = (self.turns % self.planners.len() as u64) as usize;
        self.turns += 1;
        let woken = self.sleeps.take().unwrap_or(now);
        let mut plan = self.planners[0].ask(&mut self.replica, now, tally, dropped);
        let planned = !plan.is_empty();
        let changed = planned || !plan.preempted.is_empty() || !plan.dropped.is_empty();
        let mut end = now;
        if planned {
            let (at, host) = self.pass((woken, now), lane, &plan);
            end = at.end;
            if let [first, others @ ..] = &mut self.planners[..=lane]
                && let Some(own) = others.last_mut()
            {
                first.hand_preempted(own);
            }
            self.planners[lane].log_host(host);
            self.planners[lane].begin(&mut plan, at, tally);
        }
        self.out.push_back(Out { lane, plan, end });
        Turn { planned, changed }
    }

    /// Sends a batch through the stages; says too how long the engine itself kept stage 0 waiting, which
    /// it planned `now` and could have planned when it went to sleep.
    fn pass(&mut self, (woken, now): (Time, Time), lane: usize, plan: &Plan) -> (Instants, Span) {
        let shape = plan.shape();
        let hand_over = self.cost.hand_over(&shape);
        let first = self.cost.stage_time(&shape, 0);
        let drafting = plan.draft_shape().map(|draft| self.cost.draft_time(&draft));
        let drafting = drafting.unwrap_or_default();
        // The engine itself is busy for so long, and sends the batch then.
        self.next_turn = now + first.host + drafting.host;
        let (before, sampled) = self.last[lane];
        let sent = self.next_turn;
        let mut there = sent.max(self.free[0]);
        if self.batches.ahead && sampled {
            there = there.max(before);
        }
        let waits = self.free[0].max(before).max(woken);
        let host = if sent > waits { sent.since(waits) } else { Span::ZERO };
        // A lane's batches are told one after the other, though chunks of a prompt may overlap.
        let start = there.max(before);
        for stage in 0..self.free.len() {
            let mut time = match stage {
                0 => first,
                _ => self.cost.stage_time(&shape, stage as u32),
            };
            // The last stage samples, and drafts.
            if stage + 1 == self.free.len() {
                time.gpu += drafting.gpu;
            }
            self.gpu_busy += time.gpu;
            if stage > 0 {
                there = (there + hand_over).max(self.free[stage]);
            }
            // At least a nanosecond, so that time moves whatever a profile says.
            there += time.gpu.max(Span::from_nanos(1));
            self.free[stage] = there;
        }
        let end = there.max(start + Span::from_nanos(1));
        self.last[lane] = (end, plan.sampled > 0);
        (Instants { decided: now, start, end, free: end }, host)
    }

    /// Closes what is still open when observation ends at `horizon`: the iterations of each lane,
    /// where they were kept.
    pub(super) fn close(&mut self, horizon: Time, tally: &mut Tally) -> Vec<Option<Log>> {
        while self.out.front().is_some_and(|batch| batch.end <= horizon) {
            self.process(tally, |_, _| {});
        }
        self.planners.iter_mut().map(Planner::take_log).collect()
    }
}
