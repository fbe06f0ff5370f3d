//! The attention of a batch with prefill chunks, by the kernel that computes it.

use super::Queries;
use super::bend::Bend;
use super::heads::Heads;
use crate::catalog::{self, Reach};
use crate::cost::Chunk;
use crate::cost::gemm::{us_per_byte, us_per_flop};
use crate::cost::table::RealTable;

/// Query rows of a FlashAttention-2 thread block over a paged KV cache.
const TILE_ROWS: u32 = 64;

#[derive(Clone, Debug)]
pub(super) enum Prefill {
    Two(Box<Two>),
    Three(Box<Three>),
}

#[derive(Clone, Debug)]
pub(super) struct Three {
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
pub(super) struct Two {
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
pub(super) struct Blocks {
    tiles: f64,
    /// Keys that they walk, all together.
    keys: f64,
    /// Keys of the longest.
    longest: f64,
    /// Tokens of the chunks.
    tokens: f64,
}

impl Blocks {
    pub(super) fn of(chunks: &[Chunk], reach: Reach) -> Blocks {
        let rows = f64::from(TILE_ROWS);
        let mut sum = Blocks { tiles: 0.0, keys: 0.0, longest: 0.0, tokens: 0.0 };
        for chunk in chunks {
            let context = f64::from(chunk.context);
            let tiles = f64::from(chunk.tokens.div_ceil(TILE_ROWS));
            sum.tiles += tiles;
            sum.tokens += f64::from(chunk.tokens);
            let (keys, longest) = match reach {
                Reach::All => {
                    (tiles * context + rows * tiles * (tiles + 1.0) * 0.5, context + rows * tiles)
                }
                _ => {
                    // A tile walks the keys that any of its rows reads: as many as the mean of its
                    // rows, and half a tile.
                    let keys = pairs(*chunk, reach) / rows + tiles * (rows - 1.0) * 0.5;
                    (keys, most(*chunk, reach) + rows)
                }
            };
            sum.keys += keys;
            sum.longest = sum.longest.max(longest);
        }
        sum
    }
}

/// Pairs of a chunk's tokens and the keys that they read.
fn pairs(chunk: Chunk, reach: Reach) -> f64 {
    let (from, to) = (u64::from(chunk.context), u64::from(chunk.context) + u64::from(chunk.tokens));
    (reach.sum(to) - reach.sum(from)) as f64
}

/// The most keys that one of a chunk's tokens reads.
fn most(chunk: Chunk, reach: Reach) -> f64 {
    let end = u64::from(chunk.context) + u64::from(chunk.tokens);
    match reach {
        Reach::All => end as f64,
        Reach::Window(most) | Reach::Picked(most) | Reach::Chunk(most) => {
            end.min(most.into()) as f64
        }
    }
}

/// Tokens whose K and V a chunk reads, its own included.
fn read(chunk: Chunk, reach: Reach) -> f64 {
    let [context, tokens] = [chunk.context, chunk.tokens].map(f64::from);
    let before = match reach {
        Reach::All | Reach::Picked(_) => context,
        Reach::Window(window) => context.min(f64::from(window) - 1.0),
        Reach::Chunk(chunked) => f64::from(chunk.context % chunked.max(1)),
    };
    before + tokens
}

impl Three {
    pub(super) fn new(fit: &catalog::FlashAttention3, heads: Heads, launch_us: f64) -> Three {
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

    pub(super) fn us(&self, chunks: &[Chunk], reach: Reach) -> f64 {
        let (mut all_pairs, mut all_tokens, mut ends, mut longest) = (0.0, 0.0, 0.0, 0.0_f64);
        for chunk in chunks {
            let [tokens, context] = [chunk.tokens, chunk.context].map(f64::from);
            all_tokens += tokens;
            match reach {
                Reach::All => {
                    all_pairs += tokens * context + tokens * (tokens + self.pad_tokens) * 0.5;
                    ends += context + tokens;
                    longest = longest.max(context + tokens);
                }
                _ => {
                    all_pairs += pairs(*chunk, reach) + tokens * (self.pad_tokens - 1.0) * 0.5;
                    ends += read(*chunk, reach);
                    longest = longest.max(most(*chunk, reach));
                }
            }
        }
        let work = self.pair_us * all_pairs + self.token_us * all_tokens + self.kv_us * ends;
        self.launch_us + self.bend.of(work, self.walk_us * longest)
    }
}

impl Two {
    pub(super) fn new(fit: &catalog::FlashAttention2, heads: Heads) -> Two {
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

    pub(super) fn us(&self, blocks: &Blocks, queries: Queries, kv: f64) -> f64 {
        // The rows of a decode's query, few as they are, take a tile like one row.
        let decodes = queries.count;
        let tiles_each = (queries.rows / f64::from(TILE_ROWS)).ceil();
        let (tiles, keys) = (blocks.tiles + decodes * tiles_each, blocks.keys + kv * tiles_each);
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
