//! The state of one request inside a replica, and what a policy may see of it.

use super::transfers::Remote;
use crate::content::Content;
use crate::ids::{ClassId, LaneOfReplica, SlotId};
use crate::kv::{BlockKey, Chain};
use crate::request::{Request, RequestId};
use crate::time::Time;

/// Names a request inside its replica while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub(crate) SlotId);

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the waiting queue, new or preempted.
    Waiting,
    /// Running, its prompt (or what it lost to a preemption) not yet computed in full.
    Prefill,
    /// Running, a member of the decode set.
    Decode,
    /// Its last token is on the way; it keeps its seat and blocks until that step has ended.
    Ending,
    /// In the waiting queue with blocks that its KV is on the way to.
    Loading,
    /// It has ended and its KV is being fetched.
    Sending,
    /// It has left. Only where requests are counted one by one.
    Gone,
}

/// A request that no lane has admitted yet.
pub(crate) const NO_LANE: LaneOfReplica = LaneOfReplica(u32::MAX);

/// One request of a replica. The true output length is private to the engine.
///
/// In this order in memory: what every step of a request that is counted one by one looks at comes
/// first, in two lines of a cache.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Slot {
    pub request: RequestId,
    pub class: ClassId,
    /// Its number in the whole run: the same wherever it is served.
    pub number: RequestId,
    /// Tokens computed. While it decodes, the decode set knows better.
    pub done: u32,
    /// Output tokens still to be emitted. While it decodes, as it was when it joined the set.
    pub left: u32,
    /// Tokens of batches that are out: of its chunks, or where requests are counted one by one of all
    /// that it computes.
    pub in_flight: u32,
    /// Blocks of its table, of each group's where there are several; those that a window group has
    /// given back count. While it decodes, at least this many.
    pub length: u32,
    /// Tokens scheduled by the step that last scheduled it.
    pub scheduled: u32,
    pub phase: Phase,
    /// What is counted of it where requests are counted one by one.
    pub own: Own,
    /// The step that last scheduled it.
    pub stamp: u64,
    pub prompt: u32,
    pub max_tokens: u32,
    pub arrival: Time,
    pub priority: i32,
    /// Tokens to be computed before it decodes: the prompt, and after a preemption its output too.
    pub target: u32,
    /// Tokens computed when it last took memory: what lay behind a window then has been given back.
    /// While it decodes, at least this many.
    pub trimmed_at: u32,
    /// Tokens computed before its last chunk.
    pub chunk_from: u32,
    /// Tokens whose results are known when its first decode step since it joined the decode set is
    /// planned.
    pub known_at_join: u32,
    /// Blocks at which its computation joins what others have computed, for a state to be kept there;
    /// 0 where there is nothing of the kind.
    pub junction: u32,
    /// Whether the decode set that it last left had advanced while it was a member.
    pub decoded: bool,
    /// Whether it occupies one decode step more after its last token (it ends by EOS, which a step
    /// planned ahead cannot know).
    pub lingers: bool,
    /// How many requests were admitted before it: the order of the running list.
    pub order: u64,
    /// The step that last admitted it.
    pub admitted_stamp: u64,
    pub admitted_once: bool,
    /// Tokens found in the prefix cache when it first took blocks.
    pub first_hit: u32,
    pub recomputing: bool,
    /// The lane that it belongs to, or [`NO_LANE`]; unused where there is one lane.
    pub lane: LaneOfReplica,
    /// What comes from elsewhere for it, or goes there.
    pub remote: Remote,
    pub content: Content,
    /// What its blocks contain, where that is of account.
    pub chain: Option<Chain>,
}

/// What a scheduler counts of a request that is counted by itself, and of its drafts. Names as in
/// vLLM's `Request`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// Tokens known: the prompt, and the answer as far as it was processed.
    pub known: u32,
    /// Output tokens on their way, drafts among them (`num_output_placeholders`).
    pub placeholders: u32,
    /// Drafts that wait to be verified (`spec_token_ids`).
    pub drafts: u32,
    /// Of the tokens in flight, those from before a preemption.
    pub stale: u32,
    /// The schedule call from which on it may sample again.
    pub next_call: u64,
    /// Output tokens of all batches so far, those that are out included.
    pub brought: u32,
    /// How often it has verified drafts.
    pub rounds: u32,
    /// How often it has sampled.
    pub samples: u32,
    /// Computed tokens from which on a further block has its key; at most as many as that takes.
    pub fills_at: u32,
    /// Whether its stale tokens are sampled again.
    pub drops: bool,
    /// Whether its KV was pulled: once in its life.
    pub pulled: bool,
    /// The last batch that it was in, of those that computed something.
    pub last_batch: u64,
}

impl Slot {
    pub(super) fn new(
        request: RequestId,
        r: &Request,
        lingers: bool,
        content: Content,
        chain: Option<Chain>,
    ) -> Slot {
        Slot {
            request,
            number: request,
            arrival: r.arrival,
            prompt: r.prompt_tokens,
            max_tokens: r.max_tokens,
            priority: r.priority,
            class: r.class,
            phase: Phase::Waiting,
            target: r.prompt_tokens,
            done: 0,
            length: 0,
            trimmed_at: 0,
            chunk_from: 0,
            known_at_join: 0,
            junction: 0,
            decoded: false,
            left: r.output_tokens,
            lingers,
            order: 0,
            stamp: 0,
            scheduled: 0,
            admitted_stamp: 0,
            admitted_once: false,
            first_hit: 0,
            recomputing: false,
            lane: NO_LANE,
            in_flight: 0,
            remote: Remote::default(),
            own: Own { known: r.prompt_tokens, ..Own::default() },
            content,
            chain,
        }
    }

    /// What its blocks contain.
    #[inline]
    pub(super) fn chain(&self) -> &Chain {
        self.chain.as_ref().expect("blocks have contents")
    }

    /// The key of full block `index`, whose identity covers `lookahead` tokens after it too.
    pub(super) fn block_key(&self, index: u32, block_tokens: u32, lookahead: u32) -> BlockKey {
        let end = u64::from(index + 1) * u64::from(block_tokens) + u64::from(lookahead);
        self.content.key(index, end)
    }
}

/// What a policy may see of a request. There is no field for its true output length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestView {
    /// The request's number in the whole run, in order of arrival.
    pub id: RequestId,
    /// When it arrived.
    pub arrival: Time,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// The longest answer that the client declared.
    pub max_tokens: u32,
    /// Lower is more urgent.
    pub priority: i32,
    /// Index of its class.
    pub class: ClassId,
    /// Tokens known: the prompt and the output so far.
    pub tokens: u32,
    /// Tokens whose KV is computed (steps that are already planned included).
    pub computed: u32,
    /// Tokens to be computed before it decodes: the prompt, and after a preemption the output that
    /// it had then.
    pub prefill_target: u32,
    /// KV blocks it holds.
    pub blocks: u32,
    /// Tokens that a step can compute of it now, drafts included; 0 while it waits for a token of its
    /// own, or surely ends with one that is on its way.
    pub wanted: u32,
    /// Tokens of it in the batch being formed.
    pub scheduled: u32,
    /// Whether it was admitted in the step being formed.
    pub admitted_now: bool,
}

impl RequestView {
    /// A request that has just arrived.
    pub(crate) fn of_arrival(id: RequestId, request: &Request) -> RequestView {
        RequestView {
            id,
            arrival: request.arrival,
            prompt_tokens: request.prompt_tokens,
            max_tokens: request.max_tokens,
            priority: request.priority,
            class: request.class,
            tokens: request.prompt_tokens,
            computed: 0,
            prefill_target: request.prompt_tokens,
            blocks: 0,
            wanted: request.prompt_tokens,
            scheduled: 0,
            admitted_now: false,
        }
    }

    /// Whether its prefill is unfinished.
    pub fn is_prefilling(&self) -> bool {
        self.computed < self.prefill_target
    }

    /// Prefill tokens not yet computed.
    pub fn prefill_left(&self) -> u32 {
        self.prefill_target.saturating_sub(self.computed)
    }

    /// Output tokens so far.
    pub fn generated(&self) -> u32 {
        self.tokens - self.prompt_tokens
    }
}
