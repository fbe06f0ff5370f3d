//! What a replica and its policy are built for, and what they must know of each other.

use super::QueueOrder;
use super::drafts::DraftSlots;
use crate::catalog::{REACHES_MAX, Reach, Reaches};
use crate::kv::{CacheRules, KeptBlocks, KvGroups, Reuse};
use crate::speculative::DraftRules;

/// What the engine must know of a policy before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Order of the waiting queue.
    pub queue: QueueOrder,
    /// How it keeps blocks for reuse; `None` where it cannot.
    pub cache: Option<CacheRules>,
    /// Whether it caches even where the scenario does not ask for it.
    pub always_caches: bool,
    /// What it keeps of a request's blocks, and when.
    pub reuse: Reuse,
    /// Whether it keeps KV by rules of its own and has to know what prompts contain
    /// ([`Step::content`](super::Step::content)).
    pub knows_contents: bool,
    /// Blocks of `kv_blocks` that it never hands out (vLLM V1's null block).
    pub null_blocks: u32,
    /// Blocks that an admission must leave free, whatever the request.
    pub watermark_blocks: u32,
    /// The longest prompt that it can ever schedule (whole prompts within a token budget).
    pub prompt_tokens_max: Option<u32>,
    /// The most tokens of a prompt that it computes in a step, where there is a limit.
    pub step_tokens_max: Option<u32>,
    /// A request of more tokens than this is computed in several steps, each of which asks for a free
    /// block, needed or not: where it holds all there are, it preempts itself for ever.
    pub spare_block_over: Option<u32>,
    /// What bounds the memory of one request where the policy reserves `u32::MAX` blocks for it.
    pub grant: &'static str,
    /// Whether it can plan a step while the one before runs.
    pub plans_ahead: bool,
    /// Whether its rules need every request of the replica before them, so that it cannot be one of
    /// several lanes of a pipeline.
    pub one_lane: bool,
    /// Whether it plans by what each request [wants](super::RequestView::wanted) and skips who waits
    /// for a token of its own. It then has one running list for all batches of a pipeline, can plan
    /// drafts, and its slow path counts every request by itself.
    pub by_request: bool,
    /// Whether it lets requests wait whose KV comes from elsewhere, and keeps blocks that are fetched.
    pub transfers: bool,
    /// Whether it schedules drafted tokens ([`EngineInfo::speculative`]).
    pub drafts: bool,
    /// Tokens in a page of the memory that the policy keeps itself, in a form of its own; it tells
    /// how much is free ([`Step::tell_memory`](super::Step::tell_memory)). `None` where the engine's KV
    /// blocks are its memory.
    pub own_pages: Option<u32>,
    /// Whether it orders the queue by priority itself.
    pub priorities: bool,
    /// Whether it looks at deadlines: what is promised and how requests stand with it
    /// ([`Step::standing`](super::Step::standing) and what is beside it), and wants to be told of
    /// arrivals, tokens and ends. Such a policy counts who decodes together
    /// (never [by request](Needs::by_request)), and has one lane.
    pub deadlines: bool,
    /// Whether it predicts how long an iteration takes ([`Step::predict`](super::Step::predict)).
    pub predicts: bool,
    /// Whether it does not foresee that an answer reaches `max_tokens`: planned ahead, every request
    /// occupies one decode step more.
    pub ends_unforeseen: bool,
    /// How its ranks let prompts wait for each other, where they step together.
    pub balance: Option<RankBalance>,
}

/// How data-parallel ranks that step together let prompts wait for each other, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankBalance {
    /// Until all ranks have some, at most.
    pub timeout_iters: u32,
    /// For more, where all ranks have some.
    pub batching_wait_iters: u32,
    /// Most requests of a rank that decode.
    pub seats: u32,
}

/// What a rank has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RankLoad {
    /// Whether a prompt waits or is not done.
    pub has_prompts: bool,
    /// Requests that decode.
    pub decodes: u32,
}

/// What a policy is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Tokens in a KV block.
    pub kv_block_tokens: u32,
    /// The engine's `num_gpu_blocks`.
    pub kv_blocks: u32,
    /// The groups of layers that these blocks hold.
    pub kv_groups: KvGroups,
    /// Longest prompt plus output.
    pub max_model_len: u32,
    /// Whether prefix caching is asked for, or on where nobody says. Without effect where the policy's rules do not
    /// [allow](CacheRules::allow) it for these groups of layers.
    pub prefix_caching: bool,
    /// Whether the GPU has 70 GiB or more and is not an A100: vLLM's larger defaults.
    pub large_gpu: bool,
    /// GiB of memory of the GPU, whole ones; `None` where there is no GPU.
    pub gpu_memory_gib: Option<u32>,
    /// How the engine drafts tokens, where it does. Only for policies whose needs say that they
    /// schedule [drafts](Needs::drafts).
    pub speculative: Option<DraftRules>,
}

/// Which batches of a replica may be out, sent to the workers and not yet processed, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchesOut {
    /// Pipeline stages: schedule calls between two samples of one request.
    pub stages: u32,
    /// Whether a request goes on before its last token is known, so that a batch more is out
    /// (vLLM's asynchronous scheduling).
    pub ahead: bool,
}

impl BatchesOut {
    /// One at a time: each is processed before the next is planned.
    pub const ONE: BatchesOut = BatchesOut { stages: 1, ahead: false };

    /// The most at once (vLLM 0.33.0's `max_concurrent_batches`).
    pub fn most(self) -> u32 {
        self.stages + u32::from(self.ahead)
    }
}

/// Tokens of one request that a step computes at most where nobody says: vLLM's default budget for
/// large GPUs.
const STEP_TOKENS: u32 = 8192;

impl Needs {
    /// Whether KV is kept for reuse on this engine: it is asked for, or always done, and can be
    /// with the groups of the model's layers.
    pub fn caches_on(&self, engine: &EngineInfo) -> bool {
        self.knows_contents && engine.kv_groups.is_one() || self.rules_on(engine).is_some()
    }

    /// What is kept of a turn for the next one on this engine, where anything is.
    pub fn kept_on(&self, engine: &EngineInfo) -> Option<KeptBlocks> {
        let tokens = self.engine(engine).kv_block_tokens;
        self.caches_on(engine).then_some(KeptBlocks { tokens, answers: !self.reuse.prompts_alone })
    }

    /// The rules by which blocks are kept for reuse on this engine, where they are.
    fn rules_on(&self, engine: &EngineInfo) -> Option<CacheRules> {
        let asked = engine.prefix_caching || self.always_caches;
        let allowed = |rules: &CacheRules| {
            rules.allow(&engine.kv_groups) && (self.reuse.is_plain() || engine.kv_groups.is_one())
        };
        self.cache.filter(|rules| asked && allowed(rules))
    }

    /// Whether it can keep KV for reuse.
    pub fn can_cache(&self) -> bool {
        self.cache.is_some() || self.knows_contents
    }

    /// The engine as a policy with these needs has it: in pages of its own where it keeps its memory
    /// itself.
    pub fn engine(&self, engine: &EngineInfo) -> EngineInfo {
        match self.own_pages {
            None => *engine,
            Some(page) => EngineInfo {
                kv_block_tokens: page,
                kv_blocks: engine.pool_tokens() / page,
                kv_groups: KvGroups::ONE,
                ..*engine
            },
        }
    }
}

impl EngineInfo {
    /// The longest request that all KV blocks hold, tokens.
    pub fn kv_tokens(&self) -> u32 {
        self.kv_groups.longest(self.kv_blocks, STEP_TOKENS, self.kv_block_tokens)
    }

    /// Tokens of a pool that holds all layers of each: the blocks of one group of layers, or a share
    /// for each of several.
    pub fn pool_tokens(&self) -> u32 {
        let tokens = u64::from(self.kv_blocks) * u64::from(self.kv_block_tokens);
        let each = tokens / u64::from(self.kv_groups.growing().max(1));
        u32::try_from(each).unwrap_or(u32::MAX)
    }
}

/// What a replica is built from.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaOptions {
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// Blocks that requests can use.
    pub usable_blocks: u32,
    /// The groups of layers that these blocks hold.
    pub groups: KvGroups,
    /// Longest prompt plus output; an answer that reaches it is known to end.
    pub max_model_len: u32,
    /// Order of the waiting queue.
    pub queue: QueueOrder,
    /// Prefix caching, where it is on.
    pub cache: Option<CacheRules>,
    /// What is kept of a request's blocks, and when.
    pub reuse: Reuse,
    /// Which batches are out while one is planned.
    pub out: BatchesOut,
    /// What drafting asks for.
    pub drafts: DraftSlots,
    /// Whether every request is counted by itself: drafts, several stages, and on the slow path of a
    /// policy that [can](Needs::by_request). Otherwise who decodes is counted together.
    pub by_request: bool,
    /// The slow path: every request is visited at every step and no shortcut is offered.
    pub reference: bool,
    /// How far back the model's attention looks where it does not look at all tokens.
    pub reaches: Reaches,
    /// Whether the policy keeps the memory itself.
    pub own_memory: bool,
    /// Whether it needs to know what prompts contain.
    pub contents: bool,
    /// Whether the end of an answer by its length comes as a surprise.
    pub ends_unforeseen: bool,
    /// How ranks that step together let prompts wait for each other.
    pub balance: Option<RankBalance>,
}

impl ReplicaOptions {
    /// Options for a policy with these needs. `reference` asks for the slow path,
    /// `out` says which batches are out while one is planned.
    pub fn of(
        engine: &EngineInfo,
        needs: &Needs,
        out: BatchesOut,
        reference: bool,
    ) -> ReplicaOptions {
        let own_memory = needs.own_pages.is_some();
        let caches = needs.caches_on(engine);
        let cache = needs.rules_on(engine).filter(|_| !own_memory);
        let engine = &needs.engine(engine);
        ReplicaOptions {
            block_tokens: engine.kv_block_tokens,
            usable_blocks: engine.kv_blocks.saturating_sub(needs.null_blocks),
            groups: engine.kv_groups,
            max_model_len: engine.max_model_len,
            queue: needs.queue,
            cache,
            reuse: needs.reuse,
            out,
            drafts: DraftSlots::of(engine),
            by_request: out.stages > 1
                || engine.speculative.is_some()
                || reference && needs.by_request,
            reference,
            reaches: [Reach::All; REACHES_MAX],
            own_memory,
            contents: caches,
            ends_unforeseen: needs.ends_unforeseen,
            balance: needs.balance,
        }
    }

    /// The rules by which contents are kept by runs of blocks, where that is done: each layer looks at
    /// all tokens, of equal blocks the oldest is found, and nothing is asked of single blocks. The slow
    /// path knows every block by number.
    pub(super) fn runs(&self) -> Option<CacheRules> {
        let fits = self.groups.is_one() && self.reuse.is_plain() && !self.reference;
        self.cache.filter(|rules| fits && !rules.newest_wins)
    }
}
