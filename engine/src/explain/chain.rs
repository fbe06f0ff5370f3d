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
use crate::trace::{Drafts, Iteration};

/// An iteration's time as a decoding request sees it, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeChain {
    /// One decode alone, with the mean KV of the batch; and what accepted drafts took.
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
    /// What drafts took that were rejected.
    pub rejected: u64,
}

/// An iteration's time as one of its prefilling requests sees it, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefillChain {
    /// Its own chunk alone; and what drafting took that is not `rejected`.
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
    /// What drafts of the decodes took that were rejected.
    pub rejected: u64,
}

/// How much of an iteration a request saw that was in it: its end, where another iteration of the
/// request was in the pipeline at the same time and is told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Nanoseconds, at most `of`.
    pub ns: u64,
    /// How long the iteration lasted, at least 1.
    pub of: u64,
}

impl Seen {
    /// All of an iteration that lasted so long.
    pub fn whole(of: u64) -> Seen {
        Seen { ns: of, of }
    }

    /// Whether it is all of it.
    pub fn is_whole(self) -> bool {
        self.ns == self.of
    }

    /// The like part of something in it, rounded down.
    pub fn floor(self, ns: u64) -> u64 {
        match self.is_whole() {
            true => ns,
            false => (u128::from(ns) * u128::from(self.ns) / u128::from(self.of)) as u64,
        }
    }

    /// The like part of each of an iteration's parts, which sum to it: differences of rounded running
    /// sums, none less than that part rounded down, that sum to what was seen.
    fn parts<const N: usize>(self, parts: [u64; N]) -> [u64; N] {
        if self.is_whole() {
            return parts;
        }
        let (ns, of) = (u128::from(self.ns), u128::from(self.of));
        let (mut sum, mut before) = (0, 0);
        parts.map(|part| {
            sum += u128::from(part);
            let upto = ((ns * sum + of / 2) / of) as u64;
            let part = upto - before;
            before = upto;
            part
        })
    }
}

impl DecodeChain {
    /// The part of it that was seen.
    pub fn seen(self, seen: Seen) -> DecodeChain {
        let DecodeChain { own, batch_growth, prefill, communication, host, bubble, rejected } =
            self;
        let [own, batch_growth, prefill, communication, host, bubble, rejected] =
            seen.parts([own, batch_growth, prefill, communication, host, bubble, rejected]);
        DecodeChain { own, batch_growth, prefill, communication, host, bubble, rejected }
    }
}

impl PrefillChain {
    /// The part of it that was seen.
    pub fn seen(self, seen: Seen) -> PrefillChain {
        let PrefillChain { own, others, decodes, communication, host, bubble, rejected } = self;
        let [own, others, decodes, communication, host, bubble, rejected] =
            seen.parts([own, others, decodes, communication, host, bubble, rejected]);
        PrefillChain { own, others, decodes, communication, host, bubble, rejected }
    }
}

/// An iteration's time before its kernels are taken apart, nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Whole {
    kernels: u64,
    communication: u64,
    host: u64,
    bubble: u64,
    /// Kernels of a step that neither drafted nor verified drafts, of the same requests.
    plain: u64,
}

impl Whole {
    /// What of the kernels beyond a plain step its drafts were worth, and what they were not: the
    /// part of them that was rejected.
    fn drafts(&self, drafts: Drafts) -> (u64, u64) {
        let extra = self.kernels - self.plain;
        let (verified, accepted) = (u128::from(drafts.verified), u128::from(drafts.accepted));
        let lost = u128::from(extra) * verified.saturating_sub(accepted);
        let rejected = lost.checked_div(verified).unwrap_or(0) as u64;
        (extra - rejected, rejected)
    }
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
    /// Whether host work comes before an iteration begins.
    by_turns: bool,
    /// Whether it waits within a step: for the slowest of the ranks that it steps with, or for KV.
    waits: bool,
    chunks: Vec<Chunk>,
    scratch: Vec<Chunk>,
}

impl<'a> Pricer<'a> {
    /// For iterations of such replicas.
    pub(super) fn of(pool: &RecordedPool<'a>) -> Pricer<'a> {
        let &RecordedPool { cost, planned_ahead, in_step, by_turns, loads_in_step, .. } = pool;
        Pricer {
            prices: Prices::of(cost),
            planned_ahead,
            staged: cost.stages() > 1,
            by_turns,
            waits: in_step > 1 || loads_in_step,
            chunks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The whole iteration; its parts sum to its time.
    fn whole(&mut self, iteration: &Iteration<'_>) -> Whole {
        let lasted = iteration.end.since(iteration.start).as_nanos();
        let shape = shape(iteration, &self.chunks);
        let aside = self.prices.overheads(&shape);
        let drafting = iteration.drafting(&self.chunks);
        let drafting = drafting.map(|draft| self.prices.cost.draft_time(&draft));
        let drafting = drafting.unwrap_or_default();
        let exposed = match (self.planned_ahead, self.staged) {
            _ if self.by_turns => 0,
            (false, _) => (aside.host + drafting.host).as_nanos(),
            (true, false) => 0,
            (true, true) => {
                let first = self.prices.cost.stage_time(&shape, 0);
                first.host.as_nanos().saturating_sub(first.gpu.as_nanos())
            }
        };
        // Alone in the pipeline it would take its stages' and hand-overs' time; the rest is waiting.
        // Alone it would take what it takes by itself; the rest is waiting for slower ranks, or for KV.
        let bubble = match self.staged || self.waits {
            true => {
                let gpu = self.prices.cost.time(&shape).gpu + drafting.gpu;
                lasted.saturating_sub(gpu.as_nanos() + exposed)
            }
            false => 0,
        };
        let time = lasted - bubble;
        let communication = aside.communication.as_nanos().min(time);
        let host = (aside.gap.as_nanos() + exposed).min(time - communication);
        let kernels = time - communication - host;
        let plain = match iteration.drafts {
            Drafts::NONE => kernels,
            _ => {
                let sampled = iteration.decodes + iteration.completed();
                let plain = BatchShape::new(&self.chunks, iteration.decoding_plainly(), sampled);
                self.prices.kernels(&plain.beside(iteration.beside)).min(kernels)
            }
        };
        Whole { kernels, communication, host, bubble, plain }
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
        let drafts = first.drafts != Drafts::NONE;
        if self.staged || self.waits || drafts || first.decodes == 0 || !first.chunks.is_empty() {
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
        let Whole { kernels, communication, host, bubble, plain } = whole;
        let n = iteration.decodes;
        if n == 0 {
            let prefill = kernels;
            return DecodeChain { prefill, communication, host, bubble, ..Default::default() };
        }
        let kv = iteration.decoding_plainly().kv_tokens();
        let alone = self.chunks.is_empty();
        let own = match (n, alone) {
            (1, true) => plain,
            _ => self.prices.single(kv / u64::from(n)).min(plain),
        };
        let all = match (n, alone) {
            (_, true) => plain,
            (1, _) => own,
            _ => {
                let decodes = BatchShape::of_decodes(iteration.decoding_plainly());
                self.prices.kernels(&decodes.beside(iteration.beside)).clamp(own, plain)
            }
        };
        let (batch_growth, prefill) = (all - own, plain - all);
        let (worth, rejected) = whole.drafts(iteration.drafts);
        let own = own + worth;
        DecodeChain { own, batch_growth, prefill, communication, host, bubble, rejected }
    }

    fn prefill_chains(
        &mut self,
        iteration: &Iteration<'_>,
        whole: Whole,
        prefills: &mut Vec<PrefillChain>,
    ) {
        let Whole { communication, host, bubble, plain, .. } = whole;
        let (worth, rejected) = whole.drafts(iteration.drafts);
        let beside = iteration.beside;
        let mut alone = |chunks, sampled| {
            let shape = BatchShape::new(chunks, Decodes::NONE, sampled).beside(beside);
            self.prices.kernels(&shape)
        };
        let several = self.chunks.len() > 1;
        let chunks = match iteration.decodes {
            0 => plain,
            _ => alone(&self.chunks, iteration.completed()).min(plain),
        };
        for (chunk, record) in self.chunks.iter().zip(iteration.chunks) {
            let own = match several {
                true => alone(std::slice::from_ref(chunk), record.samples.into()).min(chunks),
                false => chunks,
            };
            let (others, decodes) = (chunks - own, plain - chunks);
            let own = own + worth;
            let chain =
                PrefillChain { own, others, decodes, communication, host, bubble, rejected };
            prefills.push(chain);
        }
    }

    /// Communication of an iteration beyond what its decodes alone would have: its prefill's.
    pub(super) fn communication_of_prefill(&mut self, iteration: &Iteration<'_>) -> u64 {
        self.load(iteration);
        let whole = self.whole(iteration).communication;
        if whole == 0 || iteration.decodes == 0 {
            return 0;
        }
        let decodes = BatchShape::of_decodes(iteration.decoding()).beside(iteration.beside);
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
            let shape = BatchShape::new(chunks, Decodes::NONE, sampled).beside(iteration.beside);
            self.prices.overheads(&shape).communication.as_nanos()
        };
        let all = communication(&self.chunks, iteration.completed()).min(whole);
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
            let without = without.beside(iteration.beside);
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
    BatchShape::new(chunks, iteration.decoding(), iteration.sampled()).beside(iteration.beside)
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
