//! Schedulers: the seam that people use most.
//!
//! A policy is one file. It decides, whenever its replica is free to run a batch, which requests
//! are in it and with how many tokens. It sees the replica through [`Step`], which has no field
//! for a request's true output length.

mod by_arrival;
mod config;
mod draws;
mod facts;
mod faster_transformer;
mod fields;
mod lightllm;
mod llama_cpp;
mod nano_vllm;
mod orca;
mod parameters;
mod proofs;
mod registry;
mod sarathi;
pub mod sglang;
mod splitfuse;
mod tensorrt_llm;
mod tgi;
mod vllm_v0;
mod vllm_v0_chunked;
mod vllm_v1;

pub use config::SchedulerConfig;
pub use draws::{Draws, Scale};
pub use facts::{
    Bounds, Counted, Effect, Facts, Limit, Order, Prefills, Seats, StepBudget, Switch, Takes,
};
pub use faster_transformer::FasterTransformerParams;
pub use lightllm::LightLlmParams;
pub use llama_cpp::LlamaCppParams;
pub use nano_vllm::NanoVllmParams;
pub use orca::OrcaParams;
pub use parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
pub use proofs::{Capability, Proof, Recorded};
pub use registry::{RegisterError, register};
pub use sarathi::SarathiParams;
pub use sglang::{SgLangParams, SgLangPolicy, SgLangRetraction, SgLangVersion};
pub use splitfuse::SplitFuseParams;
pub use tensorrt_llm::{CapacitySchedulerPolicy, ContextChunkingPolicy, TensorRtLlmParams};
pub use tgi::TgiParams;
pub use vllm_v0::VllmV0Params;
pub use vllm_v0_chunked::VllmV0ChunkedParams;
pub use vllm_v1::{SchedulingPolicy, VllmV1Params, VllmVersion};

pub use crate::kv::{CacheRules, Hit, KvGroups, Reuse, Stored, Told, Whole, WindowGroups};
pub use crate::replica::{EngineInfo, Handle, Held, Needs, QueueOrder, RequestView, Step};

/// A scheduling policy of one replica.
pub trait Scheduler: Send {
    /// Forms the next batch.
    fn schedule(&mut self, step: &mut Step<'_>);

    /// What the engine must know of the policy before it starts.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// How the memory that the policy keeps itself stands when observation ends after so many decode
    /// steps; `None` where the engine's KV blocks are its memory.
    fn memory_at_end(&mut self, _decode_steps: u32) -> Option<Told> {
        None
    }

    /// The most KV blocks (of each group of layers, where there are several) that the policy will
    /// ask for at once on behalf of this request, where that is more than its tokens take; a request that can never get them is rejected on arrival.
    fn reserves(&self, _request: &RequestView, _block_tokens: u32) -> u32 {
        0
    }

    /// The longest answer that the system lets a request have; 0 where it turns it away.
    fn longest_answer(&self, _prompt_tokens: u32, max_tokens: u32) -> u32 {
        max_tokens
    }

    /// The result of the oldest step in flight is there, and these requests ended with it. There
    /// have been so many decode steps ([`Step::decode_steps`]), those that were skipped by a promise
    /// included.
    fn processed(&mut self, _ended: &[Handle], _decode_steps: u32) {}
}
