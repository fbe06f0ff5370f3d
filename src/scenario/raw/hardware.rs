//! The model and the GPU.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_or_map::{InPlaceOfText, TextOr};
use crate::units::{Bandwidth, Bytes, Duration};

/// A model's name, or where its figures come from.
pub type ModelRef = TextOr<ModelFigures>;

/// A GPU's name, or where its figures come from.
pub type GpuRef = TextOr<GpuFigures>;

/// A model from a Hugging Face config or from the catalog, some figures replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelFigures {
    /// Path of a Hugging Face `config.json`, relative to the scenario's file. A
    /// `hf_quant_config.json` and a `generation_config.json` beside it are read with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Path of a GGUF file, relative to the scenario's file, in place of `config`: its header has the
    /// figures, and each tensor's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gguf: Option<String>,
    /// With `config`: keys of it that are not known, and that are taken to change nothing, such as
    /// `{num_hash_layers: ignored}`. Each is repeated in the output.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub assume: BTreeMap<String, AssumedKey>,
    /// With `config` or `base`: the mix of llama.cpp's formats that the weights are in, such as
    /// `q4_k_m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// A name of `metron-sim list models`, whose figures hold where none is given here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Width of the hidden state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<u32>,
    /// Width of the MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<u32>,
    /// Layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<u32>,
    /// KV heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<u32>,
    /// Size of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<u32>,
    /// Tokens in the vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<u32>,
    /// Longest prompt plus output that the model was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_position_embeddings: Option<u32>,
}

/// What is taken for granted about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssumedKey {
    /// It changes neither size nor work.
    Ignored,
}

impl InPlaceOfText for ModelFigures {
    const EXPECTING: &'static str =
        "a model's name such as `llama-3.1-8b`, or a map such as `{config: path/to/config.json}`";
}

/// A GPU from a file or from the catalog, some figures replaced, or one given by its peak figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuFigures {
    /// A name of `metron-sim list gpus`, whose figures hold where none is given here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// A file with all figures of a GPU, relative to the scenario's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Device memory, such as `80GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Bandwidth of that memory as the maker states it, such as `3350GB/s`: with `memory` and
    /// `bf16_tflops`, in place of `base` and `file`, a GPU whose constants are derived from its peaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bandwidth: Option<Bandwidth>,
    /// Peak of bf16 on tensor cores without sparsity, TFLOP/s; see `memory_bandwidth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bf16_tflops: Option<f64>,
    /// Peak of fp8, TFLOP/s; unless given, fp8 is not priced. See `memory_bandwidth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fp8_tflops: Option<f64>,
    /// The link between GPUs, for tensor parallelism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interconnect: Option<Interconnect>,
    /// US dollars an hour for one GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_usd_per_hour: Option<f64>,
    /// Electric power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
}

impl InPlaceOfText for GpuFigures {
    const EXPECTING: &'static str =
        "a GPU's name such as `h100-sxm`, or a map such as `{base: h100-sxm, memory: 80GiB}`";
}

/// The link between GPUs: one all-reduce takes latency + bytes / bandwidth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{bandwidth: 16GB/s, latency: 20us}`")]
pub struct Interconnect {
    /// Such as `16GB/s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Such as `20us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
}

/// Electric power of one GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{idle_w: 70, max_w: 700}`")]
pub struct Power {
    /// With a model loaded and nothing to do, watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_w: Option<f64>,
    /// At most, watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_w: Option<f64>,
}
