//! One replica cut into pipeline stages: up to as many micro-batches are in flight as there are
//! stages, each of them a lane's.
//!
//! A micro-batch passes the stages in turn, and a stage holds one at a time:
//! `start(k, s) = max(end(k, s - 1) + hand-over, end(k - 1, s))`. Its tokens appear when it leaves
//! the last stage; then its lane may form the next. Whenever stage 0 is free, the lanes that have
//! nothing in flight are asked in turn, and the first with a batch has it.
//!
//! Every micro-batch is decided: a policy's promise to repeat is not used, for the other lanes
//! share queue and memory. So both paths step alike; they differ inside the replica.

use std::collections::VecDeque;

use super::planner::{Instants, Planner};
use super::tally::Tally;
use crate::cost::CostModel;
use crate::ids::LaneOfReplica;
use crate::replica::{Plan, Replica};
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::Log;

/// A replica, the policies of its lanes, and the micro-batches in flight.
pub(super) struct Pipeline<'a> {
    pub replica: Replica,
    /// One a lane.
    pub planners: Vec<Planner>,
    cost: &'a dyn CostModel,
    /// Whether the host's work is hidden behind that of stage 0.
    hides_host: bool,
    /// In order of their start, which is that of their end.
    in_flight: VecDeque<InFlight>,
    /// When each stage has done all that was begun.
    free: Vec<Time>,
    /// The lane to be asked first.
    turn: LaneOfReplica,
    /// GPU time of all stages so far.
    pub gpu_busy: Span,
}

struct InFlight {
    lane: LaneOfReplica,
    plan: Box<Plan>,
    end: Time,
}

/// When a micro-batch that has begun will concern the engine again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// Stage 0 is free.
    pub free: Time,
    /// Its tokens are there.
    pub end: Time,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        mut replica: Replica,
        planners: Vec<Planner>,
        hides_host: bool,
        cost: &'a dyn CostModel,
    ) -> Pipeline<'a> {
        let lanes = planners.len();
        replica.spread(lanes as u32);
        Pipeline {
            replica,
            planners,
            cost,
            hides_host,
            in_flight: VecDeque::new(),
            free: vec![Time::ZERO; lanes],
            turn: LaneOfReplica(0),
            gpu_busy: Span::ZERO,
        }
    }

    /// Ends the micro-batch that leaves the last stage at `now`: no two do at once.
    pub(super) fn end_step(
        &mut self,
        now: Time,
        tally: &mut Tally,
        finished: impl FnMut(RequestId, Time),
    ) {
        let Some(InFlight { lane, plan, end }) = self.in_flight.pop_front() else { return };
        debug_assert_eq!(end, now, "a step ends when it is due");
        self.replica.select(lane);
        let planner = &mut self.planners[lane.index()];
        planner.end(plan, end, &mut self.replica, tally, finished);
    }

    /// Whether no micro-batch is in flight.
    pub(super) fn runs_nothing(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Begins a micro-batch where stage 0 is free and a lane has one.
    pub(super) fn decide(
        &mut self,
        now: Time,
        tally: &mut Tally,
        mut dropped: impl FnMut(RequestId, Time),
    ) -> Option<Begun> {
        if self.free[0] > now {
            return None;
        }
        loop {
            let before = self.replica.preemptions();
            let mut drops = false;
            let mut dropped = |request, at| {
                drops = true;
                dropped(request, at);
            };
            if let Some(begun) = self.ask(now, tally, &mut dropped) {
                return Some(begun);
            }
            if drops || self.replica.preemptions() > before {
                // Memory and the queue have changed: lanes asked before may have a batch now.
                continue;
            }
            if !self.in_flight.is_empty() {
                return None;
            }
            // Where nothing runs because each lane lacks memory that others hold, the request that
            // was admitted last gives way.
            let (lane, request) = self.replica.last_admitted()?;
            self.replica.select(lane);
            self.planners[lane.index()].preempt(request, &mut self.replica, now, tally);
        }
    }

    /// Asks the idle lanes in turn; the first with a batch begins it.
    fn ask(
        &mut self,
        now: Time,
        tally: &mut Tally,
        dropped: &mut impl FnMut(RequestId, Time),
    ) -> Option<Begun> {
        let lanes = self.planners.len() as u32;
        for lane in (0..lanes).map(|k| LaneOfReplica((self.turn.0 + k) % lanes)) {
            if self.in_flight.iter().any(|batch| batch.lane == lane) {
                continue;
            }
            self.replica.select(lane);
            if !self.replica.has_work() {
                continue;
            }
            let planner = &mut self.planners[lane.index()];
            let Some(plan) = planner.plan(&mut self.replica, now, tally, dropped) else {
                continue;
            };
            self.turn = LaneOfReplica((lane.0 + 1) % lanes);
            return Some(self.begin(now, lane, plan, tally));
        }
        None
    }

    fn begin(
        &mut self,
        now: Time,
        lane: LaneOfReplica,
        mut plan: Box<Plan>,
        tally: &mut Tally,
    ) -> Begun {
        let end = self.pass(now, &plan);
        let at = Instants { decided: now, start: now, end, free: end };
        self.planners[lane.index()].begin(&mut plan, at, tally);
        if self.replica.keeps_deadlines() {
            self.replica.begun(at.begun(), &plan.shape());
        }
        self.in_flight.push_back(InFlight { lane, plan, end });
        Begun { free: self.free[0], end }
    }

    /// Sends a micro-batch through the stages; says when it leaves the last one.
    fn pass(&mut self, now: Time, plan: &Plan) -> Time {
        let shape = plan.shape();
        let hand_over = self.cost.hand_over(&shape);
        let mut there = now;
        for (stage, free) in self.free.iter_mut().enumerate() {
            let time = self.cost.stage_time(&shape, stage as u32);
            self.gpu_busy += time.gpu;
            // The host's work is stage 0's.
            let busy = match self.hides_host {
                true => time.gpu.max(time.host),
                false => time.gpu + time.host,
            };
            if stage > 0 {
                there += hand_over;
            }
            // At least a nanosecond, so that time moves whatever a profile says.
            *free = there.max(*free) + busy.max(Span::from_nanos(1));
            there = *free;
        }
        there
    }

    /// Closes what is still open when observation ends: the iterations of each lane, where they
    /// were kept.
    pub(super) fn close(&mut self, tally: &mut Tally) -> Vec<Option<Log>> {
        let mut logs = Vec::new();
        for (planner, lane) in self.planners.iter_mut().zip((0..).map(LaneOfReplica)) {
            self.replica.select(lane);
            self.replica.close_all();
            planner.write_runs(&mut self.replica, tally);
            logs.push(planner.take_log());
        }
        logs
    }
}
