//! A replica in time, whole or cut into pipeline stages.

use super::lane::{Lane, Limit};
use super::outcome::TierUse;
use super::pipeline::{Begun, Pipeline};
use super::planner::Planner;
use super::tally::Tally;
use super::turns::{Next, Turns};
use crate::ids::LaneId;
use crate::replica::{Handle, Replica};
use crate::request::RequestId;
use crate::scheduler::{News, Scheduler};
use crate::time::{Span, Time};
use crate::trace::{KvLoad, Log};

/// What serves the requests that the router sends to one replica.
pub(super) enum Server<'a> {
    /// One micro-batch at a time.
    Whole(Box<Lane<'a>>),
    /// Several in flight, each of its own requests.
    Staged(Box<Pipeline<'a>>),
    /// Several in flight, of one running list.
    Turns(Box<Turns<'a>>),
}

impl Server<'_> {
    pub(super) fn replica(&self) -> &Replica {
        match self {
            Server::Whole(lane) => &lane.replica,
            Server::Staged(pipeline) => &pipeline.replica,
            Server::Turns(turns) => &turns.replica,
        }
    }

    pub(super) fn replica_mut(&mut self) -> &mut Replica {
        match self {
            Server::Whole(lane) => &mut lane.replica,
            Server::Staged(pipeline) => &mut pipeline.replica,
            Server::Turns(turns) => &mut turns.replica,
        }
    }

    /// GPU time of its iterations, of all its stages together.
    pub(super) fn gpu_busy(&self) -> Span {
        match self {
            Server::Whole(lane) => lane.gpu_busy,
            Server::Staged(pipeline) => pipeline.gpu_busy,
            Server::Turns(turns) => turns.gpu_busy,
        }
    }

    /// The first of its lanes.
    pub(super) fn first_lane(&self) -> LaneId {
        match self {
            Server::Whole(lane) => lane.planner.lane,
            Server::Staged(pipeline) => pipeline.planners[0].lane,
            Server::Turns(turns) => turns.planners[0].lane,
        }
    }

    /// A policy, to be asked what does not depend on its state.
    pub(super) fn policy(&self) -> &dyn Scheduler {
        match self {
            Server::Whole(lane) => &*lane.planner.scheduler,
            Server::Staged(pipeline) => &*pipeline.planners[0].scheduler,
            Server::Turns(turns) => &*turns.planners[0].scheduler,
        }
    }

    /// A request has come to its replica.
    pub(super) fn arrived(&mut self, request: Handle) {
        let (replica, planners) = match self {
            Server::Whole(lane) => (&lane.replica, std::slice::from_mut(&mut lane.planner)),
            Server::Staged(pipeline) => (&pipeline.replica, &mut pipeline.planners[..]),
            Server::Turns(turns) => (&turns.replica, &mut turns.planners[..]),
        };
        let Some(news) = News::of(replica, request) else { return };
        planners.iter_mut().for_each(|planner| planner.scheduler.arrived(&news));
    }

    /// From now on its requests go on elsewhere when their prompts are computed.
    pub(super) fn hand_over(&mut self) {
        match self {
            Server::Whole(lane) => lane.planner.hand_over(),
            Server::Staged(pipeline) => pipeline.planners.iter_mut().for_each(Planner::hand_over),
            Server::Turns(turns) => turns.planners.iter_mut().for_each(Planner::hand_over),
        }
    }

    /// From now on it says what its steps compute of prompts.
    pub(super) fn tell_of_chunks(&mut self) {
        if let Server::Whole(lane) = self {
            lane.planner.tell_of_chunks();
        }
    }

    /// By request, how many tokens of its prompt are computed, as steps have said since the last call.
    pub(super) fn take_chunks(&mut self) -> Vec<(RequestId, u32)> {
        match self {
            Server::Whole(lane) => lane.planner.take_chunks(),
            Server::Staged(_) | Server::Turns(_) => Vec::new(),
        }
    }

    /// Whether a decision now could start or plan something.
    pub(super) fn can_decide(&self) -> bool {
        match self {
            Server::Whole(lane) => lane.can_decide(),
            Server::Staged(_) | Server::Turns(_) => true,
        }
    }

    /// Whether nothing is in flight, and nothing planned.
    #[inline]
    pub(super) fn runs_nothing(&self) -> bool {
        match self {
            Server::Whole(lane) => lane.runs_nothing(),
            Server::Staged(pipeline) => pipeline.runs_nothing(),
            Server::Turns(turns) => turns.runs_nothing() && !turns.goes_on(),
        }
    }

    /// Whether a policy of it keeps preempting and nobody gets a token any more.
    #[inline]
    pub(super) fn thrashes(&self) -> bool {
        match self {
            Server::Whole(lane) => lane.planner.thrashes(),
            Server::Staged(pipeline) => pipeline.planners.iter().any(Planner::thrashes),
            Server::Turns(turns) => turns.planners.iter().any(Planner::thrashes),
        }
    }

    /// When the tokens of a step in flight are there, where that is before the step is over and they
    /// were not told yet.
    pub(super) fn early_tokens_at(&self) -> Option<Time> {
        match self {
            Server::Whole(lane) => lane.early_tokens_at(),
            Server::Staged(_) | Server::Turns(_) => None,
        }
    }

    /// Tells these tokens.
    pub(super) fn tell_early(&mut self, tally: &mut Tally) {
        if let Server::Whole(lane) = self {
            lane.tell_early(tally);
        }
    }

    /// Ends the step that is over at `now`.
    #[inline]
    pub(super) fn end_step(
        &mut self,
        now: Time,
        tally: &mut Tally,
        finished: impl FnMut(RequestId, Time),
    ) {
        match self {
            Server::Whole(lane) => lane.end_step(tally, finished),
            Server::Staged(pipeline) => pipeline.end_step(now, tally, finished),
            Server::Turns(turns) => turns.end_step(now, tally, finished),
        }
    }

    /// Starts and plans what can be at `now`; says when it is to be looked at again: what has begun
    /// ends, and stage 0 is free where that is earlier.
    #[inline]
    pub(super) fn decide(
        &mut self,
        now: Time,
        limit: Limit,
        tally: &mut Tally,
        dropped: impl FnMut(RequestId, Time),
    ) -> Next {
        match self {
            Server::Whole(lane) => {
                let before = lane.end();
                lane.decide(now, limit, tally, dropped);
                // What was busy and only planned ahead is in the calendar already.
                Next { turn: lane.looks_again(), end: lane.end().filter(|_| before.is_none()) }
            }
            Server::Staged(pipeline) => match pipeline.decide(now, tally, dropped) {
                None => Next::default(),
                Some(Begun { free, end }) => {
                    Next { turn: Some(free).filter(|&free| free < end), end: Some(end) }
                }
            },
            Server::Turns(turns) => turns.decide(now, tally, dropped),
        }
    }

    /// Whether it has tiers behind its blocks.
    pub(super) fn has_tiers(&self) -> bool {
        matches!(self, Server::Whole(lane) if lane.copies.is_some())
    }

    /// What came from tiers behind its blocks, and what went to and from them.
    pub(super) fn take_copied(&mut self) -> (Vec<KvLoad>, TierUse) {
        match self {
            Server::Whole(lane) => lane.copies.take().map(|copies| copies.close()),
            Server::Staged(_) | Server::Turns(_) => None,
        }
        .unwrap_or_default()
    }

    /// Closes what is still open when observation ends at `horizon`: the iterations of each lane,
    /// where they were kept.
    pub(super) fn close(&mut self, horizon: Time, tally: &mut Tally) -> Vec<Option<Log>> {
        match self {
            Server::Whole(lane) => {
                if lane.tokens_at().is_some_and(|at| at <= horizon) {
                    lane.end_step(tally, |_, _| {});
                }
                vec![lane.close(tally)]
            }
            Server::Staged(pipeline) => pipeline.close(tally),
            Server::Turns(turns) => turns.close(horizon, tally),
        }
    }
}
