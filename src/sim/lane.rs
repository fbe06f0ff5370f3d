//! One replica in time: its policy decides, the cost model says how long the batch takes, and the
//! tokens it brings are written down.
//!
//! Synchronous: a step lasts GPU plus host time, and the next is planned when it has ended.
//! Asynchronous: a step lasts the longer of the two; step k + 1 is planned when step k starts, with
//! the arrivals up to then, and tokens appear at the end of the GPU part.

use super::tally::Tally;
use super::{ChunkRecord, Iteration, SimOptions};
use crate::cost::CostModel;
use crate::replica::{Plan, Replica};
use crate::request::RequestId;
use crate::scheduler::Scheduler;
use crate::time::{Span, Time};

/// A replica, its policy and the iteration in flight.
pub(super) struct Lane<'a> {
    pub replica: Replica,
    pub scheduler: Box<dyn Scheduler>,
    index: u32,
    planned_ahead: bool,
    cost: &'a dyn CostModel,
    running: Option<InFlight>,
    /// Asynchronous only: the step after the one in flight.
    planned: Option<Plan>,
    /// When that step was planned.
    planned_at: Time,
    /// Preempted since the last batch began, by decisions that came to nothing too.
    preempted: Vec<RequestId>,
    spare: Vec<Plan>,
    log: Option<Vec<Iteration>>,
}

struct InFlight {
    plan: Plan,
    start: Time,
    /// When its tokens are there.
    tokens_at: Time,
    /// When the next step can start.
    end: Time,
}

/// Up to where a lane may run ahead on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Decisions at this instant or later wait for the calendar.
    pub before: Time,
    /// Observation ends after this instant.
    pub horizon: Time,
}

impl<'a> Lane<'a> {
    pub fn new(
        index: u32,
        replica: Replica,
        scheduler: Box<dyn Scheduler>,
        planned_ahead: bool,
        cost: &'a dyn CostModel,
        options: &SimOptions<'_>,
    ) -> Lane<'a> {
        Lane {
            replica,
            scheduler,
            index,
            planned_ahead,
            cost,
            running: None,
            planned: None,
            planned_at: Time::ZERO,
            preempted: Vec::new(),
            spare: Vec::new(),
            log: options.keep_log.then(Vec::new),
        }
    }

    /// When the step in flight ends; `None` when there is none.
    pub fn end(&self) -> Option<Time> {
        self.running.as_ref().map(|step| step.end)
    }

    /// When the tokens of the step in flight are there.
    pub fn tokens_at(&self) -> Option<Time> {
        self.running.as_ref().map(|step| step.tokens_at)
    }

    /// Whether a decision now could start or plan something.
    pub fn can_decide(&self) -> bool {
        self.running.is_none() || (self.planned_ahead && self.planned.is_none())
    }

    /// Ends the step in flight: seats and blocks of requests that got their last token are free.
    pub fn end_step(&mut self, tally: &mut Tally, mut finished: impl FnMut(RequestId, Time)) {
        let Some(step) = self.running.take() else { return };
        let mut plan = step.plan;
        if !plan.ending.is_empty() {
            for &handle in &plan.ending {
                let request = self.replica.request_of(handle);
                tally.complete(request);
                finished(request, step.tokens_at);
            }
            self.replica.finish(&mut plan.ending);
            self.write_runs(tally);
        }
        self.spare.push(plan);
    }

    /// Starts and plans what can be at `now`, and runs ahead while the decision repeats.
    pub fn decide(
        &mut self,
        now: Time,
        limit: Limit,
        tally: &mut Tally,
        mut dropped: impl FnMut(RequestId, Time),
    ) {
        let starts = self.running.is_none();
        if starts {
            let (plan, decided) = match self.planned.take() {
                Some(plan) => (Some(plan), self.planned_at),
                None => (self.plan(now, tally, &mut dropped), now),
            };
            let Some(plan) = plan else { return };
            self.start(now, decided, plan, tally);
        }
        if self.planned_ahead && self.planned.is_none() {
            self.planned = self.plan(now, tally, &mut dropped);
            self.planned_at = now;
        }
        if starts {
            self.run_ahead(limit, tally);
        }
    }

    /// Asks the policy for a batch; `None` when it has nothing to run.
    fn plan(
        &mut self,
        now: Time,
        tally: &mut Tally,
        dropped: &mut impl FnMut(RequestId, Time),
    ) -> Option<Plan> {
        let mut plan = self.spare.pop().unwrap_or_default();
        loop {
            self.scheduler.schedule(&mut self.replica.step(now));
            self.replica.commit(&mut plan);
            self.write_runs(tally);
            for &request in &plan.preempted {
                tally.preempt(request);
            }
            if self.log.is_some() {
                self.preempted.extend_from_slice(&plan.preempted);
            }
            for &request in &plan.dropped {
                tally.reject(request, super::Rejection::DroppedByPolicy);
                dropped(request, now);
            }
            if !plan.is_empty() {
                return Some(plan);
            }
            // A step that only preempted or dropped has changed the queue: ask again.
            if plan.preempted.is_empty() && plan.dropped.is_empty() {
                self.spare.push(plan);
                return None;
            }
        }
    }

    fn start(&mut self, now: Time, decided: Time, plan: Plan, tally: &mut Tally) {
        let (tokens_at, end) = self.times(now, &plan, tally);
        if plan.decodes > 0 {
            tally.beat(self.index, tokens_at);
        }
        for &(request, hit_tokens) in &plan.admitted {
            tally.schedule(request, now, hit_tokens);
        }
        for emission in &plan.emissions {
            tally.emit(self.index, *emission, tokens_at);
        }
        tally.count(&plan);
        let step = InFlight { plan, start: now, tokens_at, end };
        self.write_log(decided, &step);
        self.running = Some(step);
    }

    fn times(&self, now: Time, plan: &Plan, tally: &mut Tally) -> (Time, Time) {
        let time = self.cost.time(&plan.shape());
        tally.gpu_busy += time.gpu;
        // At least a nanosecond, so that time moves whatever a profile says.
        let instant = Span::from_nanos(1);
        if self.planned_ahead {
            let tokens_at = now + time.gpu.max(instant);
            (tokens_at, now + time.gpu.max(time.host).max(instant))
        } else {
            let end = now + (time.gpu + time.host).max(instant);
            (end, end)
        }
    }

    /// Advances beat after beat while the policy's decision repeats, nothing ends, memory suffices
    /// and nobody arrives. The same as ending and deciding each step, without asking.
    fn run_ahead(&mut self, limit: Limit, tally: &mut Tally) {
        let Some(step) = &mut self.running else { return };
        let quiet = |plan: &Plan| plan.repeats.filter(|_| plan.ending.is_empty());
        let Some(mut keep_free) = quiet(&step.plan) else { return };
        if self.planned_ahead {
            match self.planned.as_ref().and_then(quiet) {
                Some(keep) => keep_free = keep,
                None => return,
            }
        }
        let mut step = self.running.take().expect("a step is in flight");
        while step.end < limit.before
            && step.end <= limit.horizon
            && self.replica.can_repeat(keep_free)
        {
            let now = step.end;
            let mut decided = now;
            match &mut self.planned {
                Some(next) => {
                    decided = self.planned_at;
                    self.planned_at = now;
                    std::mem::swap(next, &mut step.plan);
                    // What ended becomes the step after next, one beat further on.
                    next.clone_decision(&step.plan);
                    self.replica.commit_repeat(next);
                }
                None => self.replica.commit_repeat(&mut step.plan),
            }
            (step.tokens_at, step.end) = self.times(now, &step.plan, tally);
            step.start = now;
            tally.beat(self.index, step.tokens_at);
            tally.count(&step.plan);
            self.write_log(decided, &step);
        }
        self.running = Some(step);
    }

    fn write_runs(&mut self, tally: &mut Tally) {
        for (request, first, count) in self.replica.drain_closed_runs() {
            tally.run(self.index, request, first, count);
        }
    }

    fn write_log(&mut self, decided: Time, step: &InFlight) {
        let Some(log) = &mut self.log else { return };
        let plan = &step.plan;
        // Emissions come in the order of their chunks.
        let mut emissions = plan.emissions.iter().peekable();
        let mut blocks = plan.chunk_blocks.iter();
        let chunk = |(chunk, &request): (&crate::cost::Chunk, &RequestId)| ChunkRecord {
            request,
            context: chunk.context,
            tokens: chunk.tokens,
            blocks: blocks.next().copied().unwrap_or(0),
            samples: emissions.next_if(|emission| emission.request == request).is_some(),
        };
        log.push(Iteration {
            decided,
            start: step.start,
            end: step.tokens_at,
            free: step.end,
            decodes: plan.decodes,
            decode_kv_tokens: plan.decode_kv_tokens,
            sampled: plan.sampled,
            chunks: plan.chunks.iter().zip(&plan.chunk_requests).map(chunk).collect(),
            preempted: std::mem::take(&mut self.preempted),
            kv_used: plan.kv_used,
            waiting: plan.waiting,
            running: plan.running,
            held: plan.held,
            head: plan.head,
        });
    }

    /// Closes what is still open when observation ends.
    pub fn close(&mut self, tally: &mut Tally) -> Option<Vec<Iteration>> {
        self.replica.close_all();
        self.write_runs(tally);
        self.log.take()
    }
}
