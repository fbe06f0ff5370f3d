//! The smooth roofline of one matrix product, and of elementwise kernels.

use crate::catalog;

/// Time of one bf16 matrix product of `m` tokens, `n` outputs and `k` inputs, microseconds. For
/// checking constants against measured tables.
#[cfg(any(test, feature = "internals"))]
pub fn gemm_us(fit: &catalog::Gemm, m: u32, n: u32, k: u32) -> f64 {
    Gemm::new(fit, 2.0, 2.0).us(m.into(), n.into(), k.into())
}

/// `(a^p + b^p)^(1/p)`: near the larger of both, above it where they are close.
///
/// Both must be at least 0. Scaled by the larger, so that no power overflows.
pub(super) fn soft_max(a: f64, b: f64, knee: f64) -> f64 {
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    if small <= 0.0 {
        return large;
    }
    large * libm::pow(1.0 + libm::pow(small / large, knee), 1.0 / knee)
}

/// Microseconds per operation at `tflops` times 10^12 a second.
pub(super) fn us_per_flop(tflops: f64) -> f64 {
    1e-6 / tflops
}

/// Microseconds per byte at `gb_per_s` times 10^9 a second.
pub(super) fn us_per_byte(gb_per_s: f64) -> f64 {
    1e-3 / gb_per_s
}

/// Prices `M x K` times `K x N`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gemm {
    launch_us: f64,
    us_per_flop: f64,
    us_per_byte: f64,
    knee: f64,
    row_penalty: f64,
    /// Bytes of an element of the weights.
    weight_bytes: f64,
    /// Bytes of an element of the input; the output has 2.
    input_bytes: f64,
}

impl Gemm {
    pub(super) fn new(fit: &catalog::Gemm, weight_bytes: f64, input_bytes: f64) -> Gemm {
        Gemm {
            launch_us: fit.launch_us,
            us_per_flop: us_per_flop(fit.tflops),
            us_per_byte: us_per_byte(fit.memory_gb_per_s),
            knee: fit.knee,
            row_penalty: fit.row_penalty,
            weight_bytes,
            input_bytes,
        }
    }

    /// Time of one product, microseconds: `m` tokens, `n` outputs, `k` inputs.
    pub(super) fn us(&self, m: f64, n: f64, k: f64) -> f64 {
        let compute = 2.0 * m * n * k * self.us_per_flop;
        let bytes = self.weight_bytes * n * k + self.input_bytes * m * k + 2.0 * m * n;
        let penalty = 1.0 + self.row_penalty * m.min(64.0) / 64.0;
        let memory = bytes * penalty * self.us_per_byte;
        self.launch_us + soft_max(compute, memory, self.knee)
    }
}
