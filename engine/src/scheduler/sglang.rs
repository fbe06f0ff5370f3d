//! SGLang: whenever a prompt can be prefilled, that is the next batch, and every decode waits.
//!
//! Equal to SGLang 0.5.23's own event loops in every recorded turn: what it schedules, whom it
//! retracts, its flags, its ratio and its memory (`tests/engine/golden_sglang.rs`). The rules stand in
//! `machine` and beside it, as turns of a loop without time; `policy` plays them in a replica.
//! SGLang keeps its memory in tokens (pages of one token, unless told otherwise) and its prefix cache
//! as a radix tree ([`kv::radix`](crate::kv::radix)), so the engine's KV blocks are only how much
//! memory there is.
//!
//! `scheduler_recv_interval` was read in 0.5.9's `scheduler_recv_skipper.py`, not recorded.
//!
//! Where the real system ends with "Out of memory" (a carried chunk, or decodes beside it, for which
//! there is none) the run goes on as if it were there. Of 0.5.9 the differences were read, not
//! recorded. Of models with several groups of layers each token holds all layers.
//!
//! Not modelled: the prefill delayer of DP attention, speculative decoding, hierarchical caches,
//! separate pools for sliding windows and states, pipelines.

mod batch;
mod decode;
mod fixed_length;
mod machine;
mod memory;
mod policy;
mod prefill;
mod priorities;
mod queue;
mod ratio;
mod request;
mod settings;
mod stretch;
mod turns;

pub use batch::{Kind, Outcome};
pub use settings::{SgLangPolicy, SgLangRetraction, SgLangSettings, SgLangVersion};
pub use turns::{SgLangTurns, TurnEntry, TurnRecord};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::policy::SgLang;
use self::settings::most_running;
use super::draws::Draws;
use super::facts::{Bounds, Effect, Facts, Limit, Prefills, Seats, StepBudget, Switch};
use super::parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
use super::proofs::{Capability, Proof};
use super::{EngineInfo, Scheduler};

/// The largest page taken; SGLang's kernels ask for 128 at most.
const PAGE_MAX: u32 = 4096;

/// Parameters of `sglang`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgLangParams {
    /// Which version's rules: "0.5.23" (recorded) or "0.5.9" (read).
    pub version: SgLangVersion,
    /// Most prompt tokens in a prefill batch, and so the longest chunk; -1 turns chunking off.
    /// Default by GPU memory: 2048 below 20 GiB, 4096 below 60, 8192 below 160, else 16384; 4096
    /// where it is not known.
    #[serde(alias = "chunk_size", alias = "chunk_tokens")]
    pub chunked_prefill_size: Option<i32>,
    /// Most prompt tokens in a prefill batch; the first prompt of a batch may exceed it. Where
    /// prompts are cut it refuses nobody: a batch only stops once it is used up.
    pub max_prefill_tokens: u32,
    /// Most requests in a prefill batch. Default: no limit.
    pub prefill_max_requests: Option<u32>,
    /// Most requests that run at once. Default: KV tokens / max_model_len * 512, from 2048 to 4096
    /// and no more than half the KV tokens.
    #[serde(alias = "max_num_seqs")]
    pub max_running_requests: Option<u32>,
    /// Tokens in a page of KV memory.
    pub page_size: u32,
    /// Order of admission.
    pub schedule_policy: SgLangPolicy,
    /// Let running requests decode in prefill batches.
    pub enable_mixed_chunk: bool,
    /// Keep nothing for reuse, whatever `engine.prefix_caching` says.
    pub disable_radix_cache: bool,
    /// Plan no turn while the one before runs, whatever `engine.async_scheduling` says.
    pub disable_overlap_schedule: bool,
    /// Scales the share of `max_tokens` that a running request is expected to use.
    pub schedule_conservativeness: f64,
    /// Turns without a prefill after each prefill batch.
    pub prefill_decode_interval: u32,
    /// Those turns are forgotten while fewer requests run than this.
    pub prefill_decode_interval_min_bs: u32,
    /// While it decodes it looks for new requests only once in so many turns; after a prefill at once.
    pub scheduler_recv_interval: u32,
    /// The most urgent requests come first, and others are preempted for them where seats are short.
    pub enable_priority_scheduling: bool,
    /// Preempt nobody for more urgent requests.
    pub disable_priority_preemption: bool,
    /// Preempt only who is less urgent by more than this.
    pub priority_scheduling_preemption_threshold: u32,
    /// Whom to retract first where memory is short.
    pub retraction_policy: SgLangRetraction,
    /// Requests go on to `max_tokens` whatever they say, as SGLang's own benchmark asks for:
    /// memory is reserved for all of it.
    pub ignore_eos: bool,
}

impl Default for SgLangParams {
    fn default() -> Self {
        SgLangParams {
            version: SgLangVersion::default(),
            chunked_prefill_size: None,
            max_prefill_tokens: 16384,
            prefill_max_requests: None,
            max_running_requests: None,
            page_size: 1,
            schedule_policy: SgLangPolicy::default(),
            enable_mixed_chunk: false,
            disable_radix_cache: false,
            disable_overlap_schedule: false,
            schedule_conservativeness: 1.0,
            prefill_decode_interval: 0,
            prefill_decode_interval_min_bs: 0,
            scheduler_recv_interval: 1,
            enable_priority_scheduling: false,
            disable_priority_preemption: false,
            priority_scheduling_preemption_threshold: 10,
            retraction_policy: SgLangRetraction::default(),
            ignore_eos: false,
        }
    }
}

impl Parameters for SgLangParams {
    const SYSTEM: &'static str = "SGLang 0.5.23";
    const SUMMARY: &'static str = "prefill batches always before decode batches, in chunks";
    const EVIDENCE: Evidence = Evidence::Proven;
    const PROOFS: &'static [Proof] = &[
        Proof::code("0.5.23", Capability::Synchronous, 7, 1540),
        Proof::code("0.5.23", Capability::Asynchronous, 36, 9890),
        Proof::code("0.5.23", Capability::PrefixCaching, 40, 10379),
        Proof::code("0.5.23", Capability::Priorities, 3, 820),
    ];
    const FEATURES: &'static [Feature] = &[
        Feature::PrefixCaching,
        Feature::AsyncScheduling,
        Feature::DeclaredLengths,
        Feature::Priorities,
    ];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        // Chunks are whole pages: below one there are none. A negative number but -1 is below all.
        let chunk = self.chunked_prefill_size.filter(|&chunk| chunk != -1);
        let chunk = chunk.map_or(u32::MAX, |chunk| u32::try_from(chunk).unwrap_or(0));
        let conservativeness = self.schedule_conservativeness;
        let page = self.page_size;
        let short = chunk < page;
        let problem = |wrong, parameter, expected| Problem::when(wrong, parameter, expected);
        let below = format!("at least {page}, or -1 for no chunks (the tokens of a page)");
        [
            problem(!(1..=PAGE_MAX).contains(&page), "page_size", "from 1 to 4096"),
            problem(short, "chunked_prefill_size", &below),
            problem(self.max_prefill_tokens == 0, "max_prefill_tokens", "at least 1"),
            problem(self.prefill_max_requests == Some(0), "prefill_max_requests", "at least 1"),
            problem(self.max_running_requests == Some(0), "max_running_requests", "at least 1"),
            problem(self.scheduler_recv_interval == 0, "scheduler_recv_interval", "at least 1"),
            problem(
                !(conservativeness >= 0.0 && conservativeness.is_finite()),
                "schedule_conservativeness",
                "0 or more",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn resolved(&self, engine: &EngineInfo) -> Self {
        SgLangParams {
            chunked_prefill_size: Some(self.chunk(engine)),
            max_running_requests: Some(self.seats(engine)),
            ..self.clone()
        }
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let page_size = draws.one_of(&[1, 1, 4, 16]);
        let chunk = |draws: &mut Draws<'_>| match draws.flag() {
            true => draws.chunk().max(page_size).try_into().unwrap_or(i32::MAX),
            false => -1,
        };
        let short = draws.flag();
        let version = draws.one_of(&[SgLangVersion::V0_5_23, SgLangVersion::V0_5_9]);
        let chunked_prefill_size = draws.perhaps(chunk);
        let max_prefill_tokens = draws.budget(short);
        // Another figure's luck is its own: what else is drawn stays as it is.
        let scheduler_recv_interval = [1, 1, 2, 10, 30][max_prefill_tokens as usize % 5];
        SgLangParams {
            version,
            chunked_prefill_size,
            max_prefill_tokens,
            prefill_max_requests: draws.flag().then(|| draws.whole_number(1..=4)),
            max_running_requests: draws.perhaps(Draws::seats),
            page_size,
            schedule_policy: draws.one_of(&[SgLangPolicy::Fcfs, SgLangPolicy::Lpm]),
            enable_mixed_chunk: draws.flag(),
            disable_radix_cache: draws.one_of(&[false, false, true]),
            disable_overlap_schedule: draws.one_of(&[false, false, true]),
            schedule_conservativeness: draws.one_of(&[0.0, 0.3, 1.0, 2.0, 1e9]),
            prefill_decode_interval: draws.whole_number(0..=3),
            prefill_decode_interval_min_bs: draws.count(3),
            scheduler_recv_interval,
            enable_priority_scheduling: draws.flag(),
            disable_priority_preemption: draws.flag(),
            priority_scheduling_preemption_threshold: draws.count(2),
            retraction_policy: draws
                .one_of(&[SgLangRetraction::Length, SgLangRetraction::Priority]),
            ignore_eos: draws.may_hang(),
        }
    }

    fn idle(&self, setting: &Setting) -> Vec<Idle> {
        let lpm = self.schedule_policy == SgLangPolicy::Lpm;
        let whole = self.chunk(&setting.engine) < 0;
        let found = match (setting.engine.prefix_caching, self.disable_radix_cache) {
            (false, _) => Some("`engine.prefix_caching` is false: no prefix is found"),
            (true, true) => Some("`disable_radix_cache` is true: no prefix is found"),
            (true, false) if !setting.shares_prefixes => {
                Some("no two prompts begin with the same KV block")
            }
            _ => None,
        };
        // In order of priority first come, first served is another order.
        let lpm = found
            .filter(|_| lpm && !self.enable_priority_scheduling)
            .map(|why| Idle { parameter: "schedule_policy", why: why.to_owned() });
        let plain = "`enable_priority_scheduling` is false";
        let none = !self.enable_priority_scheduling;
        let by_priority = self.retraction_policy == SgLangRetraction::Priority;
        let alike = "requests do not differ in priority";
        let threshold = self.priority_scheduling_preemption_threshold != 10;
        let preempts = self.enable_priority_scheduling && !self.disable_priority_preemption;
        let off = "nobody is preempted for more urgent requests";
        let unset = self.prefill_decode_interval == 0;
        let without = "`chunked_prefill_size` is -1: prompts are not cut";
        let same = !setting.priorities_differ;
        lpm.into_iter()
            .chain(Idle::when(self.enable_mixed_chunk && whole, "enable_mixed_chunk", without))
            .chain(Idle::when(
                self.disable_radix_cache && !setting.engine.prefix_caching,
                "disable_radix_cache",
                "`engine.prefix_caching` is false already",
            ))
            .chain(Idle::when(
                self.prefill_decode_interval_min_bs > 0 && unset,
                "prefill_decode_interval_min_bs",
                "`prefill_decode_interval` is 0",
            ))
            .chain(Idle::when(
                self.disable_priority_preemption && none,
                "disable_priority_preemption",
                plain,
            ))
            .chain(Idle::when(
                threshold && (!preempts || same),
                "priority_scheduling_preemption_threshold",
                if preempts { alike } else { off },
            ))
            .chain(Idle::when(by_priority && same, "retraction_policy", alike))
            .collect()
    }

    fn build(&self, engine: &EngineInfo) -> Box<dyn Scheduler> {
        // Only -1 is negative here.
        let chunk = u32::try_from(self.chunk(engine)).ok();
        let radix = engine.prefix_caching && engine.kv_groups.states() == 0;
        let set = SgLangSettings {
            version: self.version,
            page_size: self.page_size,
            chunked_prefill_size: chunk,
            max_prefill_tokens: self.max_prefill_tokens,
            prefill_max_requests: self.prefill_max_requests,
            max_running_requests: self.seats(engine),
            schedule_policy: self.schedule_policy,
            enable_mixed_chunk: self.enable_mixed_chunk,
            disable_radix_cache: self.disable_radix_cache || !radix,
            schedule_conservativeness: self.schedule_conservativeness,
            prefill_decode_interval: self.prefill_decode_interval,
            prefill_decode_interval_min_bs: self.prefill_decode_interval_min_bs,
            enable_priority_scheduling: self.enable_priority_scheduling,
            disable_priority_preemption: self.disable_priority_preemption,
            priority_scheduling_preemption_threshold: self
                .priority_scheduling_preemption_threshold
                .into(),
            retraction_policy: self.retraction_policy,
            ..SgLangSettings::new(self.kv_tokens(engine), engine.max_model_len)
        };
        let overlaps = !self.disable_overlap_schedule;
        Box::new(SgLang::new(set, self.scheduler_recv_interval, self.ignore_eos, overlaps))
    }

    fn facts(&self, engine: &EngineInfo) -> Facts {
        let chunk = u32::try_from(self.chunk(engine)).ok();
        let mixed = self.enable_mixed_chunk && chunk.is_some();
        let budget = match chunk {
            Some(_) => StepBudget::loose(
                Limit { parameter: "chunked_prefill_size", most: chunk },
                if mixed { Bounds::Step } else { Bounds::Chunks },
            ),
            // The first prompt of a batch may be longer.
            None => StepBudget::loose(
                Limit { parameter: "max_prefill_tokens", most: Some(self.max_prefill_tokens) },
                Bounds::Chunks,
            ),
        };
        let caution = self.schedule_conservativeness;
        let (chunks, beside) = ("chunked_prefill_size", "enable_mixed_chunk");
        let careful = "schedule_conservativeness";
        let priorities = "enable_priority_scheduling";
        let ordered = self.enable_priority_scheduling || self.schedule_policy == SgLangPolicy::Lpm;
        Facts {
            // Requests whose last token is on its way count no more.
            seats: Seats::in_step("max_running_requests", self.seats(engine)),
            budget: Some(budget),
            decodes_between: Limit::of("prefill_decode_interval", self.prefill_decode_interval),
            prefills: if mixed { Prefills::Beside } else { Prefills::First },
            cuts_prompts: chunk.is_some(),
            // A lone request as long as all memory is never admitted by the rule for those.
            hangs: self.ignore_eos && (self.disable_radix_cache || !engine.prefix_caching),
            switches: [
                Switch::unless(chunk.is_some(), Effect::CutsPrompts, chunks, default_chunk(engine)),
                Switch::unless(mixed || chunk.is_none(), Effect::DecodesBeside, beside, true),
                // SGLang's own advice: 1.3 where requests are retracted often, .3 where the memory
                // is not filled.
                Switch::unless(caution >= 1.3, Effect::AdmitsLess, careful, 1.3),
                Switch::unless(caution <= 0.3, Effect::AdmitsMore, careful, 0.3),
                Switch::unless(ordered, Effect::OrdersByPriority, priorities, true),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Facts::default()
        }
    }
}

impl SgLangParams {
    fn chunk(&self, engine: &EngineInfo) -> i32 {
        self.chunked_prefill_size.unwrap_or_else(|| default_chunk(engine))
    }

    /// Tokens of all whole pages.
    fn kv_tokens(&self, engine: &EngineInfo) -> u32 {
        engine.pool_tokens() / self.page_size.max(1) * self.page_size
    }

    fn seats(&self, engine: &EngineInfo) -> u32 {
        let default = || most_running(self.kv_tokens(engine), engine.max_model_len);
        self.max_running_requests.unwrap_or_else(default)
    }
}

/// The chunk that SGLang takes by the GPU's memory.
fn default_chunk(engine: &EngineInfo) -> i32 {
    match engine.gpu_memory_gib {
        None => 4096,
        Some(..20) => 2048,
        Some(..60) => 4096,
        Some(..160) => 8192,
        Some(_) => 16384,
    }
}
