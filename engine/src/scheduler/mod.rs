//! Schedulers: the seam that people use most.
//!
//! A policy is one file. It decides, whenever its replica is free to run a batch, which requests
//! are in it and with how many tokens. It sees the replica through [`Step`], which has no field
//! for a request's true output length.

mod by_arrival;
mod config;
#[cfg(test)]
mod deadline_tests;
mod draws;
mod edf;
mod facts;
mod faster_transformer;
mod fields;
mod fluid;
mod largest;
mod lightllm;
mod llama_cpp;
mod medha;
mod nano_vllm;
mod orca;
mod out_of_turn;
mod parameters;
mod proofs;
mod qoserve;
mod registry;
mod sarathi;
pub mod sglang;
mod slai;
mod splitfuse;
mod srpt;
mod tensorrt_llm;
mod tgi;
mod vllm_v0;
mod vllm_v0_chunked;
mod vllm_v1;
mod vtc;

pub use config::SchedulerConfig;
pub use draws::{Draws, Scale};
pub use edf::EdfParams;
pub use facts::{
    Bounds, Counted, Effect, Facts, Limit, Order, Prefills, Seats, StepBudget, Switch, Takes,
};
pub use faster_transformer::FasterTransformerParams;
pub use fluid::{FluidParams, Relegated};
pub use lightllm::LightLlmParams;
pub use llama_cpp::LlamaCppParams;
pub use medha::MedhaParams;
pub use nano_vllm::NanoVllmParams;
pub use orca::OrcaParams;
pub use parameters::{Evidence, Feature, Idle, Parameters, Problem, Setting};
pub use proofs::{Capability, Proof, Recorded};
pub use qoserve::QoServeParams;
pub use registry::{RegisterError, register};
pub use sarathi::SarathiParams;
pub use sglang::{SgLangParams, SgLangPolicy, SgLangRetraction, SgLangVersion};
pub use slai::SlaiParams;
pub use splitfuse::SplitFuseParams;
pub use srpt::SrptParams;
pub use tensorrt_llm::{CapacitySchedulerPolicy, ContextChunkingPolicy, TensorRtLlmParams};
pub use tgi::TgiParams;
pub use vllm_v0::VllmV0Params;
pub use vllm_v0_chunked::VllmV0ChunkedParams;
pub use vllm_v1::{SchedulingPolicy, VllmV1Params, VllmVersion};
pub use vtc::{Client, VtcParams};

pub use crate::kv::{CacheRules, Hit, KvGroups, Reuse, Stored, Told, Whole, WindowGroups};
pub use crate::replica::{
    EngineInfo, Handle, Held, Needs, Outlook, Past, Predictor, Promise, QueueOrder, RankBalance,
    RequestView, Standing, Step,
};

use crate::replica::Replica;
use crate::time::Time;

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

    /// Tokens at the head of a prompt, `tokens` long, that are in a cache that the policy keeps itself,
    /// after so many decode steps; `None` where the engine's KV blocks are its cache.
    fn cached_tokens(
        &mut self,
        _prompt: &crate::content::Content,
        _tokens: u32,
        _decode_steps: u32,
    ) -> Option<u32> {
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

    /// A request has arrived. This hook and the two below are called for policies that look at deadlines
    /// ([`Needs::deadlines`]), by the fast engine as by the slow one.
    fn arrived(&mut self, _news: &News) {}

    /// A batch's tokens are there. Decode steps that were skipped by a promise
    /// ([`Step::repeats`]) are told together, with the last of them.
    fn brought(&mut self, _brought: &Brings<'_>) {}

    /// An answer has ended.
    fn ended(&mut self, _news: &News) {}
}

/// A request that has arrived, or has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct News {
    /// Which.
    pub request: Handle,
    /// What is known of it.
    pub view: RequestView,
    /// What it is promised, and how it stands with that.
    pub standing: Standing,
}

impl News {
    pub(crate) fn of(replica: &Replica, request: Handle) -> Option<News> {
        let standing = replica.standing(request)?;
        let view = replica.view_of(request);
        // Who has ended, or arrives, computes nothing: its tokens are those that came.
        let tokens = view.prompt_tokens + standing.on_time + standing.late;
        Some(News { request, view: RequestView { tokens, ..view }, standing })
    }
}

/// What a batch has brought.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Brings<'b> {
    /// When its tokens came.
    pub at: Time,
    /// Whose prompts were completed, each with a token: its first, or after a preemption its next.
    pub prefills: &'b [Handle],
    /// Decode steps so far ([`Step::decode_steps`]).
    pub decode_steps: u32,
}
