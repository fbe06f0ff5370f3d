//! Why a model cannot be priced on a GPU.

use crate::catalog::InvalidFigure;

/// A combination that has no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// Heads cannot be dealt out evenly.
    #[error("{model} has {heads} {of}, which do not divide over tensor: {tensor}")]
    HeadsNotDivisible {
        /// The model.
        model: String,
        /// Its query heads, or those of a recurrent mixer.
        heads: u32,
        /// What they are heads of, in words.
        of: &'static str,
        /// Ranks.
        tensor: u32,
    },
    /// No constants for the experts of a mixture of experts.
    #[error("{gpu} has no measured constants for mixtures of experts such as {model}")]
    ExpertsUnknown {
        /// The GPU.
        gpu: String,
        /// The model.
        model: String,
    },
    /// No all-reduce figures for as many GPUs.
    #[error(
        "{gpu} has no all-reduce figures for {tensor} GPUs (known up to {known}); \
         give interconnect: {{bandwidth, latency}}, which then holds for any number, or what joins \
         nodes, links: {{network: {{bandwidth: 50GB/s, latency: 10us}}}}"
    )]
    AllReduceUnknown {
        /// The GPU.
        gpu: String,
        /// Ranks asked for.
        tensor: u32,
        /// The most that figures are known for; 1 when there are none.
        known: u32,
    },
    /// More pipeline stages than layers.
    #[error("{layers} layers cannot be dealt out to pipeline: {pipeline}")]
    TooManyStages {
        /// The model's layers.
        layers: u32,
        /// Stages asked for.
        pipeline: u32,
    },
    /// Expert parallelism without experts.
    #[error("{model} is dense: it has no experts to spread over GPUs")]
    NoExperts {
        /// The model.
        model: String,
    },
    /// A rank would be left without an expert.
    #[error(
        "{model} has {experts} experts, fewer than the {ranks} ranks (tensor x data) to hold them"
    )]
    FewerExpertsThanRanks {
        /// The model.
        model: String,
        /// Its experts.
        experts: u32,
        /// Ranks.
        ranks: u32,
    },
    /// A degree of parallelism of 0.
    #[error("tensor, pipeline and data must be at least 1")]
    NoRanks,
    /// A figure out of range.
    #[error(transparent)]
    Figure(#[from] InvalidFigure),
}
