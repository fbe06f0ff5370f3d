//! What limited a run: changes start from there, so that none of them is without effect.

use crate::sim::Outcome;
use crate::trace::Iteration;

/// The most that any lane had at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound {
    /// Requests with a seat.
    pub running: u32,
    /// Tokens of a step, decodes and chunks together.
    pub step_tokens: u32,
    /// Tokens of the prompts in a step.
    pub prefill_tokens: u32,
    /// The longest chunk of one prompt.
    pub chunk: u32,
    /// KV blocks in use on a replica, and those there are.
    pub blocks: (u32, u32),
    /// Tokens of an average request, prompt and answer.
    pub request_tokens: u32,
    /// Tokens of the longest request.
    pub longest_request: u32,
}

impl Bound {
    /// Of a run whose log was kept; without one nothing is known of its steps.
    pub(super) fn of(outcome: &Outcome) -> Bound {
        let mut bound =
            Bound { blocks: (outcome.kv.peak_used, outcome.kv.blocks), ..Bound::default() };
        for log in outcome.log.iter().flatten() {
            // A stretch repeats its first iteration.
            for (first, ..) in log.stretches() {
                bound.add(&first);
            }
        }
        let tokens = outcome.trace.requests.iter().filter(|row| row.tokens > 0);
        let (mut sum, mut count) = (0_u64, 0_u64);
        for row in tokens {
            let both = row.prompt_tokens.saturating_add(row.tokens);
            bound.longest_request = bound.longest_request.max(both);
            sum += u64::from(both);
            count += 1;
        }
        bound.request_tokens = sum.checked_div(count).unwrap_or(0) as u32;
        bound
    }

    fn add(&mut self, iteration: &Iteration<'_>) {
        let prefill = iteration.chunks.iter().fold(0_u32, |sum, c| sum.saturating_add(c.tokens));
        let longest = iteration.chunks.iter().map(|chunk| chunk.tokens).max().unwrap_or(0);
        self.running = self.running.max(iteration.running);
        self.prefill_tokens = self.prefill_tokens.max(prefill);
        let decoded = iteration.decoding().tokens();
        self.step_tokens = self.step_tokens.max(prefill.saturating_add(decoded));
        self.chunk = self.chunk.max(longest);
    }

    /// Whether memory was ever nearly full: or so that the longest request found no room in it.
    pub(super) fn memory_was_full(&self, block_tokens: u32) -> bool {
        let (used, all) = self.blocks;
        let longest = self.longest_request.div_ceil(block_tokens.max(1));
        u64::from(used) * 20 >= u64::from(all) * 19 || all.saturating_sub(used) < longest
    }
}
