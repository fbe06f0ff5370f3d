//! Mixtures of experts: how many a batch wakes, and what they cost.

use crate::catalog::{Experts, GroupedGemm, Model};

use super::gemm::{Gemm, soft_max, us_per_byte, us_per_flop};

/// Distinct experts that `tokens` tokens reach, when each picks its experts evenly at random:
/// an expert is missed by one token with probability `1 - per_token/count`, by all with the
/// power of it. Real routing is less even, so fewer experts are reached and this is dear.
pub(super) fn expected_experts(experts: &Experts, tokens: f64) -> f64 {
    let count = f64::from(experts.count);
    let missed = 1.0 - f64::from(experts.per_token) / count;
    count * (1.0 - libm::pow(missed, tokens))
}

/// Time of a layer's routed experts, microseconds, when `tokens` tokens reach `activated` different
/// experts whose numbers have `input_bytes` each. For checking constants against measured tables.
#[cfg(any(test, feature = "internals"))]
pub fn routed_experts_us(
    fit: &GroupedGemm,
    hidden_size: u32,
    experts: &Experts,
    tokens: u32,
    activated: f64,
    input_bytes: f64,
) -> f64 {
    let width = experts.intermediate_size;
    let routed = RoutedExperts::new(fit, hidden_size, 3, experts, width, input_bytes);
    routed.us(tokens.into(), activated)
}

/// Prices a layer's routed experts on one rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoutedExperts {
    fit: GroupedGemm,
    per_token: f64,
    hidden: f64,
    width: f64,
    matrices: f64,
    /// Bytes of an element of the weights.
    input_bytes: f64,
    /// Bytes of an element of the activations.
    activation_bytes: f64,
}

impl RoutedExperts {
    /// `width` is one rank's part of an expert's width; `input_bytes` those of a number.
    pub(super) fn new(
        fit: &GroupedGemm,
        hidden_size: u32,
        matrices: u32,
        experts: &Experts,
        width: u32,
        input_bytes: f64,
    ) -> Self {
        RoutedExperts {
            fit: *fit,
            per_token: f64::from(experts.per_token),
            hidden: f64::from(hidden_size),
            width: f64::from(width),
            matrices: f64::from(matrices),
            input_bytes,
            activation_bytes: fit.activation_bytes.unwrap_or(input_bytes),
        }
    }

    /// Time of the routed experts of a layer, microseconds, when `activated` experts are in use.
    pub(super) fn us(&self, tokens: f64, activated: f64) -> f64 {
        let rows = tokens * self.per_token;
        let weights = self.matrices * self.width * self.hidden;
        let compute =
            2.0 * weights * (rows + activated * self.fit.pad_rows) * us_per_flop(self.fit.tflops);
        let activations = rows * (2.0 * self.hidden + self.matrices * self.width);
        let bytes = self.input_bytes * activated * weights + self.activation_bytes * activations;
        let memory = bytes * us_per_byte(self.fit.memory_gb_per_s);
        self.fit.launch_us + soft_max(compute, memory, self.fit.knee)
    }
}

/// The feed-forward part of a layer with experts: router, shared expert, routed experts.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpertLayer {
    pub(super) experts: Experts,
    pub(super) routed: RoutedExperts,
    /// One rank's part of the shared expert's width.
    pub(super) shared_width: u32,
    /// Data-parallel ranks whose tokens come to these experts. The others' batches are taken to be
    /// like this rank's own.
    pub(super) data: f64,
    /// This rank's part of the experts: 1 where it has a slice of each.
    pub(super) held: f64,
}

impl ExpertLayer {
    /// Microseconds for `tokens` tokens.
    pub(super) fn us(&self, gemm: &Gemm, model: &Model, tokens: f64) -> f64 {
        let h = f64::from(model.hidden_size);
        let router = gemm.us(tokens, f64::from(self.experts.count), h);
        // Spread evenly: of all ranks' tokens these experts get their part.
        let all_tokens = tokens * self.data;
        let activated = self.held * expected_experts(&self.experts, all_tokens);
        let routed = self.routed.us(self.held * all_tokens, activated);
        if self.shared_width == 0 {
            return router + routed;
        }
        let width = f64::from(self.shared_width);
        let first = f64::from(model.mlp_matrices() - 1);
        router + routed + gemm.us(tokens, first * width, h) + gemm.us(tokens, h, width)
    }
}
