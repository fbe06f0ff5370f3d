//! Data-parallel ranks whose prompts wait until all of them have some, so that few steps have any: a prompt
//! on one rank is waited for by all others (`attention_dp_config.enable_balance` of TensorRT-LLM,
//! `_balance_adp_requests` in its `py_executor.py`).
//!
//! There a rank has a prompt where its scheduler would give it tokens; here where one waits or is not
//! done.

use crate::replica::{RankBalance, RankLoad};

/// How long the ranks of a group have waited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balance {
    /// Steps since all ranks had prompts, or prompts were let go.
    without: u32,
    /// Steps for which prompts waited for more though all ranks had some.
    for_more: u32,
}

impl Balance {
    /// Whether prompts are left out of the step that begins.
    pub(super) fn waits(&mut self, rules: RankBalance, ranks: &[RankLoad]) -> bool {
        let all_decode = ranks.iter().all(|rank| rank.decodes > 0);
        if ranks.iter().all(|rank| rank.has_prompts && rank.decodes < rules.seats) {
            self.without = 0;
            let waits = all_decode && self.for_more < rules.batching_wait_iters;
            if all_decode {
                self.for_more = if waits { self.for_more + 1 } else { 0 };
            }
            return waits;
        }
        self.without += 1;
        let over = self.without >= rules.timeout_iters || !all_decode;
        if over {
            self.without = 0;
        }
        !over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: RankBalance = RankBalance { timeout_iters: 3, batching_wait_iters: 2, seats: 8 };

    fn rank(has_prompts: bool, decodes: u32) -> RankLoad {
        RankLoad { has_prompts, decodes }
    }

    #[test]
    fn prompts_wait_until_all_ranks_have_some_or_time_is_up() {
        let mut balance = Balance::default();
        let one = [rank(true, 4), rank(false, 4)];
        let waited: Vec<bool> = (0..6).map(|_| balance.waits(RULES, &one)).collect();
        assert_eq!(waited, [true, true, false, true, true, false]);
        // Nobody waits for a rank that has nothing to do meanwhile.
        assert!(!balance.waits(RULES, &[rank(true, 4), rank(false, 0)]));
    }

    #[test]
    fn where_all_have_prompts_they_wait_for_more() {
        let mut balance = Balance::default();
        let all = [rank(true, 4), rank(true, 7)];
        let waited: Vec<bool> = (0..4).map(|_| balance.waits(RULES, &all)).collect();
        assert_eq!(waited, [true, true, false, true]);
        assert!(!balance.waits(RULES, &[rank(true, 0), rank(true, 7)]));
        // A full rank has no seat for its prompt.
        assert!(balance.waits(RULES, &[rank(true, 4), rank(true, 8)]));
    }
}
