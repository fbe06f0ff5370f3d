//! What an engine's version computes with: which kernels, and how fast they are beside those that GPUs'
//! constants were fitted on, vLLM 0.19's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{InvalidFigure, at_least_zero, positive};
use super::{AllReduceChoice, Gemm, Gpu, GroupedGemm, PrefillAttention};

/// FlashAttention-2 on Hopper, of FlashAttention-3's rate: 1.5 to 2 times slower forward (FlashAttention-3,
/// arXiv 2407.08608), 35 % of the peak where the other reaches 75.
const FLASH_ATTENTION_2_RATE: f64 = 0.5;

/// An engine's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineKernels {
    /// Attention of chunks: FlashAttention-2 on all GPUs, or the newest that a GPU has.
    #[serde(default)]
    pub attention: AttentionEra,
    /// Chunks and decodes of a batch in kernels of their own: vLLM before V1, Orca, Sarathi-Serve.
    #[serde(default)]
    pub attention_apart: bool,
    /// Which all-reduce is taken for which message.
    #[serde(default)]
    pub all_reduce: AllReduceChoice,
    /// Times of matrix products, as a multiple.
    #[serde(default = "one")]
    pub gemm: f64,
    /// Times of routed experts, as a multiple.
    #[serde(default = "one")]
    pub experts: f64,
    /// Times of routed experts in 8 and 4 bits where they compute rather than read weights, as a multiple besides.
    #[serde(default = "one")]
    pub narrow_experts_compute: f64,
    /// Times of attention, as a multiple.
    #[serde(default = "one")]
    pub attention_time: f64,
    /// Times of all-reduces, as a multiple.
    #[serde(default = "one")]
    pub communication: f64,
    /// The least sharpness of the knee of matrix products in 8 and 4 bits: kernels that are tuned by
    /// shape come nearer to the larger of both bounds than those that were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow_knee: Option<f64>,
    /// The longest launch of such products, microseconds: where quantising is part of the kernel before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow_launch_us: Option<f64>,
    /// Time between the kernels of a layer, microseconds a layer.
    #[serde(default)]
    pub layer_us: f64,
}

/// Which attention kernels there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionEra {
    /// FlashAttention-2, on Hopper too: vLLM before 0.7.
    #[serde(rename = "flash-attention-2")]
    FlashAttention2,
    /// The newest that a GPU has.
    #[default]
    Newest,
}

impl Default for EngineKernels {
    fn default() -> EngineKernels {
        EngineKernels {
            attention: AttentionEra::Newest,
            attention_apart: false,
            all_reduce: AllReduceChoice::default(),
            gemm: 1.0,
            experts: 1.0,
            narrow_experts_compute: 1.0,
            attention_time: 1.0,
            communication: 1.0,
            narrow_knee: None,
            narrow_launch_us: None,
            layer_us: 0.0,
        }
    }
}

fn one() -> f64 {
    1.0
}

impl EngineKernels {
    /// Whether they are those that constants were fitted on.
    pub fn is_usual(&self) -> bool {
        *self == EngineKernels::default()
    }

    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub(super) fn validate(&self) -> Result<(), InvalidFigure> {
        positive("kernels.gemm", self.gemm)?;
        positive("kernels.experts", self.experts)?;
        positive("kernels.narrow_experts_compute", self.narrow_experts_compute)?;
        positive("kernels.attention_time", self.attention_time)?;
        positive("kernels.communication", self.communication)?;
        if let Some(knee) = self.narrow_knee {
            positive("kernels.narrow_knee", knee)?;
        }
        at_least_zero("kernels.narrow_launch_us", self.narrow_launch_us.unwrap_or_default())?;
        at_least_zero("kernels.layer_us", self.layer_us)
    }

    /// The GPU with constants as these kernels have them.
    pub(crate) fn on(&self, gpu: &Gpu) -> Gpu {
        use super::Arithmetic::{Fp4, Fp8};
        let mut gpu = gpu.clone();
        // Derived constants are made the GPU's own, so that they can be changed.
        let [fp8, fp4] = [Fp8, Fp4].map(|arithmetic| gpu.gemm_for(arithmetic));
        gpu.gemm_fp8 = fp8.map(|(fit, _)| self.narrow(fit));
        gpu.gemm_fp4 = fp4.map(|(fit, _)| self.narrow(fit));
        gpu.gemm_bf16 = slower(gpu.gemm_bf16, self.gemm);
        gpu.experts = gpu.experts.map(|fit| self.slower_experts(fit, 1.0));
        let narrow = self.narrow_experts_compute;
        gpu.experts_fp8 = gpu.experts_fp8.map(|fit| self.slower_experts(fit, narrow));
        gpu.experts_fp4 = gpu.experts_fp4.map(|fit| self.slower_experts(fit, narrow));
        let slow = self.attention_time;
        let decode = &mut gpu.decode_attention;
        decode.launch_us *= slow;
        decode.split_us *= slow;
        decode.sequence_us *= slow;
        decode.walk_ns *= slow;
        decode.ramp_us *= slow;
        decode.memory_gb_per_s /= slow;
        match &mut gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => {
                fit.launch_us *= slow;
                fit.tflops /= slow;
                fit.memory_gb_per_s /= slow;
                fit.tile_us *= slow;
            }
            PrefillAttention::FlashAttention3(fit) => {
                let era = match self.attention {
                    AttentionEra::FlashAttention2 => FLASH_ATTENTION_2_RATE,
                    AttentionEra::Newest => 1.0,
                };
                fit.launch_us *= slow;
                fit.tflops *= era / slow;
                fit.walk_ns *= slow / era;
            }
        }
        gpu
    }

    fn narrow(&self, fit: Gemm) -> Gemm {
        let knee = self.narrow_knee.map_or(fit.knee, |least| fit.knee.max(least));
        let launch_us = self.narrow_launch_us.map_or(fit.launch_us, |most| fit.launch_us.min(most));
        slower(Gemm { knee, launch_us, ..fit }, self.gemm)
    }

    fn slower_experts(&self, fit: GroupedGemm, compute: f64) -> GroupedGemm {
        GroupedGemm {
            tflops: fit.tflops / self.experts / compute,
            memory_gb_per_s: fit.memory_gb_per_s / self.experts,
            launch_us: fit.launch_us * self.experts,
            ..fit
        }
    }
}

fn slower(fit: Gemm, times: f64) -> Gemm {
    Gemm {
        tflops: fit.tflops / times,
        memory_gb_per_s: fit.memory_gb_per_s / times,
        launch_us: fit.launch_us * times,
        ..fit
    }
}
