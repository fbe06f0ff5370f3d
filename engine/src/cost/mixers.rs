//! What a stage's mixers take beside their projections: attention over KV, and states.

use crate::catalog::{AttentionTable, Gpu, Mixer, Model, Reach, Reaches};

use super::attention::{Attention, Reading};
use super::recurrence::Recurrence;
use super::shape::Decodes;
use super::shard::Shard;
use super::{BatchShape, ReachSlot};

/// Layers whose mixers are alike.
#[derive(Clone, Debug)]
pub(super) struct MixerCost {
    /// How many.
    pub(super) layers: f64,
    /// Which KV entries of a batch its decodes read.
    slot: ReachSlot,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Attention(Box<Attention>),
    Recurrent(Recurrence),
}

impl MixerCost {
    /// Of the layers of `part`, a stage of `model`. At least one: without mixers it costs nothing.
    pub(super) fn of(
        part: &Model,
        gpu: &Gpu,
        (table, apart): (Option<&AttentionTable>, bool),
        shard: Shard,
        kv_bits_1024ths: u32,
        reaches: &Reaches,
    ) -> Vec<MixerCost> {
        let slot = |reach: Reach| ReachSlot::of(reach, reaches);
        let kv_bytes = f64::from(kv_bits_1024ths) / (8.0 * 1024.0);
        let mut costs = Vec::new();
        for (mixer, layers) in part.mixers() {
            let layers = f64::from(layers);
            let attention = |attention, reach| MixerCost {
                layers,
                slot: slot(reach),
                kind: Kind::Attention(Box::new(attention)),
            };
            match mixer {
                Mixer::Attention(a) => {
                    let cost = Attention::of_heads(&a, gpu, (table, apart), shard, kv_bytes);
                    costs.push(attention(cost, a.reach));
                }
                Mixer::Latent(latent) => {
                    let indexing = latent.indexer.map_or(0, |indexer| indexer.kv_bytes());
                    let stored = latent.kv_bytes(kv_bits_1024ths) - indexing;
                    let cost = Attention::of_latent(&latent, gpu, table, shard, stored as f64);
                    let reach = mixer.reach().unwrap_or_default();
                    costs.push(attention(cost, reach));
                    if let Some(indexer) = latent.indexer {
                        costs.push(attention(Attention::of_indexer(indexer, gpu), Reach::All));
                    }
                }
                Mixer::Recurrent(recurrent) => costs.push(MixerCost {
                    layers,
                    slot: ReachSlot::ALL,
                    kind: Kind::Recurrent(Recurrence::new(&recurrent, gpu, shard)),
                }),
                Mixer::None => {}
            }
        }
        if costs.is_empty() {
            let kind = Kind::Recurrent(Recurrence::NONE);
            costs.push(MixerCost { layers: 0.0, slot: ReachSlot::ALL, kind });
        }
        costs
    }

    /// Its attention, where it looks at all tokens.
    #[inline]
    pub(super) fn attention_over_all(&self) -> Option<&Attention> {
        match &self.kind {
            Kind::Attention(attention) if self.slot == ReachSlot::ALL => Some(attention),
            _ => None,
        }
    }

    /// KV entries that the decodes of a batch read in one of these layers.
    #[inline]
    pub(super) fn kv(&self, decodes: Decodes) -> f64 {
        decodes.kv_in(self.slot) as f64
    }

    /// Of one layer in a decode-only batch, what does not depend on KV lengths.
    pub(super) fn decode_fixed_us(&self, decodes: f64) -> f64 {
        match &self.kind {
            Kind::Attention(attention) => attention.decode_fixed_us(decodes),
            Kind::Recurrent(recurrence) => recurrence.decodes_us(decodes),
        }
    }

    /// Of one layer in a decode-only batch, how its KV tokens are paid for.
    pub(super) fn decode_reading(&self, decodes: f64) -> Reading {
        match &self.kind {
            Kind::Attention(attention) => attention.decode_reading(decodes),
            Kind::Recurrent(_) => Reading::default(),
        }
    }

    /// Of one layer in a decode-only batch, what reading `kv` tokens takes.
    #[inline]
    pub(super) fn decode_kv_us(&self, reading: Reading, kv: f64) -> f64 {
        match &self.kind {
            Kind::Attention(attention) => attention.decode_kv_us(reading, kv),
            Kind::Recurrent(_) => 0.0,
        }
    }

    /// As a benchmark that repeats one layer's decode-only attention finds it.
    pub(super) fn warm_decode_us(&self, decodes: f64, kv: f64) -> f64 {
        match &self.kind {
            Kind::Attention(attention) => attention.warm_decode_us(decodes, kv),
            Kind::Recurrent(recurrence) => recurrence.decodes_us(decodes),
        }
    }

    /// Whether decode-only batches are looked up in a table.
    pub(super) fn decodes_are_measured(&self) -> bool {
        match &self.kind {
            Kind::Attention(attention) => attention.decodes_are_measured(),
            Kind::Recurrent(_) => false,
        }
    }

    /// Time of one layer in a batch: together, and in turn.
    pub(super) fn time(&self, shape: &BatchShape<'_>) -> (f64, f64) {
        match &self.kind {
            Kind::Attention(attention) => {
                let time = attention.time(shape, self.kv(shape.decodes()));
                (time.together_us, time.in_turn_us)
            }
            Kind::Recurrent(recurrence) => (recurrence.us(shape), f64::INFINITY),
        }
    }
}
