//! Whether a replica can ever serve a request. The engine asks, not the policy: it knows the true
//! output, and a real engine would hang on such a request.

use super::Rejection;
use crate::request::{Request, RequestId};
use crate::scheduler::{EngineInfo, Needs, RequestView, Scheduler};

/// What a replica can hold at most.
pub(super) struct Capacity {
    pub info: EngineInfo,
    pub needs: Needs,
    pub usable_blocks: u32,
    /// Batches that may be out at once.
    pub batches: u32,
}

impl Capacity {
    /// Why the replica could never serve a request, where that is so.
    pub(super) fn rejects(
        &self,
        id: RequestId,
        request: &Request,
        policy: &dyn Scheduler,
    ) -> Option<Rejection> {
        let Capacity { info, needs, usable_blocks, batches } = self;
        let block_tokens = info.kv_block_tokens;
        if request.prompt_tokens >= info.max_model_len {
            return Some(Rejection::PromptTooLong);
        }
        if policy.longest_answer(request.prompt_tokens, request.max_tokens) == 0 {
            return Some(Rejection::NeverFits);
        }
        if needs.prompt_tokens_max.is_some_and(|most| request.prompt_tokens > most) {
            return Some(Rejection::PromptOverBudget);
        }
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens) - 1;
        // Drafts are computed beyond the answer's end, and room is made for those after them.
        let drafts = info.speculative.filter(|_| needs.drafts);
        let beyond = drafts.map_or(0, |rules| rules.tokens + rules.lookahead_slots());
        let tokens = tokens + u64::from(beyond);
        let tokens = tokens.min(u64::from(info.max_model_len));
        // States have scratch blocks beside them for drafts.
        let scratch = drafts.map_or(0, |rules| info.kv_groups.states() * rules.tokens);
        // What may be in flight at once is counted as if one request had it all.
        let step_tokens = |tokens: u32| u64::from(tokens) * u64::from(*batches);
        let step_tokens = needs.step_tokens_max.map_or(u64::MAX, step_tokens);
        let groups = &info.kv_groups;
        // Of states kept for others to go on from, those that the steps in flight went on from too.
        let kept = info.prefix_caching && needs.cache.is_some_and(|rules| rules.keeps_states);
        let kept = match (kept, needs.plans_ahead) {
            (false, _) => 0,
            (true, ahead) => u64::from(groups.states()) * (1 + u64::from(ahead)),
        };
        let kept = kept + u64::from(scratch);
        let blocks = |tokens: u64| groups.most_blocks(tokens, step_tokens, block_tokens) + kept;
        // Before its last token, and at least with its prompt alone.
        let held = blocks(tokens.saturating_sub(1).max(u64::from(request.prompt_tokens)));
        let in_steps = needs.spare_block_over.is_some_and(|most| tokens > u64::from(most));
        let grow = u64::from(groups.growing()) + kept;
        let spare = !in_steps || held + grow <= u64::from(*usable_blocks);
        let view = RequestView::of_arrival(id, request);
        let reserved = policy.reserves(&view, block_tokens);
        let (needed, usable) = (blocks(tokens), u64::from(*usable_blocks));
        if needed > usable || !spare {
            return Some(Rejection::NeverFits);
        }
        if needed > usable.saturating_sub(u64::from(needs.watermark_blocks)) {
            return Some(Rejection::OverLimit("the watermark"));
        }
        match reserved {
            u32::MAX if !needs.grant.is_empty() => Some(Rejection::OverLimit(needs.grant)),
            0 => None,
            reserved => {
                let tokens = u64::from(reserved) * u64::from(block_tokens);
                let reserved = groups.blocks_for(tokens, block_tokens);
                (reserved > usable).then_some(Rejection::NeverFits)
            }
        }
    }
}
