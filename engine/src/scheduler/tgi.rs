//! Hugging Face TGI v3: prompts join the running batch while its memory, reserved to `max_tokens`,
//! allows; in chunks beside the decodes, or, for models that cannot chunk, whole and alone.
//!
//! Rules read from text-generation-inference db931fc (`backends/v3`: `backend.rs`, `queue.rs`,
//! `radix.rs`, `block_allocator.rs`) and its Python shard. `max_batch_prefill_tokens` is TGI's fallback
//! where it does not know the GPU's compute-optimal value.
//!
//! The prefix cache (`PREFIX_CACHING`, on with flashinfer and flashdecoding): when a request ends the whole
//! blocks of its prompt are kept, those of its answer are not, nor what another had put there meanwhile.
//! A request that is admitted takes what it finds, which counts neither towards the prefill budget nor as
//! new memory; of a prompt that is found whole the last token is computed anew, in place. What nobody uses is
//! evicted when memory is asked for, ends of prompts first, and all of it when even that does not
//! suffice. Blocks are the engine's `kv_block_tokens` (TGI: 1 with flashinfer, 256 with
//! flashdecoding). What was used last is evicted last; TGI counts a look-up as use, here the end of a request
//! does. Where `max_batch_total_tokens` is less than the memory, the rest holds cached blocks too.
//!
//! Not modelled: padded (non-flash) models, `max_concurrent_requests` (the router's refusals),
//! speculation, sliding windows (nor a cache for models that have some), the rounding of the prefill budget
//! to whole KV blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{
    Bounds, Counted, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes,
};
use super::orca::decode_reserved;
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{
    CacheRules, EngineInfo, Handle, Held, Hit, KvGroups, Needs, RequestView, Reuse, Scheduler,
    Step, Stored, Whole,
};

/// Parameters of `tgi`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TgiParams {
    /// Whether prompts are cut and computed beside the decodes (`PREFILL_CHUNKING`, and a model
    /// that supports it). Without it a prefill pauses the running batch.
    pub prefill_chunking: bool,
    /// Without chunking: a prefill must bring at least this many requests for each one running.
    pub waiting_served_ratio: f64,
    /// Without chunking: after this many decode steps any prefill will do.
    pub max_waiting_tokens: u32,
    /// Most tokens of a forward with prefill.
    #[serde(alias = "max_num_batched_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub max_batch_prefill_tokens: u32,
    /// KV memory that requests may reserve, in tokens. Default: all that there is.
    pub max_batch_total_tokens: Option<u32>,
    /// Most requests in a batch; with chunking only of one that starts afresh. Default: no
    /// limit.
    #[serde(alias = "max_num_seqs")]
    pub max_batch_size: Option<u32>,
    /// Whether prompts are kept for others that begin alike (`PREFIX_CACHING`).
    pub prefix_caching: bool,
}

impl Default for TgiParams {
    fn default() -> Self {
        TgiParams {
            prefill_chunking: true,
            waiting_served_ratio: 0.3,
            max_waiting_tokens: 20,
            max_batch_prefill_tokens: 4096,
            max_batch_total_tokens: None,
            max_batch_size: None,
            prefix_caching: true,
        }
    }
}

impl Parameters for TgiParams {
    const SYSTEM: &'static str = "TGI v3 db931fc";
    const SUMMARY: &'static str =
        "prompts join the batch within reserved memory, nobody is preempted";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::PrefixCaching, Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let ratio = self.waiting_served_ratio;
        let budget = self.max_batch_prefill_tokens;
        let total = self.max_batch_total_tokens;
        [
            Problem::when(
                !(ratio >= 0.0 && ratio.is_finite()),
                "waiting_served_ratio",
                "0 or more",
            ),
            Problem::when(budget == 0, "max_batch_prefill_tokens", "at least 1"),
            total.and_then(|total| {
                Problem::below_a_block(total, engine, "max_batch_total_tokens", "")
            }),
            Problem::when(self.max_batch_size == Some(0), "max_batch_size", "at least 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let chunked = draws.flag();
        TgiParams {
            prefill_chunking: chunked,
            waiting_served_ratio: draws.one_of(&[0.0, 0.3, 0.7, 1.5, 1e9]),
            max_waiting_tokens: draws.count(20),
            max_batch_prefill_tokens: draws.budget(chunked),
            max_batch_total_tokens: draws.perhaps(Draws::whole),
            max_batch_size: draws.perhaps(Draws::seats),
            prefix_caching: draws.flag(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let chunking = "`prefill_chunking` is true: a prefill pauses nobody";
        let all = setting.engine.kv_blocks.saturating_mul(setting.engine.kv_block_tokens);
        let more = self.max_batch_total_tokens.filter(|&tokens| tokens >= all).map(|_| Idle {
            parameter: "max_batch_total_tokens",
            why: format!("the KV memory holds {all} tokens"),
        });
        let any = !self.prefill_chunking && self.waiting_served_ratio == 0.0;
        let at_once = !self.prefill_chunking && self.max_waiting_tokens <= 1 && !any;
        let anyway = "`waiting_served_ratio` is 0: any prefill will do";
        let no_wait = "`max_waiting_tokens` is at most 1: any prefill will do";
        [
            Idle::when(self.prefill_chunking, "waiting_served_ratio", chunking),
            Idle::when(self.prefill_chunking, "max_waiting_tokens", chunking),
            Idle::when(any, "max_waiting_tokens", anyway),
            Idle::when(at_once, "waiting_served_ratio", no_wait),
            Idle::when(
                !setting.shares_prefixes,
                "prefix_caching",
                "no two prompts begin with the same KV block",
            ),
            more,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let groups = engine.kv_groups;
        let total = self
            .max_batch_total_tokens
            .map(|tokens| (tokens / engine.kv_block_tokens).saturating_mul(groups.growing()));
        Box::new(Tgi {
            chunking: self.prefill_chunking,
            ratio: self.waiting_served_ratio,
            patience: self.max_waiting_tokens,
            budget: self.max_batch_prefill_tokens,
            blocks: total.unwrap_or(engine.kv_blocks).min(engine.kv_blocks),
            bounded: total.is_some_and(|total| total < engine.kv_blocks),
            size: self.max_batch_size.unwrap_or(u32::MAX),
            max_model_len: engine.max_model_len,
            groups,
            caches: self.prefix_caching,
            prefilled_at: 0,
            joined: false,
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let budget = Limit {
            parameter: "max_batch_prefill_tokens",
            most: Some(self.max_batch_prefill_tokens),
        };
        let chunked = self.prefill_chunking;
        Facts {
            seats: Some(Seats {
                limit: Limit { parameter: "max_batch_size", most: self.max_batch_size },
                // With chunking it holds only for a batch formed from nothing.
                counts: if chunked { Counted::AtFirst } else { Counted::Held },
            }),
            budget: Some(StepBudget::loose(
                budget,
                if chunked { Bounds::Step } else { Bounds::WholePrompts },
            )),
            prefills: if chunked { Prefills::Beside } else { Prefills::First },
            cuts_prompts: chunked,
            takes: Takes::MaxTokens,
            switches: Switch::unless(chunked, Effect::CutsPrompts, "prefill_chunking", true)
                .into_iter()
                .collect(),
            ..Facts::default()
        }
    }
}

struct Tgi {
    chunking: bool,
    ratio: f64,
    patience: u32,
    budget: u32,
    /// KV blocks that requests may reserve.
    blocks: u32,
    /// Whether `max_batch_total_tokens` bounds them, not the memory.
    bounded: bool,
    size: u32,
    max_model_len: u32,
    groups: KvGroups,
    caches: bool,
    /// Decode steps at the last prefill.
    prefilled_at: u32,
    /// Whether the last step was a prefill that joined a running batch: the next is a decode.
    joined: bool,
}

/// The waiting requests that a forward can take, from the queue's head.
struct NextBatch {
    requests: u32,
    /// Why the next in the queue is not among them.
    held: Option<Held>,
}

/// What is left for those who wait.
struct Left {
    seats: u32,
    tokens: u32,
    blocks: u32,
}

/// A waiting request that a forward can take.
struct Next {
    /// Prompt tokens to compute; all that are not found unless it is cut.
    tokens: u32,
    hold: u32,
    blocks: u32,
    hit: Hit,
}

impl Scheduler for Tgi {
    fn needs(&self) -> Needs {
        Needs {
            prompt_tokens_max: (!self.chunking).then_some(self.budget),
            grant: if self.bounded { "max_batch_total_tokens" } else { "" },
            cache: self.caches.then_some(CacheRules {
                keyless_first: true,
                newest_wins: false,
                hash_at_schedule: false,
                keeps_states: false,
            }),
            always_caches: true,
            reuse: Reuse {
                forgets: true,
                stored: Stored::Ended,
                prompts_alone: true,
                once: true,
                whole: Whole::InPlace,
            },
            ..Needs::default()
        }
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        let tokens = self.reserved_tokens(request);
        let blocks = self.groups.blocks_for(tokens.into(), block_tokens);
        if blocks > self.blocks.into() { u32::MAX } else { tokens.div_ceil(block_tokens) }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        if self.chunking {
            self.one_forward(step);
        } else {
            self.prefill_or_decode(step);
        }
    }
}

impl Tgi {
    /// KV entries of a request that runs to its `max_tokens`; the last token needs none.
    fn reserved_tokens(&self, view: &RequestView) -> u32 {
        let end = view.prompt_tokens.saturating_add(view.max_tokens) - 1;
        end.min(self.max_model_len).max(view.prompt_tokens)
    }

    fn one_forward(&self, step: &mut Step<'_>) {
        let running = step.running_len() as u32;
        let size = if running == 0 { self.size } else { u32::MAX };
        decode_reserved(step);
        // What each unfinished prompt is given counts the others as one token each.
        let mut prefill = self.budget.saturating_sub(running.saturating_sub(1));
        let mut current = step.decoding_len();
        for request in step.prefilling().collect::<Vec<_>>() {
            let chunk = step.view(request).prefill_left().min(prefill.max(1));
            let runs = step.run(request, chunk);
            assert!(runs, "its memory is reserved");
            prefill = prefill.saturating_sub(chunk);
            current += chunk;
        }
        self.admit(step, size, self.budget.saturating_sub(current));
        step.repeats(0);
    }

    fn prefill_or_decode(&mut self, step: &mut Step<'_>) {
        let running = step.running_len() as u32;
        if running > 0 && std::mem::take(&mut self.joined) {
            step.hold(Held::Deferred);
            return decode_reserved(step);
        }
        let next = self.next_batch(step, self.size.saturating_sub(running), self.budget);
        let waited = 1 + step.decode_steps() - self.prefilled_at;
        let few = || {
            let least = (f64::from(running) * self.ratio) as usize;
            running > 0 && waited < self.patience && (next.requests as usize) < least
        };
        if next.requests == 0 || few() {
            let settled = next.requests == 0;
            step.hold(next.held.filter(|_| settled).unwrap_or(Held::Deferred));
            decode_reserved(step);
            // A batch that is too small will do when more has been waited.
            if settled {
                step.repeats(0);
            }
            return;
        }
        self.admit(step, next.requests, self.budget);
        if let Some(reason) = next.held {
            step.hold(reason);
        }
        self.prefilled_at = step.decode_steps();
        self.joined = running > 0;
    }

    /// What there is for those who wait.
    fn left(&self, step: &Step<'_>, seats: u32, tokens: u32) -> Left {
        let used = step.total_blocks() - step.free_blocks();
        let blocks = self.blocks.saturating_sub(used).min(step.free_blocks());
        Left { seats, tokens, blocks }
    }

    /// What a waiting request would take of it, or why it has to wait.
    fn next(&self, step: &mut Step<'_>, request: Handle, left: &Left) -> Result<Next, Held> {
        let view = step.view(request);
        let hit = step.lookup(request);
        let hold = self.reserved_tokens(&view);
        let blocks = step.blocks_to_admit(hold, hit);
        let tokens = view.tokens - hit.tokens(step.block_tokens());
        let cut = tokens > left.tokens;
        if left.seats == 0 {
            return Err(Held::NoSeat);
        }
        if blocks > left.blocks {
            let taken = step.free_blocks().saturating_sub(left.blocks);
            return Err(step.short_of(blocks + taken));
        }
        if cut && (!self.chunking || left.tokens == 0) {
            return Err(Held::NoTokenBudget);
        }
        Ok(Next { tokens: tokens.min(left.tokens), hold, blocks, hit })
    }

    /// How many at the head of the queue `seats`, `budget` prompt tokens and memory go round for.
    fn next_batch(&self, step: &mut Step<'_>, seats: u32, budget: u32) -> NextBatch {
        let mut left = self.left(step, seats, budget);
        let mut next = NextBatch { requests: 0, held: None };
        while let Some(request) = step.waiting_at(next.requests as usize) {
            match self.next(step, request, &left) {
                Ok(Next { tokens, blocks, .. }) => {
                    next.requests += 1;
                    left.seats -= 1;
                    left.tokens -= tokens;
                    left.blocks -= blocks;
                }
                Err(reason) => {
                    self.look_for_memory(step, request, reason);
                    next.held = Some(reason);
                    break;
                }
            }
        }
        next
    }

    /// Admits at most `seats` requests, one after the other: what one takes another no longer finds.
    fn admit(&self, step: &mut Step<'_>, seats: u32, budget: u32) {
        let (mut seats, mut budget) = (seats, budget);
        while let Some(request) = step.waiting_at(0) {
            let left = self.left(step, seats, budget);
            match self.next(step, request, &left) {
                Ok(Next { tokens, hold, hit, .. }) => {
                    let admitted = step.admit(request, tokens, hold, hit);
                    assert!(admitted, "its blocks were counted");
                    seats -= 1;
                    budget -= tokens;
                }
                Err(reason) => {
                    self.look_for_memory(step, request, reason);
                    step.hold(reason);
                    break;
                }
            }
        }
    }

    /// In search of memory that is not there all that nobody uses is evicted.
    fn look_for_memory(&self, step: &mut Step<'_>, request: Handle, held: Held) {
        if self.caches && held == Held::NoKvBlocks {
            step.forget_cached(request);
        }
    }
}
