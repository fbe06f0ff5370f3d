//! Data-parallel ranks that share experts step together: the layers of experts make each wait for
//! all. A step begins on every rank at once and lasts as long as the slowest rank's; a rank without
//! work runs a dummy batch meanwhile (vLLM's `execute_dummy_batch`), which is never the slowest.
//!
//! Ranks plan on their own, when a step begins; who arrives meanwhile waits for the next.

use std::ops::Range;

use super::calendar::What;
use super::engine::Engine;
use super::lane::Lane;
use super::server::Server;
use crate::cost::IterationTime;
use crate::ids::ReplicaId;
use crate::replica::{Plan, RankLoad};
use crate::time::Time;
use crate::workload::Arriving;

/// A rank's batch for the step that begins.
struct Ready {
    rank: ReplicaId,
    plan: Box<Plan>,
    /// When it was planned.
    decided: Time,
}

/// The ranks that step with one: itself alone, or all of its group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    first: u32,
    ranks: u32,
}

impl Group {
    /// Groups of `ranks` replicas in a row, for `replicas` of them from number `first` on.
    pub(super) fn of_pool(first: u32, replicas: u32, ranks: u32) -> impl Iterator<Item = Group> {
        let ranks = ranks.max(1);
        (0..replicas).map(move |replica| {
            let start = replica / ranks * ranks;
            Group { first: first + start, ranks: ranks.min(replicas - start) }
        })
    }

    /// Whether there are others.
    pub(super) fn is_several(self) -> bool {
        self.ranks > 1
    }

    pub(super) fn members(self) -> impl Iterator<Item = ReplicaId> {
        let Range { start, end } = self.first..self.first + self.ranks;
        (start..end).map(ReplicaId)
    }
}

impl Engine<'_> {
    /// Begins the next step of all ranks of a group, or lets them plan ahead while one runs.
    pub(super) fn decide_together(&mut self, group: Group, arriving: &mut dyn Arriving) {
        if !group.members().any(|rank| self.rank(rank).is_running()) {
            for rank in group.members() {
                if let Some(report) = self.before_step(rank) {
                    self.fleet.report(&report);
                }
            }
            self.begin_together(group, arriving);
        }
        for rank in group.members() {
            self.plan_ahead_of(rank, arriving);
        }
        let runs = group.members().any(|rank| self.rank(rank).is_running());
        for rank in group.members() {
            self.note_standing(rank, runs);
        }
    }

    fn begin_together(&mut self, group: Group, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        self.balance(group);
        let mut ready = Vec::new();
        for rank in group.members() {
            let planned = self.with_rank(rank, arriving, |lane, tally, dropped| {
                lane.next_plan(now, tally, dropped)
            });
            if let Some((plan, decided)) = planned {
                ready.push(Ready { rank, plan, decided });
            }
        }
        let all: u64 = ready.iter().map(|ready| ready.plan.shape().tokens()).sum();
        for Ready { plan, .. } in &mut ready {
            plan.beside = Some(all - plan.shape().tokens());
        }
        let times = ready.iter().map(|ready| self.rank(ready.rank).price(&ready.plan));
        let Some(step) = times.reduce(longer) else { return };
        self.steps_together[group.first as usize] += 1;
        for Ready { rank, plan, decided } in ready {
            let (lane, tally) = lane_and_tally(&mut self.servers, &mut self.tally, rank);
            let end = lane.start_in_step(now, decided, plan, step, tally);
            self.calendar.add(end, What::StepEnds(rank));
        }
        for rank in group.members() {
            lane_and_tally(&mut self.servers, &mut self.tally, rank).0.gpu_busy += step.gpu;
        }
    }

    /// Tells the ranks whether prompts are left out of the step that they plan: never where their policy
    /// does not ask for it.
    fn balance(&mut self, group: Group) {
        let first = group.first as usize;
        let waits = self.servers[first].replica().balances().is_some_and(|rules| {
            let load = |rank| self.rank(rank).replica.load();
            let loads: Vec<RankLoad> = group.members().map(load).collect();
            self.balances[first].waits(rules, &loads)
        });
        for rank in group.members() {
            let (lane, _) = lane_and_tally(&mut self.servers, &mut self.tally, rank);
            lane.replica.let_prompts_wait(waits);
        }
    }

    fn plan_ahead_of(&mut self, rank: ReplicaId, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        self.with_rank(rank, arriving, |lane, tally, dropped| {
            lane.plan_ahead(now, tally, dropped);
        });
    }

    /// Notes since when a rank with requests stands; while another rank of its group `runs`, it
    /// waits for the group's next step.
    fn note_standing(&mut self, rank: ReplicaId, runs: bool) {
        let server = &self.servers[rank.index()];
        let since = &mut self.stands_since[rank.index()];
        *since = match !runs && server.runs_nothing() && !server.replica().is_empty() {
            true => self.calendar.now().min(*since),
            false => Time::NEVER,
        };
    }

    fn rank(&self, rank: ReplicaId) -> &Lane<'_> {
        match &self.servers[rank.index()] {
            Server::Whole(lane) => lane,
            Server::Staged(_) | Server::Turns(_) => {
                unreachable!("ranks that step together have no stages")
            }
        }
    }

    fn with_rank<T>(
        &mut self,
        rank: ReplicaId,
        arriving: &mut dyn Arriving,
        act: impl FnOnce(
            &mut Lane<'_>,
            &mut super::tally::Tally,
            &mut dyn FnMut(crate::request::RequestId, Time),
        ) -> T,
    ) -> T {
        let fleet = &mut self.fleet;
        let (lane, tally) = lane_and_tally(&mut self.servers, &mut self.tally, rank);
        act(lane, tally, &mut |request, at| {
            fleet.leave(request);
            arriving.finished(request, at);
        })
    }
}

fn lane_and_tally<'s, 'a>(
    servers: &'s mut [Server<'a>],
    tally: &'s mut super::tally::Tally,
    rank: ReplicaId,
) -> (&'s mut Lane<'a>, &'s mut super::tally::Tally) {
    match &mut servers[rank.index()] {
        Server::Whole(lane) => (lane, tally),
        Server::Staged(_) | Server::Turns(_) => {
            unreachable!("ranks that step together have no stages")
        }
    }
}

/// The step of two ranks: each part lasts as long as the longer one's.
fn longer(one: IterationTime, other: IterationTime) -> IterationTime {
    IterationTime { gpu: one.gpu.max(other.gpu), host: one.host.max(other.host) }
}
