//! A GPU: what it is, and the constants that price work on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllReducePoints, Evidence};

/// A GPU's figures. A user's own file has the same keys as the built-in ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Catalog name, such as `h100-sxm`.
    pub name: String,
    /// One line for `metron-sim list gpus`.
    pub description: String,
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// The maker's figures, for reports; nothing is priced by them.
    pub peak: Peak,
    /// The chip's counts, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<Chip>,
    /// What joins the GPUs of a node, for reports; `all_reduce` is what is priced by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// GPUs that such links join. Absent: as many as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus_per_node: Option<u32>,
    /// What the constants rest on.
    #[serde(default, skip_serializing_if = "Evidence::is_unstated")]
    pub evidence: Evidence,
    /// Matrix products in bf16 and fp16.
    pub gemm_bf16: Gemm,
    /// Matrix products in fp8, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_fp8: Option<Gemm>,
    /// Matrix products in fp4, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_fp4: Option<Gemm>,
    /// The three matrix products of a mixture of experts in bf16. Absent: no such models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<GroupedGemm>,
    /// The same in fp8, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_fp8: Option<GroupedGemm>,
    /// The same in fp4, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts_fp4: Option<GroupedGemm>,
    /// Norms, activations, rotary embedding.
    pub elementwise: Elementwise,
    /// Attention of a batch in which every request decodes.
    pub decode_attention: DecodeAttention,
    /// Attention of a batch with prefill chunks.
    pub prefill_attention: PrefillAttention,
    /// Picking the next token.
    pub sampler: Sampler,
    /// All-reduce by number of GPUs, ascending. Empty: one GPU only.
    #[serde(default)]
    pub all_reduce: Vec<AllReduce>,
    /// All-reduces as measured, by number of GPUs and kernel. Where there are some, they are what is
    /// priced by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all_reduce_points: Vec<AllReducePoints>,
    /// All-reduce over more GPUs than a node has, by the network between nodes. Absent: that has no
    /// price. Only a scenario knows its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<AllReduce>,
    /// Money, US dollars per GPU and hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_usd_per_hour: Option<f64>,
    /// Power, when measured or stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// Where each group of constants comes from, and how well it fits.
    pub source: GpuSource,
}

/// Peak figures as the maker states them, without sparsity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// bf16 on tensor cores, TFLOP/s; fp16 where there is no bf16.
    pub bf16_tflops: f64,
    /// fp8 on tensor cores, TFLOP/s. Absent: there are no such units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp8_tflops: Option<f64>,
    /// fp4 with scales (nvfp4, mxfp4) on tensor cores, TFLOP/s. Absent: there are no such units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp4_tflops: Option<f64>,
    /// int8 on tensor cores, TOP/s. Absent: there are no such units worth using.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_tops: Option<f64>,
    /// Device memory, GB/s (10^9 bytes).
    pub memory_gb_per_s: f64,
}

/// Counts of a chip that prefill attention is priced by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// Streaming multiprocessors (AMD: compute units).
    pub multiprocessors: u32,
    /// L2 cache, 2^20 bytes.
    pub l2_mb: f64,
}

/// What joins the GPUs of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Kind and generation, such as `NVLink 4` or `PCIe 5.0 x16`.
    pub name: String,
    /// Bandwidth of one GPU in one direction, GB/s, as the maker states it.
    pub gb_per_s: f64,
}

impl Link {
    /// Whether GPUs have no link of their own, but share the host's bus.
    pub fn is_pcie(&self) -> bool {
        self.name.starts_with("PCIe")
    }
}

/// A smooth roofline for matrix products:
/// `t0 + [(2MNK/F)^p + (bytes (1 + kappa min(M,64)/64) / BW)^p]^(1/p)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gemm {
    /// Effective compute `F`, TFLOP/s.
    pub tflops: f64,
    /// Effective memory bandwidth `BW`, GB/s.
    pub memory_gb_per_s: f64,
    /// Launch time `t0`, microseconds.
    pub launch_us: f64,
    /// Sharpness of the knee `p`; the larger, the closer to the maximum of both.
    pub knee: f64,
    /// `kappa`: by how much the bandwidth term grows from few rows to 64.
    pub row_penalty: f64,
}

/// A smooth roofline for the routed experts of a layer, all matrices of the network together:
/// the rows are the tokens times the experts of each, plus `pad_rows` for every expert in use;
/// the weights of each expert in use are read once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupedGemm {
    /// Effective compute, TFLOP/s.
    pub tflops: f64,
    /// Effective memory bandwidth, GB/s.
    pub memory_gb_per_s: f64,
    /// Launch times, microseconds.
    pub launch_us: f64,
    /// Sharpness of the knee.
    pub knee: f64,
    /// Rows computed for nothing in each expert in use.
    pub pad_rows: f64,
    /// Bytes moved for each number of the rows: input, output and what is between the products.
    /// Unless given, those of a number of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_bytes: Option<f64>,
}

/// Elementwise kernels: a fixed time each, and a bandwidth for their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Elementwise {
    /// A kernel's fixed time `e0`, microseconds.
    pub kernel_us: f64,
    /// Effective bandwidth `BWe`, GB/s. Above the memory's: the data is often still in cache.
    pub memory_gb_per_s: f64,
}

/// Decode-only attention of a layer:
/// `a0 + split + as n q/32 + [(U/BWa)^3 + walk^3]^(1/3) + tr (1 - exp(-U/b0))`, with `n` decodes,
/// `q` query heads a rank and `U` bytes of K and V read. `walk` is `walk_ns` for each token of a
/// sequence: few sequences do not fill the GPU. `split` is paid in full where sequences are longer
/// than two blocks of 128 keys, and are split, and not where they fit one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecodeAttention {
    /// Fixed time `a0`, microseconds.
    pub launch_us: f64,
    /// Joining the parts of split sequences, microseconds.
    #[serde(default)]
    pub split_us: f64,
    /// Time per sequence with 32 query heads, `as`, microseconds.
    pub sequence_us: f64,
    /// Effective bandwidth `BWa`, GB/s.
    pub memory_gb_per_s: f64,
    /// Time per KV token of a sequence, nanoseconds; the mean stands for the longest.
    #[serde(default)]
    pub walk_ns: f64,
    /// What is lost before the memory system is saturated, `tr`, microseconds.
    pub ramp_us: f64,
    /// How many megabytes saturate it, `b0`, 10^6 bytes.
    pub ramp_mb: f64,
    /// The cache from which a benchmark that repeats one kernel on the same K and V reads them.
    /// Serving does not: between two runs of a layer all the others have passed through the cache.
    /// Only comparisons with such benchmarks use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmCache>,
}

/// K and V that stay in the L2 cache from one repetition of a kernel to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmCache {
    /// How much stays, 10^6 bytes.
    pub mb: f64,
    /// Bandwidth of what stays, GB/s.
    pub gb_per_s: f64,
}

/// Attention of a batch with prefill chunks, by the kernel that computes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kernel", deny_unknown_fields)]
pub enum PrefillAttention {
    /// FlashAttention-2: decodes in a prefill batch run in the prefill kernel, which reads the
    /// same K and V once per query head of a group.
    #[serde(rename = "flash-attention-2")]
    FlashAttention2(FlashAttention2),
    /// FlashAttention-3: decodes cost what they cost alone.
    #[serde(rename = "flash-attention-3")]
    FlashAttention3(FlashAttention3),
}

/// Thread blocks of 64 query rows, `slots` at a time. Each block walks the keys of its sequence from
/// first to last in `key` each, masked ones left out by whole blocks, and has a fixed time
/// `tile_us`; a decode is a block of 64 rows too, of which one counts. With `W` the time of all
/// blocks over the slots and `m` that of the longest:
/// `m0 + [max(m, W + tail m)^pm + (r U/BWd)^pm]^(1/pm) + tokens`. The blocks of the query heads that
/// share K and V run together as long as the slots allow; where the K and V of one head of all
/// decodes pass L2, they are read `r = 1 to min(g, g n/slots)` times. `tokens` is `token_ns` for each
/// token of a chunk, and the bytes of its q, k, v and output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlashAttention2 {
    /// Fixed time `m0`, microseconds.
    pub launch_us: f64,
    /// Effective compute of all slots, TFLOP/s: `key = slots 64 rows 4 d / tflops`.
    pub tflops: f64,
    /// Blocks that run at a time: the multiprocessors.
    pub slots: f64,
    /// Fixed time of a block, microseconds.
    pub tile_us: f64,
    /// Part of the longest block's time for which other slots stand idle at the end.
    pub tail: f64,
    /// Time per token of a chunk, nanoseconds.
    #[serde(default)]
    pub token_ns: f64,
    /// Bandwidth of a chunk's q, k, v and output, GB/s. Absent: they cost nothing of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_gb_per_s: Option<f64>,
    /// Bandwidth of the decodes' K and V, `BWd`, GB/s.
    pub memory_gb_per_s: f64,
    /// Sharpness of the knee `pm`.
    pub knee: f64,
    /// Effective size of L2, 10^6 bytes.
    pub l2_mb: f64,
    /// Sharpness of the change at that size.
    pub l2_knee: f64,
    /// Whether chunks and decodes together in this kernel were measured (`source.constants` says by
    /// whom). Where they were, a batch of both is priced as it was found to be, which is often
    /// dearer than each in a batch of its own. Where they were not, it is never dearer than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_measured: bool,
}

/// `max(a0, p0) + decode part + [W^p + walk^p]^(1/p)` with
/// `W = 4 q d sum(len c + len (len + pad)/2) / F3 + bytes / BW3`, the bytes of queries, outputs, and
/// keys and values, each once, and `walk` the time that one thread block takes for the keys of the
/// longest chunk.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlashAttention3 {
    /// Fixed time `p0`, microseconds.
    pub launch_us: f64,
    /// Effective compute `F3`, TFLOP/s.
    pub tflops: f64,
    /// Masked-out keys that are computed anyway, tokens.
    pub pad_tokens: f64,
    /// Effective bandwidth `BW3`, GB/s. Absent: the bytes cost nothing of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb_per_s: Option<f64>,
    /// Time per token of the longest chunk's end, nanoseconds.
    #[serde(default)]
    pub walk_ns: f64,
    /// Sharpness of the knee `p`.
    #[serde(default = "sharp")]
    pub knee: f64,
}

fn sharp() -> f64 {
    8.0
}

/// Sampling: `s0 + s1 sequences`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampler {
    /// Fixed time `s0`, microseconds.
    pub launch_us: f64,
    /// Time per sequence `s1`, microseconds.
    pub sequence_us: f64,
}

/// One all-reduce on this many GPUs: `alpha + bytes/beta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllReduce {
    /// GPUs that take part.
    pub gpus: u32,
    /// Latency `alpha`, microseconds.
    pub latency_us: f64,
    /// Bandwidth `beta`, GB/s of the message reduced.
    pub gb_per_s: f64,
}

/// Electric power of one GPU, watts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// With nothing to do, but with a model loaded.
    pub idle_w: f64,
    /// The most it may draw.
    pub max_w: f64,
}

/// Where a GPU's figures come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuSource {
    /// Peak figures, memory size and power.
    pub figures: String,
    /// Fitted or derived constants: data, engine version, method, error reached.
    #[serde(default)]
    pub constants: String,
    /// All-reduce.
    #[serde(default)]
    pub all_reduce: String,
    /// Price.
    #[serde(default)]
    pub price: String,
}

impl Gpu {
    /// The all-reduce of `gpus` GPUs: that of the next larger number measured, or the network's where
    /// a node has fewer and the network is known.
    pub fn all_reduce_on(&self, gpus: u32) -> Option<&AllReduce> {
        if let (Some(network), Some(node)) = (&self.network, self.gpus_per_node)
            && gpus > node
        {
            return Some(network);
        }
        self.all_reduce.iter().find(|a| a.gpus >= gpus)
    }
}
