//! What a router can find out about the replicas' caches, and the replicas that it sends to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ordered_float::OrderedFloat;

use crate::fleet::Member;
use crate::fleet::prefixes::{Caches, Prompt, Sent};
use crate::ids::ReplicaId;

/// The replicas' caches, for routers that hear of them.
pub(in crate::fleet) struct Known<'k> {
    /// All that was ever sent, where somebody asks what became of it.
    pub sent: Option<&'k mut Sent>,
    /// The caches themselves.
    pub caches: &'k mut dyn Caches,
}

impl Known<'_> {
    /// The most tokens of a prompt that each of these replicas can hold.
    pub(super) fn bounds(&mut self, prompt: &Prompt, of: &[ReplicaId], bounds: &mut Vec<u32>) {
        match &mut self.sent {
            Some(sent) => sent.bounds(prompt, of, bounds),
            None => {
                bounds.clear();
                bounds.resize(of.len(), prompt.tokens.saturating_sub(1));
            }
        }
    }

    /// Tokens of a prompt that a replica holds.
    pub(super) fn held(&mut self, replica: ReplicaId, prompt: &Prompt) -> u32 {
        self.caches.held(replica, prompt)
    }
}

/// The replicas of one router.
#[derive(Debug)]
pub(super) struct Mine {
    /// In the order of their numbers.
    pub ids: Vec<ReplicaId>,
    /// By replica: its place among them.
    places: Vec<u32>,
}

impl Mine {
    pub(super) fn of(members: &[Member]) -> Mine {
        let mut ids: Vec<ReplicaId> = members.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        let numbers = ids.iter().map(|id| id.index() + 1).max().unwrap_or(0);
        let mut places = vec![u32::MAX; numbers];
        for (place, id) in (0..).zip(&ids) {
            places[id.index()] = place;
        }
        Mine { ids, places }
    }

    /// One more than the largest number of a replica.
    pub(super) fn numbers(&self) -> usize {
        self.places.len()
    }

    /// The place of a replica among them, where it is one of them.
    pub(super) fn place(&self, replica: ReplicaId) -> Option<usize> {
        let place = self.places.get(replica.index()).copied()?;
        (place != u32::MAX).then_some(place as usize)
    }
}

/// Asks places what they cost until the cheapest of all, with all that cost as little, were asked. `costs`
/// are as low as they can be where nobody has asked yet.
pub(super) fn ask_the_cheapest(
    costs: &mut [f64],
    asked: &[bool],
    mut ask: impl FnMut(usize) -> f64,
) {
    // Of equals those that were not asked come first.
    let entry = |place: usize, cost: f64, asked| Reverse((OrderedFloat(cost), asked, place));
    let order = asked.iter().enumerate().map(|(place, &asked)| entry(place, costs[place], asked));
    let mut order: BinaryHeap<_> = order.collect();
    while let Some(Reverse((_, false, place))) = order.pop() {
        costs[place] = ask(place);
        order.push(entry(place, costs[place], true));
    }
}

/// How often something that is done again and again was due before a request came.
#[derive(Debug)]
pub(super) struct Every {
    span: crate::time::Span,
    done: u64,
}

impl Every {
    pub(super) fn new(span: crate::time::Span) -> Every {
        Every { span, done: 0 }
    }

    /// Whether it is due by `now`, and was not when this was last asked.
    pub(super) fn is_due(&mut self, now: crate::time::Time) -> bool {
        let Some(due) = now.as_nanos().checked_div(self.span.as_nanos()) else { return false };
        std::mem::replace(&mut self.done, due) < due
    }
}
