//! The decode set, plainly: every member is visited at every decode step. The specification of
//! [`DecodeSteps`](super::decode steps::Decode steps).

use super::decodes::{Joining, Leaving};
use super::reads::Reads;
use crate::catalog::{Reach, Reaches};
use crate::ids::SlotId;

#[derive(Clone, Debug)]
struct Member {
    joining: Joining,
    done: u32,
    /// Every decode step at which it emitted a token.
    tokens: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plain {
    block_tokens: u32,
    decode_step: u32,
    members: Vec<Member>,
    reaches: Reaches,
}

impl Plain {
    pub(super) fn new(block_tokens: u32, reaches: Reaches) -> Plain {
        Plain { block_tokens, decode_step: 0, members: Vec::new(), reaches }
    }

    pub(super) fn len(&self) -> u32 {
        self.members.len() as u32
    }

    pub(super) fn kv_tokens(&self) -> u64 {
        self.members.iter().map(|member| u64::from(member.done)).sum()
    }

    pub(super) fn reads(&self) -> Option<Reads> {
        if self.reaches.iter().all(|reach| *reach == Reach::All) {
            return None;
        }
        let mut reads = Reads::default();
        for member in &self.members {
            reads.count(&self.reaches, u64::from(member.done) + 1);
        }
        Some(reads)
    }

    pub(super) fn decode_step(&self) -> u32 {
        self.decode_step
    }

    pub(super) fn done(&self, slot: SlotId) -> u32 {
        let member = self.members.iter().find(|member| member.joining.slot == slot);
        member.expect("a member").done
    }

    pub(super) fn growing(&self) -> u32 {
        self.members.iter().filter(|member| self.grows_next(member)).count() as u32
    }

    pub(super) fn growing_slots(&self, into: &mut Vec<SlotId>) {
        into.clear();
        let mut growing: Vec<&Member> =
            self.members.iter().filter(|member| self.grows_next(member)).collect();
        growing.sort_by_key(|member| member.joining.order);
        into.extend(growing.iter().map(|member| member.joining.slot));
    }

    pub(super) fn filling_slots(&self, ahead: u32, into: &mut Vec<SlotId>) {
        into.clear();
        let filled = |member: &&Member| {
            (member.done + 1)
                .checked_sub(ahead)
                .is_some_and(|n| n.is_multiple_of(self.block_tokens))
        };
        let mut filling: Vec<&Member> = self.members.iter().filter(filled).collect();
        filling.sort_by_key(|member| member.joining.order);
        into.extend(filling.iter().map(|member| member.joining.slot));
    }

    pub(super) fn join(&mut self, joining: Joining) {
        let absent = self.members.iter().all(|member| member.joining.slot != joining.slot);
        assert!(absent, "a request joins the decode set once");
        self.members.push(Member { joining, done: joining.done, tokens: Vec::new() });
    }

    pub(super) fn leave(&mut self, slot: SlotId) -> Leaving {
        let place = self.members.iter().position(|member| member.joining.slot == slot);
        let member = self.members.remove(place.expect("only a member leaves"));
        let in_a_row = member.tokens.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(in_a_row, "who misses a decode_step leaves the set for it");
        let emitted = member.tokens.first().map(|&first| (first, member.tokens.len() as u32));
        let left = member.joining.left - member.tokens.len() as u32;
        Leaving { done: member.done, left, emitted }
    }

    pub(super) fn advance(&mut self, ended: &mut Vec<SlotId>) {
        for member in &mut self.members {
            member.done += 1;
            if (member.tokens.len() as u32) < member.joining.left {
                member.tokens.push(self.decode_step);
                if member.tokens.len() as u32 == member.joining.left {
                    ended.push(member.joining.slot);
                }
            }
        }
        self.decode_step += 1;
    }

    pub(super) fn advance_by(&mut self, decode_steps: u32) {
        let mut ended = Vec::new();
        (0..decode_steps).for_each(|_| self.advance(&mut ended));
        assert!(ended.is_empty(), "nobody ends at a quiet decode_step");
    }

    pub(super) fn quiet(&self, most: u32) -> u32 {
        most.min(u32::from(self.none_ends_next()))
    }

    pub(super) fn growing_in(&self, decode_steps: u32) -> u64 {
        assert!(decode_steps <= 1, "one decode_step at a time");
        u64::from(decode_steps) * u64::from(self.growing())
    }

    pub(super) fn none_ends_next(&self) -> bool {
        self.members.iter().all(|member| member.tokens.len() as u32 + 1 != member.joining.left)
    }

    pub(super) fn growing_after(&self, decode_steps: u32) -> u32 {
        assert_eq!(decode_steps, 0, "one decode_step at a time");
        self.growing()
    }

    fn grows_next(&self, member: &Member) -> bool {
        let room = u64::from(member.joining.blocks) * u64::from(self.block_tokens);
        member.joining.grows
            && u64::from(member.done) >= room
            && member.done.is_multiple_of(self.block_tokens)
    }
}
