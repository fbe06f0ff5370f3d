//! What a price may depend on: the shape of a batch.

/// One prefill chunk of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Tokens of this request whose KV is already computed (prefix hits included).
    pub context: u32,
    /// Tokens computed in this iteration, at least 1.
    pub tokens: u32,
}

/// The decodes of a batch, summed over their requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decodes {
    requests: u32,
    kv_tokens: u64,
}

impl Decodes {
    /// A batch without decodes.
    pub const NONE: Decodes = Decodes { requests: 0, kv_tokens: 0 };

    /// So many requests that decode one token each, and read `kv_tokens` KV entries together, their
    /// new tokens' own included.
    #[inline]
    pub const fn one_token_each(requests: u32, kv_tokens: u64) -> Decodes {
        Decodes { requests, kv_tokens }
    }

    /// Requests that decode.
    #[inline]
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// Tokens that they compute: one each.
    #[inline]
    pub const fn tokens(self) -> u32 {
        self.requests
    }

    /// KV entries that they read, summed over them.
    #[inline]
    pub const fn kv_tokens(self) -> u64 {
        self.kv_tokens
    }
}

/// All that a cost model may know of a batch. Made by [`BatchShape::new`] alone, so that a sum that
/// prices come to depend on is added in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape<'a> {
    chunks: &'a [Chunk],
    decodes: Decodes,
    sampled: u32,
}

impl<'a> BatchShape<'a> {
    /// A batch of these prefill chunks, in batch order, and these decodes. `sampled` sequences
    /// sample a token: the decodes and the chunks that complete a prompt.
    #[inline]
    pub const fn new(chunks: &'a [Chunk], decodes: Decodes, sampled: u32) -> BatchShape<'a> {
        BatchShape { chunks, decodes, sampled }
    }

    /// Decodes alone, one token each, which read `kv_tokens` entries together.
    #[inline]
    pub const fn decodes_alone(requests: u32, kv_tokens: u64) -> BatchShape<'static> {
        BatchShape::new(&[], Decodes::one_token_each(requests, kv_tokens), requests)
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

    /// Sequences that sample a token.
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
