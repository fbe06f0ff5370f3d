//! The decode set by decode steps: nothing is touched per member at a decode step.
//!
//! A member that joined at decode step j with `done` tokens has `done + (b - j)` at decode step b,
//! ends at decode step
//! `j + left - 1`, and needs a new block whenever `b` falls into its residue modulo the block
//! size. So a decode step costs one addition, one look at a residue's list and one at a heap's top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::decodes::{Joining, Leaving};
use super::reads::{ReadSums, Reads};
use crate::catalog::Reaches;
use crate::ids::SlotId;

const NO_RESIDUE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Member {
    present: bool,
    joined: u32,
    done: u32,
    left: u32,
    /// Decode step of the first new block, where one will be needed.
    first_growth: u32,
    residue: u32,
    order: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct DecodeSteps {
    block_tokens: u32,
    decode_step: u32,
    /// `decode_step % block_tokens`, kept so that no decode step divides.
    phase: u32,
    len: u32,
    kv_tokens: u64,
    members: Vec<Member>,
    /// Members by the residue of the decode steps at which they need a block.
    growth: Vec<Vec<SlotId>>,
    /// Members in `growth`.
    growing_all: u32,
    /// Members that hold more than a block ahead, by the decode step at which they enter `growth`.
    ahead: BinaryHeap<Reverse<(u32, SlotId)>>,
    /// `(last decode_step, slot)`; entries of members that left meanwhile are skipped.
    endings: BinaryHeap<Reverse<(u32, SlotId)>>,
    /// Nothing for models that look at all tokens.
    reads: Option<ReadSums>,
}

impl DecodeSteps {
    pub(super) fn new(block_tokens: u32, reaches: Reaches) -> DecodeSteps {
        DecodeSteps {
            block_tokens,
            decode_step: 0,
            phase: 0,
            len: 0,
            kv_tokens: 0,
            members: Vec::new(),
            growth: vec![Vec::new(); block_tokens as usize],
            growing_all: 0,
            ahead: BinaryHeap::new(),
            endings: BinaryHeap::new(),
            reads: ReadSums::of(reaches),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn kv_tokens(&self) -> u64 {
        self.kv_tokens
    }

    pub(super) fn reads(&self) -> Option<Reads> {
        self.reads.as_ref().map(ReadSums::next)
    }

    pub(super) fn decode_step(&self) -> u32 {
        self.decode_step
    }

    pub(super) fn done(&self, slot: SlotId) -> u32 {
        let member = &self.members[slot.index()];
        member.done + (self.decode_step - member.joined)
    }

    pub(super) fn growing(&self) -> u32 {
        self.growth[self.phase as usize].len() as u32
    }

    pub(super) fn growing_slots(&self, into: &mut Vec<SlotId>) {
        into.clear();
        into.extend_from_slice(&self.growth[self.phase as usize]);
        into.sort_unstable_by_key(|&slot| self.members[slot.index()].order);
    }

    pub(super) fn filling_slots(&self, ahead: u32, into: &mut Vec<SlotId>) {
        // Who fills a block takes a new one a decode step later.
        let later = 1 + self.block_tokens - ahead % self.block_tokens;
        let phase = (self.phase + later) % self.block_tokens;
        into.clear();
        into.extend_from_slice(&self.growth[phase as usize]);
        into.sort_unstable_by_key(|&slot| self.members[slot.index()].order);
    }

    pub(super) fn join(&mut self, j: Joining) {
        let index = j.slot.index();
        if index >= self.members.len() {
            let absent = Member {
                present: false,
                joined: 0,
                done: 0,
                left: 0,
                first_growth: 0,
                residue: NO_RESIDUE,
                order: 0,
            };
            self.members.resize(index + 1, absent);
        }
        assert!(!self.members[index].present, "a request joins the decode set once");
        let room = u64::from(j.blocks) * u64::from(self.block_tokens);
        let room = room.checked_sub(u64::from(j.done)).expect("computed tokens lie in held blocks");
        let first_growth = self.decode_step + room as u32;
        self.members[index] = Member {
            present: true,
            joined: self.decode_step,
            done: j.done,
            left: j.left,
            first_growth,
            residue: NO_RESIDUE,
            order: j.order,
        };
        if j.grows {
            let enters = first_growth.saturating_sub(self.block_tokens - 1);
            if enters <= self.decode_step {
                self.enter_growth(j.slot);
            } else {
                self.ahead.push(Reverse((enters, j.slot)));
            }
        }
        if j.left > 0 {
            self.endings.push(Reverse((self.decode_step + j.left - 1, j.slot)));
        }
        self.len += 1;
        self.kv_tokens += u64::from(j.done);
        if let Some(reads) = &mut self.reads {
            reads.join(j.slot, self.decode_step, j.done);
        }
    }

    pub(super) fn leave(&mut self, slot: SlotId) -> Leaving {
        let done = self.done(slot);
        let decode_step = self.decode_step;
        let member = &mut self.members[slot.index()];
        assert!(member.present, "only a member leaves");
        member.present = false;
        let emitted = (decode_step - member.joined).min(member.left);
        let leaving = Leaving {
            done,
            left: member.left - emitted,
            emitted: (emitted > 0).then_some((member.joined, emitted)),
        };
        let residue = member.residue;
        if residue != NO_RESIDUE {
            let list = &mut self.growth[residue as usize];
            let place = list.iter().position(|&s| s == slot).expect("listed under its residue");
            list.swap_remove(place);
            self.growing_all -= 1;
        }
        self.len -= 1;
        self.kv_tokens -= u64::from(done);
        if let Some(reads) = &mut self.reads {
            reads.leave(slot, done);
        }
        leaving
    }

    pub(super) fn advance(&mut self, ended: &mut Vec<SlotId>) {
        while let Some(&Reverse((decode_step, slot))) = self.endings.peek() {
            if decode_step > self.decode_step {
                break;
            }
            self.endings.pop();
            // A member that left and came back may have two equal entries; they come in a row.
            if decode_step == self.decode_step
                && self.ends_at(slot, decode_step)
                && ended.last() != Some(&slot)
            {
                ended.push(slot);
            }
        }
        self.advance_by(1);
    }

    /// `decode_steps` decode steps at which no member ends: [`quiet`](Self::quiet) says for how
    /// many that holds.
    pub(super) fn advance_by(&mut self, decode_steps: u32) {
        self.kv_tokens += u64::from(self.len) * u64::from(decode_steps);
        self.decode_step += decode_steps;
        self.phase += decode_steps;
        if self.phase >= self.block_tokens {
            self.phase %= self.block_tokens;
        }
        if let Some(reads) = &mut self.reads {
            reads.advance(decode_steps, self.decode_step);
        }
        while let Some(&Reverse((enters, slot))) = self.ahead.peek() {
            if enters > self.decode_step {
                break;
            }
            self.ahead.pop();
            let member = &self.members[slot.index()];
            // A stale entry of a member that left, perhaps replaced by another in its slot.
            let due = member.first_growth.saturating_sub(self.block_tokens - 1) == enters;
            if member.present && member.residue == NO_RESIDUE && due {
                self.enter_growth(slot);
            }
        }
    }

    /// Decode steps in a row, `most` at most, at which no member ends and known members grow.
    pub(super) fn quiet(&self, most: u32) -> u32 {
        let end = self.endings.peek().map_or(u32::MAX, |&Reverse((decode_step, _))| decode_step);
        let enter = self.ahead.peek().map_or(u32::MAX, |&Reverse((decode_step, _))| decode_step);
        let quiet = most
            .min(end.saturating_sub(self.decode_step))
            .min(enter.saturating_sub(self.decode_step));
        match &self.reads {
            None => quiet,
            Some(reads) => reads.quiet(quiet, self.decode_step),
        }
    }

    /// Blocks that `decode_steps` decode steps in a row need; for at most as many as are
    /// [`quiet`](Self::quiet).
    pub(super) fn growing_in(&self, decode_steps: u32) -> u64 {
        let cycles = decode_steps / self.block_tokens;
        let mut blocks = u64::from(cycles) * u64::from(self.growing_all);
        let mut phase = self.phase as usize;
        for _ in 0..decode_steps % self.block_tokens {
            blocks += self.growth[phase].len() as u64;
            phase = if phase + 1 == self.growth.len() { 0 } else { phase + 1 };
        }
        blocks
    }

    /// Members that need a block at the decode step after `decode_steps` more.
    pub(super) fn growing_after(&self, decode_steps: u32) -> u32 {
        let phase = (self.phase + decode_steps) % self.block_tokens;
        self.growth[phase as usize].len() as u32
    }

    fn ends_at(&self, slot: SlotId, decode_step: u32) -> bool {
        let member = &self.members[slot.index()];
        member.present && member.left > 0 && member.joined + member.left - 1 == decode_step
    }

    fn enter_growth(&mut self, slot: SlotId) {
        let residue = self.members[slot.index()].first_growth % self.block_tokens;
        self.members[slot.index()].residue = residue;
        self.growth[residue as usize].push(slot);
        self.growing_all += 1;
    }
}
