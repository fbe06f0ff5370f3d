//! What the scheduler's loop is set to, with everything filled in, and what differs by version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Order in which SGLang admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SgLangPolicy {
    /// First come, first served; a retracted request queues up anew.
    #[default]
    Fcfs,
    /// Longest cached prefix first, while at most 128 wait.
    Lpm,
}

/// Whom SGLang retracts first where memory is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SgLangRetraction {
    /// Those with the fewest output tokens, of equals those with the longest prompts.
    #[default]
    Length,
    /// The least urgent, and of equals as above.
    Priority,
}

/// A version of SGLang's scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SgLangVersion {
    /// 0.5.23, to which the recorded steps belong.
    #[default]
    #[serde(rename = "0.5.23")]
    V0_5_23,
    /// 0.5.9, read and not recorded.
    #[serde(rename = "0.5.9")]
    V0_5_9,
}

/// What 0.5.23 does and 0.5.9 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// With overlap, who surely ends with the batch in flight is left out of the next.
    pub foresees_ends: bool,
    /// Finished requests leave the running list, and open a full batch, at every turn's start.
    pub drops_at_start: bool,
    /// `max_prefill_tokens` refuses nobody where prompts are cut.
    pub chunks_ignore_input_cap: bool,
    /// An admission is checked against, and charged, a page more than its tokens.
    pub page_a_request: bool,
    /// Decodes join a mixed batch only where memory has a token for each.
    pub checks_mixed_decodes: bool,
    /// Where memory is short and a last token is on its way nothing runs for a turn.
    pub awaits_ends: bool,
    /// Every 32nd pass touches the cached prefixes of those who wait.
    pub refreshes_waiting: bool,
    /// What is published is split where the prompt ends.
    pub splits_at_prompt: bool,
}

impl Rules {
    pub(super) fn of(version: SgLangVersion) -> Rules {
        let newer = version == SgLangVersion::V0_5_23;
        Rules {
            foresees_ends: newer,
            drops_at_start: newer,
            chunks_ignore_input_cap: newer,
            page_a_request: newer,
            checks_mixed_decodes: newer,
            awaits_ends: newer,
            refreshes_waiting: newer,
            splits_at_prompt: newer,
        }
    }
}

/// What one `Machine` is built for, by SGLang's own names.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SgLangSettings {
    /// Which version's rules.
    pub version: SgLangVersion,
    /// KV tokens in all.
    pub kv_tokens: u32,
    /// Tokens in a page.
    pub page_size: u32,
    /// Longest prompt plus answer.
    pub context_len: u32,
    /// Most prompt tokens in a prefill batch; `None` where prompts are not cut.
    pub chunked_prefill_size: Option<u32>,
    /// Most prompt tokens in a prefill batch; the first prompt may exceed it.
    pub max_prefill_tokens: u32,
    /// Most requests of a prefill batch, where there is a limit.
    pub prefill_max_requests: Option<u32>,
    /// Requests that run at once at most.
    pub max_running_requests: u32,
    /// Order of admission.
    pub schedule_policy: SgLangPolicy,
    /// Whether running requests decode in prefill batches.
    pub enable_mixed_chunk: bool,
    /// Whether nothing is shared or kept.
    pub disable_radix_cache: bool,
    /// Scales the share of its longest answer that a request is expected to use.
    pub schedule_conservativeness: f64,
    /// Turns without a prefill after each prefill batch.
    pub prefill_decode_interval: u32,
    /// Those turns are forgotten while fewer run than this.
    pub prefill_decode_interval_min_bs: u32,
    /// Whether the most urgent come first.
    pub enable_priority_scheduling: bool,
    /// Whether nobody is preempted for a more urgent request.
    pub disable_priority_preemption: bool,
    /// By how much more urgent a request must be for that.
    pub priority_scheduling_preemption_threshold: i64,
    /// Whom to retract first.
    pub retraction_policy: SgLangRetraction,
}

impl SgLangSettings {
    /// 0.5.23's defaults for a pool of so many KV tokens.
    pub fn new(kv_tokens: u32, context_len: u32) -> SgLangSettings {
        SgLangSettings {
            version: SgLangVersion::default(),
            kv_tokens,
            page_size: 1,
            context_len,
            chunked_prefill_size: Some(8192),
            max_prefill_tokens: 16384,
            prefill_max_requests: None,
            max_running_requests: most_running(kv_tokens, context_len),
            schedule_policy: SgLangPolicy::Fcfs,
            enable_mixed_chunk: false,
            disable_radix_cache: false,
            schedule_conservativeness: 1.0,
            prefill_decode_interval: 0,
            prefill_decode_interval_min_bs: 0,
            enable_priority_scheduling: false,
            disable_priority_preemption: false,
            priority_scheduling_preemption_threshold: 10,
            retraction_policy: SgLangRetraction::Length,
        }
    }

    /// The longest answer that a request may get: what it declares, cut to the context and so that
    /// it fits the memory alone. Less than 1 where it can never be served.
    pub fn longest_answer(&self, prompt: u32, max_tokens: u32) -> i64 {
        let (prompt, page) = (i64::from(prompt), i64::from(self.page_size));
        let context = i64::from(self.context_len) - prompt - 2;
        let pages = (prompt + page - 1) / page * page;
        let memory = i64::from(self.kv_tokens) - pages - page - 1;
        i64::from(max_tokens).min(context).min(memory)
    }
}

/// The default of `max_running_requests`: as many rows as the table of requests has, and no more than
/// half the tokens.
pub(super) fn most_running(kv_tokens: u32, context_len: u32) -> u32 {
    let share = f64::from(kv_tokens) / f64::from(context_len.max(1)) * 512.0;
    (share as u32).clamp(2048, 4096).min(kv_tokens / 2).max(1)
}
