//! Attention: decode-only batches and batches with prefill chunks are priced apart, because
//! different kernels, or the same in another mode, compute them.

use crate::catalog::{self, AttentionTable, Gpu, Model, PrefillAttention};

use super::attention_table::{Grid, Measured};
use super::gemm::{soft_max, us_per_byte, us_per_flop};
use super::shard::Shard;
use super::table::RealTable;
use super::{BatchShape, Chunk, KvDtype};

/// Query rows of a FlashAttention-2 thread block over a paged KV cache.
const TILE_ROWS: u32 = 64;

/// Keys of a block that decode attention splits sequences into.
const SPLIT_KEYS: f64 = 128.0;

/// Prices the attention of one layer on one rank.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    decode: Decode,
    prefill: Prefill,
    /// Decodes run in a kernel of their own beside chunks.
    apart: bool,
    /// Whether the price of chunks and decodes together is within bounds by itself.
    within_bounds: bool,
    /// Chunks and decodes in one kernel may be dearer than in two: so it was measured.
    may_be_dearer: bool,
    measured: Measured,
}

/// Attention of a batch, microseconds a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionTime {
    /// As the batch's own kernels compute it.
    pub(super) together_us: f64,
    /// Of its chunks alone and its decodes alone, one after the other, where that bounds the price
    /// of the batch; else infinite.
    pub(super) in_turn_us: f64,
}

#[derive(Clone, Debug)]
struct Decode {
    launch_us: f64,
    split_us: f64,
    /// Per decode.
    sequence_us: f64,
    /// Per KV token.
    kv_us: f64,
    /// Per KV token of the mean sequence.
    walk_us: f64,
    bend: Bend,
    /// `b0`, as KV tokens, inverted.
    ramps_per_kv: f64,
    /// `tr (1 - exp(-x))`.
    ramp: RealTable,
    warm: Option<Warm>,
}

/// How the KV tokens of a decode-only batch are paid for, by its number of decodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Per KV token: all are read, and the mean sequence is walked.
    kv_us: f64,
    /// Blocks that the mean sequence is split into, per KV token of all.
    splits_per_kv: f64,
}

/// For comparisons with benchmarks.
#[derive(Clone, Copy, Debug)]
struct Warm {
    /// What stays in cache, as KV tokens, inverted.
    fills_per_kv: f64,
    /// Per KV token.
    kv_us: f64,
}

#[derive(Clone, Debug)]
enum Prefill {
    Two(Box<Two>),
    Three(Box<Three>),
}

#[derive(Clone, Debug)]
struct Three {
    launch_us: f64,
    /// Per pair of query token and key.
    pair_us: f64,
    pad_tokens: f64,
    /// Queries and outputs, per token of a chunk.
    token_us: f64,
    /// Keys and values, per token up to a chunk's end.
    kv_us: f64,
    /// Per token up to the longest chunk's end.
    walk_us: f64,
    bend: Bend,
}

#[derive(Clone, Debug)]
struct Two {
    launch_us: f64,
    /// A block's time for one key.
    key_us: f64,
    tile_us: f64,
    tail: f64,
    /// Waves of blocks that the query heads of one tile fill.
    waves: f64,
    /// Per token of a chunk.
    token_us: f64,
    bend: Bend,
    /// `U / BWd` per KV token.
    kv_us: f64,
    /// One KV head's tokens that L2 holds, inverted.
    l2_fills_per_kv: f64,
    /// Share of the repeated reads that miss L2, by how often it is filled.
    misses: RealTable,
    /// Query heads that share a KV head.
    group: f64,
    /// Query heads of a group that do not run together, per decode.
    apart_per_decode: f64,
}

/// The thread blocks of FlashAttention-2 that the chunks of a batch take, for one query head.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    tiles: f64,
    /// Keys that they walk, all together.
    keys: f64,
    /// Keys of the longest.
    longest: f64,
    /// Tokens of the chunks.
    tokens: f64,
}

impl Blocks {
    fn of(chunks: &[Chunk]) -> Blocks {
        let rows = f64::from(TILE_ROWS);
        let mut sum = Blocks { tiles: 0.0, keys: 0.0, longest: 0.0, tokens: 0.0 };
        for chunk in chunks {
            let context = f64::from(chunk.context);
            let tiles = f64::from(chunk.tokens.div_ceil(TILE_ROWS));
            sum.tiles += tiles;
            sum.keys += tiles * context + rows * tiles * (tiles + 1.0) * 0.5;
            sum.longest = sum.longest.max(context + rows * tiles);
            sum.tokens += f64::from(chunk.tokens);
        }
        sum
    }
}

/// `(a^p + b^p)^(1/p)`, tabulated by the ratio of both.
#[derive(Clone, Debug)]
struct Bend(RealTable);

impl Bend {
    fn new(knee: f64) -> Bend {
        Bend(RealTable::new(1.0, 1024, |x| libm::pow(1.0 + libm::pow(x, knee), 1.0 / knee)))
    }

    #[inline]
    fn of(&self, a: f64, b: f64) -> f64 {
        let (large, small) = if a > b { (a, b) } else { (b, a) };
        if small <= 0.0 { large } else { large * self.0.get(small / large) }
    }
}

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
    /// Of a prefill. Latent attention expands K and V to every head for it.
    fn of(model: &Model, shard: Shard, kv_dtype: KvDtype) -> Heads {
        let key = f64::from(model.head_dim);
        let value = model.latent_attention.map_or(key, |latent| f64::from(latent.value_dim));
        Heads {
            query: f64::from(shard.heads),
            kv: f64::from(shard.kv_heads),
            pair_flops: 2.0 * (key + value),
            kv_bytes: f64::from(kv_dtype.bytes()) * (key + value),
            query_bytes: 2.0 * (key + value),
        }
    }

    /// Of decodes. Latent attention works on the compressed K, which is V as well, once for all
    /// heads ("absorbed").
    fn of_decodes(model: &Model, shard: Shard, kv_dtype: KvDtype) -> Heads {
        let Some(latent) = model.latent_attention else {
            return Heads::of(model, shard, kv_dtype);
        };
        let [rank, rope] = [latent.kv_rank, latent.rope_dim].map(f64::from);
        Heads {
            query: f64::from(shard.heads),
            kv: 1.0,
            pair_flops: 2.0 * (2.0 * rank + rope),
            kv_bytes: f64::from(kv_dtype.bytes()) * (rank + rope),
            query_bytes: 2.0 * (2.0 * rank + rope),
        }
    }
}

impl Attention {
    pub(super) fn new(
        model: &Model,
        gpu: &Gpu,
        table: Option<&AttentionTable>,
        shard: Shard,
        kv_dtype: KvDtype,
    ) -> Attention {
        // A prefill of latent attention reads the K and V that it has expanded, in 16 bits.
        let expanded = model.latent_attention.map_or(kv_dtype, |_| KvDtype::Auto);
        let heads = Heads::of(model, shard, expanded);
        let tflops = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => fit.tflops,
            PrefillAttention::FlashAttention3(fit) => fit.tflops,
        };
        let decode_heads = Heads::of_decodes(model, shard, kv_dtype);
        let decode = Decode::new(&gpu.decode_attention, decode_heads, tflops);
        let prefill = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => Prefill::Two(Box::new(Two::new(fit, heads))),
            PrefillAttention::FlashAttention3(fit) => {
                Prefill::Three(Box::new(Three::new(fit, heads, decode.launch_us)))
            }
        };
        let apart = model.latent_attention.is_some();
        let may_be_dearer = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => fit.mixed_measured && !apart,
            PrefillAttention::FlashAttention3(_) => false,
        };
        // FlashAttention-3's is a sum of both.
        let within_bounds = matches!(prefill, Prefill::Three(_)) && table.is_none();
        let measured = Measured::new(table);
        Attention { decode, prefill, apart, within_bounds, may_be_dearer, measured }
    }

    /// Of one layer's attention in a decode-only batch, what does not depend on KV lengths.
    pub(super) fn decode_fixed_us(&self, decodes: f64) -> f64 {
        self.decode.launch_us + self.decode.sequence_us * decodes
    }

    /// Of one layer's attention in a decode-only batch, how its KV tokens are paid for.
    pub(super) fn decode_reading(&self, decodes: f64) -> Reading {
        self.decode.reading(decodes, self.decode.kv_us)
    }

    /// Of one layer's attention in a decode-only batch, what reading `kv` tokens takes.
    #[inline]
    pub(super) fn decode_kv_us(&self, reading: Reading, kv: f64) -> f64 {
        self.decode.kv_in_us(reading, kv)
    }

    /// Time of a decode-only batch's attention when K and V are in cache from the run before.
    pub(super) fn warm_decode_us(&self, decodes: f64, kv: f64) -> f64 {
        self.decode_fixed_us(decodes) + self.decode.warm_kv_us(decodes, kv)
    }

    /// Whether decode-only batches are looked up in a table.
    pub(super) fn decodes_are_measured(&self) -> bool {
        self.measured.decode.is_some()
    }

    /// Time of one layer's attention.
    pub(super) fn time(&self, shape: &BatchShape<'_>) -> AttentionTime {
        let decodes = f64::from(shape.decodes().requests());
        let kv = shape.decodes().kv_tokens() as f64;
        if shape.chunks().is_empty() {
            let us = self.decodes_us(decodes, kv);
            return AttentionTime { together_us: us, in_turn_us: f64::INFINITY };
        }
        let (by_constants, mixed) = self.by_constants_us(shape.chunks(), decodes, kv);
        let table = self.measured.prefill.as_ref();
        // The chunks' own part is as many times the constants' price as the table has it for each
        // of them alone; what the decodes add is priced by the constants.
        let (chunks, mixed) = match table {
            None => (by_constants, mixed),
            Some(grid) => {
                let chunks = self.chunks_in_table_us(grid, shape.chunks(), by_constants);
                (chunks, chunks + (mixed - by_constants).max(0.0))
            }
        };
        if decodes <= 0.0 || self.within_bounds {
            return AttentionTime { together_us: mixed, in_turn_us: f64::INFINITY };
        }
        let alone = self.decodes_us(decodes, kv);
        AttentionTime {
            // The fits of the kernels cross for few tokens; more work is never cheaper.
            together_us: mixed.max(alone),
            in_turn_us: if self.may_be_dearer { f64::INFINITY } else { chunks + alone },
        }
    }

    /// Time of a decode-only batch.
    fn decodes_us(&self, decodes: f64, kv: f64) -> f64 {
        let model = |n: f64, mean: f64| self.decode.launch_us + self.decode.us(n, n * mean);
        match &self.measured.decode {
            Some(grid) if decodes > 0.0 => grid.us(decodes, kv / decodes, model),
            _ => self.decode_fixed_us(decodes) + self.decode.kv_us(decodes, kv),
        }
    }

    /// Time of the chunks alone, and of chunks and decodes together, by the constants.
    fn by_constants_us(&self, chunks: &[Chunk], decodes: f64, kv: f64) -> (f64, f64) {
        match &self.prefill {
            Prefill::Two(two) => {
                let blocks = Blocks::of(chunks);
                let alone = two.us(&blocks, 0.0, 0.0);
                let mixed = match self.apart {
                    true => alone + self.decode.us(decodes, kv),
                    false => two.us(&blocks, decodes, kv),
                };
                (alone, mixed)
            }
            Prefill::Three(three) => {
                let alone = three.us(chunks);
                (alone, alone + self.decode.us(decodes, kv))
            }
        }
    }

    /// Time of chunks without decodes whose price by the constants is `by_constants`.
    fn chunks_in_table_us(&self, grid: &Grid, chunks: &[Chunk], by_constants: f64) -> f64 {
        let one = |tokens: f64, context: f64| {
            let chunk = Chunk { context: context as u32, tokens: tokens as u32 };
            self.by_constants_us(&[chunk], 0.0, 0.0).0
        };
        let (mut table, mut constants) = (0.0, 0.0);
        for chunk in chunks {
            let [tokens, context] = [chunk.tokens, chunk.context].map(f64::from);
            table += grid.us(tokens, context, one);
            constants += one(tokens, context);
        }
        if constants > 0.0 { by_constants * (table / constants) } else { table }
    }
}

impl Decode {
    fn new(fit: &catalog::DecodeAttention, heads: Heads, tflops: f64) -> Decode {
        // Keys and values of one token.
        let kv_bytes = heads.kv * heads.kv_bytes;
        Decode {
            launch_us: fit.launch_us,
            split_us: fit.split_us,
            sequence_us: fit.sequence_us * heads.query / 32.0,
            kv_us: reading_us(heads, fit.memory_gb_per_s, tflops),
            walk_us: fit.walk_ns * 1e-3,
            bend: Bend::new(3.0),
            ramps_per_kv: kv_bytes / (fit.ramp_mb * 1e6),
            // At 16 the ramp is over to 1 part in 10 million.
            ramp: RealTable::new(16.0, 1024, |x| fit.ramp_us * (1.0 - libm::exp(-x))),
            warm: fit.warm.as_ref().map(|warm| Warm {
                fills_per_kv: kv_bytes / (warm.mb * 1e6),
                kv_us: kv_bytes * us_per_byte(warm.gb_per_s),
            }),
        }
    }

    /// Without the launch.
    fn us(&self, decodes: f64, kv: f64) -> f64 {
        self.sequence_us * decodes + self.kv_us(decodes, kv)
    }

    /// `kv_us` is for a KV token.
    fn reading(&self, decodes: f64, kv_us: f64) -> Reading {
        if decodes <= 0.0 {
            return Reading::default();
        }
        // All sequences' K and V are read, and the mean one is walked: both grow alike.
        let kv_us = self.bend.of(kv_us, self.walk_us / decodes);
        Reading { kv_us, splits_per_kv: 1.0 / (decodes * SPLIT_KEYS) }
    }

    fn kv_us(&self, decodes: f64, kv: f64) -> f64 {
        if decodes <= 0.0 {
            return 0.0;
        }
        self.kv_in_us(self.reading(decodes, self.kv_us), kv)
    }

    #[inline]
    fn kv_in_us(&self, reading: Reading, kv: f64) -> f64 {
        let split = self.split_us * (kv * reading.splits_per_kv - 1.0).clamp(0.0, 1.0);
        split + reading.kv_us * kv + self.ramp.get(kv * self.ramps_per_kv)
    }

    fn warm_kv_us(&self, decodes: f64, kv: f64) -> f64 {
        let Some(warm) = &self.warm else { return self.kv_us(decodes, kv) };
        // Nearly all or nothing: what is read in turn and does not fit is evicted before its turn.
        let fills = kv * warm.fills_per_kv;
        let stays = 1.0 / (1.0 + libm::pow(fills, 16.0));
        let kv_us = stays * warm.kv_us + (1.0 - stays) * self.kv_us;
        self.kv_in_us(self.reading(decodes, kv_us), kv)
    }
}

/// Time of a decode's KV token. Heads that share K and V in small groups are bound by memory, and
/// their computing is within the fits; the many heads on one latent K compute as long as they read.
fn reading_us(heads: Heads, gb_per_s: f64, tflops: f64) -> f64 {
    const GROUP_MAX: f64 = 16.0;
    let reading = heads.kv * heads.kv_bytes * us_per_byte(gb_per_s);
    if heads.query / heads.kv <= GROUP_MAX {
        return reading;
    }
    soft_max(reading, heads.query * heads.pair_flops * us_per_flop(tflops), 3.0)
}

impl Three {
    fn new(fit: &catalog::FlashAttention3, heads: Heads, launch_us: f64) -> Three {
        let us_per_byte = fit.memory_gb_per_s.map_or(0.0, us_per_byte);
        Three {
            launch_us: fit.launch_us.max(launch_us),
            pair_us: heads.query * heads.pair_flops * us_per_flop(fit.tflops),
            pad_tokens: fit.pad_tokens,
            token_us: heads.query * heads.query_bytes * us_per_byte,
            kv_us: heads.kv * heads.kv_bytes * us_per_byte,
            walk_us: fit.walk_ns * 1e-3,
            bend: Bend::new(fit.knee),
        }
    }

    fn us(&self, chunks: &[Chunk]) -> f64 {
        let (mut pairs, mut all_tokens, mut ends, mut longest) = (0.0, 0.0, 0.0, 0.0_f64);
        for chunk in chunks {
            let [tokens, context] = [chunk.tokens, chunk.context].map(f64::from);
            pairs += tokens * context + tokens * (tokens + self.pad_tokens) * 0.5;
            all_tokens += tokens;
            ends += context + tokens;
            longest = longest.max(context + tokens);
        }
        let work = self.pair_us * pairs + self.token_us * all_tokens + self.kv_us * ends;
        self.launch_us + self.bend.of(work, self.walk_us * longest)
    }
}

impl Two {
    fn new(fit: &catalog::FlashAttention2, heads: Heads) -> Two {
        let us_per_byte_of_chunks = fit.token_gb_per_s.map_or(0.0, us_per_byte);
        let chunk_bytes = heads.query * heads.query_bytes + heads.kv * heads.kv_bytes;
        let knee = fit.l2_knee;
        let rows = f64::from(TILE_ROWS);
        Two {
            launch_us: fit.launch_us,
            key_us: fit.slots * rows * heads.pair_flops * us_per_flop(fit.tflops),
            tile_us: fit.tile_us,
            tail: fit.tail,
            waves: heads.query / fit.slots,
            token_us: fit.token_ns * 1e-3 + chunk_bytes * us_per_byte_of_chunks,
            bend: Bend::new(fit.knee),
            kv_us: heads.kv * heads.kv_bytes * us_per_byte(fit.memory_gb_per_s),
            l2_fills_per_kv: heads.kv_bytes / (fit.l2_mb * 1e6),
            misses: RealTable::new(16.0, 2048, |x| {
                if x > 0.0 { 1.0 / (1.0 + libm::pow(x, -knee)) } else { 0.0 }
            }),
            group: heads.query / heads.kv,
            apart_per_decode: heads.query / heads.kv / fit.slots,
        }
    }

    fn us(&self, blocks: &Blocks, decodes: f64, kv: f64) -> f64 {
        let (tiles, keys) = (blocks.tiles + decodes, blocks.keys + kv);
        // Of the decodes the mean stands for the longest.
        let longest = if decodes > 0.0 { blocks.longest.max(kv / decodes) } else { blocks.longest };
        let work = self.waves * (self.tile_us * tiles + self.key_us * keys);
        let block = self.tile_us + self.key_us * longest;
        let compute = block.max(work + self.tail * block);
        let apart = (self.apart_per_decode * decodes).clamp(1.0, self.group.max(1.0)) - 1.0;
        let reads = 1.0 + apart * self.misses.get(kv * self.l2_fills_per_kv);
        let memory = reads * self.kv_us * kv;
        self.launch_us + self.bend.of(compute, memory) + self.token_us * blocks.tokens
    }
}
