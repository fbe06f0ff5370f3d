//! The number types of weights and of the KV cache.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Format, Formats, LayerGroup, Mixer, Model};

/// Number format of weights and matrix products. Attention itself and the output head stay in
/// 16 bits; KV has a type of its own, [`KvDtype`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// What the model's config says, tensor class by tensor class.
    #[default]
    Auto,
    /// bfloat16.
    #[serde(alias = "bfloat16")]
    Bf16,
    /// float16; costs what bf16 costs.
    #[serde(alias = "float16")]
    Fp16,
    /// 8-bit floating point weights and activations in the layers.
    Fp8,
    /// 8-bit integer weights and activations in the layers.
    Int8,
    /// 4-bit integer weights in the layers, in groups of 128.
    Int4,
    /// 4-bit floating point weights in the layers, in groups of 32.
    Mxfp4,
    /// 4-bit floating point weights in the layers, in groups of 16.
    Nvfp4,
}

impl Dtype {
    /// The formats that it means for a model whose own are `own`.
    pub fn formats(self, own: &Formats) -> Formats {
        let layers = match self {
            Dtype::Auto => return *own,
            Dtype::Bf16 | Dtype::Fp16 => Format::BF16,
            Dtype::Fp8 => Format::FP8,
            Dtype::Int8 => Format::INT8,
            Dtype::Int4 => Format::int_groups(4, 128, false),
            Dtype::Mxfp4 => Format::MXFP4,
            Dtype::Nvfp4 => Format::NVFP4,
        };
        Formats { kv_bits_1024ths: own.kv_bits_1024ths, ..Formats::layers(layers) }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Auto => "auto",
            Dtype::Bf16 => "bf16",
            Dtype::Fp16 => "fp16",
            Dtype::Fp8 => "fp8",
            Dtype::Int8 => "int8",
            Dtype::Int4 => "int4",
            Dtype::Mxfp4 => "mxfp4",
            Dtype::Nvfp4 => "nvfp4",
        })
    }
}

/// Number type of the KV cache, by the names of vLLM's `kv_cache_dtype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KvDtype {
    /// What the model's config says: 16 bits unless its checkpoint has scales for K and V.
    #[default]
    Auto,
    /// bfloat16, 16 bits.
    #[serde(alias = "bfloat16")]
    Bf16,
    /// float16, 16 bits.
    #[serde(alias = "float16")]
    Fp16,
    /// 8-bit floating point: half the memory, and half the bytes that attention reads. Its
    /// operations cost what they cost in 16 bits.
    #[serde(alias = "fp8_e4m3", alias = "fp8_e5m2")]
    Fp8,
    /// 8-bit integers.
    Int8,
    /// 4-bit floating point, groups of 16 with an fp8 scale: 4.5 bits.
    Nvfp4,
}

impl KvDtype {
    /// Bits of a number of K or V in 1,024ths, scales included, in a model whose config says `own`.
    pub fn bits_1024ths(self, own: Option<u32>) -> u32 {
        match self {
            KvDtype::Auto => own.unwrap_or(16 * 1024),
            KvDtype::Bf16 | KvDtype::Fp16 => 16 * 1024,
            KvDtype::Fp8 | KvDtype::Int8 => 8 * 1024,
            KvDtype::Nvfp4 => Format::NVFP4.bits_1024ths,
        }
    }
}

impl fmt::Display for KvDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KvDtype::Auto => "auto",
            KvDtype::Bf16 => "bf16",
            KvDtype::Fp16 => "fp16",
            KvDtype::Fp8 => "fp8",
            KvDtype::Int8 => "int8",
            KvDtype::Nvfp4 => "nvfp4",
        })
    }
}

/// The number types that a model is priced in. A [`Dtype`] alone leaves KV as the config says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precision {
    /// Of weights and matrix products.
    pub weights: Dtype,
    /// Of the KV cache.
    pub kv: KvDtype,
}

impl From<Dtype> for Precision {
    fn from(weights: Dtype) -> Precision {
        Precision { weights, kv: KvDtype::Auto }
    }
}

impl Precision {
    /// The formats of a model's tensors. nvfp4 leaves latent attention in 16 bits, as NVIDIA's published
    /// checkpoints of DeepSeek and Kimi do.
    pub fn formats(self, model: &Model) -> Formats {
        let formats = self.weights.formats(&model.formats);
        let is_latent = |group: &LayerGroup| matches!(group.mixer, Mixer::Latent(_));
        if self.weights == Dtype::Nvfp4 && model.groups.iter().any(is_latent) {
            return Formats { attention: Format::BF16, ..formats };
        }
        formats
    }

    /// Bits of a number of its K or V in 1,024ths, scales included.
    pub fn kv_bits_1024ths(self, model: &Model) -> u32 {
        self.kv.bits_1024ths(model.formats.kv_bits_1024ths)
    }
}
