//! In which numbers matrix products are computed, and what they cost a GPU.

use super::{EvidenceKind, Gemm, Gpu, GroupedGemm};

/// The numbers that matrix units multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// 16-bit floating point, bfloat16 or float16: both take the same time.
    #[default]
    Bf16,
    /// 8-bit floating point.
    Fp8,
    /// 8-bit integers.
    Int8,
    /// 4-bit floating point with a scale for each few numbers: nvfp4 and mxfp4.
    Fp4,
}

/// Where constants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Fitted on measured times of this GPU.
    Measured,
    /// Reckoned from its peak by the shares that another GPU, or another number type, reaches.
    Derived,
}

/// What H100's fit in fp8 reaches of its peaks: `gemm_fp8` of the catalog's h100-sxm over 1979
/// TFLOP/s and 3350 GB/s.
const COMPUTE_SHARE: f64 = 0.607;
const BANDWIDTH_SHARE: f64 = 0.909;
const LAUNCH_US: f64 = 5.718;
const KNEE: f64 = 1.1226;

impl Gpu {
    /// Matrix products in `arithmetic`, and where the constants come from. Fp8 without a fit, and
    /// fp4 likewise, and int8 always, are the peak times the shares that H100's fp8 fit reaches. `None` where
    /// the GPU has no units for such numbers: what is stored in them is multiplied in 16 bits.
    pub fn gemm_for(&self, arithmetic: Arithmetic) -> Option<(Gemm, Origin)> {
        let fitted = match arithmetic {
            Arithmetic::Bf16 => Some(self.gemm_bf16),
            Arithmetic::Fp8 => self.gemm_fp8,
            Arithmetic::Fp4 => self.gemm_fp4,
            Arithmetic::Int8 => None,
        };
        if let Some(gemm) = fitted {
            return Some((gemm, self.origin()));
        }
        let gemm = Gemm {
            tflops: COMPUTE_SHARE * self.peak_for(arithmetic)?,
            memory_gb_per_s: BANDWIDTH_SHARE * self.peak.memory_gb_per_s,
            launch_us: LAUNCH_US,
            knee: KNEE,
            row_penalty: 0.0,
        };
        Some((gemm, Origin::Derived))
    }

    /// The products of a mixture of experts in `arithmetic`. Without a fit of their own they gain
    /// over 16 bits what plain products gain in compute. `None` without such units, or where the
    /// GPU has no constants for experts.
    pub fn experts_for(&self, arithmetic: Arithmetic) -> Option<(GroupedGemm, Origin)> {
        let mut experts = self.experts?;
        match (arithmetic, self.experts_fp8) {
            (Arithmetic::Bf16, _) => return Some((experts, self.origin())),
            (Arithmetic::Fp8, Some(fitted)) => return Some((fitted, self.origin())),
            _ => {}
        }
        if let (Arithmetic::Fp4, Some(fitted)) = (arithmetic, self.experts_fp4) {
            return Some((fitted, self.origin()));
        }
        let (gemm, _) = self.gemm_for(arithmetic)?;
        experts.tflops *= gemm.tflops / self.gemm_bf16.tflops;
        Some((experts, Origin::Derived))
    }

    /// The maker's peak in `arithmetic`, TFLOP/s (int8: TOP/s); `None` without such units.
    pub fn peak_for(&self, arithmetic: Arithmetic) -> Option<f64> {
        match arithmetic {
            Arithmetic::Bf16 => Some(self.peak.bf16_tflops),
            Arithmetic::Fp8 => self.peak.fp8_tflops,
            Arithmetic::Int8 => self.peak.int8_tops,
            Arithmetic::Fp4 => self.peak.fp4_tflops,
        }
    }

    fn origin(&self) -> Origin {
        match self.evidence.kind {
            EvidenceKind::Derived => Origin::Derived,
            _ => Origin::Measured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpu;
    use super::*;

    #[test]
    fn the_shares_are_those_of_h100s_fit() {
        let h100 = gpu("h100-sxm").unwrap();
        let fit = h100.gemm_fp8.unwrap();
        let compute = fit.tflops / h100.peak.fp8_tflops.unwrap();
        let bandwidth = fit.memory_gb_per_s / h100.peak.memory_gb_per_s;
        assert!((compute - COMPUTE_SHARE).abs() < 5e-4, "{compute}");
        assert!((bandwidth - BANDWIDTH_SHARE).abs() < 5e-4, "{bandwidth}");
        assert_eq!((fit.launch_us, fit.knee, fit.row_penalty), (LAUNCH_US, KNEE, 0.0));
    }

    #[test]
    fn what_is_measured_is_said_to_be() {
        let h100 = gpu("h100-sxm").unwrap();
        assert_eq!(h100.gemm_for(Arithmetic::Bf16), Some((h100.gemm_bf16, Origin::Measured)));
        assert_eq!(
            h100.gemm_for(Arithmetic::Fp8),
            Some((h100.gemm_fp8.unwrap(), Origin::Measured))
        );
        // 0.607 x 1979 TOP/s.
        let (int8, origin) = h100.gemm_for(Arithmetic::Int8).unwrap();
        assert!((int8.tflops - 1201.3).abs() < 0.1, "{}", int8.tflops);
        assert_eq!(origin, Origin::Derived);
        assert_eq!(h100.gemm_for(Arithmetic::Fp4), None);
        // Fitted on whole servers.
        let b200 = gpu("b200-sxm").unwrap();
        let fitted = (b200.gemm_fp4.unwrap(), Origin::Measured);
        assert_eq!(b200.gemm_for(Arithmetic::Fp4), Some(fitted));
        // 0.607 x 9000 TFLOP/s.
        let derived = Gpu { gemm_fp4: None, ..b200.clone() };
        let (fp4, origin) = derived.gemm_for(Arithmetic::Fp4).unwrap();
        assert!((fp4.tflops - 5463.0).abs() < 0.1, "{}", fp4.tflops);
        assert_eq!(origin, Origin::Derived);
        // No units for fp8.
        assert_eq!(gpu("a100-sxm-80gb").unwrap().gemm_for(Arithmetic::Fp8), None);
        assert_eq!(gpu("h20").unwrap().gemm_for(Arithmetic::Bf16).unwrap().1, Origin::Derived);
    }

    #[test]
    fn experts_gain_what_plain_products_gain() {
        let l40s = gpu("l40s").unwrap();
        let (bf16, _) = l40s.experts_for(Arithmetic::Bf16).unwrap();
        let (fp8, origin) = l40s.experts_for(Arithmetic::Fp8).unwrap();
        let gain = 0.607 * l40s.peak.fp8_tflops.unwrap() / l40s.gemm_bf16.tflops;
        assert!((fp8.tflops / bf16.tflops - gain).abs() < 1e-9);
        assert_eq!((fp8.memory_gb_per_s, origin), (bf16.memory_gb_per_s, Origin::Derived));
        assert_eq!(gpu("a40").unwrap().experts_for(Arithmetic::Fp4), None);
    }
}
