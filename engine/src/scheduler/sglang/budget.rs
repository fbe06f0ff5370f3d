//! What one prefill batch of SGLang may take (`PrefillAdder`).

use super::super::{Handle, Held, Step};

/// The most output tokens of a request that the budget counts (`CLIP_MAX_NEW_TOKENS`).
const CLIP_MAX_NEW_TOKENS: u32 = 4096;
/// What a prefill batch may still take, in tokens (`PrefillAdder`).
pub(super) struct Budget {
    pub page: i64,
    pub input: i64,
    pub chunk: Option<i64>,
    /// KV memory, less what running requests are expected to take and new ones may.
    pub total: f64,
    /// KV memory, less what this batch takes.
    pub memory: i64,
}

impl Budget {
    fn ceil_page(&self, tokens: i64) -> i64 {
        (tokens + self.page - 1) / self.page * self.page
    }

    fn charge(&mut self, tokens: u32, max_new: u32) {
        let tokens = self.ceil_page(i64::from(tokens));
        self.total -= tokens as f64 + f64::from(max_new);
        self.memory -= tokens;
        self.input -= tokens;
        if let Some(chunk) = &mut self.chunk {
            *chunk -= tokens;
        }
    }

    /// Why nobody else can join, where that is known already.
    pub(super) fn spent(&self) -> Option<Stop> {
        if self.total <= 0.0 || self.memory <= 0 {
            return Some(Stop::Full(Held::NoKvBlocks));
        }
        let spent = self.input <= 0 || self.chunk.is_some_and(|chunk| chunk <= 0);
        spent.then_some(Stop::Budget)
    }
}

/// Why no more requests join a prefill batch.
pub(super) enum Stop {
    /// Nothing will be admitted until some request has left.
    Full(Held),
    /// This batch has enough tokens.
    Budget,
}

/// Output tokens that the budget counts for a request.
pub(super) fn to_come(max_tokens: u32, generated: u32) -> u32 {
    max_tokens.saturating_sub(generated).min(CLIP_MAX_NEW_TOKENS)
}

/// Schedules the next chunk of a prompt that was cut; says whether it could.
pub(super) fn go_on(step: &mut Step<'_>, request: Handle, budget: &mut Budget) -> bool {
    let view = step.view(request);
    let chunk = budget.chunk.unwrap_or(i64::MAX);
    let within = chunk.min(budget.total as i64);
    let within = if within <= 0 { chunk } else { within };
    // SGLang relies on the memory to be there.
    let room = i64::from(step.room_tokens(request)) - i64::from(view.computed);
    let left = i64::from(view.prefill_left());
    let tokens = left.min(within).min(room);
    if tokens <= 0 {
        return false;
    }
    let runs = step.run(request, tokens as u32);
    assert!(runs, "it fits the free blocks");
    let max_new = if tokens == left { to_come(view.max_tokens, 0) } else { 0 };
    budget.charge(tokens as u32, max_new);
    true
}

/// Admits a request to a prefill batch, cut if need be. `first` says that the batch is empty,
/// `alone` that nobody else runs either.
pub(super) fn admit(
    step: &mut Step<'_>,
    request: Handle,
    budget: &mut Budget,
    first: bool,
    alone: bool,
) -> Result<(), Stop> {
    let view = step.view(request);
    let hit = step.lookup(request);
    let extend = view.tokens - hit.blocks * step.block_tokens();
    let max_new = to_come(view.max_tokens, view.generated());
    let needed = i64::from(extend) + i64::from(max_new) + budget.page;
    // Cached blocks that nobody references count as free until they are taken.
    let locked = i64::from(hit.idle) * budget.page;
    if needed as f64 >= budget.total - locked as f64 && !alone {
        return Err(Stop::Full(Held::NoKvBlocks));
    }
    let pages = budget.ceil_page(i64::from(extend));
    if !first && pages >= budget.input {
        return Err(Stop::Budget);
    }
    let tokens = match budget.chunk {
        Some(chunk) if pages > chunk => (chunk.max(0) / budget.page * budget.page) as u32,
        _ => extend,
    };
    if tokens == 0 {
        return Err(Stop::Budget);
    }
    if !step.admit(request, tokens, 0, hit) {
        return Err(Stop::Full(Held::NoKvBlocks));
    }
    budget.total -= locked as f64;
    budget.memory -= locked;
    budget.charge(tokens, if tokens == extend { to_come(view.max_tokens, 0) } else { 0 });
    Ok(())
}
