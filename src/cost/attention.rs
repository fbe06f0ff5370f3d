//! Attention: decode-only batches and batches with prefill chunks are priced apart, because
//! different kernels, or the same in another mode, compute them.

use crate::catalog::{self, Gpu, Model, PrefillAttention};

use super::BatchShape;
use super::gemm::{us_per_byte, us_per_flop};
use super::shard::Shard;
use super::table::RealTable;

/// Half of the last key block is computed for nothing, tokens (FlashAttention-2's block size).
const FLASH_ATTENTION_2_PAD: f64 = 128.0;

/// Prices the attention of one layer on one rank.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    decode: Decode,
    prefill: Prefill,
    /// Floating-point operations per query token and key.
    flops_per_pair: f64,
}

#[derive(Clone, Debug)]
struct Decode {
    launch_us: f64,
    /// Per decode.
    sequence_us: f64,
    /// Per KV token.
    kv_us: f64,
    /// `b0`, as KV tokens, inverted.
    ramps_per_kv: f64,
    /// `tr (1 - exp(-x))`.
    ramp: RealTable,
}

#[derive(Clone, Debug)]
enum Prefill {
    Two(Box<Two>),
    Three(Three),
}

#[derive(Clone, Copy, Debug)]
struct Three {
    launch_us: f64,
    us_per_flop: f64,
    pad_tokens: f64,
    /// Queries and outputs, per token of a chunk.
    token_us: f64,
    /// Keys and values, per token up to a chunk's end.
    kv_us: f64,
}

#[derive(Clone, Debug)]
struct Two {
    launch_us: f64,
    us_per_flop: f64,
    decode_us: f64,
    chunk_walk_us: f64,
    decode_walk_us: f64,
    /// `(1 + x^p)^(1/p)` for x in 0 to 1.
    knee: RealTable,
    /// `g U / BL2` per KV token.
    l2_kv_us: f64,
    miss: Option<Miss>,
}

#[derive(Clone, Copy, Debug)]
struct Miss {
    /// `U / BWd` per KV token.
    kv_us: f64,
    /// KV heads' tokens that L2 holds, inverted.
    l2_fills_per_kv: f64,
    /// Query heads that share a KV head, less one.
    extra_reads: f64,
}

impl Attention {
    pub(super) fn new(model: &Model, gpu: &Gpu, shard: Shard) -> Attention {
        let [q, kv, d] = [shard.heads, shard.kv_heads, model.head_dim].map(f64::from);
        let heads_32 = q / 32.0;
        // Keys and values of one token, 2 bytes each.
        let kv_bytes = kv * d * 4.0;
        let head_bytes = d * 4.0;
        let fit = &gpu.decode_attention;
        let decode = Decode {
            launch_us: fit.launch_us,
            sequence_us: fit.sequence_us * heads_32,
            kv_us: kv_bytes * us_per_byte(fit.memory_gb_per_s),
            ramps_per_kv: kv_bytes / (fit.ramp_mb * 1e6),
            // At 16 the ramp is over to 1 part in 10 million.
            ramp: RealTable::new(16.0, 1024, |x| fit.ramp_us * (1.0 - libm::exp(-x))),
        };
        let group = q / kv;
        let prefill = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => {
                Prefill::Two(Box::new(Two::new(fit, group, heads_32, kv_bytes, head_bytes)))
            }
            PrefillAttention::FlashAttention3(fit) => {
                let us_per_byte = fit.memory_gb_per_s.map_or(0.0, us_per_byte);
                Prefill::Three(Three {
                    launch_us: fit.launch_us.max(decode.launch_us),
                    us_per_flop: us_per_flop(fit.tflops),
                    pad_tokens: fit.pad_tokens,
                    token_us: 4.0 * q * d * us_per_byte,
                    kv_us: kv_bytes * us_per_byte,
                })
            }
        };
        Attention { decode, prefill, flops_per_pair: 4.0 * q * d }
    }

    /// Of one layer's attention in a decode-only batch, what does not depend on KV lengths.
    pub(super) fn decode_fixed_us(&self, decodes: f64) -> f64 {
        self.decode.launch_us + self.decode.sequence_us * decodes
    }

    /// Of one layer's attention in a decode-only batch, what reading `kv` tokens takes.
    pub(super) fn decode_kv_us(&self, kv: f64) -> f64 {
        self.decode.kv_us(kv)
    }

    /// Time of one layer's attention, microseconds.
    pub(super) fn us(&self, shape: &BatchShape<'_>) -> f64 {
        let decodes = f64::from(shape.decodes);
        let kv = shape.decode_kv_tokens as f64;
        if shape.chunks.is_empty() {
            return self.decode_fixed_us(decodes) + self.decode_kv_us(kv);
        }
        match &self.prefill {
            Prefill::Two(two) => {
                let work = Work::of(shape, FLASH_ATTENTION_2_PAD);
                let mixed = two.us(self.flops_per_pair * work.pairs, work.longest, decodes, kv);
                if shape.decodes == 0 {
                    return mixed;
                }
                // The fits of the two kernels cross for few tokens; more work is never cheaper.
                mixed.max(self.decode.launch_us + self.decode.us(decodes, kv))
            }
            Prefill::Three(three) => {
                let work = Work::of(shape, three.pad_tokens);
                three.launch_us
                    + self.decode.us(decodes, kv)
                    + self.flops_per_pair * work.pairs * three.us_per_flop
                    + three.token_us * work.tokens
                    + three.kv_us * work.ends
            }
        }
    }
}

impl Decode {
    /// Without the launch.
    fn us(&self, decodes: f64, kv: f64) -> f64 {
        self.sequence_us * decodes + self.kv_us(kv)
    }

    fn kv_us(&self, kv: f64) -> f64 {
        self.kv_us * kv + self.ramp.get(kv * self.ramps_per_kv)
    }
}

impl Two {
    fn new(
        fit: &catalog::FlashAttention2,
        group: f64,
        heads_32: f64,
        kv_bytes: f64,
        head_bytes: f64,
    ) -> Two {
        let knee = fit.knee;
        Two {
            launch_us: fit.launch_us,
            us_per_flop: us_per_flop(fit.tflops),
            decode_us: fit.decode_us * heads_32,
            chunk_walk_us: fit.chunk_walk_ns * 1e-3,
            decode_walk_us: fit.decode_walk_ns * 1e-3,
            knee: RealTable::new(1.0, 1024, |x| libm::pow(1.0 + libm::pow(x, knee), 1.0 / knee)),
            l2_kv_us: group * kv_bytes * us_per_byte(fit.l2_gb_per_s),
            miss: fit.l2_miss.as_ref().map(|miss| Miss {
                kv_us: kv_bytes * us_per_byte(miss.memory_gb_per_s),
                l2_fills_per_kv: head_bytes / (miss.l2_mb * 1e6),
                extra_reads: group - 1.0,
            }),
        }
    }

    fn us(&self, flops: f64, longest: f64, decodes: f64, kv: f64) -> f64 {
        let mut reads = self.l2_kv_us * kv;
        if let Some(miss) = &self.miss {
            let fills = kv * miss.l2_fills_per_kv;
            let fourth = (fills * fills) * (fills * fills);
            // 1 / (1 + fills^-4), without dividing by zero.
            let repeats = 1.0 + miss.extra_reads * (fourth / (1.0 + fourth));
            reads = reads.max(repeats * miss.kv_us * kv);
        }
        let work = flops * self.us_per_flop + self.decode_us * decodes + reads;
        let mean_kv = if decodes > 0.0 { kv / decodes } else { 0.0 };
        let walk = (self.chunk_walk_us * longest).max(self.decode_walk_us * mean_kv);
        let (large, small) = if work > walk { (work, walk) } else { (walk, work) };
        // A chunk has at least one token, so that neither is 0 unless the figures are.
        let bend = if large > 0.0 { self.knee.get(small / large) } else { 0.0 };
        self.launch_us + large * bend
    }
}

/// Sums over a batch's chunks, tokens.
struct Work {
    /// Pairs of query token and key, masked keys that are computed anyway included.
    pairs: f64,
    tokens: f64,
    /// Context and tokens.
    ends: f64,
    /// The largest of the ends.
    longest: f64,
}

impl Work {
    fn of(shape: &BatchShape<'_>, pad: f64) -> Work {
        let mut work = Work { pairs: 0.0, tokens: 0.0, ends: 0.0, longest: 0.0 };
        for chunk in shape.chunks {
            let [tokens, context] = [chunk.tokens, chunk.context].map(f64::from);
            work.pairs += tokens * context + tokens * (tokens + pad) * 0.5;
            work.tokens += tokens;
            work.ends += context + tokens;
            work.longest = work.longest.max(context + tokens);
        }
        work
    }
}
