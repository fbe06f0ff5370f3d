//! Deadlines of all that decode together and have the same `D_d`: nobody is visited at a decode step.
//!
//! A token that is on time moves its request's deadline on by `D_d`, so what is kept is the deadline
//! less the steps so far times `D_d`, which does not change: a heap has the smallest on top. A step
//! that comes later than that takes its request off the heap, counts what it missed, and puts it back;
//! all that were late in the same step have the same deadline from then on, so they become one group for
//! as long as they decode. Groups are trees: what a group missed since is on the way from its member
//! to the root.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::SlotId;
use crate::time::{Span, Time};

/// What a request has seen since it joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub next_deadline: Time,
    pub tokens: u32,
    pub late: u32,
    pub missed: u64,
}

/// Requests that missed together, within another group of them or a root.
#[derive(Clone, Copy, Debug)]
struct Group {
    parent: Option<u32>,
    /// Of a root: the next deadline less `steps * D_d`.
    key: i128,
    /// Members, of a root.
    size: u32,
    /// Late tokens, those of its parent left out.
    late: i64,
    missed: i64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    group: u32,
    joined: u64,
    /// What its group had missed when it joined.
    late: i64,
    missed: i64,
}

/// Those of one lane and one `D_d` that decode.
#[derive(Clone, Debug)]
pub(super) struct Beats {
    tbt: i128,
    steps: u64,
    last: Time,
    /// By slot.
    members: Vec<Option<Member>>,
    here: u32,
    groups: Vec<Group>,
    /// Roots by key. The top has members.
    heap: BinaryHeap<Reverse<(i128, u32)>>,
}

impl Beats {
    pub(super) fn new(tbt: Span) -> Beats {
        Beats {
            tbt: i128::from(tbt.as_nanos()),
            steps: 0,
            last: Time::NEVER,
            members: Vec::new(),
            here: 0,
            groups: Vec::new(),
            heap: BinaryHeap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// When the last step's tokens came.
    pub(super) fn last(&self) -> Time {
        self.last
    }

    pub(super) fn join(&mut self, slot: SlotId, next_deadline: Time) {
        if self.groups.len() > 64 + 2 * self.here as usize {
            self.compact();
        }
        if self.members.len() <= slot.index() {
            self.members.resize(slot.index() + 1, None);
        }
        let key = i128::from(next_deadline.as_nanos()) - self.moved();
        let group = self.root_of(key);
        let member = Member { group, joined: self.steps, late: 0, missed: 0 };
        let before = self.members[slot.index()].replace(member);
        assert!(before.is_none(), "a request joins once");
        self.groups[group as usize].size = 1;
        self.here += 1;
    }

    /// What a request takes along; `None` where it is not here.
    pub(super) fn leave(&mut self, slot: SlotId) -> Option<Since> {
        let since = self.of(slot)?;
        let member = self.members[slot.index()].take()?;
        let root = self.root(member.group).0;
        self.groups[root as usize].size -= 1;
        self.here -= 1;
        if self.here == 0 {
            self.groups.clear();
            self.heap.clear();
        }
        self.settle();
        Some(since)
    }

    /// All of them get a token.
    #[inline]
    pub(super) fn step(&mut self, at: Time) {
        self.last = at;
        let now = i128::from(at.as_nanos()) - self.moved();
        self.steps += 1;
        if self.heap.peek().is_some_and(|&Reverse((key, _))| key < now) {
            self.count_late(now);
        }
    }

    /// Counts what those have missed whose deadlines were before `now`, both less what all have moved.
    #[cold]
    fn count_late(&mut self, now: i128) {
        let mut late: Option<u32> = None;
        while let Some(&Reverse((key, group))) = self.heap.peek() {
            if key >= now {
                break;
            }
            self.heap.pop();
            let one = &mut self.groups[group as usize];
            if one.size == 0 {
                continue;
            }
            one.late += 1;
            one.missed += i64::try_from(1 + (now - key) / self.tbt).unwrap_or(i64::MAX / 2);
            late = Some(late.map_or(group, |other| self.together(other, group)));
        }
        if let Some(late) = late {
            // The next deadline is `D_d` after the token, and all have moved by as much since.
            self.groups[late as usize].key = now;
            self.heap.push(Reverse((now, late)));
        }
        self.settle();
    }

    /// How a member stands.
    pub(super) fn of(&self, slot: SlotId) -> Option<Since> {
        let member = self.members.get(slot.index()).copied().flatten()?;
        let (root, late, missed) = self.root(member.group);
        Some(Since {
            next_deadline: self.due(self.groups[root as usize].key),
            tokens: (self.steps - member.joined) as u32,
            late: (late - member.late) as u32,
            missed: (missed - member.missed) as u64,
        })
    }

    /// The first deadline.
    pub(super) fn least(&self) -> Option<Time> {
        self.heap.peek().map(|&Reverse((key, _))| self.due(key))
    }

    /// All deadlines, one for all that have the same since they missed together.
    pub(super) fn each(&self) -> impl Iterator<Item = Time> + '_ {
        let here =
            |&&Reverse((_, group)): &&Reverse<(i128, u32)>| self.groups[group as usize].size > 0;
        self.heap.iter().filter(here).map(|&Reverse((key, _))| self.due(key))
    }

    fn moved(&self) -> i128 {
        i128::from(self.steps) * self.tbt
    }

    fn due(&self, key: i128) -> Time {
        let due = key + self.moved();
        Time::from_nanos(u64::try_from(due).unwrap_or(u64::MAX))
    }

    /// A new root.
    fn root_of(&mut self, key: i128) -> u32 {
        let group = self.groups.len() as u32;
        self.groups.push(Group { parent: None, key, size: 0, late: 0, missed: 0 });
        self.heap.push(Reverse((key, group)));
        group
    }

    /// The root of a group, and what was missed on the way to it.
    fn root(&self, mut group: u32) -> (u32, i64, i64) {
        let (mut late, mut missed) = (0, 0);
        loop {
            let here = &self.groups[group as usize];
            late += here.late;
            missed += here.missed;
            match here.parent {
                Some(parent) => group = parent,
                None => return (group, late, missed),
            }
        }
    }

    /// Makes one root of two, the smaller one below the larger.
    fn together(&mut self, one: u32, other: u32) -> u32 {
        let size = |group: u32| self.groups[group as usize].size;
        let (above, below) = if size(one) >= size(other) { (one, other) } else { (other, one) };
        let root = self.groups[above as usize];
        let child = &mut self.groups[below as usize];
        child.parent = Some(above);
        child.late -= root.late;
        child.missed -= root.missed;
        let more = child.size;
        self.groups[above as usize].size += more;
        above
    }

    /// Takes roots without members off the top.
    fn settle(&mut self) {
        while let Some(&Reverse((_, group))) = self.heap.peek() {
            if self.groups[group as usize].size > 0 {
                break;
            }
            self.heap.pop();
        }
    }

    /// Forgets groups without members.
    fn compact(&mut self) {
        let mut new: Vec<Option<u32>> = vec![None; self.groups.len()];
        let mut groups: Vec<Group> = Vec::new();
        for place in 0..self.members.len() {
            let Some(member) = self.members[place] else { continue };
            let (root, late, missed) = self.root(member.group);
            let group = *new[root as usize].get_or_insert_with(|| {
                groups.push(Group {
                    parent: None,
                    key: self.groups[root as usize].key,
                    size: 0,
                    late: 0,
                    missed: 0,
                });
                groups.len() as u32 - 1
            });
            groups[group as usize].size += 1;
            // Its own count goes on from where it is.
            let (late, missed) = (member.late - late, member.missed - missed);
            self.members[place] = Some(Member { group, joined: member.joined, late, missed });
        }
        self.groups = groups;
        let keyed = self.groups.iter().zip(0..).map(|(group, place)| Reverse((group.key, place)));
        self.heap = keyed.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    /// One request, by the definition of the fluidity-index.
    #[derive(Clone, Copy, Debug)]
    struct Plain {
        slot: SlotId,
        due: u64,
        tokens: u32,
        late: u32,
        missed: u64,
    }

    impl Plain {
        fn token(&mut self, at: u64, tbt: u64) {
            self.tokens += 1;
            if at <= self.due {
                self.due += tbt;
            } else {
                self.late += 1;
                self.missed += 1 + (at - self.due) / tbt;
                self.due = at + tbt;
            }
        }
    }

    #[test]
    fn it_is_the_definition_request_by_request() {
        for seed in 0..40 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let tbt = rng.random_range(1..30_u64);
            let mut beats = Beats::new(Span::from_nanos(tbt));
            let mut plain: Vec<Plain> = Vec::new();
            let mut now = 0;
            for _ in 0..2_000 {
                match rng.random_range(0..10) {
                    0 if plain.len() < 40 => {
                        let taken = |s: &u32| plain.iter().all(|p| p.slot != SlotId(*s));
                        let slot = SlotId((0..).find(taken).expect("one is free"));
                        let due = now + rng.random_range(0..100);
                        plain.push(Plain { slot, due, tokens: 0, late: 0, missed: 0 });
                        beats.join(slot, Time::from_nanos(due));
                    }
                    1 if !plain.is_empty() => {
                        let gone = plain.swap_remove(rng.random_range(0..plain.len()));
                        let since = beats.leave(gone.slot).expect("it is here");
                        assert_eq!(since, seen(&gone));
                        assert_eq!(beats.leave(gone.slot), None);
                    }
                    _ => {
                        now += rng.random_range(1..2 * tbt + 3);
                        beats.step(Time::from_nanos(now));
                        plain.iter_mut().for_each(|one| one.token(now, tbt));
                    }
                }
                for one in &plain {
                    assert_eq!(beats.of(one.slot), Some(seen(one)), "seed {seed}");
                }
                let least = plain.iter().map(|one| one.due).min();
                assert_eq!(beats.least().map(Time::as_nanos), least, "seed {seed}");
                let mut each: Vec<u64> = beats.each().map(Time::as_nanos).collect();
                let mut due: Vec<u64> = plain.iter().map(|one| one.due).collect();
                for all in [&mut each, &mut due] {
                    all.sort_unstable();
                    all.dedup();
                }
                assert_eq!(each, due);
                assert!(beats.groups.len() <= 65 + 2 * 40 + 1, "groups are forgotten");
            }
        }
    }

    fn seen(one: &Plain) -> Since {
        let next_deadline = Time::from_nanos(one.due);
        let &Plain { tokens, late, missed, .. } = one;
        Since { next_deadline, tokens, late, missed }
    }

    #[test]
    fn those_that_miss_together_are_one_group_from_then_on() {
        let mut beats = Beats::new(Span::from_nanos(10));
        for slot in 0..50 {
            beats.join(SlotId(slot), Time::from_nanos(u64::from(slot)));
        }
        beats.step(Time::from_nanos(100));
        assert_eq!(beats.heap.len(), 1);
        // 100 - 7 is nine whole D_d late, and one for the token itself.
        let seven = beats.of(SlotId(7)).unwrap();
        assert_eq!((seven.late, seven.missed, seven.next_deadline.as_nanos()), (1, 10, 110));
    }
}
