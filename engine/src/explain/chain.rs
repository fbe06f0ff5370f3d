//! The chain: one iteration's time taken apart, exactly.
//!
//! Kernels are priced as the batch grows: one decode, all decodes, all with the prefill chunks.
//! Each difference is a cause's. Communication and host work are taken out of every price and
//! given as they are. The running sums are rounded to nanoseconds and kept between zero and the
//! iteration's time, so that their differences are never negative and add up.

use super::prices::Prices;
use super::recording::RecordedPool;
use crate::cost::{BatchShape, Chunk, Decodes};
use crate::ids::ChunkPlace;
use crate::trace::Iteration;

/// An iteration's time as a decoding request sees it, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeChain {
    /// One decode alone, with the mean KV of the batch.
    pub own: u64,
    /// All decodes, beyond one.
    pub batch_growth: u64,
    /// The whole batch, beyond its decodes.
    pub prefill: u64,
    /// Communication of the whole batch.
    pub communication: u64,
    /// Host work of the whole batch.
    pub host: u64,
    /// Waiting for other micro-batches between pipeline stages, or for slower ranks.
    pub bubble: u64,
}

/// An iteration's time as one of its prefilling requests sees it, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefillChain {
    /// Its own chunk alone.
    pub own: u64,
    /// The other chunks.
    pub others: u64,
    /// The decodes alongside.
    pub decodes: u64,
    /// Communication of the whole batch.
    pub communication: u64,
    /// Host work of the whole batch.
    pub host: u64,
    /// Waiting for other micro-batches between pipeline stages.
    pub bubble: u64,
}

/// An iteration's time before its kernels are taken apart, nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Whole {
    kernels: u64,
    communication: u64,
    host: u64,
    bubble: u64,
}

/// What iterations of decodes alone have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    /// Nanoseconds of each.
    pub communication: u64,
    /// Nanoseconds of each.
    pub host: u64,
    /// Mean KV entries that a decode of the first reads; one more in each later one.
    pub kv: u64,
    /// Whether each is one decode.
    pub single: bool,
}

/// Prices parts of one iteration's batch.
pub(super) struct Pricer<'a> {
    prices: Prices<'a>,
    /// Whether host work beyond the GPU's time (in a pipeline, beyond stage 0's) is left out of an
    /// iteration's time.
    planned_ahead: bool,
    staged: bool,
    /// Whether it steps with other ranks, and waits for the slowest.
    in_step: bool,
    chunks: Vec<Chunk>,
    scratch: Vec<Chunk>,
}

impl<'a> Pricer<'a> {
    /// For iterations of such replicas.
    pub(super) fn of(pool: &RecordedPool<'a>) -> Pricer<'a> {
        let &RecordedPool { cost, planned_ahead, in_step, .. } = pool;
        Pricer {
            prices: Prices::of(cost),
            planned_ahead,
            staged: cost.stages() > 1,
            in_step,
            chunks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The whole iteration; its parts sum to its time.
    fn whole(&mut self, iteration: &Iteration<'_>) -> Whole {
        let lasted = iteration.end.since(iteration.start).as_nanos();
        let shape = shape(iteration, &self.chunks);
        let aside = self.prices.overheads(&shape);
        let exposed = match (self.planned_ahead, self.staged) {
            (false, _) => aside.host.as_nanos(),
            (true, false) => 0,
            (true, true) => {
                let first = self.prices.cost.stage_time(&shape, 0);
                first.host.as_nanos().saturating_sub(first.gpu.as_nanos())
            }
        };
        // Alone in the pipeline it would take its stages' and hand-overs' time; the rest is waiting.
        // Alone it would take what it takes by itself; the rest is waiting for slower ranks.
        let bubble = match self.staged || self.in_step {
            true => lasted.saturating_sub(self.prices.cost.time(&shape).gpu.as_nanos() + exposed),
            false => 0,
        };
        let time = lasted - bubble;
        let communication = aside.communication.as_nanos().min(time);
        let host = (aside.gap.as_nanos() + exposed).min(time - communication);
        Whole { kernels: time - communication - host, communication, host, bubble }
    }

    fn load(&mut self, iteration: &Iteration<'_>) {
        self.chunks.clear();
        let chunk = |chunk: &crate::trace::ChunkRecord| Chunk {
            context: chunk.context,
            tokens: chunk.tokens,
        };
        self.chunks.extend(iteration.chunks.iter().map(chunk));
    }

    /// The iteration as its decodes see it, and as each of its chunks does, appended in batch
    /// order.
    pub(super) fn chains(
        &mut self,
        iteration: &Iteration<'_>,
        prefills: &mut Vec<PrefillChain>,
    ) -> DecodeChain {
        self.load(iteration);
        let whole = self.whole(iteration);
        let decodes = self.decode_chain(iteration, whole);
        if !self.chunks.is_empty() {
            self.prefill_chains(iteration, whole, prefills);
        }
        decodes
    }

    /// What iterations of decodes alone that repeat `first` have in common. `None` where more than
    /// that has to be known of each.
    pub(super) fn steady(&mut self, first: &Iteration<'_>) -> Option<Steady> {
        if self.staged || self.in_step || first.decodes == 0 || !first.chunks.is_empty() {
            return None;
        }
        let aside = self.prices.overheads_of_decodes(first.decodes)?;
        let exposed = if self.planned_ahead { 0 } else { aside.host.as_nanos() };
        Some(Steady {
            communication: aside.communication.as_nanos(),
            host: aside.gap.as_nanos() + exposed,
            // As many tokens more as there are decodes are one more for each.
            kv: first.decode_kv_tokens / u64::from(first.decodes),
            single: first.decodes == 1,
        })
    }

    /// Kernel times of one decode that reads `kv` entries, one more, and so on, nanoseconds.
    #[inline]
    pub(super) fn singles(&mut self, mut kv: u64) -> impl FnMut() -> u64 {
        move || {
            kv += 1;
            self.prices.single(kv - 1)
        }
    }

    fn decode_chain(&mut self, iteration: &Iteration<'_>, whole: Whole) -> DecodeChain {
        let Whole { kernels, communication, host, bubble } = whole;
        let n = iteration.decodes;
        if n == 0 {
            let prefill = kernels;
            return DecodeChain { prefill, communication, host, bubble, ..Default::default() };
        }
        let kv = iteration.decode_kv_tokens;
        let alone = self.chunks.is_empty();
        let own = match (n, alone) {
            (1, true) => kernels,
            _ => self.prices.single(kv / u64::from(n)).min(kernels),
        };
        let all = match (n, alone) {
            (_, true) => kernels,
            (1, _) => own,
            _ => {
                let decodes = BatchShape::of_decodes(iteration.decoding());
                self.prices.kernels(&decodes).clamp(own, kernels)
            }
        };
        let (batch_growth, prefill) = (all - own, kernels - all);
        DecodeChain { own, batch_growth, prefill, communication, host, bubble }
    }

    fn prefill_chains(
        &mut self,
        iteration: &Iteration<'_>,
        Whole { kernels, communication, host, bubble }: Whole,
        prefills: &mut Vec<PrefillChain>,
    ) {
        let mut alone =
            |chunks, sampled| self.prices.kernels(&BatchShape::new(chunks, Decodes::NONE, sampled));
        let several = self.chunks.len() > 1;
        let completed = iteration.chunks.iter().filter(|chunk| chunk.samples).count() as u32;
        let chunks = match iteration.decodes {
            0 => kernels,
            _ => alone(&self.chunks, completed).min(kernels),
        };
        for (chunk, record) in self.chunks.iter().zip(iteration.chunks) {
            let own = match several {
                true => alone(std::slice::from_ref(chunk), record.samples.into()).min(chunks),
                false => chunks,
            };
            let (others, decodes) = (chunks - own, kernels - chunks);
            prefills.push(PrefillChain { own, others, decodes, communication, host, bubble });
        }
    }

    /// Communication of an iteration beyond what its decodes alone would have: its prefill's.
    pub(super) fn communication_of_prefill(&mut self, iteration: &Iteration<'_>) -> u64 {
        self.load(iteration);
        let whole = self.whole(iteration).communication;
        if whole == 0 || iteration.decodes == 0 {
            return 0;
        }
        let decodes = BatchShape::of_decodes(iteration.decoding());
        whole.saturating_sub(self.prices.overheads(&decodes).communication.as_nanos())
    }

    /// Communication of an iteration's chunks together beyond what the chunk at this place alone would
    /// have: the other chunks'.
    pub(super) fn communication_of_others(
        &mut self,
        iteration: &Iteration<'_>,
        place: ChunkPlace,
    ) -> u64 {
        self.load(iteration);
        let whole = self.whole(iteration).communication;
        if whole == 0 || iteration.chunks.len() < 2 {
            return 0;
        }
        let mut communication = |chunks, sampled| {
            let shape = BatchShape::new(chunks, Decodes::NONE, sampled);
            self.prices.overheads(&shape).communication.as_nanos()
        };
        let completed = iteration.chunks.iter().filter(|chunk| chunk.samples).count() as u32;
        let all = communication(&self.chunks, completed).min(whole);
        let alone = std::slice::from_ref(&self.chunks[place.index()]);
        all.saturating_sub(communication(alone, iteration.chunks[place.index()].samples.into()))
    }

    /// What each chunk of an iteration weighs when others' delay is shared among them: the time
    /// that the batch would take less without it, or its tokens where no chunk would save any.
    pub(super) fn weights(&mut self, iteration: &Iteration<'_>, weights: &mut Vec<u64>) {
        weights.clear();
        if iteration.chunks.len() == 1 {
            weights.push(1);
            return;
        }
        self.load(iteration);
        let total = |shape: &BatchShape<'_>| {
            let time = self.prices.cost.time(shape);
            (time.gpu + time.host).as_nanos()
        };
        let whole = total(&shape(iteration, &self.chunks));
        let mut others = std::mem::take(&mut self.scratch);
        for (place, record) in iteration.chunks.iter().enumerate() {
            others.clear();
            others.extend_from_slice(&self.chunks[..place]);
            others.extend_from_slice(&self.chunks[place + 1..]);
            let sampled = iteration.sampled() - u32::from(record.samples);
            let without = BatchShape::new(&others, iteration.decoding(), sampled);
            weights.push(whole.saturating_sub(total(&without)));
        }
        self.scratch = others;
        if weights.iter().all(|&weight| weight == 0) {
            weights.clear();
            weights.extend(iteration.chunks.iter().map(|chunk| u64::from(chunk.tokens)));
        }
    }
}

fn shape<'c>(iteration: &Iteration<'_>, chunks: &'c [Chunk]) -> BatchShape<'c> {
    BatchShape::new(chunks, iteration.decoding(), iteration.sampled())
}

/// Shares `ns` in proportion to `weights`, as differences of rounded running sums: the shares add
/// up. `skip` gets nothing. Where all weights are zero, the first that is not skipped takes all.
pub(super) fn shares(
    ns: u64,
    weights: &[u64],
    skip: Option<usize>,
    mut give: impl FnMut(usize, u64),
) {
    let counted = |&(place, _): &(usize, &u64)| Some(place) != skip;
    let total: u128 =
        weights.iter().enumerate().filter(counted).map(|(_, &weight)| u128::from(weight)).sum();
    let (mut sum, mut before) = (0_u128, 0_u64);
    for (place, &weight) in weights.iter().enumerate().filter(counted) {
        let upto = match total {
            0 => ns,
            _ => {
                sum += u128::from(weight);
                ((u128::from(ns) * sum + total / 2) / total) as u64
            }
        };
        if upto > before {
            give(place, upto - before);
        }
        before = upto;
    }
}
