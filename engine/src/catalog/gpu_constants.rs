//! Constants of a GPU that an engine profile brings along: measured or fitted together with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AllReduce, DecodeAttention, Elementwise, Gemm, Gpu, GroupedGemm, PrefillAttention, Sampler,
};

/// Constants in place of the GPU's own; those that are absent stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuConstants {
    /// Matrix products in 16 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_bf16: Option<Gemm>,
    /// Matrix products in 8 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_fp8: Option<Gemm>,
    /// Matrix products in 4 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_fp4: Option<Gemm>,
    /// Routed experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<GroupedGemm>,
    /// Routed experts in 8 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_fp8: Option<GroupedGemm>,
    /// Routed experts in 4 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_fp4: Option<GroupedGemm>,
    /// Norms, activations, rotary embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elementwise: Option<Elementwise>,
    /// Attention of batches without prefill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_attention: Option<DecodeAttention>,
    /// Attention of batches with prefill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_attention: Option<PrefillAttention>,
    /// Sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// All-reduces, by number of GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_reduce: Option<Vec<AllReduce>>,
}

impl GpuConstants {
    /// The GPU with these constants.
    pub fn on(&self, gpu: &Gpu) -> Gpu {
        let mut gpu = gpu.clone();
        gpu.gemm_bf16 = self.gemm_bf16.unwrap_or(gpu.gemm_bf16);
        gpu.gemm_fp8 = self.gemm_fp8.or(gpu.gemm_fp8);
        gpu.experts = self.experts.or(gpu.experts);
        gpu.experts_fp8 = self.experts_fp8.or(gpu.experts_fp8);
        gpu.gemm_fp4 = self.gemm_fp4.or(gpu.gemm_fp4);
        gpu.experts_fp4 = self.experts_fp4.or(gpu.experts_fp4);
        gpu.elementwise = self.elementwise.unwrap_or(gpu.elementwise);
        gpu.decode_attention = self.decode_attention.unwrap_or(gpu.decode_attention);
        gpu.prefill_attention = self.prefill_attention.unwrap_or(gpu.prefill_attention);
        gpu.sampler = self.sampler.unwrap_or(gpu.sampler);
        if let Some(all_reduce) = &self.all_reduce {
            gpu.all_reduce.clone_from(all_reduce);
            gpu.all_reduce_points.clear();
        }
        gpu
    }
}
