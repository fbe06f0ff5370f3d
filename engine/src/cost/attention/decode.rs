//! The attention of a batch that only decodes.

use super::bend::Bend;
use super::heads::Heads;
use crate::catalog;
use crate::cost::gemm::{soft_max, us_per_byte, us_per_flop};
use crate::cost::table::RealTable;

/// Keys of a block that decode attention splits sequences into.
const SPLIT_KEYS: f64 = 128.0;

#[derive(Clone, Debug)]
pub(super) struct Decode {
    pub(super) launch_us: f64,
    split_us: f64,
    /// Per decode.
    pub(super) sequence_us: f64,
    /// Per KV token.
    pub(super) kv_us: f64,
    /// Of that, reading, and computing for each row of a query.
    bounds_us: (f64, f64),
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
pub(in crate::cost) struct Reading {
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

impl Decode {
    pub(super) fn new(fit: &catalog::DecodeAttention, heads: Heads, tflops: f64) -> Decode {
        // Keys and values of one token.
        let kv_bytes = heads.kv * heads.kv_bytes;
        Decode {
            launch_us: fit.launch_us,
            split_us: fit.split_us,
            sequence_us: fit.sequence_us * heads.query / 32.0,
            kv_us: reading_us(heads, fit.memory_gb_per_s, tflops),
            bounds_us: bounds_us(heads, fit.memory_gb_per_s, tflops),
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
    pub(super) fn us(&self, decodes: f64, rows: f64, kv: f64) -> f64 {
        self.sequence_us * decodes + self.kv_us(decodes, rows, kv)
    }

    /// Time of a KV token that a query of so many rows meets: it is read once, whatever their number,
    /// and computed with each; never dearer than if it were read for each row.
    fn token_us(&self, rows: f64) -> f64 {
        if rows <= 1.0 {
            return self.kv_us;
        }
        let (reading, row) = self.bounds_us;
        self.bend.of(reading, row * rows).clamp(self.kv_us, self.kv_us * rows)
    }

    /// `kv_us` is for a KV token.
    pub(super) fn reading(&self, decodes: f64, kv_us: f64) -> Reading {
        if decodes <= 0.0 {
            return Reading::default();
        }
        // All sequences' K and V are read, and the mean one is walked: both grow alike.
        let kv_us = self.bend.of(kv_us, self.walk_us / decodes);
        Reading { kv_us, splits_per_kv: 1.0 / (decodes * SPLIT_KEYS) }
    }

    /// Of queries of `rows` rows each.
    pub(super) fn kv_us(&self, decodes: f64, rows: f64, kv: f64) -> f64 {
        if decodes <= 0.0 {
            return 0.0;
        }
        self.kv_in_us(self.reading(decodes, self.token_us(rows)), kv)
    }

    #[inline]
    pub(super) fn kv_in_us(&self, reading: Reading, kv: f64) -> f64 {
        let split = self.split_us * (kv * reading.splits_per_kv - 1.0).clamp(0.0, 1.0);
        split + reading.kv_us * kv + self.ramp.get(kv * self.ramps_per_kv)
    }

    pub(super) fn warm_kv_us(&self, decodes: f64, kv: f64) -> f64 {
        let Some(warm) = &self.warm else { return self.kv_us(decodes, 1.0, kv) };
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
    let (reading, computing) = bounds_us(heads, gb_per_s, tflops);
    if heads.query / heads.kv <= GROUP_MAX {
        return reading;
    }
    soft_max(reading, computing, 3.0)
}

/// What reading a KV token takes, and what computing with it does for one row of a query.
fn bounds_us(heads: Heads, gb_per_s: f64, tflops: f64) -> (f64, f64) {
    let reading = heads.kv * heads.kv_bytes * us_per_byte(gb_per_s);
    (reading, heads.query * heads.pair_flops * us_per_flop(tflops))
}
