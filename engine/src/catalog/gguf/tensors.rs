//! The tensors of a GGUF file by class: weights and bytes.

use super::file::Tensor;
use crate::catalog::hf::HfConfigError;
use crate::catalog::model::{Format, FormatName, Formats};
use crate::excerpt::quoted;

/// Weights and bytes of a class of tensors.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    weights: u64,
    bytes: u64,
    /// Of the weights, those in 16 bits, and those in 32.
    in_16: u64,
    in_32: u64,
}

/// Of all classes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    attention: Sum,
    mlp: Sum,
    shared: Sum,
    experts: Sum,
    embedding: Sum,
    head: Sum,
    other: Sum,
    /// Rows of the embedding.
    pub(super) vocabulary: Option<u64>,
    /// Whether q has a bias, and the output projection.
    pub(super) biases: (bool, bool),
    /// Whether queries and keys are normed.
    pub(super) qk_norm: bool,
    /// Whether a feed-forward network has a gate.
    pub(super) gate: bool,
}

impl Sums {
    /// All weights.
    pub(super) fn weights(&self) -> u64 {
        [self.attention, self.mlp, self.shared, self.experts, self.embedding, self.head, self.other]
            .iter()
            .fold(0, |sum, class| sum.saturating_add(class.weights))
    }

    /// Whether there is a head of its own.
    pub(super) fn has_head(&self) -> bool {
        self.head.weights > 0
    }

    /// The formats by class.
    pub(super) fn formats(&self) -> Formats {
        Formats {
            attention: self.attention.format(),
            mlp: self.mlp.format(),
            shared: self.shared.format(),
            experts: self.experts.format(),
            embedding: self.embedding.format(),
            head: self.head.format(),
            kv_bits_1024ths: None,
        }
    }
}

impl Sum {
    fn format(self) -> Format {
        if self.weights == 0 || self.in_16 == self.weights {
            return Format::BF16;
        }
        if self.in_32 == self.weights {
            return Format::FP32;
        }
        let bits = u128::from(self.bytes) * 8 * 1024 / u128::from(self.weights);
        let bits_1024ths = u32::try_from(bits).unwrap_or(u32::MAX);
        Format { name: FormatName::Gguf, bits_1024ths }
    }

    fn add(&mut self, weights: u64, bytes: u64) {
        self.weights = self.weights.saturating_add(weights);
        self.bytes = self.bytes.saturating_add(bytes);
        match bytes.checked_div(weights) {
            Some(2) if bytes == 2 * weights => self.in_16 += weights,
            Some(4) if bytes == 4 * weights => self.in_32 += weights,
            _ => {}
        }
    }
}

/// Sums up the tensors.
pub(super) fn sums(tensors: &[Tensor]) -> Result<Sums, HfConfigError> {
    let mut sums = Sums::default();
    for tensor in tensors {
        let (name, dims) = (tensor.name.as_str(), tensor.dims.as_slice());
        let Some((weights, bytes)) = size(tensor) else {
            return Err(HfConfigError::Gguf(format!(
                "the tensor `{}` is of no size",
                quoted(name)
            )));
        };
        sums.note(name, dims);
        if let Some(class) = sums.class(name, dims.len()) {
            class.add(weights, bytes);
        }
    }
    Ok(sums)
}

/// Weights and bytes of a tensor.
fn size(tensor: &Tensor) -> Option<(u64, u64)> {
    let weights = tensor.dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim))?;
    let block = u64::try_from(tensor.format.block_size()).ok().filter(|&block| block > 0)?;
    let bytes = u64::try_from(tensor.format.block_size_bytes()?).ok()?;
    Some((weights, weights.div_ceil(block).checked_mul(bytes)?))
}

impl Sums {
    fn note(&mut self, name: &str, dims: &[u64]) {
        let tail = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let tail = tail.map_or(name, |(_, tail)| tail);
        match tail {
            "token_embd.weight" => self.vocabulary = dims.get(1).copied(),
            "attn_q.bias" | "attn_qkv.bias" => self.biases.0 = true,
            "attn_output.bias" => self.biases.1 = true,
            "attn_q_norm.weight" => self.qk_norm = true,
            "ffn_gate.weight" | "ffn_gate_exps.weight" | "ffn_gate_up_exps.weight" => {
                self.gate = true;
            }
            _ => {}
        }
    }

    /// The class of a tensor; `None` for tables that are computed.
    fn class(&mut self, name: &str, dimensions: usize) -> Option<&mut Sum> {
        if name.starts_with("rope_") || name.contains(".rope_") {
            return None;
        }
        if dimensions < 2 {
            return Some(&mut self.other);
        }
        let tail = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let Some((_, tail)) = tail else {
            return Some(match name {
                "token_embd.weight" => &mut self.embedding,
                "output.weight" => &mut self.head,
                _ => &mut self.other,
            });
        };
        Some(
            if tail.starts_with("ffn_gate_inp") || tail.contains("norm") || tail.contains("conv1d")
            {
                &mut self.other
            } else if tail.contains("_exps.") {
                &mut self.experts
            } else if tail.contains("_shexp.") {
                &mut self.shared
            } else if tail.starts_with("ffn_") {
                &mut self.mlp
            } else if tail.starts_with("attn_")
                || matches!(tail, "ssm_in.weight" | "ssm_out.weight" | "ssm_beta_alpha.weight")
                || tail.starts_with("shortconv.")
            {
                &mut self.attention
            } else {
                &mut self.other
            },
        )
    }
}
