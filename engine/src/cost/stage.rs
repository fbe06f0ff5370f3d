//! One pipeline stage, which is the whole model without pipeline parallelism.

use crate::catalog::{EngineProfile, Formats, Gpu, Model, Overhead, REACHES_MAX, Reaches};
use crate::time::Span;

use super::attention::{Attention, Reading};
use super::eager::launches_us;
use super::layers::Layers;
use super::mixers::MixerCost;
use super::shard::Shard;
use super::table::CountTable;
use super::{
    BatchShape, CostError, CostModel, Decodes, ExpertLoad, IterationTime, Overheads, Parts,
};

/// No iteration takes longer: an hour. Only figures that are nonsense get there, and must not
/// overflow the clock.
pub(super) const LONGEST_US: f64 = 3.6e9;

/// Where a stage stands. The output head is on the last; the engine's own time between steps and
/// beside them is counted once, on the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) first: bool,
    pub(super) last: bool,
}

/// What all stages of a model share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serving<'a> {
    /// Valid, with the profile's own constants in place.
    pub(super) gpu: &'a Gpu,
    /// Valid.
    pub(super) profile: &'a EngineProfile,
    pub(super) shard: Shard,
    pub(super) formats: Formats,
    /// The way to experts.
    pub(super) load: &'a ExpertLoad,
    /// Bits of a number of K or V.
    pub(super) kv_bits_1024ths: u32,
    /// The whole model's.
    pub(super) reaches: &'a Reaches,
}

/// Prices what one stage does of an iteration.
///
/// What depends on a count alone is tabulated when this is built (about 2,000 points), so that
/// pricing a batch takes tens of nanoseconds. KV lengths enter by their sum: how they are spread
/// over the decodes is ignored.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) layers: Layers,
    pub(super) layers_us: CountTable,
    /// The layers' own part and that of routed experts apart, where ranks share these.
    apart: Option<Apart>,
    head_us: CountTable,
    /// Tokens that a decode-only batch is padded to, by decodes.
    padded: Vec<u32>,
    /// The first kind of mixer, and the others: most models have one.
    mixer: Priced,
    others: Vec<Priced>,
    /// Decode-only batches are looked up in a table of measured attention.
    decodes_are_measured: bool,
    /// Decode-only batches whose every request samples, by decodes.
    decode_only: Vec<DecodeOnly>,
    kernel_factor: f64,
    /// Of messages: that of kernels and the link's own.
    link_factor: f64,
    has_communication: bool,
    has_head: bool,
    step_gap: Overhead,
    host: Overhead,
    /// The time to launch all kernels of decodes, where graphs are left out, and of a batch with chunks.
    launches_us: [f64; 2],
    /// A batch with chunks of up to so many tokens is in a graph, too.
    chunk_graph_tokens: u64,
}

/// What a decode-only batch takes whatever its KV: nearly every iteration is one, so that this is
/// looked up whole.
#[derive(Clone, Copy, Debug)]
struct DecodeOnly {
    gpu_us: f64,
    /// The GPU's time is never less: launches, and the gap.
    least_us: f64,
    reading: Reading,
    host: Span,
}

/// What layers take beside their routed experts, by a rank's tokens, and what these take, by the tokens
/// of all ranks that share them.
#[derive(Clone, Debug)]
struct Apart {
    own_us: CountTable,
    routed_us: CountTable,
}

/// A kind of mixer, and what decode-only batches take of it.
#[derive(Clone, Debug)]
struct Priced {
    cost: MixerCost,
    /// The kernel factor times its layers.
    factor: f64,
    /// By decodes. Those of the first kind stand with what else such a batch takes.
    readings: Vec<Reading>,
}

impl Priced {
    /// All of its layers in a batch, together and in turn, microseconds.
    #[inline]
    fn time_us(&self, shape: &BatchShape<'_>) -> (f64, f64) {
        let (together, in_turn) = self.cost.time(shape);
        (self.factor * together, self.factor * together.min(in_turn))
    }
}

/// Decode-only batches up to this size are tabulated.
const DECODE_ONLY_MAX: u32 = 1024;

impl Stage {
    /// Builds the tables for the layers of `model`, which is a part of the whole.
    pub(super) fn new(
        model: &Model,
        serving: &Serving<'_>,
        place: Place,
    ) -> Result<Stage, CostError> {
        let Serving { gpu, profile, shard, .. } = *serving;
        let layers = Layers::new(model, gpu, profile, shard, &serving.formats, serving.load)?;
        let (step_gap, host) = match place.first {
            true => (profile.step_gap, profile.host),
            false => (Overhead::default(), Overhead::default()),
        };
        let table = profile.attention_table.as_ref();
        let bits = serving.kv_bits_1024ths;
        let apart = profile.kernels.attention_apart;
        let costs = MixerCost::of(model, gpu, (table, apart), shard, bits, serving.reaches);
        let mut mixers = costs.into_iter().map(|cost| Priced {
            factor: profile.kernel_factor * cost.layers,
            readings: Vec::new(),
            cost,
        });
        let mut cost = Stage {
            layers_us: CountTable::new(|tokens| layers.all_layers_us(tokens)),
            apart: (layers.data_ranks() > 1).then(|| Apart {
                own_us: CountTable::new(|tokens| layers.own_us(tokens)),
                routed_us: CountTable::new(|tokens| layers.routed_us(tokens)),
            }),
            head_us: CountTable::new(|sampled| match place.last {
                true => layers.head_us(sampled),
                false => 0.0,
            }),
            has_head: place.last,
            layers,
            padded: if profile.enforce_eager { vec![0] } else { padded(&profile.cuda_graph_sizes) },
            mixer: mixers.next().expect("there is at least one"),
            others: mixers.collect(),
            decodes_are_measured: false,
            decode_only: Vec::new(),
            kernel_factor: profile.kernel_factor,
            link_factor: profile.kernel_factor * profile.link_factor,
            has_communication: shard.expert_ranks > 1,
            step_gap,
            host,
            launches_us: launches_us(model, profile, shard, place),
            chunk_graph_tokens: match profile.enforce_eager {
                true => 0,
                false => profile.chunk_graph_tokens.into(),
            },
        };
        let measured = cost.mixers().any(|mixer| mixer.cost.decodes_are_measured());
        cost.decodes_are_measured = measured;
        for mixer in &mut cost.others {
            let reading = |n: u32| mixer.cost.decode_reading(n.into());
            mixer.readings = (0..=DECODE_ONLY_MAX).map(reading).collect();
        }
        cost.decode_only = (0..=DECODE_ONLY_MAX).map(|n| cost.decode_only(n)).collect();
        Ok(cost)
    }

    fn mixers(&self) -> impl Iterator<Item = &Priced> {
        std::iter::once(&self.mixer).chain(&self.others)
    }

    fn decode_only(&self, decodes: u32) -> DecodeOnly {
        let shape = BatchShape::decodes_alone(decodes, 0);
        let price = self.price(&shape);
        let fixed = |mixer: &Priced| mixer.factor * mixer.cost.decode_fixed_us(f64::from(decodes));
        let attention = self.mixers().map(fixed).sum::<f64>();
        let gap = self.gap_us(&shape);
        DecodeOnly {
            gpu_us: price.layers + attention + price.communication + price.head + gap,
            least_us: self.launches_us[0] + gap,
            reading: self.mixer.cost.decode_reading(decodes.into()),
            host: Span::from_micros_f64(price.host.min(LONGEST_US)),
        }
    }

    /// Tokens that the layers compute: those of the batch, and in a decode-only batch those that
    /// pad it to a captured CUDA graph. A few tokens of a chunk beside the decodes take the place of
    /// padding: with more work there are never fewer.
    pub(super) fn computed_tokens(&self, shape: &BatchShape<'_>) -> u64 {
        let decodes = shape.decodes().tokens();
        let padded = u64::from(*self.padded.get(decodes as usize).unwrap_or(&decodes));
        padded.max(chunk_tokens(shape) + u64::from(decodes))
    }

    /// Time of one layer's decode-only attention as a benchmark that repeats it finds it.
    pub(super) fn warm_decode_us(&self, decodes: u32, kv: u64) -> f64 {
        self.mixer.cost.warm_decode_us(decodes.into(), kv as f64)
    }

    fn kernels_of_layers_us(&self, tokens: u64) -> f64 {
        let us = self.layers_us.get(tokens);
        self.kernel_factor * us.unwrap_or_else(|| self.layers.all_layers_us(tokens as f64))
    }

    /// The same when the other ranks that share the experts compute so many tokens.
    #[inline]
    fn kernels_beside_us(&self, tokens: u64, beside: Option<u64>) -> f64 {
        let (Some(beside), Some(apart)) = (beside, &self.apart) else {
            return self.kernels_of_layers_us(tokens);
        };
        let all = tokens.saturating_add(beside);
        let own = apart.own_us.get(tokens).unwrap_or_else(|| self.layers.own_us(tokens as f64));
        let routed = apart.routed_us.get(all);
        let routed = routed.unwrap_or_else(|| self.layers.routed_us(all as f64));
        self.kernel_factor * (own + routed)
    }

    fn communication_us(&self, tokens: u64, beside: Option<u64>) -> f64 {
        if !self.has_communication {
            return 0.0;
        }
        let alike = tokens as f64 * f64::from(self.layers.data_ranks());
        let all = beside.map_or(alike, |beside| tokens.saturating_add(beside) as f64);
        self.link_factor * self.layers.communication_us(tokens as f64, all)
    }

    /// What the batch's ranks exchange. Where its chunks' message and its decodes' would be sent faster one
    /// after the other, because a kernel takes over that is slower for both together, it is not dearer.
    fn communication_of_us(&self, shape: &BatchShape<'_>, tokens: u64) -> f64 {
        let beside = shape.tokens_beside();
        let together = self.communication_us(tokens, beside);
        if !self.has_communication || shape.chunks().is_empty() || shape.decodes().requests() == 0 {
            return together;
        }
        let decodes = self.computed_tokens(&BatchShape::of_decodes(shape.decodes()));
        let in_turn = self.communication_us(chunk_tokens(shape), beside)
            + self.communication_us(decodes, beside);
        together.min(in_turn)
    }

    /// Decodes of a model whose layers all have the same attention over all tokens: nearly every
    /// iteration of most models is one of these.
    #[inline(always)]
    fn alike_decodes_alone(
        &self,
        attention: &Attention,
        fixed: &DecodeOnly,
        kv: u64,
    ) -> IterationTime {
        let reading = attention.decode_kv_us(fixed.reading, kv as f64);
        let gpu_us = (fixed.gpu_us + self.mixer.factor * reading).max(fixed.least_us);
        IterationTime { gpu: Span::from_micros_f64(gpu_us.min(LONGEST_US)), host: fixed.host }
    }

    /// The attention of all layers, where it is the same in all of them and over all tokens.
    #[inline(always)]
    fn only_attention(&self) -> Option<&Attention> {
        self.mixer.cost.attention_over_all().filter(|_| self.others.is_empty())
    }

    /// A decode-only batch whose every request samples.
    #[inline]
    fn decodes_alone(&self, fixed: &DecodeOnly, decodes: Decodes) -> IterationTime {
        if let Some(attention) = self.only_attention() {
            return self.alike_decodes_alone(attention, fixed, decodes.kv_tokens());
        }
        let reading = self.mixer.cost.decode_kv_us(fixed.reading, self.mixer.cost.kv(decodes));
        let mut gpu_us = fixed.gpu_us + self.mixer.factor * reading;
        for mixer in &self.others {
            let reading = mixer.readings[decodes.requests() as usize];
            gpu_us += mixer.factor * mixer.cost.decode_kv_us(reading, mixer.cost.kv(decodes));
        }
        let gpu_us = gpu_us.max(fixed.least_us);
        IterationTime { gpu: Span::from_micros_f64(gpu_us.min(LONGEST_US)), host: fixed.host }
    }

    /// What is tabulated of so many decodes alone.
    #[inline]
    fn fixed_of(&self, decodes: u32) -> Option<&DecodeOnly> {
        let fixed = self.decode_only.get(decodes as usize);
        fixed.filter(|_| decodes > 0 && !self.decodes_are_measured)
    }

    /// All layers' attention, microseconds, beside which the batch takes `rest_us` in its layers.
    ///
    /// Chunks and decodes together take no longer than the chunks and then the decodes: what one
    /// iteration saves over two, the second pass over the weights, is the most by which attention
    /// together may be dearer than apart. Overheads are no part of the bound: an engine's pause
    /// between iterations makes no kernel longer.
    fn attention_us(&self, shape: &BatchShape<'_>, rest_us: f64) -> f64 {
        let (mut together_us, mut in_turn_us) = self.mixer.time_us(shape);
        for mixer in &self.others {
            let (together, in_turn) = mixer.time_us(shape);
            together_us += together;
            in_turn_us += in_turn;
        }
        if together_us <= in_turn_us {
            return together_us;
        }
        let decodes = BatchShape::of_decodes(shape.decodes());
        let rest_in_turn_us: f64 = [chunk_tokens(shape), self.computed_tokens(&decodes)]
            .map(|tokens| {
                self.kernels_beside_us(tokens, shape.tokens_beside())
                    + self.communication_us(tokens, shape.tokens_beside())
            })
            .iter()
            .sum();
        let saved_us = (rest_in_turn_us - rest_us).max(0.0);
        together_us.min(in_turn_us + saved_us)
    }

    /// The parts of the GPU's time and the gap after it, microseconds.
    fn price(&self, shape: &BatchShape<'_>) -> Price {
        let tokens = self.computed_tokens(shape);
        let layers = self.kernels_beside_us(tokens, shape.tokens_beside());
        let communication = self.communication_of_us(shape, tokens);
        let head = self.head_us.get(u64::from(shape.sampled())).unwrap_or_else(|| {
            if self.has_head { self.layers.head_us(shape.sampled().into()) } else { 0.0 }
        });
        let head = self.kernel_factor * head;
        let attention = self.attention_us(shape, layers + communication);
        // A GPU that waits for launches is idle as in a gap.
        let launches = self.launches_of_us(shape);
        let waits = (launches - layers - attention - communication - head).max(0.0);
        Price {
            layers,
            attention,
            communication,
            head,
            gap: self.gap_us(shape) + waits,
            host: self.host.iteration_us + self.host.sequence_us * shape.sequences() as f64,
        }
    }

    /// The time to launch a batch's kernels. A chunk of one token is what a decode is, and fits their graphs.
    fn launches_of_us(&self, shape: &BatchShape<'_>) -> f64 {
        let chunks = shape.chunks();
        // Decodes beside them do not count: both together are never dearer than in turn.
        let tokens = || chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum::<u64>();
        let launched =
            chunks.iter().any(|chunk| chunk.tokens > 1) && tokens() > self.chunk_graph_tokens;
        self.launches_us[usize::from(launched)]
    }

    /// The engine's own time between two iterations' kernels, microseconds.
    fn gap_us(&self, shape: &BatchShape<'_>) -> f64 {
        self.step_gap.iteration_us + self.step_gap.sequence_us * shape.sequences() as f64
    }
}

fn chunk_tokens(shape: &BatchShape<'_>) -> u64 {
    shape.chunks().iter().map(|c| u64::from(c.tokens)).sum()
}

struct Price {
    layers: f64,
    attention: f64,
    communication: f64,
    head: f64,
    gap: f64,
    host: f64,
}

impl Price {
    /// All but the host's time.
    fn gpu_us(&self) -> f64 {
        self.layers + self.attention + self.communication + self.head + self.gap
    }
}

impl CostModel for Stage {
    fn time(&self, shape: &BatchShape<'_>) -> IterationTime {
        if shape.chunks().is_empty() {
            if shape.decodes().requests() == 0 {
                return IterationTime::default();
            }
            if shape.sampled() == shape.decodes().requests()
                && shape.decodes().is_one_token_each()
                && shape.tokens_beside().is_none()
                && let Some(fixed) = self.fixed_of(shape.decodes().requests())
            {
                return self.decodes_alone(fixed, shape.decodes());
            }
        }
        let p = self.price(shape);
        IterationTime {
            gpu: Span::from_micros_f64(p.gpu_us().min(LONGEST_US)),
            host: Span::from_micros_f64(p.host.min(LONGEST_US)),
        }
    }

    fn times_in_a_row(
        &self,
        first: Decodes,
        growing: [u32; REACHES_MAX],
        times: &mut [IterationTime],
    ) {
        let fixed = self.fixed_of(first.requests()).filter(|_| first.is_one_token_each());
        if let (Some(fixed), Some(attention)) = (fixed, self.only_attention()) {
            let mut kv = first.kv_tokens();
            for time in times {
                *time = self.alike_decodes_alone(attention, fixed, kv);
                kv += u64::from(first.requests());
            }
            return;
        }
        let mut decodes = first;
        for time in times {
            *time = match fixed {
                Some(fixed) => self.decodes_alone(fixed, decodes),
                None => self.time(&BatchShape::of_decodes(decodes)),
            };
            decodes = decodes.later(1, growing);
        }
    }

    /// Their own: each term of what reading takes grows with the entries.
    fn at_least(&self, decodes: Decodes) -> Option<IterationTime> {
        let fixed = self.fixed_of(decodes.requests()).filter(|_| decodes.is_one_token_each());
        fixed.map(|fixed| self.decodes_alone(fixed, decodes))
    }

    fn parts(&self, shape: &BatchShape<'_>) -> Parts {
        if shape.is_empty() {
            return Parts::default();
        }
        let p = self.price(shape);
        Parts {
            layers_us: p.layers,
            attention_us: p.attention,
            communication_us: p.communication,
            head_us: p.head,
            host_us: p.host + p.gap,
        }
    }

    fn overheads(&self, shape: &BatchShape<'_>) -> Overheads {
        if shape.is_empty() {
            return Overheads::default();
        }
        let tokens = self.computed_tokens(shape);
        let communication = self.communication_of_us(shape, tokens);
        let launched = self.launches_of_us(shape) > 0.0;
        let gap = if launched { self.price(shape).gap } else { self.gap_us(shape) };
        let host = self.host.iteration_us + self.host.sequence_us * shape.sequences() as f64;
        Overheads {
            host: Span::from_micros_f64(host.min(LONGEST_US)),
            communication: Span::from_micros_f64(communication.min(LONGEST_US)),
            gap: Span::from_micros_f64(gap.min(LONGEST_US)),
        }
    }
}

/// For each number of decodes up to the largest captured size, the size that it runs at.
pub(super) fn padded(sizes: &[u32]) -> Vec<u32> {
    let mut padded = vec![0];
    for &size in sizes {
        padded.resize(size as usize + 1, size);
    }
    padded
}
