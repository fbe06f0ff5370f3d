//! Who of the decode set gives back blocks that lie behind a sliding window.
//!
//! At a decode step a member with `done` tokens gives back, for a window of `w`, the blocks wholly
//! below `done - w + 1`, so that with blocks of `B` tokens its turn comes once in `B` decode steps.
//! Members are listed by that residue, and nobody else is touched. One that has just joined may
//! owe the blocks of a whole chunk.
//!
//! Where steps are planned while the one before runs, what that one computes is not known to be
//! behind anything yet: everybody's turn comes a decode step later.

use crate::ids::SlotId;
use crate::kv::KvGroups;

#[derive(Clone, Debug)]
pub(super) struct Trims {
    block_tokens: u32,
    /// Decode steps by which blocks come back late.
    late: u32,
    kinds: Vec<Kind>,
    /// Who has joined since the last decode step.
    fresh: Vec<SlotId>,
    /// Who joined before it, where blocks come back late.
    joined: Vec<SlotId>,
}

#[derive(Clone, Debug)]
struct Kind {
    window_tokens: u32,
    /// Members by the residue of the decode steps at which they give back a block.
    due: Vec<Vec<SlotId>>,
}

impl Trims {
    pub(super) fn new(groups: &KvGroups, caching: bool, block_tokens: u32, ahead: bool) -> Trims {
        let kind =
            |window_tokens| Kind { window_tokens, due: vec![Vec::new(); block_tokens as usize] };
        let kinds = groups.trimmed(caching).map(|window| kind(window.tokens)).collect();
        let late = u32::from(ahead);
        Trims { block_tokens, late, kinds, fresh: Vec::new(), joined: Vec::new() }
    }

    /// `slot` joins before `decode_step` with `done` tokens computed.
    pub(super) fn join(&mut self, slot: SlotId, decode_step: u32, done: u32) {
        self.fresh.push(slot);
        for kind in &mut self.kinds {
            let residue = kind.residue(decode_step + self.late, done, self.block_tokens);
            kind.due[residue].push(slot);
        }
    }

    /// `slot` leaves before `decode_step` with `done` tokens computed.
    pub(super) fn leave(&mut self, slot: SlotId, decode_step: u32, done: u32) {
        for list in [&mut self.fresh, &mut self.joined] {
            if let Some(place) = list.iter().position(|&s| s == slot) {
                list.swap_remove(place);
            }
        }
        for kind in &mut self.kinds {
            let residue = kind.residue(decode_step + self.late, done, self.block_tokens);
            let list = &mut kind.due[residue];
            let place = list.iter().position(|&s| s == slot).expect("listed under its residue");
            list.swap_remove(place);
        }
    }

    /// Who may give back blocks at `decode_step`; some more than once, in no order.
    pub(super) fn due(&self, decode_step: u32) -> impl Iterator<Item = SlotId> + '_ {
        let residue = (decode_step % self.block_tokens) as usize;
        let listed = self.kinds.iter().flat_map(move |kind| kind.due[residue].iter());
        listed.chain(&self.fresh).chain(&self.joined).copied()
    }

    /// A decode step has gone by.
    pub(super) fn advanced(&mut self) {
        self.joined.clear();
        if self.late > 0 {
            std::mem::swap(&mut self.fresh, &mut self.joined);
        }
        self.fresh.clear();
    }
}

impl Kind {
    /// The decode steps `s` at which `done + (s - decode_step) + 1 - w` is a multiple of `B`.
    fn residue(&self, decode_step: u32, done: u32, block_tokens: u32) -> usize {
        let block = i64::from(block_tokens);
        let step = i64::from(decode_step) - i64::from(done) - 1 + i64::from(self.window_tokens);
        step.rem_euclid(block) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::WindowGroups;

    fn due(trims: &Trims, decode_step: u32) -> Vec<u32> {
        trims.due(decode_step).map(|slot| slot.0).collect()
    }

    #[test]
    fn a_member_is_due_when_a_block_falls_behind_its_window() {
        let windows = [WindowGroups { tokens: 128, count: 1 }];
        let groups = KvGroups::new(1, &windows, 0).expect("sound groups");
        let mut trims = Trims::new(&groups, false, 16, false);
        // 140 tokens at decode step 5: 143 at step 8, when block 0 goes, 159 at step 24.
        trims.join(SlotId(7), 5, 140);
        assert_eq!(due(&trims, 5), [7], "it has just joined");
        trims.advanced();
        let steps: Vec<u32> = (6..40).filter(|&step| !due(&trims, step).is_empty()).collect();
        assert_eq!(steps, [8, 24]);
        trims.leave(SlotId(7), 30, 165);
        assert!((30..60).all(|step| due(&trims, step).is_empty()));
    }
}
