//! The iterations of a replica as a run writes them down: what there was to explain a gap with.

use crate::cost::{BatchShape, Chunk, Decodes, DraftShape};
use crate::ids::{ChunkPlace, IterationNo, LaneId};
use crate::replica::{Held, Reads, decodes};
use crate::request::RequestId;
use crate::time::Time;

/// One iteration of a replica, as a [`Log`](super::Log) tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iteration<'l> {
    /// When the policy formed the batch: the start, or earlier where steps are planned ahead.
    pub decided: Time,
    /// When the batch began.
    pub start: Time,
    /// When its tokens were there.
    pub end: Time,
    /// When the next batch could begin: later than `end` where host work outlasts the GPU's.
    pub free: Time,
    /// Requests that decoded: a token each, or with drafts several.
    pub decodes: u32,
    /// KV entries that the decodes read.
    pub decode_kv_tokens: u64,
    /// What they read within the model's reaches, where it has some.
    pub reads: Option<Reads>,
    /// Tokens that the other ranks which share its experts computed meanwhile, where they stepped
    /// together.
    pub beside: Option<u64>,
    /// What was drafted; nothing where nobody drafts.
    pub drafts: Drafts,
    /// Prefill chunks in batch order.
    pub chunks: &'l [ChunkRecord],
    /// Requests preempted since the batch before was formed, in order.
    pub preempted: &'l [RequestId],
    /// Blocks in use while it ran.
    pub kv_used: u32,
    /// Requests waiting for admission after the batch was formed.
    pub waiting: u32,
    /// Requests that held a seat.
    pub running: u32,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
    /// Who that head was.
    pub head: Option<RequestId>,
    /// For which reasons single requests were left out from here on, where that has changed since the
    /// batch before; `None` where the head's is theirs again.
    pub reasons: &'l [(RequestId, Option<Held>)],
}

impl Iteration<'_> {
    /// Its decodes, as a price depends on them.
    pub fn decoding(&self) -> Decodes {
        let plain = decodes(self.decodes, self.decode_kv_tokens, self.reads);
        match self.drafts.verified {
            0 => plain,
            drafts => {
                let tokens = self.decodes + drafts;
                Decodes::verifying(self.decodes, tokens, self.decode_kv_tokens)
                    .reading(plain.within())
            }
        }
    }

    /// The same decodes without their drafts: a token each.
    pub fn decoding_plainly(&self) -> Decodes {
        let drafts = u64::from(self.drafts.verified);
        let plain = decodes(self.decodes, self.decode_kv_tokens.saturating_sub(drafts), None);
        match self.reads {
            None => plain,
            Some(reads) => plain.reading(reads.within.map(|kv| kv.min(plain.kv_tokens()))),
        }
    }

    /// What its batch drafted behind it, where it did: `chunks` are those of the batch.
    pub fn drafting<'c>(&self, chunks: &'c [Chunk]) -> Option<DraftShape<'c>> {
        if self.drafts.next == 0 || self.decodes == 0 && chunks.is_empty() {
            return None;
        }
        let computed = |chunk: &Chunk| u64::from(chunk.context) + u64::from(chunk.tokens);
        let batch = BatchShape::new(chunks, self.decoding(), self.sampled()).beside(self.beside);
        Some(DraftShape {
            batch,
            requests: self.decodes + chunks.len() as u32,
            tokens: self.drafts.next,
            kv_tokens: self.decode_kv_tokens + chunks.iter().map(computed).sum::<u64>(),
        })
    }

    /// Prompts that were completed.
    pub fn completed(&self) -> u32 {
        self.chunks.iter().filter(|chunk| chunk.samples).count() as u32
    }

    /// Tokens that the model sampled: one for each decode and each prompt that was completed, and
    /// those that drafts were compared with.
    pub fn sampled(&self) -> u32 {
        match self.drafts {
            Drafts::NONE => self.decodes + self.completed(),
            drafts => drafts.sampled,
        }
    }
}

/// What an iteration has to do with drafts (speculative decoding).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drafts {
    /// Drafts that its decodes verified, beyond one token each.
    pub verified: u32,
    /// Those of them that the model accepted.
    pub accepted: u32,
    /// Tokens that were drafted behind it for each request of the batch.
    pub next: u32,
    /// Tokens that it sampled, drafts included.
    pub sampled: u32,
}

impl Drafts {
    /// Nobody drafts.
    pub const NONE: Drafts = Drafts { verified: 0, accepted: 0, next: 0, sampled: 0 };
}

/// A prefill chunk in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Whose prompt.
    pub request: RequestId,
    /// Tokens computed before it.
    pub context: u32,
    /// Tokens of the chunk.
    pub tokens: u32,
    /// KV blocks that the request holds with it.
    pub blocks: u32,
    /// Whether it completes the prompt, so that a token is sampled.
    pub samples: bool,
}

/// Where a prefill chunk stands in the log of the lane that computed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkAt {
    /// The lane: that of its request, or where batches are formed turn by turn any of the replica.
    pub lane: LaneId,
    /// Its iteration.
    pub iteration: IterationNo,
    /// Its place in the batch of that one.
    pub place: ChunkPlace,
}
