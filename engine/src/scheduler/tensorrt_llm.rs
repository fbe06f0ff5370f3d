//! TensorRT-LLM's in-flight batching: a capacity scheduler says which requests fit the KV memory, a
//! micro-batch scheduler which of them get tokens in this step.
//!
//! Rules read from TensorRT-LLM 02a10fe (`capacityScheduler.cpp`) and 0a949d3
//! (`microBatchScheduler.cpp`). Chunks are cut to multiples of a KV block. A request that was
//! paused and has grown beyond `max_num_tokens` is dropped where prompts cannot be cut.
//!
//! Reuse of KV blocks (`kv_cache_config.enable_block_reuse`), from `kvCacheManager.cpp` and
//! `capacityScheduler.cpp`: the whole blocks of a prompt but for its last token can be found when all of it
//! is computed, those of its answer when the request ends or is paused; of each content one block is
//! kept. What is found is not computed, does not count towards `max_num_tokens`, and is not
//! reserved where another request holds it. The last block of a prompt that is found whole is copied but for the
//! last token (`enable_partial_reuse`). Of requests that would compute the same new block only the first is
//! scheduled; the others wait until they can find it, and those behind them do not. Blocks that nobody uses are
//! evicted in the order in which they came free, ends first.
//!
//! Prompts that wait for others (`batch_wait_timeout_iters`, `batch_wait_max_tokens_ratio`) as in `py_executor.py`
//! (`_waiting_requests`): no step that only decodes has them until there are enough tokens, or time is up.
//!
//! Data-parallel ranks whose prompts wait for each other (`attention_dp_config`) as in `_balance_adp_requests`.
//!
//! Not modelled: other partly equal blocks; an evicted block's successors, which can be found here once it
//! is computed anew; retention priorities; the host's cache; reuse with windows or states; overlap
//! scheduling, beams, draft tokens, disaggregation, priorities, `PREFILL_FIRST`.

mod chunks;
mod coming;
mod policy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{EngineInfo, RankBalance, Scheduler};
use policy::{BatchWait, TensorRtLlm};

/// Parameters of `tensorrt-llm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TensorRtLlmParams {
    /// When a request is admitted, and whether a running one can be paused.
    pub capacity_scheduler_policy: CapacitySchedulerPolicy,
    /// Most requests in a step.
    #[serde(alias = "max_num_seqs")]
    pub max_batch_size: u32,
    /// Most tokens in a step, decodes included.
    #[serde(alias = "max_num_batched_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub max_num_tokens: u32,
    /// Whether prompts may be cut into chunks.
    #[serde(alias = "enable_chunked_context")]
    pub enable_chunked_prefill: bool,
    /// How prompts that do not fit a step together share it; only with `enable_chunked_prefill`.
    pub context_chunking_policy: ContextChunkingPolicy,
    /// Prompts wait for others until a step with them has so large a share of `max_num_tokens`, or
    /// `batch_wait_timeout_iters` steps have passed without any; only while others decode, and not on
    /// data-parallel ranks that share experts.
    pub batch_wait_max_tokens_ratio: f64,
    /// Most steps that prompts wait for others.
    pub batch_wait_timeout_iters: u32,
    /// Whether data-parallel ranks that share experts let prompts wait until all of them have some.
    #[serde(alias = "enable_balance")]
    pub attention_dp_enable_balance: bool,
    /// Most steps that prompts wait for those of other ranks.
    #[serde(alias = "timeout_iters")]
    pub attention_dp_timeout_iters: u32,
    /// Steps that prompts wait for more where all ranks have some.
    #[serde(alias = "batching_wait_iters")]
    pub attention_dp_batching_wait_iters: u32,
    /// Whether KV blocks are kept for requests that begin alike.
    pub enable_block_reuse: bool,
    /// Whether blocks are found too of which only a part can be used; only with
    /// `enable_block_reuse`.
    pub enable_partial_reuse: bool,
}

/// When a request is admitted, and whether a running one can be paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapacitySchedulerPolicy {
    /// Memory for prompt and `max_tokens` is reserved at admission; nobody is ever paused.
    #[default]
    GuaranteedNoEvict,
    /// Memory for the next step is enough; the youngest are paused, and recomputed, when it ends.
    MaxUtilization,
    /// As `GUARANTEED_NO_EVICT`, but nobody is admitted while anyone decodes.
    StaticBatch,
}

/// How prompts that do not fit a step together share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContextChunkingPolicy {
    /// In order, each as much as is left.
    #[default]
    FirstComeFirstServed,
    /// A block's worth of tokens to each in turn.
    EqualProgress,
}

impl Default for TensorRtLlmParams {
    fn default() -> Self {
        TensorRtLlmParams {
            capacity_scheduler_policy: CapacitySchedulerPolicy::default(),
            max_batch_size: 2048,
            max_num_tokens: 8192,
            enable_chunked_prefill: false,
            context_chunking_policy: ContextChunkingPolicy::default(),
            batch_wait_max_tokens_ratio: 0.0,
            batch_wait_timeout_iters: 0,
            attention_dp_enable_balance: false,
            attention_dp_timeout_iters: 50,
            attention_dp_batching_wait_iters: 10,
            enable_block_reuse: true,
            enable_partial_reuse: true,
        }
    }
}

impl Parameters for TensorRtLlmParams {
    const SYSTEM: &'static str = "TensorRT-LLM 02a10fe";
    const SUMMARY: &'static str = "decodes and prompts in one batch, memory reserved to the end";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::PrefixCaching, Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let tokens = self.max_num_tokens;
        // Chunks are whole blocks.
        let too_few = match self.enable_chunked_prefill {
            true => {
                let besides = ", or no `enable_chunked_prefill`";
                Problem::below_a_block(tokens, engine, "max_num_tokens", besides)
            }
            false => Problem::when(tokens == 0, "max_num_tokens", "at least 1"),
        };
        let ratio = self.batch_wait_max_tokens_ratio;
        let beyond = !(0.0..=1.0).contains(&ratio);
        [
            Problem::when(self.max_batch_size == 0, "max_batch_size", "at least 1"),
            Problem::when(beyond, "batch_wait_max_tokens_ratio", "from 0 to 1"),
            too_few,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        use {CapacitySchedulerPolicy as Capacity, ContextChunkingPolicy as Chunking};
        let policies =
            [Capacity::GuaranteedNoEvict, Capacity::MaxUtilization, Capacity::StaticBatch];
        let chunked = draws.flag();
        let short = chunked || draws.one_of(&[true, false, false, false]);
        let capacity_scheduler_policy = draws.one_of(&policies);
        let max_batch_size = draws.seats();
        let max_num_tokens = draws.budget(short).max(draws.block_tokens_max());
        // By another figure's luck: what else is drawn stays as it is.
        let luck = max_num_tokens as usize;
        TensorRtLlmParams {
            capacity_scheduler_policy,
            max_batch_size,
            max_num_tokens,
            enable_chunked_prefill: chunked,
            context_chunking_policy: draws
                .one_of(&[Chunking::FirstComeFirstServed, Chunking::EqualProgress]),
            batch_wait_max_tokens_ratio: [0.0, 0.0, 0.5, 0.9][luck % 4],
            batch_wait_timeout_iters: [0, 3, 20][luck % 3],
            attention_dp_enable_balance: luck % 5 < 2,
            attention_dp_timeout_iters: [1, 5, 50][luck % 3],
            attention_dp_batching_wait_iters: [0, 2, 10][luck / 3 % 3],
            enable_block_reuse: draws.flag(),
            enable_partial_reuse: draws.flag(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let whole = !self.enable_chunked_prefill;
        let why = "`enable_chunked_prefill` is false: prompts are not cut";
        let pauses = self.capacity_scheduler_policy == CapacitySchedulerPolicy::MaxUtilization;
        let unlike = !setting.shares_prefixes;
        let differ = "no two prompts begin with the same KV block";
        let off = "`enable_block_reuse` is false";
        let by_tokens = self.batch_wait_max_tokens_ratio > 0.0;
        let by_steps = self.batch_wait_timeout_iters > 0;
        let no_steps = "`batch_wait_timeout_iters` is 0: prompts wait for no others";
        let no_tokens = "`batch_wait_max_tokens_ratio` is 0: every prompt is enough";
        let (balances, alone) = (self.attention_dp_enable_balance, !setting.steps_together);
        let unbalanced = "`attention_dp_enable_balance` is false";
        let ranks =
            "ranks that step together do not wait for tokens (`attention_dp_enable_balance`)";
        [
            Idle::when(whole, "context_chunking_policy", why),
            Idle::when(by_tokens && !by_steps, "batch_wait_max_tokens_ratio", no_steps),
            Idle::when(by_steps && !by_tokens, "batch_wait_timeout_iters", no_tokens),
            Idle::when(balances && alone, "attention_dp_enable_balance", "no ranks step together"),
            Idle::when(!balances, "attention_dp_timeout_iters", unbalanced),
            Idle::when(!balances, "attention_dp_batching_wait_iters", unbalanced),
            Idle::when(by_steps && by_tokens && !alone, "batch_wait_timeout_iters", ranks),
            Idle::when(by_steps && by_tokens && !alone, "batch_wait_max_tokens_ratio", ranks),
            // Who was paused may find its own.
            Idle::when(unlike && !pauses, "enable_block_reuse", differ),
            Idle::when(unlike && self.enable_block_reuse, "enable_partial_reuse", differ),
            Idle::when(!self.enable_block_reuse, "enable_partial_reuse", off),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(TensorRtLlm {
            capacity: self.capacity_scheduler_policy,
            seats: self.max_batch_size,
            budget: self.max_num_tokens,
            chunking: self.enable_chunked_prefill.then_some(self.context_chunking_policy),
            max_model_len: engine.max_model_len,
            wait: BatchWait {
                steps: self.batch_wait_timeout_iters,
                tokens: self.batch_wait_max_tokens_ratio * f64::from(self.max_num_tokens),
                waited: 0,
            },
            balance: self.attention_dp_enable_balance.then_some(RankBalance {
                timeout_iters: self.attention_dp_timeout_iters,
                batching_wait_iters: self.attention_dp_batching_wait_iters,
                seats: self.max_batch_size,
            }),
            reuses: self.enable_block_reuse,
            partly: self.enable_partial_reuse,
        })
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        use CapacitySchedulerPolicy::{GuaranteedNoEvict, MaxUtilization, StaticBatch};
        let chunked = self.enable_chunked_prefill;
        let capacity = "capacity_scheduler_policy";
        let budget = Limit { parameter: "max_num_tokens", most: Some(self.max_num_tokens) };
        let pauses = self.capacity_scheduler_policy == MaxUtilization;
        let whole = chunked || self.max_num_tokens >= engine.max_model_len;
        let in_turn = self.context_chunking_policy == ContextChunkingPolicy::EqualProgress;
        let named = |policy: CapacitySchedulerPolicy| {
            serde_json::to_value(policy).expect("a name is plain data")
        };
        Facts {
            seats: Seats::held("max_batch_size", self.max_batch_size),
            budget: Some(StepBudget::strict(
                budget,
                if chunked { Bounds::Step } else { Bounds::WholePrompts },
            )),
            prefills: match self.capacity_scheduler_policy {
                StaticBatch => Prefills::WhenIdle,
                _ => Prefills::Beside,
            },
            cuts_prompts: chunked,
            takes: if pauses { Takes::AsNeeded } else { Takes::MaxTokens },
            drops: pauses && !whole,
            ignores_max_tokens: pauses,
            switches: [
                Switch::unless(chunked, Effect::CutsPrompts, "enable_chunked_prefill", true),
                Switch::unless(
                    self.capacity_scheduler_policy != StaticBatch,
                    Effect::DecodesBeside,
                    capacity,
                    named(GuaranteedNoEvict),
                ),
                Switch::unless(!pauses, Effect::AdmitsLess, capacity, named(GuaranteedNoEvict)),
                Switch::unless(pauses, Effect::AdmitsMore, capacity, named(MaxUtilization)),
                Switch::unless(
                    in_turn || !chunked,
                    Effect::SharesSteps,
                    "context_chunking_policy",
                    serde_json::to_value(ContextChunkingPolicy::EqualProgress)
                        .expect("a name is plain data"),
                ),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Facts::default()
        }
    }
}
