//! A GPU of which only the maker's figures are known: its constants are the shares of the peak that
//! fitted GPUs reach.

use super::{
    DecodeAttention, Elementwise, Evidence, FlashAttention3, Gemm, Gpu, GpuSource, GroupedGemm,
    InvalidFigure, Peak, PrefillAttention, Sampler,
};

impl Gpu {
    /// A GPU called `custom` with `memory_bytes` of memory and these peaks. Constants are those of
    /// H100 and A100 as shares of the peak, rounded; on a GPU of another kind expect times to be off
    /// by 10 to 30 %. It has no all-reduce figures.
    ///
    /// # Errors
    /// When a figure is out of range.
    pub fn from_peak(memory_bytes: u64, peak: Peak) -> Result<Gpu, InvalidFigure> {
        let bandwidth = peak.memory_gb_per_s;
        let gpu = Gpu {
            name: "custom".into(),
            description: "given by its peak figures".into(),
            memory_bytes,
            peak,
            chip: None,
            link: None,
            gpus_per_node: None,
            evidence: Evidence::derived_from("h100-sxm and a100-sxm-80gb", "10 to 30 %"),
            gemm_bf16: Gemm {
                tflops: 0.8 * peak.bf16_tflops,
                memory_gb_per_s: 0.83 * bandwidth,
                launch_us: 4.5,
                knee: 2.5,
                row_penalty: 0.03,
            },
            gemm_fp8: peak.fp8_tflops.map(|tflops| Gemm {
                tflops: 0.6 * tflops,
                memory_gb_per_s: 0.9 * bandwidth,
                launch_us: 5.7,
                knee: 1.12,
                row_penalty: 0.0,
            }),
            gemm_fp4: None,
            experts: Some(GroupedGemm {
                tflops: 0.58 * peak.bf16_tflops,
                memory_gb_per_s: 0.85 * bandwidth,
                launch_us: 21.0,
                knee: 1.43,
                pad_rows: 0.8,
                activation_bytes: None,
            }),
            experts_fp8: None,
            experts_fp4: None,
            elementwise: Elementwise { kernel_us: 2.0, memory_gb_per_s: 2.4 * bandwidth },
            decode_attention: DecodeAttention {
                launch_us: 10.0,
                split_us: 1.5,
                sequence_us: 0.06,
                memory_gb_per_s: 0.88 * bandwidth,
                walk_ns: 0.4,
                ramp_us: 0.0,
                ramp_mb: 1.0,
                warm: None,
            },
            prefill_attention: PrefillAttention::FlashAttention3(FlashAttention3 {
                launch_us: 10.0,
                tflops: 0.65 * peak.bf16_tflops,
                pad_tokens: 540.0,
                memory_gb_per_s: Some(1.8 * bandwidth),
                walk_ns: 12.5,
                knee: 4.0,
            }),
            sampler: Sampler { launch_us: 13.0, sequence_us: 950.0 / bandwidth },
            all_reduce: Vec::new(),
            all_reduce_points: Vec::new(),
            network: None,
            price_usd_per_hour: None,
            power: None,
            source: GpuSource {
                figures: "given".into(),
                constants: "derived from the peak figures by the shares that H100 and A100 reach, \
                            not measured: 80 % of compute and 83 % of bandwidth in matrix products, \
                            65 and 88 % in attention"
                    .into(),
                ..GpuSource::default()
            },
        };
        gpu.validate()?;
        Ok(gpu)
    }
}
