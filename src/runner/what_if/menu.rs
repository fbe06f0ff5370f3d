//! Which changes fit which cause, and why: one table.

use crate::explain::Cause;
use crate::sim::Rejection;

/// A kind of change. What it changes, and to what, follows from the run ([`super::change`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A parameter as it is by default.
    Default,
    /// Fewer tokens in a step.
    SmallerSteps,
    /// More tokens in a step.
    LargerSteps,
    /// Steps that hold the longest prompt that was rejected.
    WholePromptSteps,
    /// A limit on the chunk of one prompt.
    ShorterChunks,
    /// Cut prompts.
    CutPrompts,
    /// Decode while prompts are computed.
    DecodeBeside,
    /// Let prompts share steps.
    ShareSteps,
    /// More decode steps between prefill steps.
    DecodeLonger,
    /// Fewer decode steps between prefill steps.
    DecodeShorter,
    /// The most urgent first.
    ByPriority,
    /// Fewer seats.
    FewerSeats,
    /// More seats.
    MoreSeats,
    /// Admissions leave less memory free.
    LowerWatermark,
    /// Admissions leave more memory free.
    HigherWatermark,
    /// Admit less to the same memory.
    AdmitLess,
    /// Admit more to the same memory.
    AdmitMore,
    /// Memory for all requests in place of a share for each seat.
    ShareMemory,
    /// As many seats as leave each the memory for the longest request.
    LargerShares,
    /// More KV blocks.
    MoreBlocks,
    /// Memory for the prefixes that had to go.
    KeepPrefixes,
    /// More of the GPU's memory.
    HigherUtilization,
    /// Reserve for shorter requests.
    ShorterModelLen,
    /// A context that holds the longest request.
    LongerModelLen,
    /// The memory that such a context needs, where it is memory that bounds the context.
    ContextMemory(&'static Kind),
    /// KV in 8 bits.
    KvFp8,
    /// Weights in 8 bits.
    WeightsFp8,
    /// Keep prefixes.
    PrefixCaching,
    /// A policy that decodes beside chunks of prompts.
    ChunkedPolicy,
    /// A policy that computes prompts first.
    PrefillFirstPolicy,
    /// A policy that looks at deadlines.
    DeadlinePolicy,
    /// A policy that takes memory as tokens need it.
    PagedPolicy,
    /// A router that looks at load.
    Router,
    /// A router that sends a session back to where it was.
    SessionRouter,
    /// A router that goes by what replicas have cached.
    CacheAwareRouter,
    /// A router that goes by what is cached looks at load sooner.
    BalanceSooner,
    /// Plan the next step while one runs.
    PlanAhead,
    /// Plan each step when the one before it is over.
    PlanInTime,
    /// Others' steps go on while KV comes from the host.
    LoadBeside,
    /// Nobody drafts where more requests run.
    DraftsOffAbove,
    /// Fewer tokens drafted at a time.
    FewerDrafts,
    /// Nobody drafts.
    NoDrafts,
    /// Speculative decoding, where it is published for the model how many drafts are accepted.
    Draft,
    /// Tensor parallelism in place of pipeline stages.
    TensorForPipeline,
    /// Replicas in place of tensor parallelism.
    ReplicasForTensor,
    /// One replica more.
    OneReplicaMore,
    /// Twice the tensor parallelism.
    TensorDoubled,
    /// Fewer users, or a lower rate.
    LessLoad,
}

use Kind::*;

impl Kind {
    /// Whether it helps those who wait for memory only where others are preempted.
    pub(super) fn is_against_preemption(self) -> bool {
        matches!(self, FewerSeats | AdmitLess | HigherWatermark)
    }
}

type Fits = &'static [(Kind, &'static str)];

const FEWER_A_REPLICA: &str = "each replica serves fewer requests";
const FASTER: &str = "each iteration is computed by more GPUs";
const LESS: &str = "there is less to do at once";
const SHARED_PREFIX: &str = "what prompts share is computed once";
const KEPT_PREFIX: &str = "prefixes that had to go stay in memory";
const URGENT: &str = "urgent requests no longer wait behind others";
const SPREAD: &str = "requests go where there is room, not where it is full";
const CACHED: &str = "prompts go where their beginning is cached";
const PILE: &str = "what piles up at one replica goes elsewhere sooner";
const SEVERAL: &str = "a step brings a request several tokens";
const BY_SLACK: &str = "a step takes as much of prompts as the slack of its decodes allows";
const HALF_READ: &str = "each iteration reads half the bytes of weights";

/// The changes that could bear on a cause, and why; the ones to think of first stand first.
pub(super) fn fitting(cause: Cause) -> Fits {
    match cause {
        Cause::PrefillInterference => &[
            (SmallerSteps, "less prefill beside the decodes of a step"),
            (ShorterChunks, "one long prompt takes less of a step"),
            (CutPrompts, "a step no longer waits for a whole prompt"),
            (ChunkedPolicy, "a step no longer waits for a whole prompt"),
            (DeadlinePolicy, BY_SLACK),
            (PrefixCaching, SHARED_PREFIX),
            (KeepPrefixes, KEPT_PREFIX),
            (CacheAwareRouter, CACHED),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (WeightsFp8, HALF_READ),
            (LessLoad, LESS),
        ],
        Cause::PrefillOnly => &[
            (ChunkedPolicy, "decodes go on beside chunks of prompts"),
            (DecodeBeside, "decodes go on while prompts are computed"),
            (CutPrompts, "a step no longer waits for a whole prompt"),
            (SmallerSteps, "each prefill step is shorter"),
            (DecodeLonger, "decodes come between prefill steps"),
            (PrefixCaching, SHARED_PREFIX),
            (KeepPrefixes, KEPT_PREFIX),
            (CacheAwareRouter, CACHED),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (LessLoad, LESS),
        ],
        Cause::NoTokenBudget => &[
            (ByPriority, URGENT),
            (LargerSteps, "more prompts fit a step"),
            (ShorterChunks, "short prompts pass a long one"),
            (ShareSteps, "short prompts pass a long one"),
            (PrefillFirstPolicy, "prompts do not share steps with decodes"),
            (DeadlinePolicy, BY_SLACK),
            (PrefixCaching, SHARED_PREFIX),
            (KeepPrefixes, KEPT_PREFIX),
            (CacheAwareRouter, CACHED),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (SmallerSteps, "shorter steps end sooner"),
            (WeightsFp8, HALF_READ),
            (LessLoad, LESS),
        ],
        Cause::DecodesAlongside => &[
            (LargerSteps, "a prompt takes fewer steps"),
            (PrefillFirstPolicy, "prompts do not share steps with decodes"),
            (FewerSeats, "fewer decodes beside a prompt"),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (LessLoad, LESS),
        ],
        Cause::NoSeat => &[
            (ByPriority, URGENT),
            (MoreSeats, "more requests run at once"),
            (ShorterModelLen, "admissions reserve no more than the longest request needs"),
            (ChunkedPolicy, "a seat is filled again as soon as it is free"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, "there are more seats in all"),
            (TensorDoubled, "answers end sooner and free their seats"),
            (LargerSteps, "prompts that hold a seat are computed in fewer steps"),
            (WeightsFp8, HALF_READ),
            (LessLoad, LESS),
        ],
        Cause::NoKvBlocks | Cause::HeadOfLine => &[
            (ByPriority, URGENT),
            (HigherUtilization, "more memory is left for KV"),
            (LowerWatermark, "admissions need not leave as much free"),
            (AdmitMore, "admissions reckon with less memory for each request"),
            (ShorterModelLen, "admissions reserve no more than the longest request needs"),
            (PagedPolicy, "memory is taken as tokens need it, not reserved"),
            (FewerSeats, "those who run are not preempted, and end sooner"),
            (AdmitLess, "those who run are not preempted, and end sooner"),
            (HigherWatermark, "those who run are not preempted, and end sooner"),
            (MoreBlocks, "more requests fit"),
            (PrefixCaching, "what prompts share is held once"),
            (CacheAwareRouter, "each prefix is held by fewer replicas"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, "there is more memory in all"),
            (TensorDoubled, "the weights leave more of each GPU to KV"),
            (KvFp8, "each token takes half the memory"),
            (WeightsFp8, "the weights leave more memory to KV"),
            (LessLoad, LESS),
        ],
        Cause::PreemptedWaiting | Cause::Recompute => &[
            (ByPriority, URGENT),
            (FewerSeats, "fewer requests grow into the same memory"),
            (AdmitLess, "admissions reckon with what is still to grow"),
            (HigherWatermark, "admissions leave room to grow"),
            (HigherUtilization, "more memory is left for KV"),
            (MoreBlocks, "more requests fit"),
            (PrefixCaching, "what prompts share is held once"),
            (CacheAwareRouter, "each prefix is held by fewer replicas"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, "there is more memory in all"),
            (TensorDoubled, "the weights leave more of each GPU to KV"),
            (KvFp8, "each token takes half the memory"),
            (WeightsFp8, "the weights leave more memory to KV"),
            (LessLoad, LESS),
        ],
        Cause::CacheEvicted => &[
            (SessionRouter, "a session comes back to the replica that has its prefix"),
            (HigherUtilization, "more memory is left for KV"),
            (MoreBlocks, KEPT_PREFIX),
            (KvFp8, "each token takes half the memory"),
            (WeightsFp8, "the weights leave more memory to KV"),
            (TensorDoubled, "the weights leave more of each GPU to KV"),
            (OneReplicaMore, "there is more memory in all"),
            (FewerSeats, "fewer sessions grow into the same memory at once"),
            (LessLoad, "fewer sessions are under way"),
        ],
        Cause::PolicyDeferred => &[
            (ByPriority, URGENT),
            (MoreSeats, "more requests join a batch"),
            (ShorterModelLen, "admissions reserve no more than the longest request needs"),
            (DecodeBeside, "prompts need not wait for others' answers"),
            (ChunkedPolicy, "prompts need not wait for others' answers"),
            (DecodeShorter, "prompts wait for fewer decode steps"),
            (CutPrompts, "a long prompt needs no step to itself"),
            (PrefillFirstPolicy, "prompts come before decodes"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (LessLoad, LESS),
        ],
        Cause::BatchGrowth => &[
            (FewerSeats, "fewer requests share an iteration"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (KvFp8, "each iteration reads half the bytes of KV"),
            (WeightsFp8, HALF_READ),
            (Draft, SEVERAL),
            (LessLoad, LESS),
        ],
        Cause::Own => &[
            (LargerSteps, "a prompt takes fewer steps"),
            (PrefixCaching, SHARED_PREFIX),
            (KeepPrefixes, KEPT_PREFIX),
            (CacheAwareRouter, CACHED),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (TensorDoubled, FASTER),
            (WeightsFp8, HALF_READ),
            (Draft, SEVERAL),
            (OneReplicaMore, FEWER_A_REPLICA),
        ],
        Cause::DraftRejected => &[
            (DraftsOffAbove, "large batches, in which drafts cost most, verify none"),
            (FewerDrafts, "the last drafts of a step are rejected most often"),
            (NoDrafts, "a step computes one token for each request"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (LessLoad, LESS),
        ],
        Cause::PipelineBubble => &[
            (SmallerSteps, "micro-batches are more alike"),
            (TensorForPipeline, "no stages to wait for"),
            (OneReplicaMore, FEWER_A_REPLICA),
            (LessLoad, LESS),
        ],
        Cause::LockstepWait => &[
            (SmallerSteps, "the slowest rank's step is shorter"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (LessLoad, LESS),
        ],
        Cause::Communication => &[
            (ReplicasForTensor, "fewer GPUs have to wait for each other"),
            (TensorForPipeline, "no stages to wait for"),
            (LargerSteps, "a prompt takes fewer steps"),
            (OneReplicaMore, FEWER_A_REPLICA),
        ],
        Cause::KvTransfer => &[(Router, SPREAD), (LessLoad, LESS)],
        Cause::KvLoad => &[
            (LoadBeside, "a load is waited for by its own request alone"),
            (HigherUtilization, KEPT_PREFIX),
            (MoreBlocks, KEPT_PREFIX),
            (KvFp8, "each token takes half the memory, and half the time on its way"),
            (SessionRouter, "a session comes back to the replica that has its prefix"),
            (OneReplicaMore, "there is more memory in all"),
            (LessLoad, LESS),
        ],
        Cause::FrontEnd => &[(OneReplicaMore, "there is one front end more"), (LessLoad, LESS)],
        Cause::Host => &[
            (PlanAhead, "the host works while the GPU does"),
            (LargerSteps, "there are fewer steps"),
            (OneReplicaMore, FEWER_A_REPLICA),
        ],
        Cause::StepInFlight | Cause::ScheduledAhead => &[
            (SmallerSteps, "the step that runs ends sooner"),
            (PlanInTime, "a prompt joins the step after its arrival, not the one after that"),
            (ChunkedPolicy, "steps are short"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (LessLoad, LESS),
        ],
        Cause::Idle | Cause::CutOff => &[
            (ByPriority, URGENT),
            (MoreSeats, "more requests run at once"),
            (Router, SPREAD),
            (BalanceSooner, PILE),
            (OneReplicaMore, FEWER_A_REPLICA),
            (TensorDoubled, FASTER),
            (LessLoad, LESS),
        ],
    }
}

const IN_CHUNKS: &str = "a prompt over the budget is computed in chunks";
const CONTEXT: &str = "the context, which the KV memory bounds, holds the longest request";
const LONGEST_FITS: &str = "the longest request fits";

/// The changes that could admit what was rejected for such a reason, and why.
pub(super) fn admitting(rejection: Rejection) -> Fits {
    match rejection {
        Rejection::PromptTooLong => &[
            (LongerModelLen, "the context holds the longest request"),
            (ContextMemory(&HigherUtilization), CONTEXT),
            (ContextMemory(&MoreBlocks), CONTEXT),
            (ContextMemory(&TensorDoubled), CONTEXT),
            (ContextMemory(&KvFp8), CONTEXT),
            (ContextMemory(&WeightsFp8), CONTEXT),
        ],
        Rejection::PromptOverBudget => &[
            (CutPrompts, IN_CHUNKS),
            (WholePromptSteps, "the longest prompt fits a step"),
            (ChunkedPolicy, IN_CHUNKS),
        ],
        Rejection::NeverFits | Rejection::OverLimit(_) => &[
            (ShareMemory, "a request may take more than an equal share of the memory"),
            (LargerShares, "each seat has memory for the longest request"),
            (HigherUtilization, LONGEST_FITS),
            (LowerWatermark, "admissions need not leave as much free"),
            (AdmitMore, "admissions reckon with less memory for each request"),
            (PagedPolicy, "memory is taken as tokens need it, not reserved"),
            (MoreBlocks, LONGEST_FITS),
            (TensorDoubled, "the weights leave more of each GPU to KV"),
            (KvFp8, "each token takes half the memory"),
            (WeightsFp8, "the weights leave more memory to KV"),
        ],
        Rejection::KvLost => &[(LessLoad, "what is held to be fetched is fetched sooner")],
        Rejection::DroppedByPolicy => &[
            (HigherUtilization, "more memory is left for KV"),
            (FewerSeats, "fewer requests grow into the same memory"),
            (PagedPolicy, "what finds no memory is preempted, not dropped"),
            (MoreBlocks, "more requests fit"),
            (Router, SPREAD),
            (OneReplicaMore, "there is more memory in all"),
            (TensorDoubled, "the weights leave more of each GPU to KV"),
            (KvFp8, "each token takes half the memory"),
            (LessLoad, LESS),
        ],
    }
}
