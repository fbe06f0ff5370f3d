//! Mixers that carry a state: what reading, updating and scanning it takes.
//!
//! Priced by bytes and operations at the GPU's own rates, not fitted to measurements. A decode
//! reads and writes its request's state. A chunk is scanned in blocks of [`SCAN_TOKENS`] tokens, as
//! Mamba 2's and the gated delta rule's kernels do: within a block every token meets every other,
//! and each block reads and updates the state once.

use crate::catalog::{Gpu, Recurrent, RecurrentKind};

use super::gemm::{us_per_byte, us_per_flop};
use super::shard::Shard;
use super::{BatchShape, Decodes};

/// Tokens of a block of the scan: what the kernels of Mamba 2 and of flash-linear-attention use.
const SCAN_TOKENS: f64 = 64.0;

/// What scans keep of the rate of large products: their blocks are small. Assumed.
const SCAN_RATE: f64 = 0.3;

/// Prices the state of one layer on one rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recurrence {
    launch_us: f64,
    /// Kernels that a chunk takes more than a decode.
    scan_launch_us: f64,
    /// Reading and writing one request's state.
    state_us: f64,
    /// Scanning one token.
    token_us: f64,
}

impl Recurrence {
    /// No mixer: nothing to pay.
    pub(super) const NONE: Recurrence =
        Recurrence { launch_us: 0.0, scan_launch_us: 0.0, state_us: 0.0, token_us: 0.0 };

    pub(super) fn new(recurrent: &Recurrent, gpu: &Gpu, shard: Shard) -> Recurrence {
        let ranks = f64::from(shard.ranks);
        let state_bytes = recurrent.state_bytes() as f64 / ranks;
        let bandwidth = gpu.decode_attention.memory_gb_per_s;
        let numbers = recurrent.state_numbers as f64 / ranks;
        let width = f64::from(recurrent.input_columns) / ranks;
        // A token updates the state and reads from it, two operations a number each; within its
        // block it meets half of the others over all columns.
        let flops = 4.0 * numbers + 2.0 * 0.5 * SCAN_TOKENS * width;
        let scans = match recurrent.kind {
            RecurrentKind::ShortConvolution => 0.0,
            RecurrentKind::Mamba => 1.0,
            RecurrentKind::Mamba2
            | RecurrentKind::GatedDelta
            | RecurrentKind::KimiDelta
            | RecurrentKind::Lightning => 4.0,
        };
        let kernel_us = gpu.elementwise.kernel_us;
        Recurrence {
            // The convolution's kernel, and the state's.
            launch_us: 2.0 * kernel_us,
            scan_launch_us: scans * kernel_us,
            state_us: 2.0 * state_bytes * us_per_byte(bandwidth),
            token_us: flops * us_per_flop(SCAN_RATE * gpu.gemm_bf16.tflops)
                + 4.0 * width * us_per_byte(gpu.elementwise.memory_gb_per_s),
        }
    }

    /// Of decodes alone.
    pub(super) fn decodes_us(&self, decodes: f64) -> f64 {
        self.launch_us + self.state_us * decodes
    }

    /// Of decodes in a batch: each reads a state, and writes one for each of its tokens, since any of
    /// them may be the last that is accepted.
    fn verifying_us(&self, decodes: Decodes) -> f64 {
        let [requests, tokens] = [decodes.requests(), decodes.tokens()].map(f64::from);
        let states = 0.5 * (requests + tokens);
        self.decodes_us(states) + self.token_us * (tokens - requests)
    }

    /// Of a batch.
    pub(super) fn us(&self, shape: &BatchShape<'_>) -> f64 {
        let decodes = self.verifying_us(shape.decodes());
        if shape.chunks().is_empty() {
            return decodes;
        }
        let tokens: u64 = shape.chunks().iter().map(|chunk| u64::from(chunk.tokens)).sum();
        let chunks = shape.chunks().len() as f64;
        decodes + self.scan_launch_us + self.state_us * chunks + self.token_us * tokens as f64
    }
}
