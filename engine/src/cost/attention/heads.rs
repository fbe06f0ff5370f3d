//! The heads that attention kernels work with.

use crate::catalog::{Attention, Gpu, Indexer, KvSource, Latent};
use crate::cost::shard::Shard;

/// The heads that a kernel works with on one rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) query: f64,
    /// Heads whose K and V are stored.
    pub(super) kv: f64,
    /// Operations per pair of query token and key and query head: `2 (d of K + d of V)`.
    pub(super) pair_flops: f64,
    /// Bytes of one token's K and V in one KV head.
    pub(super) kv_bytes: f64,
    /// Bytes of one token's query and output in one query head.
    pub(super) query_bytes: f64,
}

impl Heads {
    /// Of attention, with `kv_bytes` bytes to a number of K and V.
    pub(super) fn of(attention: &Attention, shard: Shard, kv_bytes: f64) -> Heads {
        let [key, value] = [attention.key_dim, attention.value_dim].map(f64::from);
        let stored = match attention.kv {
            KvSource::KeyIsValue => key,
            // Those that share an earlier layer's read them as that layer does.
            KvSource::Own | KvSource::Shared | KvSource::SharedWithWeights => key + value,
        };
        Heads {
            query: f64::from(shard.heads(attention.heads)),
            kv: f64::from(shard.kv_heads(attention.kv_heads)),
            pair_flops: 2.0 * (key + value),
            kv_bytes: kv_bytes * stored,
            query_bytes: 2.0 * (key + value),
        }
    }

    /// Of latent attention's prefill, which expands K and V to every head, in 16 bits.
    pub(super) fn expanded(latent: &Latent, shard: Shard) -> Heads {
        let [key, value] = [latent.key_dim, latent.value_dim].map(f64::from);
        let heads = f64::from(shard.heads(latent.heads));
        Heads {
            query: heads,
            kv: heads,
            pair_flops: 2.0 * (key + value),
            kv_bytes: 2.0 * (key + value),
            query_bytes: 2.0 * (key + value),
        }
    }

    /// Of latent attention's decodes, which work on the compressed K, which is V as well, once for
    /// all heads ("absorbed"). `stored_bytes` are those of a token's.
    pub(super) fn absorbed(latent: &Latent, shard: Shard, stored_bytes: f64) -> Heads {
        let [rank, rope] = [latent.kv_rank, latent.rope_dim].map(f64::from);
        Heads {
            query: f64::from(shard.heads(latent.heads)),
            kv: 1.0,
            pair_flops: 2.0 * (2.0 * rank + rope),
            kv_bytes: stored_bytes,
            query_bytes: 2.0 * (2.0 * rank + rope),
        }
    }

    /// Of an indexer, which every rank runs whole: one key a token for all its heads, in fp8.
    pub(super) fn indexing(indexer: Indexer) -> Heads {
        let dim = f64::from(indexer.dim);
        Heads {
            query: indexer.heads.into(),
            kv: 1.0,
            pair_flops: 2.0 * dim,
            kv_bytes: indexer.kv_bytes() as f64,
            query_bytes: 2.0 * dim,
        }
    }
}

/// K and V in fewer than 16 bits: what attention makes of them.
///
/// Measured on an A100 without CUDA graphs, 8 bits gain 0.4 to 5.5 % of a decode step where half of the
/// bytes says 3 to 25 %, and cost 2.5 to 5 % of a prefill. So a decode reads at the bytes' time of
/// [`WITHOUT_UNITS`] of what 16 bits save; where the GPU multiplies such numbers itself, of
/// [`WITH_UNITS`], which is assumed. Chunks compute [`CHUNKS`] times as long, with both.
#[derive(Clone, Copy, Debug)]
pub(super) struct NarrowKv {
    /// Bytes of a number, as long as reading takes.
    kv_bytes: f64,
    /// By how much chunks take longer.
    chunks: f64,
}

/// Of the time that narrow K and V save by their bytes, what is left without units for them: about a
/// fifth, between 0.4 of 3 and 5.5 of 25.
const WITHOUT_UNITS: f64 = 0.2;
/// With such units. Assumed: no public measurement tells kernels apart.
const WITH_UNITS: f64 = 0.7;
/// Attention is a fifth to a third of a long prompt's time, so that 2.5 to 5 % of it are about this much.
const CHUNKS: f64 = 1.15;

impl NarrowKv {
    /// Of `kv_bytes` bytes a number.
    pub(super) fn of(gpu: &Gpu, kv_bytes: f64) -> NarrowKv {
        if kv_bytes >= 2.0 {
            return NarrowKv { kv_bytes, chunks: 1.0 };
        }
        let kept = if gpu.peak.fp8_tflops.is_some() { WITH_UNITS } else { WITHOUT_UNITS };
        NarrowKv { kv_bytes: 2.0 - kept * (2.0 - kv_bytes), chunks: CHUNKS }
    }

    /// The heads of chunks and those of decodes.
    pub(super) fn heads(self, attention: &Attention, shard: Shard) -> (Heads, Heads) {
        let decodes = Heads::of(attention, shard, self.kv_bytes);
        let chunks = Heads { pair_flops: self.chunks * decodes.pair_flops, ..decodes };
        (chunks, decodes)
    }
}
