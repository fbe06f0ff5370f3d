//! The number types of weights and of the KV cache.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number type of weights and matrix products. Attention and the output head stay in
/// 16 bits; KV has a type of its own, [`KvDtype`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bfloat16.
    #[default]
    Bf16,
    /// float16; costs what bf16 costs.
    Fp16,
    /// 8-bit floating point weights and activations in the layers.
    Fp8,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Bf16 => "bf16",
            Dtype::Fp16 => "fp16",
            Dtype::Fp8 => "fp8",
        })
    }
}

/// Number type of the KV cache, by the names of vLLM's `kv_cache_dtype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KvDtype {
    /// 16 bits, whatever the weights have, as an unquantised checkpoint's.
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
}

impl KvDtype {
    /// Bytes of a number of K or V.
    pub fn bytes(self) -> u32 {
        match self {
            KvDtype::Auto | KvDtype::Bf16 | KvDtype::Fp16 => 2,
            KvDtype::Fp8 => 1,
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
        })
    }
}

/// The number types that a model is priced in. A [`Dtype`] alone leaves KV in 16 bits.
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
