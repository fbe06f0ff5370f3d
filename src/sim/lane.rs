//! One replica in time: its policy decides, the cost model says how long the batch takes, and the
//! tokens it brings are written down.
//!
//! Synchronous: a step lasts GPU plus host time, and the next is planned when it has ended.
//! Asynchronous: a step lasts the longer of the two; step k + 1 is planned when step k starts, with
//! the arrivals up to then, and tokens appear at the end of the GPU part.

use super::Iteration;
use super::planner::{Instants, Planner};
use super::tally::Tally;
use crate::cost::CostModel;
use crate::replica::{Plan, Replica};
use crate::request::RequestId;
use crate::time::{Span, Time};

/// A replica, its policy and the iteration in flight.
pub(super) struct Lane<'a> {
    pub replica: Replica,
    pub planner: Planner,
    planned_ahead: bool,
    cost: &'a dyn CostModel,
    running: Option<InFlight>,
    /// Asynchronous only: the step after the one in flight.
    planned: Option<Box<Plan>>,
    /// When that step was planned.
    planned_at: Time,
    /// GPU time of all steps so far.
    pub gpu_busy: Span,
}

struct InFlight {
    plan: Box<Plan>,
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
        replica: Replica,
        planner: Planner,
        planned_ahead: bool,
        cost: &'a dyn CostModel,
    ) -> Lane<'a> {
        Lane {
            replica,
            planner,
            planned_ahead,
            cost,
            running: None,
            planned: None,
            planned_at: Time::ZERO,
            gpu_busy: Span::ZERO,
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
    pub fn end_step(&mut self, tally: &mut Tally, finished: impl FnMut(RequestId, Time)) {
        let Some(step) = self.running.take() else { return };
        self.planner.end(step.plan, step.tokens_at, &mut self.replica, tally, finished);
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
                None => (self.planner.plan(&mut self.replica, now, tally, &mut dropped), now),
            };
            let Some(plan) = plan else { return };
            self.start(now, decided, plan, tally);
        }
        if self.planned_ahead && self.planned.is_none() {
            self.planned = self.planner.plan(&mut self.replica, now, tally, &mut dropped);
            self.planned_at = now;
        }
        if starts {
            self.run_ahead(limit, tally);
        }
    }

    fn start(&mut self, now: Time, decided: Time, plan: Box<Plan>, tally: &mut Tally) {
        let (tokens_at, end) = self.times(now, &plan);
        let at = Instants { decided, start: now, end: tokens_at, free: end };
        self.planner.begin(&plan, at, tally);
        self.running = Some(InFlight { plan, tokens_at, end });
    }

    fn times(&mut self, now: Time, plan: &Plan) -> (Time, Time) {
        let time = self.cost.time(&plan.shape());
        self.gpu_busy += time.gpu;
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
            match self.planned.as_deref().and_then(quiet) {
                Some(keep) => keep_free = keep,
                None => return,
            }
        }
        let mut step = self.running.take().expect("a step is in flight");
        let mut beats = 0;
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
            (step.tokens_at, step.end) = self.times(now, &step.plan);
            tally.beat(self.planner.lane, step.tokens_at);
            beats += 1;
            let at = Instants { decided, start: now, end: step.tokens_at, free: step.end };
            self.planner.write_log(&step.plan, at);
        }
        tally.count_repeats(&step.plan, beats);
        self.running = Some(step);
    }

    /// Closes what is still open when observation ends.
    pub fn close(&mut self, tally: &mut Tally) -> Option<Vec<Iteration>> {
        self.replica.close_all();
        self.planner.write_runs(&mut self.replica, tally);
        self.planner.take_log()
    }
}
