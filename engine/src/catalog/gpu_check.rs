//! Ranges of a GPU's figures.

use super::check::{InvalidFigure, at_least_zero, positive};
use super::{Gemm, Gpu, GroupedGemm, PrefillAttention};

impl Gpu {
    /// Checks every figure's range, so that pricing cannot divide by zero or go backwards.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        if self.memory_bytes == 0 {
            return Err(InvalidFigure::new("memory_bytes", "must be above 0".into()));
        }
        positive("peak.bf16_tflops", self.peak.bf16_tflops)?;
        positive("peak.memory_gb_per_s", self.peak.memory_gb_per_s)?;
        let others = [
            ("peak.fp8_tflops", self.peak.fp8_tflops),
            ("peak.fp4_tflops", self.peak.fp4_tflops),
            ("peak.int8_tops", self.peak.int8_tops),
            ("chip.multiprocessors", self.chip.map(|chip| chip.multiprocessors.into())),
            ("chip.l2_mb", self.chip.map(|chip| chip.l2_mb)),
            ("link.gb_per_s", self.link.as_ref().map(|link| link.gb_per_s)),
            ("gpus_per_node", self.gpus_per_node.map(f64::from)),
        ];
        for (path, figure) in others {
            figure.map_or(Ok(()), |figure| positive(path, figure))?;
        }
        self.gemm_bf16.validate("gemm_bf16")?;
        if let Some(gemm) = &self.gemm_fp8 {
            gemm.validate("gemm_fp8")?;
        }
        if let Some(gemm) = &self.gemm_fp4 {
            gemm.validate("gemm_fp4")?;
        }
        for (path, experts) in [
            ("experts", &self.experts),
            ("experts_fp8", &self.experts_fp8),
            ("experts_fp4", &self.experts_fp4),
        ] {
            if let Some(experts) = experts {
                experts.validate(path)?;
            }
        }
        at_least_zero("elementwise.kernel_us", self.elementwise.kernel_us)?;
        positive("elementwise.memory_gb_per_s", self.elementwise.memory_gb_per_s)?;
        let decode = &self.decode_attention;
        at_least_zero("decode_attention.launch_us", decode.launch_us)?;
        at_least_zero("decode_attention.sequence_us", decode.sequence_us)?;
        positive("decode_attention.memory_gb_per_s", decode.memory_gb_per_s)?;
        at_least_zero("decode_attention.ramp_us", decode.ramp_us)?;
        positive("decode_attention.ramp_mb", decode.ramp_mb)?;
        at_least_zero("decode_attention.split_us", decode.split_us)?;
        at_least_zero("decode_attention.walk_ns", decode.walk_ns)?;
        if let Some(warm) = &decode.warm {
            positive("decode_attention.warm.mb", warm.mb)?;
            positive("decode_attention.warm.gb_per_s", warm.gb_per_s)?;
        }
        match &self.prefill_attention {
            PrefillAttention::FlashAttention2(fa) => {
                at_least_zero("prefill_attention.launch_us", fa.launch_us)?;
                positive("prefill_attention.tflops", fa.tflops)?;
                positive("prefill_attention.slots", fa.slots)?;
                at_least_zero("prefill_attention.tile_us", fa.tile_us)?;
                at_least_zero("prefill_attention.tail", fa.tail)?;
                at_least_zero("prefill_attention.token_ns", fa.token_ns)?;
                if let Some(bandwidth) = fa.token_gb_per_s {
                    positive("prefill_attention.token_gb_per_s", bandwidth)?;
                }
                positive("prefill_attention.memory_gb_per_s", fa.memory_gb_per_s)?;
                positive("prefill_attention.knee", fa.knee)?;
                positive("prefill_attention.l2_mb", fa.l2_mb)?;
                positive("prefill_attention.l2_knee", fa.l2_knee)?;
            }
            PrefillAttention::FlashAttention3(fa) => {
                at_least_zero("prefill_attention.launch_us", fa.launch_us)?;
                positive("prefill_attention.tflops", fa.tflops)?;
                at_least_zero("prefill_attention.pad_tokens", fa.pad_tokens)?;
                if let Some(bandwidth) = fa.memory_gb_per_s {
                    positive("prefill_attention.memory_gb_per_s", bandwidth)?;
                }
                at_least_zero("prefill_attention.walk_ns", fa.walk_ns)?;
                positive("prefill_attention.knee", fa.knee)?;
            }
        }
        at_least_zero("sampler.launch_us", self.sampler.launch_us)?;
        at_least_zero("sampler.sequence_us", self.sampler.sequence_us)?;
        let mut gpus = 1;
        for link in &self.all_reduce {
            if link.gpus <= gpus {
                return Err(InvalidFigure::new(
                    "all_reduce.gpus",
                    "numbers of GPUs must ascend from 2".into(),
                ));
            }
            gpus = link.gpus;
            at_least_zero("all_reduce.latency_us", link.latency_us)?;
            positive("all_reduce.gb_per_s", link.gb_per_s)?;
        }
        self.validate_all_reduce_points()?;
        if let Some(network) = &self.network {
            at_least_zero("network.latency_us", network.latency_us)?;
            positive("network.gb_per_s", network.gb_per_s)?;
        }
        if let Some(price) = self.price_usd_per_hour {
            at_least_zero("price_usd_per_hour", price)?;
        }
        if let Some(power) = &self.power {
            at_least_zero("power.idle_w", power.idle_w)?;
            at_least_zero("power.max_w", power.max_w)?;
            if power.idle_w > power.max_w {
                return Err(InvalidFigure::new("power.idle_w", "is above power.max_w".into()));
            }
        }
        Ok(())
    }
}

impl Gemm {
    fn validate(&self, path: &str) -> Result<(), InvalidFigure> {
        positive(&format!("{path}.tflops"), self.tflops)?;
        positive(&format!("{path}.memory_gb_per_s"), self.memory_gb_per_s)?;
        at_least_zero(&format!("{path}.launch_us"), self.launch_us)?;
        positive(&format!("{path}.knee"), self.knee)?;
        at_least_zero(&format!("{path}.row_penalty"), self.row_penalty)
    }
}

impl GroupedGemm {
    fn validate(&self, path: &str) -> Result<(), InvalidFigure> {
        positive(&format!("{path}.tflops"), self.tflops)?;
        positive(&format!("{path}.memory_gb_per_s"), self.memory_gb_per_s)?;
        at_least_zero(&format!("{path}.launch_us"), self.launch_us)?;
        positive(&format!("{path}.knee"), self.knee)?;
        at_least_zero(&format!("{path}.pad_rows"), self.pad_rows)?;
        let activations = self.activation_bytes.unwrap_or_default();
        at_least_zero(&format!("{path}.activation_bytes"), activations)
    }
}
