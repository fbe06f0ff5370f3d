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
//! Not modelled: reuse of what a slot still holds of an earlier prompt, and the choice of slot by
//! it (the least recently used free one is taken); splitting of prompts near their ends for
//! checkpoints; context shift; LoRA. `n_ubatch` is accepted and has no effect: the cost model
//! prices a batch as one forward, not as its `n_batch / n_ubatch` micro-batches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch, Takes};
use super::orca::decode_reserved;
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::{EngineInfo, Handle, Held, Hit, Needs, RequestView, Scheduler, Step};
use crate::request::RequestId;

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
}

impl Default for LlamaCppParams {
    fn default() -> Self {
        LlamaCppParams {
            n_batch: 2048,
            n_ubatch: 512,
            n_parallel: AUTO,
            kv_unified: None,
            cont_batching: true,
        }
    }
}

/// Most slots: each takes memory and a look at every step.
const SLOTS_MAX: u32 = 1 << 16;

impl Parameters for LlamaCppParams {
    const SYSTEM: &'static str = "llama.cpp llama-server (2026)";
    const SUMMARY: &'static str = "slots; the rest of each batch to the lowest slot with a prompt";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::DeclaredLengths];

    fn problems(&self, engine: &EngineInfo) -> Vec<Problem> {
        let slots = self.slots();
        [
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
        }
    }

    fn idle(&self, _setting: &Setting) -> Vec<Idle> {
        let why = "a batch is priced as one forward, not as its micro-batches";
        let alone = "`n_parallel` is 1: nobody generates while another's prompt is computed";
        let one = self.slots() == 1;
        [Idle::when(true, "n_ubatch", why), Idle::when(one, "cont_batching", alone)]
            .into_iter()
            .flatten()
            .collect()
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

#[derive(Clone, Copy, Debug, Default)]
struct ServerSlot {
    task: Option<Task>,
    /// When its last request ended, as a count; 0 if it had none.
    used: u64,
}

/// The request that a slot works on.
#[derive(Clone, Copy, Debug)]
struct Task {
    request: Handle,
    id: RequestId,
    /// Whether it has had tokens; before that it waits, though it has its slot.
    started: bool,
}

struct LlamaCpp {
    batch: u32,
    cont_batching: bool,
    /// Memory that each slot owns; `None` where they share.
    own_tokens: Option<u32>,
    slots: Vec<ServerSlot>,
    uses: u64,
}

impl Scheduler for LlamaCpp {
    fn needs(&self) -> Needs {
        // A waiting request may have a slot already.
        Needs { one_lane: true, grant: "its slot of n_parallel", ..Needs::default() }
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        let Some(own) = self.own_tokens else { return 0 };
        let end = request.prompt_tokens.saturating_add(request.max_tokens) - 1;
        if end > own { u32::MAX } else { own / block_tokens }
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        self.release_ended(step);
        loop {
            self.assign(step);
            let prompts = self.prompts(step);
            if self.fits(step, &prompts) {
                self.run(step, &prompts);
                break;
            }
            self.fail_all(step);
        }
        step.repeats(0);
    }
}

impl LlamaCpp {
    /// Frees the slots whose requests have ended.
    fn release_ended(&mut self, step: &Step<'_>) {
        let running: Vec<(Handle, RequestId)> =
            step.running().map(|request| (request, step.view(request).id)).collect();
        for slot in &mut self.slots {
            let ended = |task: &Task| task.started && !running.contains(&(task.request, task.id));
            if slot.task.as_ref().is_some_and(ended) {
                self.uses += 1;
                *slot = ServerSlot { task: None, used: self.uses };
            }
        }
    }

    /// Gives free slots, the least recently used first, to those who wait, in order.
    fn assign(&mut self, step: &mut Step<'_>) {
        // Those who have a slot but no tokens yet stand at the queue's head.
        let assigned = |slot: &&ServerSlot| slot.task.is_some_and(|task| !task.started);
        let mut place = self.slots.iter().filter(assigned).count();
        while let Some(request) = step.waiting_at(place) {
            let free = self.slots.iter_mut().filter(|slot| slot.task.is_none());
            let Some(slot) = free.min_by_key(|slot| slot.used) else {
                return step.hold(Held::NoSeat);
            };
            let id = step.view(request).id;
            slot.task = Some(Task { request, id, started: false });
            place += 1;
        }
    }

    /// Slots whose prompts get tokens in this batch, and how many.
    fn prompts(&self, step: &mut Step<'_>) -> Vec<(usize, u32)> {
        let decodes = step.decoding_len();
        let mut prompts = Vec::new();
        let mut left = self.batch.saturating_sub(decodes);
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(task) = slot.task else { continue };
            let view = step.view(task.request);
            if !view.is_prefilling() {
                continue;
            }
            if decodes > 0 && !self.cont_batching {
                step.hold(Held::Deferred);
                break;
            }
            if left == 0 {
                step.hold(Held::NoTokenBudget);
                break;
            }
            let chunk = view.prefill_left().min(left);
            left -= chunk;
            prompts.push((index, chunk));
        }
        prompts
    }

    fn fits(&self, step: &Step<'_>, prompts: &[(usize, u32)]) -> bool {
        let mut blocks = step.blocks_for_decodes();
        for &(index, chunk) in prompts {
            let task = self.slots[index].task.expect("the slot has a prompt");
            let view = step.view(task.request);
            let end = match self.own_tokens {
                Some(own) if !task.started => own.max(chunk),
                _ => view.computed + chunk,
            };
            blocks += step.more_blocks_for(task.request, end);
        }
        blocks <= step.free_blocks()
    }

    fn run(&mut self, step: &mut Step<'_>, prompts: &[(usize, u32)]) {
        decode_reserved(step);
        for &(index, chunk) in prompts {
            let task = self.slots[index].task.as_mut().expect("the slot has a prompt");
            let own = self.own_tokens.unwrap_or(0);
            let runs = match task.started {
                true => step.run(task.request, chunk),
                false => step.admit(task.request, chunk, own, Hit::default()),
            };
            assert!(runs, "the batch's blocks were counted");
            task.started = true;
        }
    }

    /// Fails the requests of all slots.
    fn fail_all(&mut self, step: &mut Step<'_>) {
        for slot in &mut self.slots {
            let Some(task) = slot.task.take() else { continue };
            if task.started {
                step.preempt(task.request);
            }
            step.drop_request(task.request);
            self.uses += 1;
            slot.used = self.uses;
        }
    }
}
