//! Mixtures of experts: how many a batch wakes, and what they cost.

use crate::catalog::{Experts, GroupedGemm};

use super::expert_load::Spread;
use super::gemm::{Gemm, soft_max, us_per_byte, us_per_flop};

/// Distinct experts that `tokens` tokens reach, when each picks `per_token` of `count`. Evenly at random one
/// is missed by one token with probability `1 - per_token/count`, by all with the power of it. Where some
/// are chosen more often than others, fewer are reached: with shares that are gamma distributed, of that
/// `variance` over the squared mean, the power becomes the distribution's Laplace transform.
fn expected_experts(count: f64, per_token: f64, tokens: f64, variance: f64) -> f64 {
    if per_token >= count {
        return count;
    }
    let missed = 1.0 - per_token / count;
    let missed = match variance > 0.0 {
        true => libm::pow(1.0 - variance * tokens * libm::log(missed), -1.0 / variance),
        false => libm::pow(missed, tokens),
    };
    // One token reaches what it picks.
    (count * (1.0 - missed)).max(per_token * tokens.min(1.0))
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
    let bytes = (input_bytes, input_bytes);
    let routed = RoutedExperts::new(fit, hidden_size, experts, experts.width, bytes);
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
    weight_bytes: f64,
    /// Bytes of an element of the activations.
    activation_bytes: f64,
}

impl RoutedExperts {
    /// `width` is one rank's part of an expert's width; the bytes are those of a number of the
    /// weights and of one of the activations.
    pub(super) fn new(
        fit: &GroupedGemm,
        hidden_size: u32,
        experts: &Experts,
        width: u32,
        (weight_bytes, input_bytes): (f64, f64),
    ) -> Self {
        RoutedExperts {
            fit: *fit,
            per_token: f64::from(experts.per_token),
            hidden: f64::from(experts.input_width(hidden_size)),
            width: f64::from(width),
            matrices: f64::from(experts.matrices()),
            weight_bytes,
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
        let bytes = self.weight_bytes * activated * weights + self.activation_bytes * activations;
        let memory = bytes * us_per_byte(self.fit.memory_gb_per_s);
        self.fit.launch_us + soft_max(compute, memory, self.fit.knee)
    }
}

/// The feed-forward part of a layer with experts: router, shared expert, routed experts.
#[derive(Clone, Debug)]
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
    /// What the busiest rank gets, and how its experts differ.
    pub(super) spread: Spread,
}

impl ExpertLayer {
    /// Microseconds for `tokens` tokens of a hidden state of width `h`, and as many on every other
    /// rank. `router` prices products in 16 bits, `shared` those of shared experts.
    pub(super) fn us(&self, router: &Gemm, shared: &Gemm, h: f64, tokens: f64) -> f64 {
        let router = router.us(tokens, f64::from(self.experts.count), h);
        let routed = router + self.routed_us(tokens * self.data);
        self.beside_routed_us(shared, h, tokens, routed)
    }

    /// The same without the routed experts.
    pub(super) fn own_us(&self, router: &Gemm, shared: &Gemm, h: f64, tokens: f64) -> f64 {
        let router = router.us(tokens, f64::from(self.experts.count), h);
        self.beside_routed_us(shared, h, tokens, router)
    }

    /// The routed experts of the busiest rank, when all ranks together have so many tokens.
    pub(super) fn routed_us(&self, all_tokens: f64) -> f64 {
        let Spread { busiest, variance, chances } = &self.spread;
        let reached = match chances {
            Some(chances) => {
                chances.iter().map(|chance| 1.0 - libm::pow(1.0 - chance, all_tokens)).sum()
            }
            None => {
                let [count, each] = [self.experts.count, self.experts.per_token].map(f64::from);
                self.held * expected_experts(count, each * busiest, all_tokens, *variance)
            }
        };
        self.routed.us(busiest * self.held * all_tokens, reached)
    }

    /// `us`, and the shared experts and what compresses tokens for routed ones.
    fn beside_routed_us(&self, shared: &Gemm, h: f64, tokens: f64, mut us: f64) -> f64 {
        if self.shared_width > 0 {
            let width = f64::from(self.shared_width);
            let first = f64::from(self.experts.matrices() - 1);
            us = us + shared.us(tokens, first * width, h) + shared.us(tokens, h, width);
        }
        if self.experts.latent > 0 {
            let latent = f64::from(self.experts.latent);
            us += shared.us(tokens, latent, h) + shared.us(tokens, h, latent);
        }
        us
    }
}
