//! What a run with prefill and decode on replicas of their own did besides: where the time to the first
//! token went, stage by stage, and what links and held memory cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::Distribution;

/// What went from replicas that prefill to replicas that decode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DisaggregationResult {
    /// Requests whose prompt one replica computed and another answered, or was to answer.
    pub handed_over: u64,
    /// Requests whose prompt the replica that answers them computed itself (`decider`).
    #[serde(default)]
    pub prefilled_where_answered: u64,
    /// The time to the first token of those that have one and count, stage by stage.
    pub ttft: TtftStages,
    /// KV that went over, bytes.
    pub bytes: u64,
    /// Prompt tokens whose KV went over.
    pub tokens: u64,
    /// Time in which it was busy over elapsed time, of the busiest link: 0 to 1.
    pub busiest_link: f64,
    /// Requests whose KV was gone before it was fetched (`kv_lease`).
    pub lost: u64,
    /// The replicas that prefill.
    pub prefill: SideResult,
    /// The replicas that decode.
    pub decode: SideResult,
    /// The same requests on the same GPUs, each replica doing both; null where that was not played.
    pub colocated: Option<ColocatedResult>,
}

/// Where the time from arrival to first token went. The stages of a request add up to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TtftStages {
    /// Before its prompt was in a batch.
    pub queue_s: Distribution,
    /// Until its prompt was computed.
    pub prefill_s: Distribution,
    /// Until the replica that decodes had taken KV blocks for it.
    pub memory_s: Distribution,
    /// Until its KV was there.
    pub transfer_s: Distribution,
    /// Until the first token: a free seat there, and that replica's next step.
    pub first_step_s: Distribution,
}

/// Replicas of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideResult {
    /// Its replicas.
    pub replicas: u32,
    /// Its GPUs.
    pub gpus: u32,
    /// GPU time of iterations over elapsed time: 0 to 1; the mean over replicas.
    pub gpu_utilization: f64,
    /// KV blocks held for hand-overs, times the seconds that they were held: on the side that prefills
    /// from the end of a prompt on, on the side that decodes until the KV was there.
    pub held_block_s: f64,
    /// The same as a share of all blocks of these replicas over elapsed time: 0 to 1.
    pub held_share: f64,
}

/// The same requests on the same GPUs where each replica prefills and decodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColocatedResult {
    /// How its requests were spread over replicas.
    pub router: String,
    /// Time to first token.
    pub ttft_s: Distribution,
    /// Time between tokens.
    pub tbt_s: Option<Distribution>,
    /// Time per output token.
    pub tpot_s: Distribution,
    /// From arrival to last token.
    pub e2e_s: Distribution,
    /// Output tokens a second; null without tokens.
    pub output_tokens_per_s: Option<f64>,
    /// Whether it kept the promise; null where that is not known.
    pub slo_met: Option<bool>,
    /// What took a request the most time with prefill and decode apart.
    pub decided_by: Decider,
    /// Mean seconds a request that each of them took.
    pub taken_s: TakenTime,
}

/// What can decide how a fleet with prefill and decode apart does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// The GPUs that prefill: prompts queued before them.
    PrefillPool,
    /// The GPUs that decode: tokens came slower than colocated.
    DecodePool,
    /// Room where requests decode: they waited for KV blocks or a seat there, and source first took the memory of
    /// the replicas which prefill meanwhile.
    DecodeMemory,
    /// The link that KV went over.
    Link,
}

/// Mean seconds a request, by what took them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TakenTime {
    /// In the queue before prefill, where that was not full of blocks that nobody fetched.
    pub prefill_pool: f64,
    /// All tokens after the first, beyond what they took colocated; 0 where they took less.
    pub decode_pool: f64,
    /// Waiting for memory where it decodes, and in the queue before prefill where that was full of blocks
    /// that nobody fetched.
    pub decode_memory: f64,
    /// The transfer.
    pub link: f64,
}
