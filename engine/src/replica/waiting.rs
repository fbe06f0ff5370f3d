//! The waiting queue: first come first served with preempted requests at its front or its back, or
//! by priority.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::SlotId;
use crate::request::RequestId;
use crate::time::Time;

/// In which order requests wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueOrder {
    /// By arrival; a preempted request goes to the front.
    #[default]
    Fcfs,
    /// By arrival; a preempted request goes to the back, behind all who wait (SGLang, FastGen).
    FcfsPreemptedLast,
    /// By arrival; a preempted request keeps its place (TensorRT-LLM).
    Arrival,
    /// By priority (lower first), then arrival; a preempted request keeps its place.
    Priority,
}

/// Key of the priority order.
pub(crate) type Rank = (i32, Time, RequestId);

#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    Fcfs { queue: VecDeque<SlotId>, preempted: Preempted },
    Priority(BTreeMap<Rank, SlotId>),
}

/// Where a preempted request waits again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preempted {
    First,
    Last,
    ByArrival,
}

impl Waiting {
    pub(super) fn new(order: QueueOrder) -> Waiting {
        let fcfs = |preempted| Waiting::Fcfs { queue: VecDeque::new(), preempted };
        match order {
            QueueOrder::Fcfs => fcfs(Preempted::First),
            QueueOrder::FcfsPreemptedLast => fcfs(Preempted::Last),
            QueueOrder::Arrival => fcfs(Preempted::ByArrival),
            QueueOrder::Priority => Waiting::Priority(BTreeMap::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Waiting::Fcfs { queue, .. } => queue.len(),
            Waiting::Priority(queue) => queue.len(),
        }
    }

    pub(super) fn arrive(&mut self, slot: SlotId, rank: Rank) {
        match self {
            Waiting::Fcfs { queue, .. } => queue.push_back(slot),
            Waiting::Priority(queue) => {
                queue.insert(rank, slot);
            }
        }
    }

    /// `earlier` tells of another who waits whether it arrived before this one.
    pub(super) fn return_preempted(
        &mut self,
        slot: SlotId,
        rank: Rank,
        earlier: impl Fn(SlotId) -> bool,
    ) {
        match self {
            Waiting::Fcfs { queue, preempted } => {
                let place = match preempted {
                    Preempted::First => 0,
                    Preempted::Last => queue.len(),
                    Preempted::ByArrival => queue.partition_point(|&other| earlier(other)),
                };
                queue.insert(place, slot);
            }
            Waiting::Priority(queue) => {
                queue.insert(rank, slot);
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<SlotId> {
        match self {
            Waiting::Fcfs { queue, .. } => queue.get(place).copied(),
            Waiting::Priority(queue) => queue.values().nth(place).copied(),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = SlotId> + '_> {
        match self {
            Waiting::Fcfs { queue, .. } => Box::new(queue.iter().copied()),
            Waiting::Priority(queue) => Box::new(queue.values().copied()),
        }
    }

    /// Puts the same requests into another order.
    pub(super) fn reorder(&mut self, order: impl Iterator<Item = SlotId>) {
        match self {
            Waiting::Fcfs { queue, .. } => {
                let before = queue.len();
                queue.clear();
                queue.extend(order);
                assert_eq!(queue.len(), before, "the same requests wait");
            }
            Waiting::Priority(_) => panic!("a queue by priority has its order"),
        }
    }

    /// Takes a request out; the front costs nothing, others a search.
    pub(super) fn remove(&mut self, slot: SlotId, rank: Rank) {
        match self {
            Waiting::Fcfs { queue, .. } => {
                let place = queue.iter().position(|&s| s == slot).expect("it waits");
                queue.remove(place);
            }
            Waiting::Priority(queue) => {
                queue.remove(&rank).expect("it waits");
            }
        }
    }
}
