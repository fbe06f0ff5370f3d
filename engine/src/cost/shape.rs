//! What a price may depend on: the shape of a batch.

use crate::catalog::{REACHES_MAX, Reach, Reaches};

/// One prefill chunk of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens of this request whose KV is already computed (prefix hits included).
    pub context: u32,
    /// Tokens computed in this iteration, at least 1.
    pub tokens: u32,
}

/// Which sum of KV entries the layers of a model with one reach read: of all tokens, or of those
/// within one of the model's [reaches](crate::catalog::Model::reaches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachSlot(u8);

impl ReachSlot {
    /// All tokens.
    pub const ALL: ReachSlot = ReachSlot(u8::MAX);

    /// That of `reach` in a model with these reaches.
    ///
    /// # Panics
    /// When it is none of them.
    pub fn of(reach: Reach, reaches: &Reaches) -> ReachSlot {
        if reach == Reach::All {
            return ReachSlot::ALL;
        }
        let place = reaches.iter().position(|&known| known == reach);
        ReachSlot(place.expect("the model's reaches are all known") as u8)
    }
}

/// KV entries within each of a model's reaches, in their order; rows beyond them say nothing.
pub type Within = [u64; REACHES_MAX];

/// The decodes of a batch, summed over their requests.
///
/// A request that decodes computes one token, or one and as many as were drafted for it, which the
/// model verifies: a query of several tokens that reads the request's KV once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decodes {
    requests: u32,
    /// At least as many as requests.
    tokens: u32,
    kv_tokens: u64,
    within: Within,
}

impl Decodes {
    /// A batch without decodes.
    pub const NONE: Decodes =
        Decodes { requests: 0, tokens: 0, kv_tokens: 0, within: [0; REACHES_MAX] };

    /// So many requests that decode one token each, and read `kv_tokens` KV entries together, their
    /// new tokens' own included, all of them within every reach.
    #[inline]
    pub const fn one_token_each(requests: u32, kv_tokens: u64) -> Decodes {
        Decodes { requests, tokens: requests, kv_tokens, within: [kv_tokens; REACHES_MAX] }
    }

    /// So many requests that compute `tokens` tokens together, drafts included and each at least one,
    /// and read `kv_tokens` KV entries: those of each request once, all of its new tokens' own
    /// included, whether they will be accepted or not. All of them are within every reach.
    #[inline]
    pub const fn verifying(requests: u32, tokens: u32, kv_tokens: u64) -> Decodes {
        Decodes { tokens, ..Decodes::one_token_each(requests, kv_tokens) }
    }

    /// The same decodes, of whose KV entries these are within the model's reaches.
    #[inline]
    #[must_use]
    pub const fn reading(self, within: Within) -> Decodes {
        Decodes { within, ..self }
    }

    /// One request that decodes its token number `length`, in a model with these reaches.
    pub fn single(length: u64, reaches: &Reaches) -> Decodes {
        let mut decodes = Decodes::one_token_each(1, length);
        for (within, reach) in decodes.within.iter_mut().zip(reaches) {
            *within = reach.of(length);
        }
        decodes
    }

    /// The same decodes `steps` decode steps later, when `growing` of them still read one entry more
    /// at each within each reach. Of requests that decode one token at each.
    #[inline]
    #[must_use]
    pub fn later(self, steps: u32, growing: [u32; REACHES_MAX]) -> Decodes {
        let steps = u64::from(steps);
        let mut within = self.within;
        for (within, growing) in within.iter_mut().zip(growing) {
            *within += u64::from(growing) * steps;
        }
        Decodes { kv_tokens: self.kv_tokens + u64::from(self.requests) * steps, within, ..self }
    }

    /// Requests that decode.
    #[inline]
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// Tokens that they compute, drafts included.
    #[inline]
    pub const fn tokens(self) -> u32 {
        self.tokens
    }

    /// Whether they compute one token each: nothing was drafted.
    #[inline]
    pub const fn is_one_token_each(self) -> bool {
        self.tokens == self.requests
    }

    /// Tokens of the mean request, at least 1: rows of its query.
    #[inline]
    pub fn query_tokens(self) -> f64 {
        if self.is_one_token_each() {
            return 1.0;
        }
        f64::from(self.tokens) / f64::from(self.requests.max(1))
    }

    /// KV entries that they read in layers that look at all tokens, summed over them.
    #[inline]
    pub const fn kv_tokens(self) -> u64 {
        self.kv_tokens
    }

    /// The same within each of the model's reaches.
    #[inline]
    pub const fn within(self) -> Within {
        self.within
    }

    /// KV entries that layers of one reach read.
    #[inline]
    pub fn kv_in(self, slot: ReachSlot) -> u64 {
        self.within.get(usize::from(slot.0)).copied().unwrap_or(self.kv_tokens)
    }
}

/// All that a cost model may know of a batch. Made by [`BatchShape::new`] alone, so that a sum that
/// prices come to depend on is added in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape<'a> {
    chunks: &'a [Chunk],
    decodes: Decodes,
    sampled: u32,
    beside: Option<u64>,
}

impl<'a> BatchShape<'a> {
    /// A batch of these prefill chunks, in batch order, and these decodes. For `sampled` tokens the
    /// output head says what comes next: all of the decodes', drafts included, and the last of each
    /// chunk that completes a prompt.
    #[inline]
    pub const fn new(chunks: &'a [Chunk], decodes: Decodes, sampled: u32) -> BatchShape<'a> {
        BatchShape { chunks, decodes, sampled, beside: None }
    }

    /// These decodes alone.
    #[inline]
    pub const fn of_decodes(decodes: Decodes) -> BatchShape<'static> {
        BatchShape::new(&[], decodes, decodes.tokens)
    }

    /// Decodes alone, one token each, which read `kv_tokens` entries together, all of them within
    /// every reach.
    #[inline]
    pub const fn decodes_alone(requests: u32, kv_tokens: u64) -> BatchShape<'static> {
        BatchShape::new(&[], Decodes::one_token_each(requests, kv_tokens), requests)
    }

    /// The same batch, beside which the other ranks that share its experts compute so many tokens;
    /// `None` where they are taken to compute as many each.
    #[inline]
    #[must_use]
    pub const fn beside(self, tokens: Option<u64>) -> BatchShape<'a> {
        BatchShape { beside: tokens, ..self }
    }

    /// Tokens of the other ranks that share its experts, where they are known.
    #[inline]
    pub const fn tokens_beside(&self) -> Option<u64> {
        self.beside
    }

    /// Tokens that are computed.
    pub fn tokens(&self) -> u64 {
        let chunks: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum();
        chunks + u64::from(self.decodes.tokens())
    }

    /// Prefill chunks in batch order.
    #[inline]
    pub const fn chunks(&self) -> &'a [Chunk] {
        self.chunks
    }

    /// The decodes.
    #[inline]
    pub const fn decodes(&self) -> Decodes {
        self.decodes
    }

    /// Tokens that the output head is computed for: sequences that sample one, and drafts.
    #[inline]
    pub const fn sampled(&self) -> u32 {
        self.sampled
    }

    /// Whether there is nothing to compute.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.decodes.requests == 0 && self.chunks.is_empty()
    }

    /// Sequences in the batch: decodes and chunks.
    #[inline]
    pub const fn sequences(&self) -> u64 {
        self.decodes.requests as u64 + self.chunks.len() as u64
    }
}
