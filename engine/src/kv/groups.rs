//! Several groups of layers in one pool of blocks: full attention, sliding windows, fixed states.
//!
//! A block holds `B` tokens of one group's layers, and a request has a table of blocks in every
//! group. Rules read from vLLM 0.33.0 (`v1/core/single_type_kv_cache_manager.py`,
//! `v1/core/kv_cache_coordinator.py`): a full group keeps all blocks; a window group gives back,
//! before every allocation, blocks that no later token reads; a state group holds one block from
//! admission to the end.

use std::fmt;

/// A state is read by the next token and no other: it is kept as the block of a window of two
/// tokens would be.
pub(super) const STATE_TOKENS: u32 = 2;

/// Kinds of window that one model may have.
pub const WINDOW_KINDS_MAX: usize = 4;

/// Groups of layers with the same sliding window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowGroups {
    /// Tokens that a token reads, itself included.
    pub tokens: u32,
    /// How many such groups.
    pub count: u32,
}

/// The groups of layers whose KV one pool of blocks holds. The default is one group with full
/// attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvGroups {
    full: u32,
    /// Those with a count of 0 stand for nothing.
    windows: [WindowGroups; WINDOW_KINDS_MAX],
    states: u32,
}

impl KvGroups {
    /// One group with full attention.
    pub const ONE: KvGroups = KvGroups {
        full: 1,
        windows: [WindowGroups { tokens: 0, count: 0 }; WINDOW_KINDS_MAX],
        states: 0,
    };

    /// `full` groups with full attention, those of `windows`, and `states` groups with a state of
    /// fixed size. `None` where there are more than [`WINDOW_KINDS_MAX`] kinds of window, a window
    /// of no token, or no group at all.
    pub fn new(full: u32, windows: &[WindowGroups], states: u32) -> Option<KvGroups> {
        let mut groups = KvGroups { full, states, ..KvGroups::ONE };
        let given = windows.iter().filter(|window| window.count > 0);
        for (kind, window) in given.enumerate() {
            *groups.windows.get_mut(kind)? = *window;
        }
        let sound = groups.windows().all(|window| window.tokens > 0);
        (sound && groups.all() > 0).then_some(groups)
    }

    /// Groups with full attention.
    pub fn full(&self) -> u32 {
        self.full
    }

    /// Groups with a sliding window, by kind.
    pub fn windows(&self) -> impl Iterator<Item = WindowGroups> + '_ {
        // Those that stand for nothing are the last.
        self.windows.iter().copied().take_while(|window| window.count > 0)
    }

    /// Groups with a state of fixed size: one block a request and group.
    pub fn states(&self) -> u32 {
        self.states
    }

    /// The same with `scratch` blocks beside each state.
    #[must_use]
    pub(crate) fn with_scratch(self, scratch: u32) -> KvGroups {
        KvGroups { states: self.states * (1 + scratch), ..self }
    }

    /// The windows behind which blocks are given back. With prefix caching states are kept at the
    /// ends of blocks (vLLM's `align` mode), and given back likewise.
    pub(crate) fn trimmed(&self, caching: bool) -> impl Iterator<Item = WindowGroups> + '_ {
        let states = WindowGroups { tokens: STATE_TOKENS, count: self.states };
        self.windows().chain((caching && self.states > 0).then_some(states))
    }

    /// Whether there is one group, with full attention.
    pub fn is_one(&self) -> bool {
        *self == KvGroups::ONE
    }

    /// Whether some group gives blocks back while a request runs.
    pub fn has_windows(&self) -> bool {
        self.windows[0].count > 0
    }

    /// Groups whose tables grow with a request's tokens, by a block each.
    pub fn growing(&self) -> u32 {
        if !self.has_windows() {
            return self.full;
        }
        self.full + self.windows().map(|window| window.count).sum::<u32>()
    }

    /// Groups of every kind.
    pub fn all(&self) -> u32 {
        self.growing() + self.states
    }

    /// Blocks that window groups have given back of a request that last took memory when it had
    /// `computed` tokens: those wholly below `computed - w + 1`. The next token reads `w - 1`
    /// earlier ones.
    pub fn given_back(&self, computed: u32, block_tokens: u32) -> u32 {
        let of = |window: WindowGroups| window.count * below_window(window, computed, block_tokens);
        self.windows().map(of).sum()
    }

    /// Blocks of a request whose tables are `length` blocks long and that last took memory when it
    /// had `computed` tokens.
    pub fn held(&self, length: u32, computed: u32, block_tokens: u32) -> u32 {
        if length == 0 {
            return 0;
        }
        let grown = self.growing().saturating_mul(length);
        (grown - self.given_back(computed, block_tokens)).saturating_add(self.states)
    }

    /// Blocks that a new request takes to have room for `tokens` tokens.
    pub fn blocks_for(&self, tokens: u64, block_tokens: u32) -> u64 {
        let length = tokens.div_ceil(u64::from(block_tokens));
        u64::from(self.growing()) * length + u64::from(self.states)
    }

    /// Tokens that a new request can have room for in `blocks` blocks, all of them kept; `None` for
    /// any number.
    pub fn room_tokens(&self, blocks: u32, block_tokens: u32) -> Option<u32> {
        match blocks.checked_sub(self.states) {
            None => Some(0),
            Some(rest) => Some(rest.checked_div(self.growing())?.saturating_mul(block_tokens)),
        }
    }

    /// The longest request that `blocks` blocks hold where a step computes at most `step_tokens` of
    /// it, tokens; no more than `u32::MAX`.
    pub fn longest(&self, blocks: u32, step_tokens: u32, block_tokens: u32) -> u32 {
        let fits = |tokens: u32| {
            let most = self.most_blocks(tokens.into(), step_tokens.into(), block_tokens);
            most <= u64::from(blocks)
        };
        let (mut low, mut high) = (0, u32::MAX);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// The most blocks that a request of `tokens` tokens holds at once where a step computes at
    /// most `step_tokens` of it; `u64::MAX` for no limit. This is what vLLM's whole-prompt gate
    /// asks for: a window group holds its window and the whole chunk, in `ceil((w - 1 + F) / B) + 1`
    /// blocks at most.
    pub fn most_blocks(&self, tokens: u64, step_tokens: u64, block_tokens: u32) -> u64 {
        self.blocks_beyond(0, tokens, step_tokens, block_tokens)
    }

    /// The same for a request whose first `hit` blocks of every table are there already.
    pub fn blocks_beyond(&self, hit: u32, tokens: u64, step_tokens: u64, block_tokens: u32) -> u64 {
        self.blocks_from(hit, 0, tokens, step_tokens, block_tokens)
    }

    /// The same where `computed` tokens are there already, so that what lies behind their windows is
    /// not taken.
    pub fn blocks_from(
        &self,
        hit: u32,
        computed: u32,
        tokens: u64,
        step_tokens: u64,
        block_tokens: u32,
    ) -> u64 {
        let whole = tokens.div_ceil(u64::from(block_tokens));
        let beyond = |blocks: u64| blocks.saturating_sub(u64::from(hit));
        let without_windows = u64::from(self.full) * beyond(whole) + u64::from(self.states);
        if !self.has_windows() {
            return without_windows;
        }
        let of = |window: WindowGroups| {
            let most = step_tokens.saturating_add(u64::from(window.tokens - 1));
            let most = most.div_ceil(u64::from(block_tokens)).saturating_add(1);
            let behind = u64::from(below_window(window, computed, block_tokens));
            u64::from(window.count) * whole.min(most).saturating_sub(behind.max(hit.into()))
        };
        without_windows + self.windows().map(of).sum::<u64>()
    }
}

impl fmt::Display for KvGroups {
    /// Such as `1 of full attention, 5 with a window of 1024 tokens`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.full > 0 {
            parts.push(format!("{} of full attention", self.full));
        }
        for WindowGroups { tokens, count } in self.windows() {
            parts.push(format!("{count} with a window of {tokens} tokens"));
        }
        if self.states > 0 {
            parts.push(format!("{} of states", self.states));
        }
        f.write_str(&parts.join(", "))
    }
}

impl Default for KvGroups {
    fn default() -> Self {
        KvGroups::ONE
    }
}

/// Whole blocks of a table that the token after `computed` others no longer reads.
pub(super) fn below_window(window: WindowGroups, computed: u32, block_tokens: u32) -> u32 {
    (computed + 1).saturating_sub(window.tokens) / block_tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(tokens: u32, count: u32) -> WindowGroups {
        WindowGroups { tokens, count }
    }

    fn groups(full: u32, windows: &[WindowGroups], states: u32) -> KvGroups {
        KvGroups::new(full, windows, states).expect("sound groups")
    }

    #[test]
    fn one_group_counts_as_blocks_always_did() {
        let one = KvGroups::default();
        assert!(one.is_one() && !one.has_windows());
        assert_eq!(one.blocks_for(33, 16), 3);
        assert_eq!(one.held(3, 33, 16), 3);
        assert_eq!(one.most_blocks(33, 16, 16), 3);
        assert_eq!(groups(1, &[window(128, 0)], 0), one);
    }

    #[test]
    fn a_window_keeps_w_minus_one_tokens_and_the_next() {
        // Window 128, blocks of 16: with 143 tokens computed the next reads tokens 16 to 143, so
        // that block 0 goes; with 142 it reads token 15 too.
        let hybrid = groups(1, &[window(128, 1)], 0);
        assert_eq!(hybrid.given_back(142, 16), 0);
        assert_eq!(hybrid.given_back(143, 16), 1);
        // 144 tokens in 9 blocks: 9 of the full group, 8 of the window's.
        assert_eq!(hybrid.held(9, 143, 16), 17);
        assert_eq!(hybrid.held(10, 144, 16), 19);
    }

    #[test]
    fn a_state_is_one_block_whatever_the_length() {
        let mamba = groups(1, &[], 3);
        assert_eq!(mamba.blocks_for(1, 16), 4);
        assert_eq!(mamba.blocks_for(160, 16), 13);
        assert_eq!(mamba.held(0, 0, 16), 0, "nothing is held before admission");
        assert_eq!(mamba.room_tokens(13, 16), Some(160));
        assert_eq!(mamba.room_tokens(2, 16), Some(0));
        assert_eq!(groups(0, &[], 3).room_tokens(13, 16), None);
    }

    #[test]
    fn the_gate_asks_a_window_for_window_and_chunk() {
        // 1000 tokens are 63 blocks; ceil((127 + 256) / 16) + 1 = 25.
        let hybrid = groups(1, &[window(128, 2)], 1);
        assert_eq!(hybrid.most_blocks(1000, 256, 16), 63 + 2 * 25 + 1);
        assert_eq!(hybrid.most_blocks(100, 256, 16), 7 + 2 * 7 + 1);
        assert_eq!(hybrid.blocks_beyond(10, 1000, 256, 16), 53 + 2 * 15 + 1);
        assert_eq!(hybrid.most_blocks(1000, u64::MAX, 16), 63 * 3 + 1);
    }

    #[test]
    fn the_longest_request_fills_the_blocks() {
        assert_eq!(KvGroups::ONE.longest(100, 8192, 16), 1600);
        // Window 128 and steps of 256 take ceil(383 / 16) + 1 = 25 blocks at most; 75 are left.
        let hybrid = groups(1, &[window(128, 1)], 0);
        assert_eq!(hybrid.longest(100, 256, 16), 75 * 16);
        assert_eq!(groups(0, &[window(128, 1)], 0).longest(25, 256, 16), u32::MAX);
        assert_eq!(hybrid.longest(0, 256, 16), 0);
    }

    #[test]
    fn senseless_groups_are_refused() {
        assert_eq!(KvGroups::new(0, &[], 0), None);
        assert_eq!(KvGroups::new(1, &[window(0, 1)], 0), None);
        let five = [window(64, 1), window(65, 1), window(66, 1), window(67, 1), window(68, 1)];
        assert_eq!(KvGroups::new(1, &five, 0), None);
    }
}
