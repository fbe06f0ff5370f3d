//! The number formats of a model's tensors, by class.

use std::fmt;

use crate::catalog::Arithmetic;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// How a tensor's numbers are stored, and in which numbers its products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// Which one.
    pub name: FormatName,
    /// Bits of a weight, scales and zero points included, in 1,024ths.
    pub bits_1024ths: u32,
}

/// Number formats of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormatName {
    /// 32-bit floating point.
    Fp32,
    /// bfloat16 or float16.
    Bf16,
    /// 8-bit floating point, activations too.
    Fp8,
    /// 8-bit floating point weights; products in 16 bits.
    Fp8Weights,
    /// 8-bit integers, activations too (W8A8).
    Int8,
    /// 8-bit integer weights; products in 16 bits (W8A16).
    Int8Weights,
    /// Integer weights of 2 to 6 bits; products in 16 bits (AWQ, GPTQ, bitsandbytes).
    Int4,
    /// 4-bit integer weights, 8-bit floating point activations (W4AFP8).
    Int4Fp8,
    /// 4-bit floating point, groups of 32 with an 8-bit scale.
    Mxfp4,
    /// 4-bit floating point, groups of 16 with an fp8 scale.
    Nvfp4,
    /// 4-bit floating point weights; products in 16 bits (NVFP4 and MXFP4 without activations).
    Fp4Weights,
    /// A format of llama.cpp's; products in 16 bits.
    Gguf,
}

const BIT: u32 = 1024;

impl Format {
    /// bfloat16 or float16.
    pub const BF16: Format = Format::of(FormatName::Bf16, 16 * BIT);
    /// 32-bit floating point.
    pub const FP32: Format = Format::of(FormatName::Fp32, 32 * BIT);
    /// fp8 with a scale for each tensor.
    pub const FP8: Format = Format::of(FormatName::Fp8, 8 * BIT);
    /// fp8 with a 32-bit scale for each block of 128 x 128.
    pub const FP8_BLOCKS: Format = Format::of(FormatName::Fp8, 8 * BIT + 2);
    /// int8 with a scale for each tensor.
    pub const INT8: Format = Format::of(FormatName::Int8, 8 * BIT);
    /// 32 numbers share an 8-bit scale.
    pub const MXFP4: Format = Format::of(FormatName::Mxfp4, 4 * BIT + BIT / 4);
    /// 16 numbers share an fp8 scale.
    pub const NVFP4: Format = Format::of(FormatName::Nvfp4, 4 * BIT + BIT / 2);

    const fn of(name: FormatName, bits_1024ths: u32) -> Format {
        Format { name, bits_1024ths }
    }

    /// Integer weights of `bits` bits, `group` of them with a 16-bit scale, and a zero point of
    /// `bits` bits where there are zero points.
    pub fn int_groups(bits: u32, group: u32, zero_points: bool) -> Format {
        let extra = 16 + if zero_points { bits } else { 0 };
        let name = if bits == 8 { FormatName::Int8Weights } else { FormatName::Int4 };
        Format::of(name, bits * BIT + (extra * BIT).div_ceil(group.max(1)))
    }

    /// The same bits with a scale of `scale_bits` bits for each output channel of `inputs` numbers.
    #[must_use]
    pub fn per_channel(self, scale_bits: u32, inputs: u32) -> Format {
        Format::of(self.name, self.bits_1024ths + scale_bits * BIT / inputs.max(1))
    }

    /// A format of llama.cpp's, by its mean bits a weight in thousandths.
    pub fn gguf(bits_thousandths: u32) -> Format {
        Format::of(FormatName::Gguf, (u64::from(bits_thousandths) * 1024 / 1000) as u32)
    }

    /// Bytes of so many weights, rounded up.
    pub fn bytes(self, weights: u64) -> u64 {
        let bits = u128::from(weights) * u128::from(self.bits_1024ths);
        u64::try_from(bits.div_ceil(8 * 1024)).unwrap_or(u64::MAX)
    }

    /// Bytes of a weight.
    pub fn bytes_each(self) -> f64 {
        f64::from(self.bits_1024ths) / (8.0 * 1024.0)
    }

    /// Whether a weight takes 16 bits.
    pub fn is_16_bit(self) -> bool {
        self.name == FormatName::Bf16
    }

    /// Whether its weights are unpacked to 16 bits for a product.
    pub fn is_unpacked(self) -> bool {
        !matches!(self.name, FormatName::Fp32 | FormatName::Bf16)
            && self.arithmetic() == Arithmetic::Bf16
    }

    /// In which numbers the products are meant to be computed.
    pub fn arithmetic(self) -> Arithmetic {
        match self.name {
            FormatName::Fp32
            | FormatName::Bf16
            | FormatName::Fp8Weights
            | FormatName::Int8Weights
            | FormatName::Int4
            | FormatName::Fp4Weights
            | FormatName::Gguf => Arithmetic::Bf16,
            FormatName::Fp8 | FormatName::Int4Fp8 => Arithmetic::Fp8,
            FormatName::Int8 => Arithmetic::Int8,
            FormatName::Mxfp4 | FormatName::Nvfp4 => Arithmetic::Fp4,
        }
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("format", &self.to_string())?;
        map.serialize_entry("bits", &(f64::from(self.bits_1024ths) / 1024.0))?;
        map.end()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.name {
            FormatName::Fp32 => "fp32",
            FormatName::Bf16 => "bf16",
            FormatName::Fp8 => "fp8",
            FormatName::Fp8Weights => "fp8 weights only",
            FormatName::Int8 => "int8",
            FormatName::Int8Weights => "int8 weights only",
            FormatName::Int4 => {
                return write!(f, "int{} weights only", self.bits_1024ths / BIT);
            }
            FormatName::Int4Fp8 => "int4 weights, fp8 activations",
            FormatName::Mxfp4 => "mxfp4",
            FormatName::Nvfp4 => "nvfp4",
            FormatName::Fp4Weights => "fp4 weights only",
            FormatName::Gguf => {
                return write!(f, "GGUF, {:.2} bits", f64::from(self.bits_1024ths) / 1024.0);
            }
        };
        f.write_str(name)
    }
}

/// The formats of a model's tensors. Norms, routers, convolutions and biases keep 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Formats {
    /// Projections of attention and of recurrent mixers.
    pub attention: Format,
    /// Dense feed-forward networks.
    pub mlp: Format,
    /// Shared experts.
    pub shared: Format,
    /// Routed experts.
    pub experts: Format,
    /// The embedding.
    pub embedding: Format,
    /// The output head, where it is not the embedding.
    pub head: Format,
    /// K and V, where the config says it: bits of a number in 1,024ths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bits_1024ths: Option<u32>,
}

impl Formats {
    /// All in 16 bits.
    pub const BF16: Formats = Formats::layers(Format::BF16);

    /// All matrices of the layers in one format; embedding and head in 16 bits.
    pub const fn layers(format: Format) -> Formats {
        Formats {
            attention: format,
            mlp: format,
            shared: format,
            experts: format,
            embedding: Format::BF16,
            head: Format::BF16,
            kv_bits_1024ths: None,
        }
    }

    /// Whether every weight takes 16 bits.
    pub fn is_16_bit(&self) -> bool {
        self.classes().iter().all(|(_, format)| format.is_16_bit())
    }

    /// Each class by its name.
    pub fn classes(&self) -> [(&'static str, Format); 6] {
        [
            ("attention", self.attention),
            ("dense layers", self.mlp),
            ("shared experts", self.shared),
            ("experts", self.experts),
            ("embedding", self.embedding),
            ("head", self.head),
        ]
    }
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_words(&self.classes()))
    }
}

/// Each format with the classes that have it: `mxfp4 (experts), bf16 (attention, embedding, head)`.
pub(super) fn in_words(classes: &[(&'static str, Format)]) -> String {
    let mut told: Vec<Format> = Vec::new();
    let mut parts = Vec::new();
    for &(_, format) in classes {
        if told.contains(&format) {
            continue;
        }
        told.push(format);
        let of: Vec<&str> =
            classes.iter().filter(|(_, own)| *own == format).map(|(name, _)| *name).collect();
        parts.push(format!("{format} ({})", of.join(", ")));
    }
    match told[..] {
        [only] => only.to_string(),
        _ => parts.join(", "),
    }
}

impl Default for Formats {
    fn default() -> Formats {
        Formats::BF16
    }
}
