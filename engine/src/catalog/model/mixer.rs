//! What mixes a layer's tokens: attention in its kinds, or a state that is carried along.

use serde::Serialize;

/// The mixer of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Attention over K and V of each KV head: MHA, GQA, MQA.
    Attention(Attention),
    /// Multi-head latent attention (DeepSeek V2 and V3): one compressed vector and one rotary key a
    /// token, for all heads together.
    Latent(Latent),
    /// A state of fixed size: Mamba, linear attention, gated delta rule, short convolution.
    Recurrent(Recurrent),
    /// None: the layer is a feed-forward network alone.
    None,
}

/// Attention whose KV heads are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// Query heads.
    pub heads: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Size of a query and key head.
    pub key_dim: u32,
    /// Size of a value head.
    pub value_dim: u32,
    /// How far back it looks.
    pub reach: Reach,
    /// Where K and V come from and what is stored of them.
    pub kv: KvSource,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether the q, k and v projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has one.
    pub output_bias: bool,
    /// Columns of a projection that gates the output; 0 is none.
    pub gate_columns: u32,
}

/// How far back attention looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// All tokens.
    #[default]
    All,
    /// The last tokens, itself among them: a sliding window.
    Window(u32),
    /// The tokens of its own chunk of so many, itself among them (Llama 4).
    Chunk(u32),
    /// At most so many tokens, which an indexer picks among all (DeepSeek-V3.2).
    Picked(u32),
}

impl Reach {
    /// KV entries that a token reads which is the `length`-th of its sequence (from 1).
    #[inline]
    pub fn of(self, length: u64) -> u64 {
        match self {
            Reach::All => length,
            Reach::Window(most) | Reach::Picked(most) => length.min(most.into()),
            Reach::Chunk(chunk) if length == 0 || chunk == 0 => length.min(chunk.into()),
            Reach::Chunk(chunk) => (length - 1) % u64::from(chunk) + 1,
        }
    }
}

impl Reach {
    /// KV entries that the first `length` tokens of a sequence read, summed over them.
    pub fn sum(self, length: u64) -> u128 {
        let triangle = |n: u64| u128::from(n) * (u128::from(n) + 1) / 2;
        match self {
            Reach::All => triangle(length),
            Reach::Window(most) | Reach::Picked(most) => {
                let most = u64::from(most);
                let below = length.min(most);
                triangle(below) + u128::from(length - below) * u128::from(most)
            }
            Reach::Chunk(0) => 0,
            Reach::Chunk(chunk) => {
                let chunk = u64::from(chunk);
                u128::from(length / chunk) * triangle(chunk) + triangle(length % chunk)
            }
        }
    }
}

/// Where the K and V of an attention layer come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KvSource {
    /// Its own projections; both are stored.
    #[default]
    Own,
    /// One projection gives both. K is normed and rotated and V is not, so both are stored (global
    /// layers of Gemma 4; vLLM `gemma4.py`, transformers 5.24.0 `modeling_gemma4.py`).
    KeyIsValue,
    /// An earlier layer's: nothing is stored, and it has no projections of its own.
    Shared,
    /// An earlier layer's: nothing is stored, though the checkpoint has projections (Gemma 3n).
    SharedWithWeights,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// None.
    #[default]
    None,
    /// Head by head, with one weight for all heads.
    PerHead,
    /// Over all heads together (OLMo 2, MiniMax M2).
    Whole,
}

/// Multi-head latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latent {
    /// Query heads.
    pub heads: u32,
    /// Width of the compressed K and V (`kv_lora_rank`).
    pub kv_rank: u32,
    /// Width of the compressed queries (`q_lora_rank`); 0: not compressed.
    pub query_rank: u32,
    /// Size of a query head, both parts (`qk_nope_head_dim` + `qk_rope_head_dim`).
    pub key_dim: u32,
    /// Size of a head's part with rotary embedding (`qk_rope_head_dim`).
    pub rope_dim: u32,
    /// Size of a value head (`v_head_dim`).
    pub value_dim: u32,
    /// Columns of a projection that gates the output (Kimi K3); 0 is none.
    pub gate_columns: u32,
    /// What picks the tokens that it reads (DeepSeek-V3.2); it looks at all without.
    pub indexer: Option<Indexer>,
}

/// Picks the tokens that latent attention reads, by a small attention over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Indexer {
    /// Query heads (`index_n_heads`); 0, as its size, where a layer has none of its own and reads what
    /// an earlier layer's picked (GLM-5.2).
    pub heads: u32,
    /// Size of a head (`index_head_dim`).
    pub dim: u32,
    /// Tokens picked (`index_topk`).
    pub top: u32,
}

impl Indexer {
    /// Bytes that the KV cache holds for a token: its key in fp8, and a 32-bit scale for each 128
    /// of its numbers (vLLM's `indexer_k_quant_and_cache`).
    pub fn kv_bytes(self) -> u64 {
        u64::from(self.dim) + 4 * u64::from(self.dim.div_ceil(128))
    }
}

/// A mixer that carries a state of fixed size from token to token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recurrent {
    /// Which one.
    pub kind: RecurrentKind,
    /// Heads, which tensor parallelism deals out.
    pub heads: u32,
    /// Columns of its projections of the hidden state.
    pub input_columns: u32,
    /// Rows of the projection back to the hidden state.
    pub output_rows: u32,
    /// Parameters besides both: convolutions, decays, norms, low-rank gates.
    pub other_parameters: u64,
    /// Numbers of a request's state in one layer.
    pub state_numbers: u64,
    /// Bits of each: 16 or 32.
    pub state_bits: u32,
    /// Numbers of its convolution's past, 16 bits each.
    pub conv_numbers: u64,
}

/// Kinds of recurrent mixers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentKind {
    /// Mamba, first version.
    Mamba,
    /// Mamba 2.
    Mamba2,
    /// Gated delta rule (Qwen3-Next).
    GatedDelta,
    /// Kimi delta attention.
    KimiDelta,
    /// Lightning attention (MiniMax-01, Ling).
    Lightning,
    /// Short convolution (LFM2).
    ShortConvolution,
}

impl Recurrent {
    /// Bytes of a request's state and its convolution's past in one layer, on all ranks together.
    pub fn state_bytes(self) -> u64 {
        self.state_numbers * u64::from(self.state_bits) / 8 + 2 * self.conv_numbers
    }
}

impl Mixer {
    /// Parameters of the matrices: what a quantised checkpoint quantises.
    pub fn matrix_parameters(&self, hidden_size: u32) -> u64 {
        let h = u64::from(hidden_size);
        match *self {
            Mixer::Attention(a) => h * (a.query_columns() + a.kv_columns()) + a.output_rows() * h,
            Mixer::Latent(latent) => latent.matrix_parameters(h),
            Mixer::Recurrent(r) => h * (u64::from(r.input_columns) + u64::from(r.output_rows)),
            Mixer::None => 0,
        }
    }

    /// Parameters besides: norms of queries and keys, biases, convolutions.
    pub fn small_parameters(&self, hidden_size: u32) -> u64 {
        match *self {
            Mixer::Attention(a) => a.small_parameters(hidden_size),
            Mixer::Latent(latent) => latent.small_parameters(),
            Mixer::None => 0,
            Mixer::Recurrent(r) => r.other_parameters,
        }
    }

    /// Heads that ranks deal out evenly: query heads, or those of a recurrent mixer. 0 without a
    /// mixer, and where ranks share out channels: in Mamba's first version and a short convolution.
    pub fn heads_to_divide(&self) -> u32 {
        match *self {
            Mixer::Attention(a) => a.heads,
            Mixer::Latent(latent) => latent.heads,
            Mixer::Recurrent(r) => match r.kind {
                RecurrentKind::Mamba | RecurrentKind::ShortConvolution => 0,
                RecurrentKind::Mamba2
                | RecurrentKind::GatedDelta
                | RecurrentKind::KimiDelta
                | RecurrentKind::Lightning => r.heads,
            },
            Mixer::None => 0,
        }
    }

    /// Whether it is attention, of either kind.
    pub fn is_attention(&self) -> bool {
        matches!(self, Mixer::Attention(_) | Mixer::Latent(_))
    }

    /// How far back it looks; nowhere without attention.
    pub fn reach(&self) -> Option<Reach> {
        match *self {
            Mixer::Attention(a) => Some(a.reach),
            Mixer::Latent(latent) => {
                Some(latent.indexer.map_or(Reach::All, |indexer| Reach::Picked(indexer.top)))
            }
            Mixer::Recurrent(_) | Mixer::None => None,
        }
    }

    /// Whether it keeps K and V of its own.
    pub fn stores_kv(&self) -> bool {
        match *self {
            Mixer::Attention(a) => a.stores_kv(),
            Mixer::Latent(_) => true,
            Mixer::Recurrent(_) | Mixer::None => false,
        }
    }
}

impl Attention {
    /// Columns of the projection to queries, the gate of the output included.
    pub fn query_columns(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.key_dim) + u64::from(self.gate_columns)
    }

    /// Columns of the projections to K and V.
    pub fn kv_columns(&self) -> u64 {
        let width = match self.kv {
            KvSource::Own | KvSource::SharedWithWeights => self.key_dim + self.value_dim,
            KvSource::KeyIsValue => self.key_dim,
            KvSource::Shared => 0,
        };
        u64::from(self.kv_heads) * u64::from(width)
    }

    /// Rows of the output projection.
    pub fn output_rows(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.value_dim)
    }

    /// Whether it keeps K and V of its own.
    pub fn stores_kv(&self) -> bool {
        matches!(self.kv, KvSource::Own | KvSource::KeyIsValue)
    }

    /// Numbers that the KV cache holds for a token of one KV head.
    pub fn kv_numbers_of_head(&self) -> u32 {
        match self.kv {
            KvSource::Own | KvSource::KeyIsValue => self.key_dim + self.value_dim,
            KvSource::Shared | KvSource::SharedWithWeights => 0,
        }
    }

    fn small_parameters(&self, hidden_size: u32) -> u64 {
        let [q, kv, k, v] =
            [self.heads, self.kv_heads, self.key_dim, self.value_dim].map(u64::from);
        let has_keys = !matches!(self.kv, KvSource::Shared);
        let norms = match self.qk_norm {
            QkNorm::None => 0,
            QkNorm::PerHead => k + if has_keys { k } else { 0 },
            QkNorm::Whole => (q + kv) * k,
        };
        let biases = if self.qkv_bias { (q + kv) * k + kv * v } else { 0 };
        norms + biases + if self.output_bias { u64::from(hidden_size) } else { 0 }
    }
}

impl Latent {
    fn matrix_parameters(&self, h: u64) -> u64 {
        let [q, d, kv_rank, query_rank, rope, value] = [
            self.heads,
            self.key_dim,
            self.kv_rank,
            self.query_rank,
            self.rope_dim,
            self.value_dim,
        ]
        .map(u64::from);
        let queries = match query_rank {
            0 => h * q * d,
            _ => query_rank * (h + q * d),
        };
        let keys_and_values = h * (kv_rank + rope) + kv_rank * q * (d - rope + value);
        let output = (q * value + u64::from(self.gate_columns)) * h;
        queries + keys_and_values + output + self.indexer_parameters(h)
    }

    /// Norms of the compressed vectors, and that of the indexer's key, which has a bias.
    fn small_parameters(&self) -> u64 {
        let indexer = self.indexer.map_or(0, |indexer| 2 * u64::from(indexer.dim));
        u64::from(self.kv_rank) + u64::from(self.query_rank) + indexer
    }

    /// Parameters that every tensor-parallel rank holds whole: what compresses, and the indexer.
    pub fn unsplit_parameters(&self, hidden_size: u32) -> u64 {
        let h = u64::from(hidden_size);
        let compress = u64::from(self.kv_rank + self.query_rank + self.rope_dim) * h;
        compress + self.indexer_parameters(h)
    }

    /// Matrices of the indexer: its queries, and from the hidden state its key and weights of heads.
    fn indexer_parameters(&self, h: u64) -> u64 {
        let Some(indexer) = self.indexer else { return 0 };
        let [heads, dim] = [indexer.heads, indexer.dim].map(u64::from);
        let from = if self.query_rank == 0 { h } else { u64::from(self.query_rank) };
        from * heads * dim + h * (dim + heads)
    }

    /// Numbers of the compressed K, V and rotary key of a token.
    pub fn kv_numbers(&self) -> u32 {
        self.kv_rank + self.rope_dim
    }

    /// Bytes that the KV cache holds for a token in one layer. With an indexer and KV in 8 bits vLLM
    /// stores 656 bytes for DeepSeek-V3.2: the 512 numbers of `kv_rank` in fp8 with a 32-bit scale
    /// for each 128 of them, and the rotary key in 16 bits (`fp8_ds_mla`, vLLM
    /// `v1/attention/backends/mla/flashmla_sparse.py`).
    pub fn kv_bytes(&self, kv_bits_1024ths: u32) -> u64 {
        let plain = u64::from(self.kv_numbers()) * u64::from(kv_bits_1024ths) / (8 * 1024);
        let Some(indexer) = self.indexer else { return plain };
        let stored = match kv_bits_1024ths {
            8192 => {
                let rank = u64::from(self.kv_rank);
                rank + 4 * rank.div_ceil(128) + 2 * u64::from(self.rope_dim)
            }
            _ => plain,
        };
        stored + indexer.kv_bytes()
    }
}
