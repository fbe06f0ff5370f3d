//! Which rates a product in a number format has on a GPU.

use crate::catalog::{Arithmetic, Format, Gpu, GroupedGemm};

use super::gemm::Gemm;

/// What a kernel that unpacks weights to 16 bits keeps of the plain product's rates. Assumed: public
/// measurements of Marlin-like kernels lie between 70 and 95 % of them.
const UNPACKED_COMPUTE: f64 = 0.85;
const UNPACKED_BANDWIDTH: f64 = 0.9;

/// What the derived rate of a narrower format keeps of the ratio of the peaks: what the fp8 products
/// of H100 and B200 keep of theirs.
const NARROW_COMPUTE: f64 = 0.75;

/// How a GPU computes products in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At rates measured for this arithmetic.
    Measured,
    /// At rates derived from its peak.
    Derived,
    /// It has no such units: weights are unpacked, and products are in 16 bits.
    Unpacked,
}

/// How `gpu` computes products with weights in `format`.
pub(super) fn way(gpu: &Gpu, format: Format) -> Way {
    let arithmetic = format.arithmetic();
    match arithmetic {
        Arithmetic::Bf16 if format.is_16_bit() || format == Format::FP32 => Way::Measured,
        Arithmetic::Bf16 => Way::Unpacked,
        Arithmetic::Fp8 if gpu.gemm_fp8.is_some() => Way::Measured,
        _ if peak_of(gpu, arithmetic).is_some() => Way::Derived,
        _ => Way::Unpacked,
    }
}

/// Bytes of an activation that goes into a product with weights in `format`.
pub(super) fn input_bytes(gpu: &Gpu, format: Format) -> f64 {
    match (way(gpu, format), format.arithmetic()) {
        (Way::Unpacked, _) | (_, Arithmetic::Bf16) => 2.0,
        (_, Arithmetic::Fp8 | Arithmetic::Int8) => 1.0,
        (_, Arithmetic::Fp4) => 0.5625,
    }
}

/// Prices products with weights in `format`.
pub(super) fn gemm(gpu: &Gpu, format: Format) -> Gemm {
    let bytes = (format.bytes_each(), input_bytes(gpu, format));
    let mut fit = gpu.gemm_bf16;
    match (way(gpu, format), &gpu.gemm_fp8) {
        (Way::Measured, Some(fp8)) if format.arithmetic() == Arithmetic::Fp8 => fit = *fp8,
        (Way::Measured, _) => {}
        (Way::Derived, fp8) => {
            // The fp8 kernels' launch and knee, where there are some, are nearer than bf16's.
            fit = fp8.unwrap_or(fit);
            fit.tflops = gpu.gemm_bf16.tflops * faster(gpu, format.arithmetic());
        }
        (Way::Unpacked, _) => {
            fit.tflops *= UNPACKED_COMPUTE;
            fit.memory_gb_per_s *= UNPACKED_BANDWIDTH;
        }
    }
    Gemm::new(&fit, bytes.0, bytes.1)
}

/// The rates of grouped products with weights in `format`: in narrower numbers they gain what the
/// plain ones gain, since there is no fit of their own.
pub(super) fn grouped(gpu: &Gpu, fit: &GroupedGemm, format: Format) -> GroupedGemm {
    let mut fit = *fit;
    match (way(gpu, format), &gpu.gemm_fp8) {
        (Way::Measured, Some(fp8)) if format.arithmetic() == Arithmetic::Fp8 => {
            fit.tflops *= fp8.tflops / gpu.gemm_bf16.tflops;
        }
        (Way::Measured, _) => {}
        (Way::Derived, _) => fit.tflops *= faster(gpu, format.arithmetic()),
        (Way::Unpacked, _) => {
            fit.tflops *= UNPACKED_COMPUTE;
            fit.memory_gb_per_s *= UNPACKED_BANDWIDTH;
        }
    }
    fit
}

/// How many times as fast as in 16 bits products in this arithmetic are, by the peaks.
fn faster(gpu: &Gpu, arithmetic: Arithmetic) -> f64 {
    let peak = peak_of(gpu, arithmetic).unwrap_or(gpu.peak.bf16_tflops);
    (NARROW_COMPUTE * peak / gpu.peak.bf16_tflops).max(1.0)
}

/// Its peak in this arithmetic, TFLOP/s, where it has such units.
fn peak_of(gpu: &Gpu, arithmetic: Arithmetic) -> Option<f64> {
    match arithmetic {
        Arithmetic::Bf16 => Some(gpu.peak.bf16_tflops),
        Arithmetic::Fp8 => gpu.peak.fp8_tflops,
        Arithmetic::Int8 | Arithmetic::Fp4 => None,
    }
}
