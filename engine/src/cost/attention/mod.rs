//! Attention: decode-only batches and batches with prefill chunks are priced apart, because
//! different kernels, or the same in another mode, compute them.

mod bend;
mod decode;
mod heads;
mod prefill;

use crate::catalog::{self, AttentionTable, Gpu, Indexer, Latent, PrefillAttention, Reach};

use decode::Decode;
pub(super) use decode::Reading;
use heads::{Heads, NarrowKv};
use prefill::{Blocks, Prefill, Three, Two};

use super::attention_table::{Grid, Measured};
use super::shard::Shard;
use super::{BatchShape, Chunk};

/// Prices the attention of one layer on one rank.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    decode: Decode,
    prefill: Prefill,
    /// Decodes run in a kernel of their own beside chunks.
    apart: bool,
    /// What launching that kernel takes, where engines of an era have two for all.
    second_launch_us: f64,
    /// Whether the price of chunks and decodes together is within bounds by itself.
    within_bounds: bool,
    /// Chunks and decodes in one kernel may be dearer than in two: so it was measured.
    may_be_dearer: bool,
    measured: Measured,
    reach: Reach,
}

/// The queries of a batch's decodes.
#[derive(Clone, Copy, Debug)]
struct Queries {
    /// Requests.
    count: f64,
    /// Tokens of the mean request.
    rows: f64,
}

impl Queries {
    const NONE: Queries = Queries { count: 0.0, rows: 1.0 };
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

impl Attention {
    /// Of K and V stored head by head, `kv_bytes` bytes to a number. A table was measured on
    /// attention that looks at all tokens, and serves no other.
    pub(super) fn of_heads(
        attention: &catalog::Attention,
        gpu: &Gpu,
        (table, apart): (Option<&AttentionTable>, bool),
        shard: Shard,
        kv_bytes: f64,
    ) -> Attention {
        let table = table.filter(|_| attention.reach == Reach::All);
        let heads = NarrowKv::of(gpu, kv_bytes).heads(attention, shard);
        let mut of_heads = Attention::new(gpu, table, attention.reach, apart, heads);
        if apart {
            of_heads.second_launch_us = of_heads.decode.launch_us;
        }
        of_heads
    }

    /// Of a compressed K and V. Its chunks expand them to every head, and run apart from decodes;
    /// where an indexer picks tokens, both work on the compressed.
    pub(super) fn of_latent(
        latent: &Latent,
        gpu: &Gpu,
        table: Option<&AttentionTable>,
        shard: Shard,
        stored_bytes: f64,
    ) -> Attention {
        let absorbed = Heads::absorbed(latent, shard, stored_bytes);
        match latent.indexer {
            None => {
                let expanded = Heads::expanded(latent, shard);
                Attention::new(gpu, table, Reach::All, true, (expanded, absorbed))
            }
            Some(indexer) => {
                Attention::new(gpu, None, Reach::Picked(indexer.top), true, (absorbed, absorbed))
            }
        }
    }

    /// Of an indexer's pass over all tokens.
    pub(super) fn of_indexer(indexer: Indexer, gpu: &Gpu) -> Attention {
        let heads = Heads::indexing(indexer);
        Attention::new(gpu, None, Reach::All, true, (heads, heads))
    }

    /// `heads` are those of chunks and of decodes.
    fn new(
        gpu: &Gpu,
        table: Option<&AttentionTable>,
        reach: Reach,
        apart: bool,
        heads: (Heads, Heads),
    ) -> Attention {
        let tflops = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => fit.tflops,
            PrefillAttention::FlashAttention3(fit) => fit.tflops,
        };
        let decode = Decode::new(&gpu.decode_attention, heads.1, tflops);
        let prefill = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => {
                Prefill::Two(Box::new(Two::new(fit, heads.0)))
            }
            PrefillAttention::FlashAttention3(fit) => {
                Prefill::Three(Box::new(Three::new(fit, heads.0, decode.launch_us)))
            }
        };
        let may_be_dearer = match &gpu.prefill_attention {
            PrefillAttention::FlashAttention2(fit) => fit.mixed_measured && !apart,
            PrefillAttention::FlashAttention3(_) => false,
        };
        // FlashAttention-3's is a sum of both.
        let within_bounds = matches!(prefill, Prefill::Three(_)) && table.is_none();
        let measured = Measured::new(table);
        let second_launch_us = 0.0;
        Attention {
            decode,
            prefill,
            apart,
            second_launch_us,
            within_bounds,
            may_be_dearer,
            measured,
            reach,
        }
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

    /// Time of one layer's attention. `kv` are the entries that its decodes read.
    pub(super) fn time(&self, shape: &BatchShape<'_>, kv: f64) -> AttentionTime {
        let decodes = Queries {
            count: f64::from(shape.decodes().requests()),
            rows: shape.decodes().query_tokens(),
        };
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
        if decodes.count <= 0.0 || self.within_bounds {
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
    fn decodes_us(&self, decodes: Queries, kv: f64) -> f64 {
        let Queries { count, rows } = decodes;
        let by_constants =
            |rows: f64| self.decode_fixed_us(count) + self.decode.kv_us(count, rows, kv);
        let model = |n: f64, mean: f64| self.decode.launch_us + self.decode.us(n, 1.0, n * mean);
        match &self.measured.decode {
            Some(grid) if count > 0.0 => {
                let us = grid.us(count, kv / count, model);
                // The table is of one row each: more are as much dearer as the constants have it.
                if rows > 1.0 { us * (by_constants(rows) / by_constants(1.0)) } else { us }
            }
            _ => by_constants(rows),
        }
    }

    /// Time of the chunks alone, and of chunks and decodes together, by the constants.
    fn by_constants_us(&self, chunks: &[Chunk], decodes: Queries, kv: f64) -> (f64, f64) {
        let Queries { count, rows } = decodes;
        let launch_us = if count > 0.0 { self.second_launch_us } else { 0.0 };
        match &self.prefill {
            Prefill::Two(two) => {
                let blocks = Blocks::of(chunks, self.reach);
                let alone = two.us(&blocks, Queries::NONE, 0.0);
                let mixed = match self.apart {
                    true => alone + launch_us + self.decode.us(count, rows, kv),
                    false => two.us(&blocks, decodes, kv),
                };
                (alone, mixed)
            }
            Prefill::Three(three) => {
                let alone = three.us(chunks, self.reach);
                (alone, alone + launch_us + self.decode.us(count, rows, kv))
            }
        }
    }

    /// Time of chunks without decodes whose price by the constants is `by_constants`.
    fn chunks_in_table_us(&self, grid: &Grid, chunks: &[Chunk], by_constants: f64) -> f64 {
        let one = |tokens: f64, context: f64| {
            let chunk = Chunk { context: context as u32, tokens: tokens as u32 };
            self.by_constants_us(&[chunk], Queries::NONE, 0.0).0
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
