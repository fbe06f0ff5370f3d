//! Hugging Face TGI v3: prompts join the running batch while its memory, reserved to `max_tokens`,
//! allows; in chunks beside the decodes, or, for models that cannot chunk, whole and alone.
//!
//! Rules read from text-generation-inference db931fc (`backends/v3`: `backend.rs`, `queue.rs`) and
//! its Python shard. `max_batch_prefill_tokens` is TGI's fallback where it does not know the GPU's
//! compute-optimal value.
//!
//! Not modelled: padded (non-flash) models, the radix prefix cache, `max_concurrent_requests` (the
//! router's refusals), speculation, sliding windows, the rounding of the prefill budget to whole
//! KV blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{
    Bounds, Counted, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes,
};
use super::orca::decode_reserved;
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{EngineInfo, Handle, Held, Hit, KvGroups, Needs, RequestView, Scheduler, Step};

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
        }
    }
}

impl Parameters for TgiParams {
    const SYSTEM: &'static str = "TGI v3 db931fc";
    const SUMMARY: &'static str =
        "prompts join the batch within reserved memory, nobody is preempted";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::DeclaredLengths];

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
    /// Decode steps at the last prefill.
    prefilled_at: u32,
    /// Whether the last step was a prefill that joined a running batch: the next is a decode.
    joined: bool,
}

/// The waiting requests that a forward can take.
struct NextBatch {
    requests: Vec<Handle>,
    /// Prompt tokens of the last one; all of them unless it was cut.
    last_tokens: u32,
    /// Why the next in the queue is not among them.
    held: Option<Held>,
}

impl Scheduler for Tgi {
    fn needs(&self) -> Needs {
        Needs {
            prompt_tokens_max: (!self.chunking).then_some(self.budget),
            grant: if self.bounded { "max_batch_total_tokens" } else { "" },
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
        let next = self.next_batch(step, size, self.budget.saturating_sub(current));
        self.admit(step, next);
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
            running > 0 && waited < self.patience && next.requests.len() < least
        };
        if next.requests.is_empty() || few() {
            let settled = next.requests.is_empty();
            step.hold(next.held.filter(|_| settled).unwrap_or(Held::Deferred));
            decode_reserved(step);
            // A batch that is too small will do when more has been waited.
            if settled {
                step.repeats(0);
            }
            return;
        }
        self.admit(step, next);
        self.prefilled_at = step.decode_steps();
        self.joined = running > 0;
    }

    /// The head of the queue as far as `size` requests, `budget` prompt tokens and memory go.
    fn next_batch(&self, step: &Step<'_>, size: u32, budget: u32) -> NextBatch {
        let used = step.total_blocks() - step.free_blocks();
        let mut blocks = self.blocks.saturating_sub(used).min(step.free_blocks());
        let mut left = budget;
        let mut next = NextBatch { requests: Vec::new(), last_tokens: 0, held: None };
        for request in step.waiting() {
            let view = step.view(request);
            let needed = step.blocks_for(self.reserved_tokens(&view));
            let cut = view.tokens > left;
            next.held = if next.requests.len() as u64 >= u64::from(size) {
                Some(Held::NoSeat)
            } else if needed > blocks {
                Some(Held::NoKvBlocks)
            } else if cut && (!self.chunking || left == 0) {
                Some(Held::NoTokenBudget)
            } else {
                None
            };
            if next.held.is_some() {
                break;
            }
            next.requests.push(request);
            next.last_tokens = view.tokens.min(left);
            blocks -= needed;
            left -= next.last_tokens;
        }
        next
    }

    fn admit(&self, step: &mut Step<'_>, next: NextBatch) {
        let last = next.requests.len().saturating_sub(1);
        for (i, request) in next.requests.into_iter().enumerate() {
            let view = step.view(request);
            let tokens = if i == last { next.last_tokens } else { view.tokens };
            let hold = self.reserved_tokens(&view);
            let admitted = step.admit(request, tokens, hold, Hit::default());
            assert!(admitted, "its blocks were counted");
        }
        if let Some(reason) = next.held {
            step.hold(reason);
        }
    }
}
