//! Where a prompt is cut so that the states of recurrent layers can be found again.
//!
//! A state stands for all tokens before it and is written at the end of a chunk. With prefix
//! caching it is kept where that is the end of a block too, so chunks end there: at the last such
//! place of the prompt, where others went on from the same tokens, and wherever the budget cuts.
//! Rules read from vLLM 0.33.0 (`v1/core/sched/scheduler.py`, Mamba's `align` mode).

use super::Replica;
use super::slot::Phase;
use crate::ids::SlotId;
use crate::kv::Hit;

impl Replica {
    /// How much of a chunk of `tokens` tokens is computed now; 0 where the request has to wait.
    pub(super) fn chunk_with_state(
        &self,
        index: SlotId,
        tokens: u32,
        step_tokens: u32,
        hit: Hit,
    ) -> u32 {
        let slot = &self.slots[index.index()];
        let block_tokens = self.options.block_tokens;
        let (start, junction) = match slot.phase {
            // Its KV has come from elsewhere.
            Phase::Waiting if slot.done > 0 => (slot.done, slot.junction),
            Phase::Waiting => (hit.blocks * block_tokens, hit.junction),
            Phase::Prefill => (slot.done, slot.junction),
            // One token is never cut.
            _ => return tokens,
        };
        let known = slot.target;
        cut(start, tokens, step_tokens, slot.prompt.max(known - 1), known, junction, block_tokens)
    }
}

/// Tokens of a chunk that begins at `start`. One that reaches `ends` is not cut for the budget's
/// sake.
fn cut(
    start: u32,
    tokens: u32,
    step_tokens: u32,
    ends: u32,
    known: u32,
    junction: u32,
    block_tokens: u32,
) -> u32 {
    if start >= ends {
        return tokens;
    }
    let down = |place: u32| place / block_tokens * block_tokens;
    let mut end = start + tokens;
    // A block wider than a step is entered, as otherwise nobody would get anywhere.
    if end < ends && (down(end) > start || block_tokens <= step_tokens) {
        end = down(end);
    }
    let next = if start.is_multiple_of(block_tokens) { 0 } else { down(start) + block_tokens };
    let last = down(known - 1);
    let stops = [next, last, junction * block_tokens];
    let stop = stops.into_iter().filter(|&stop| start < stop && stop < end).min();
    stop.unwrap_or(end).saturating_sub(start)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_prompt_stops_at_its_last_whole_block() {
        // 300 tokens in blocks of 64: 256, then 44.
        assert_eq!(cut(0, 300, 512, 300, 300, 0, 64), 256);
        assert_eq!(cut(256, 44, 512, 300, 300, 0, 64), 44);
        // Of 256 tokens the last is computed anew: the last place to go on from is 192.
        assert_eq!(cut(0, 256, 512, 256, 256, 0, 64), 192);
    }

    #[test]
    fn a_budget_cuts_at_the_end_of_a_block() {
        assert_eq!(cut(0, 200, 512, 1000, 1000, 0, 64), 192);
        assert_eq!(cut(192, 60, 512, 1000, 1000, 0, 64), 0, "it waits for a whole block");
        // A block of 512 in a step of 300: on to the block's end in two steps.
        assert_eq!(cut(0, 300, 300, 2000, 2000, 0, 512), 300);
        assert_eq!(cut(300, 300, 300, 2000, 2000, 0, 512), 212);
    }

    #[test]
    fn a_junction_is_a_stop() {
        assert_eq!(cut(64, 400, 512, 1000, 1000, 3, 64), 128);
        assert_eq!(cut(192, 400, 512, 1000, 1000, 3, 64), 384);
    }
}
