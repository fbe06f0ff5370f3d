//! llama.cpp's `llama-server`: slots, each with one request; the slots that generate get a token
//! each, and the rest of the batch goes to prompts in order of slot number.
//!
//! Rules read from llama.cpp's `tools/server/server-context.cpp` (001d906, 2026, a fork; what it
//! alone may have is left out: no decodes beside a prompt resumed from a checkpoint). Tokens are
//! delivered when the whole batch is done, so a prompt of P tokens costs the others P / `n_batch`
//! long gaps.
//!
//! With a unified KV cache (the default, unless the number of slots is given) slots share all memory
//! and nothing is reserved. When a batch does not fit, llama-server retries with smaller ones and
//! then fails every active slot: here those requests are dropped. Without it every slot owns
//! `1 / n_parallel` of the memory; requests whose prompt and `max_tokens` exceed that are rejected,
//! where llama-server would cut their answers.
//!
//! A slot keeps what it computed for its last request. A new one gets the free slot whose tokens it
//! begins with most, where that is more than `slot_prompt_similarity` of it, otherwise the one that
//! has been free for longest; of several that were never used, the one with the highest number. What is the
//! same at the head is not computed again (`cache_prompt`), but for the last token of the prompt. Where
//! a slot would lose more than half of what it holds, that is copied into the host's memory first, and
//! a better copy is looked for there (`server_prompt_cache`); whenever a request gets a slot, all idle slots
//! are copied, and with a unified cache emptied (`cache_idle_slots`). Idle slots give way when memory runs
//! short. Requests that had to wait for a slot: of `k` slots that come free in one step the first `k`
//! that wait take them, last come first (`server-queue.cpp`, `pop_deferred_task`).
//!
//! Not modelled: the time that copies take; the similarity of prompts without `cache_prompt`; reuse in
//! models with windows or states, where llama-server goes on from a checkpoint; splitting of prompts near
//! their ends for checkpoints; `n_cache_reuse`; context shift; LoRA. `n_ubatch` is accepted and has no
//! effect: the cost model prices a batch as one forward, not as its `n_batch / n_ubatch` micro-batches.
//!
//! Every `llama_decode` call of four recorded runs is the same, in order (`tests/engine/llama_decodes.rs`);
//! they were made without `cache_prompt`.

mod prompts;
mod server;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{EngineInfo, Scheduler};
use prompts::Copies;
use server::{LlamaCpp, ServerSlot};

/// The value of `n_parallel` that leaves the number of slots to the server.
const AUTO: i32 = -1;
/// Slots that it then has.
const AUTO_SLOTS: u32 = 4;

/// Parameters of `llama-cpp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LlamaCppParams {
    /// Tokens of a batch; prompts fill what decodes leave.
    #[serde(alias = "max_num_batched_tokens", alias = "chunk_size", alias = "chunk_tokens")]
    pub n_batch: u32,
    /// Tokens of a micro-batch. No effect here.
    pub n_ubatch: u32,
    /// Slots: the most requests that run at once; -1 (auto) means 4.
    #[serde(alias = "max_num_seqs")]
    pub n_parallel: i32,
    /// Whether the slots share the KV memory; otherwise each owns an equal part. Default: only
    /// where `n_parallel` is auto.
    pub kv_unified: Option<bool>,
    /// Whether prompts are computed while others generate.
    pub cont_batching: bool,
    /// Whether what a slot holds of an earlier prompt is used again.
    pub cache_prompt: bool,
    /// The share of a prompt that a slot must hold to be chosen for it (0.5 before October 2025); 0
    /// chooses by last use alone.
    pub slot_prompt_similarity: f64,
    /// KV entries that copies in the host's memory have room for; 0 for no copies. Default: as many
    /// as 8192 MiB (`--cache-ram`) hold of Llama 3.1 8B in 16 bits.
    pub cache_ram_tokens: u32,
    /// Whether idle slots are copied there when a request gets a slot, and with a unified cache
    /// emptied.
    pub cache_idle_slots: bool,
}

impl Default for LlamaCppParams {
    fn default() -> Self {
        LlamaCppParams {
            n_batch: 2048,
            n_ubatch: 512,
            n_parallel: AUTO,
            kv_unified: None,
            cont_batching: true,
            cache_prompt: true,
            slot_prompt_similarity: 0.1,
            cache_ram_tokens: 1 << 16,
            cache_idle_slots: true,
        }
    }
}

/// Most slots: each takes memory and a look at every step.
const SLOTS_MAX: u32 = 1 << 16;

impl Parameters for LlamaCppParams {
    const SYSTEM: &'static str = "llama.cpp llama-server (2026)";
    const SUMMARY: &'static str = "slots; the rest of each batch to the lowest slot with a prompt";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::PrefixCaching, Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let slots = self.slots();
        let similarity = self.slot_prompt_similarity;
        [
            Problem::when(
                !(0.0..=1.0).contains(&similarity),
                "slot_prompt_similarity",
                "between 0 and 1",
            ),
            Problem::when(self.n_batch == 0, "n_batch", "at least 1"),
            Problem::when(self.n_ubatch == 0, "n_ubatch", "at least 1"),
            Problem::when(slots == 0, "n_parallel", "at least 1, or -1 for auto"),
            Problem::when(slots > SLOTS_MAX, "n_parallel", "at most 65536"),
            Problem::when(
                !self.unified() && slots > engine.kv_blocks,
                "n_parallel",
                "at most the number of KV blocks, unless kv_unified",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        LlamaCppParams {
            n_batch: draws.chunk(),
            n_ubatch: draws.chunk(),
            n_parallel: draws.one_of(&[AUTO, 1, 2, 3, 8]),
            kv_unified: draws.perhaps(Draws::flag),
            cont_batching: draws.flag(),
            cache_prompt: draws.flag(),
            slot_prompt_similarity: draws.one_of(&[0.0, 0.1, 0.5, 0.9]),
            cache_ram_tokens: draws.count(600),
            cache_idle_slots: draws.flag(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let unlike = !setting.shares_prefixes;
        let differ = "no two prompts begin alike";
        let off = "`cache_prompt` is false";
        let no_copies = "`cache_ram_tokens` is 0";
        let (own, copied) = (!self.cache_prompt, self.cache_ram_tokens > 0);
        let reuse = ["slot_prompt_similarity", "cache_ram_tokens", "cache_idle_slots"];
        let mut idle: Vec<Idle> = reuse
            .into_iter()
            .filter_map(|key| Idle::when(own || unlike, key, if own { off } else { differ }))
            .collect();
        idle.extend(Idle::when(unlike, "cache_prompt", differ));
        idle.extend(Idle::when(!own && !unlike && !copied, "cache_idle_slots", no_copies));
        let why = "a batch is priced as one forward, not as its micro-batches";
        let alone = "`n_parallel` is 1: nobody generates while another's prompt is computed";
        let one = self.slots() == 1;
        idle.extend(Idle::when(true, "n_ubatch", why));
        idle.extend(Idle::when(one, "cont_batching", alone));
        idle
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        let slots = self.slots();
        let own = (!self.unified()).then(|| engine.kv_blocks / slots);
        let own_tokens = |blocks| {
            let room = engine.kv_groups.room_tokens(blocks, engine.kv_block_tokens);
            room.unwrap_or(engine.max_model_len)
        };
        Box::new(LlamaCpp {
            batch: self.n_batch,
            cont_batching: self.cont_batching,
            own_tokens: own.map(own_tokens),
            slots: vec![ServerSlot::default(); slots as usize],
            uses: 0,
            released: 0,
            deferred: 0,
            reuses: self.cache_prompt && engine.kv_groups.is_one(),
            similarity: self.slot_prompt_similarity as f32,
            copies: Copies::with_room(self.cache_ram_tokens),
            saves_idle: self.cache_idle_slots,
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "n_batch", most: Some(self.n_batch) };
        Facts {
            seats: Seats::held("n_parallel", self.slots()),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            prefills: if self.cont_batching { Prefills::Beside } else { Prefills::WhenIdle },
            cuts_prompts: true,
            takes: if self.unified() { Takes::AsNeeded } else { Takes::EqualShare },
            switches: [
                Switch::unless(self.cont_batching, Effect::DecodesBeside, "cont_batching", true),
                Switch::unless(self.unified(), Effect::SharesMemory, "kv_unified", true),
            ]
            .into_iter()
            .flatten()
            .collect(),
            drops: self.unified(),
            ignores_max_tokens: self.unified(),
            follows: vec![("kv_unified", self.unified().into())],
            ..Facts::default()
        }
    }
}

impl LlamaCppParams {
    /// 0 where `n_parallel` makes no sense.
    fn slots(&self) -> u32 {
        if self.n_parallel == AUTO { AUTO_SLOTS } else { self.n_parallel.try_into().unwrap_or(0) }
    }

    fn unified(&self) -> bool {
        self.kv_unified.unwrap_or(self.n_parallel == AUTO)
    }
}
