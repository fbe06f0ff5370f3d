//! The requests of one lane, and which waiting requests a lane may admit.
//!
//! With pipeline parallelism up to `p` micro-batches are in flight; each is a lane's. The waiting
//! queue and the KV pool are the replica's; limits on a batch (seats, tokens) hold for each lane's.
//! A request belongs to the lane that first
//! admits it, after a preemption too. A lane may hold an even share of the requests that are
//! there, `ceil(all / p)`, so that a burst is spread over the lanes and no lane stays empty while
//! requests wait. After a preemption a lane admits nobody until a request ends in some lane, or the
//! other lanes are empty: otherwise two lanes could take turns in robbing each other of memory and
//! neither would get anywhere. Without pipeline parallelism there is one lane, and it sees the whole queue.

use super::decodes::DecodeSet;
use super::slot::{Handle, NO_LANE, Phase};
use super::step::Batch;
use super::trims::Trims;
use super::{RankBalance, RankLoad, Replica, ReplicaOptions, rank_of};
use crate::ids::{LaneOfReplica, SlotId};

/// The running requests of one lane and the batch being formed of them.
#[derive(Debug)]
pub(super) struct Members {
    /// In order of admission.
    pub running: Vec<SlotId>,
    /// Those of `running` whose prefill is unfinished, in the same order.
    pub partial: Vec<SlotId>,
    pub decodes: DecodeSet,
    /// Who of `decodes` gives back blocks and when; nothing where none come back, and on the slow
    /// path, where everybody is visited.
    pub trims: Option<Trims>,
    pub batch: Batch,
    /// The last schedule call in which `decodes` advanced.
    pub last_decodes: u64,
    /// Whether `running` is known to be in order of arrival too. Readmissions break it, and policies
    /// that admit out of turn.
    pub in_arrival_order: bool,
    /// How many of the waiting requests, from the queue's head, it may admit now.
    pub visible: usize,
    /// Preempted requests of it that wait.
    pub preempted: usize,
    /// Whether it has preempted since a request last ended.
    pub short: bool,
}

impl Members {
    pub(super) fn new(options: &ReplicaOptions) -> Members {
        let caching = options.cache.is_some();
        let visited = options.reference || options.by_request;
        let trims = options.groups.trimmed(caching).next().is_some() && !visited;
        Members {
            running: Vec::new(),
            partial: Vec::new(),
            decodes: DecodeSet::new(options.block_tokens, options.reference, options.reaches),
            trims: trims.then(|| {
                Trims::new(&options.groups, caching, options.block_tokens, options.out.ahead)
            }),
            batch: Batch::default(),
            last_decodes: 0,
            in_arrival_order: true,
            visible: usize::MAX,
            preempted: 0,
            short: false,
        }
    }
}

impl Replica {
    /// Spreads the replica over `lanes` lanes; said while it is empty. Lane 0 is selected.
    pub(crate) fn spread(&mut self, lanes: u32) {
        assert!(self.slots.is_empty(), "said while it is empty");
        let members = || Members::new(&self.options);
        self.parked = if lanes > 1 { (0..lanes).map(|_| members()).collect() } else { Vec::new() };
    }

    /// Makes a lane the one that steps, commits and finishes are about.
    pub(crate) fn select(&mut self, lane: LaneOfReplica) {
        if lane == self.selected {
            return;
        }
        // The place of the selected lane holds an empty stand-in meanwhile.
        std::mem::swap(&mut self.members, &mut self.parked[self.selected.index()]);
        std::mem::swap(&mut self.members, &mut self.parked[lane.index()]);
        self.selected = lane;
    }

    /// Whether the selected lane has requests, or may have some of those that wait.
    pub(crate) fn has_work(&mut self) -> bool {
        self.look_at_queue();
        !self.members.running.is_empty() || self.visible() > 0
    }

    pub(super) fn all_members(&self) -> impl Iterator<Item = &Members> {
        std::iter::once(&self.members).chain(&self.parked)
    }

    /// Requests with a seat, in every lane.
    pub(super) fn seats(&self) -> usize {
        self.members.running.len() + self.parked.iter().map(|m| m.running.len()).sum::<usize>()
    }

    /// How its rank lets prompts wait for those of others, where it does.
    pub(crate) fn balances(&self) -> Option<RankBalance> {
        self.options.balance
    }

    /// What its rank has to do.
    pub(crate) fn load(&self) -> RankLoad {
        RankLoad {
            has_prompts: self.waiting.len() > 0 || !self.members.partial.is_empty(),
            decodes: self.members.decodes.len(),
        }
    }

    /// Says whether prompts are left out of the step that is planned next.
    pub(crate) fn let_prompts_wait(&mut self, wait: bool) {
        self.prompts_wait = Some(wait);
    }

    /// Counts anew what the selected lane may admit.
    pub(super) fn look_at_queue(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let (seats, here) = (self.seats(), self.members.running.len());
        if self.members.short && seats > here {
            self.members.visible = 0;
            return;
        }
        let there = seats + self.waiting.len();
        let own = here + self.members.preempted;
        let mut room = there.div_ceil(self.parked.len()).saturating_sub(own);
        let preempted: usize = self.all_members().map(|members| members.preempted).sum();
        self.members.visible = if preempted == 0 {
            room.min(self.waiting.len())
        } else {
            // In turn: nobody is admitted before a preempted request of another lane.
            let may = |&slot: &SlotId| match self.slots[slot.index()].lane {
                NO_LANE => {
                    let more = room > 0;
                    room = room.saturating_sub(1);
                    more
                }
                lane => lane == self.selected,
            };
            self.waiting.iter().take_while(may).count()
        };
    }

    /// Waiting requests that the selected lane sees.
    pub(super) fn visible(&self) -> usize {
        self.hold().len() + self.waiting.len().min(self.members.visible)
    }

    /// A preempted request of the selected lane is back in the queue.
    pub(super) fn waits_again(&mut self, index: SlotId) {
        let slots = &self.slots;
        let rank = rank_of(&slots[index.index()]);
        let earlier = |other: SlotId| {
            let other = &slots[other.index()];
            (other.arrival, other.request) < (rank.1, rank.2)
        };
        self.waiting.return_preempted(index, rank, earlier);
        self.preemptions += 1;
        self.members.batch.preempted.push(index);
        if !self.parked.is_empty() {
            self.members.preempted += 1;
            self.members.short = true;
            self.look_at_queue();
        }
    }

    /// Where several lanes have running requests, the one that was admitted last and its lane.
    pub(crate) fn last_admitted(&self) -> Option<(LaneOfReplica, Handle)> {
        let order = |&slot: &SlotId| (self.slots[slot.index()].order, slot);
        let alive = |slot: &&SlotId| self.slots[slot.index()].phase != Phase::Ending;
        let place = |lane: LaneOfReplica| match lane == self.selected {
            true => &self.members,
            false => &self.parked[lane.index()],
        };
        let lanes = (0..self.parked.len() as u32).map(LaneOfReplica);
        let last = lanes.filter_map(|lane| {
            let last = place(lane).running.iter().filter(alive).map(order).max()?;
            Some((last, lane))
        });
        let last: Vec<_> = last.collect();
        let &((_, slot), lane) = last.iter().max().filter(|_| last.len() > 1)?;
        Some((lane, Handle(slot)))
    }

    /// A waiting request takes a seat.
    pub(super) fn seat(&mut self, index: SlotId) {
        self.leave_waiting(index);
        let rank_by_arrival = |s: SlotId| {
            let slot = &self.slots[s.index()];
            (slot.arrival, slot.request)
        };
        let last = self.members.running.last();
        self.members.in_arrival_order &=
            last.is_none_or(|&last| rank_by_arrival(last) < rank_by_arrival(index));
        self.members.running.push(index);
        self.members.partial.push(index);
        let slot = &mut self.slots[index.index()];
        slot.phase = Phase::Prefill;
        slot.decoded = false;
        slot.order = self.admissions;
        slot.admitted_stamp = self.members.batch.stamp;
        self.admissions += 1;
        if !slot.admitted_once {
            slot.admitted_once = true;
            self.admitted.push((slot.request, slot.first_hit));
        }
    }

    /// A request leaves the queue in which it waits.
    pub(super) fn leave_waiting(&mut self, index: SlotId) {
        let rank = super::rank_of(&self.slots[index.index()]);
        if !self.leave_hold(index) {
            self.waiting.remove(index, rank);
            self.left_queue(index);
        }
    }

    /// A waiting request leaves the queue.
    pub(super) fn left_queue(&mut self, index: SlotId) {
        let slot = &mut self.slots[index.index()];
        if !self.parked.is_empty() {
            match slot.lane {
                NO_LANE => slot.lane = self.selected,
                _ => self.members.preempted -= 1,
            }
            self.members.visible = self.members.visible.saturating_sub(1);
        }
    }

    /// A request has ended and left its memory.
    pub(super) fn memory_came_free(&mut self) {
        if !self.parked.is_empty() {
            self.members.short = false;
            self.parked.iter_mut().for_each(|members| members.short = false);
        }
    }
}
