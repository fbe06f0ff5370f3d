//! What each iteration of a lane was made of, in a few bytes; and what each chunk took of it.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::chain::{DecodeChain, PrefillChain, Steady};
use crate::ids::IterationNo;
use crate::time::Time;

/// Parts of the iterations of a lane, in nanoseconds; what is left of an iteration is a decode's own.
#[derive(Debug, Default)]
pub(super) struct PartsColumn {
    rows: Vec<Parts>,
    /// What rows have beside their batch growth, mostly the same in many of them.
    rests: Vec<Rest>,
    /// Those that are too long for a row.
    long: FxHashMap<IterationNo, [u64; 4]>,
    /// Waiting between pipeline stages in each iteration; nothing without stages.
    bubbles: Vec<u64>,
    /// What rejected drafts took in each iteration; nothing where nobody drafts.
    rejected: Vec<u64>,
    /// How long each chunk of the lane took alone, and the others of its iteration.
    chunks: Vec<[u64; 2]>,
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    /// [`ALONE`] where nothing decoded.
    batch_growth: u32,
    /// The place of the rest.
    rest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    prefill: u32,
    communication: u32,
    /// [`LONG`] where one of the parts is too long.
    host: u32,
}

const ALONE: u32 = u32::MAX;
const LONG: u32 = u32::MAX;

/// Sums of parts over iterations in a row. What is left of their time is decodes' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub batch_growth: u64,
    pub prefill_interference: u64,
    /// Iterations that decoded nothing, but for their bubbles.
    pub prefill_only: u64,
    pub communication: u64,
    pub host: u64,
    pub bubble: u64,
    pub rejected: u64,
}

impl PartsColumn {
    /// Of so many iterations, and of so many chunks.
    pub(super) fn with_capacity(iterations: usize, chunks: usize) -> PartsColumn {
        PartsColumn {
            rows: Vec::with_capacity(iterations),
            chunks: Vec::with_capacity(chunks),
            ..PartsColumn::default()
        }
    }

    /// Keeps the next iteration, which decoded something or not. `staged` where it ran through
    /// pipeline stages, `drafts` where the lane drafts.
    #[inline]
    pub(super) fn push(
        &mut self,
        chain: &DecodeChain,
        decoded: bool,
        (staged, drafts): (bool, bool),
    ) {
        let &DecodeChain { batch_growth, prefill, communication, host, .. } = chain;
        let is_short = (batch_growth | prefill | communication | host) < u64::from(LONG);
        let batch_growth = if decoded { batch_growth as u32 } else { ALONE };
        let rest = if is_short {
            let [prefill, communication, host] = [prefill, communication, host].map(|ns| ns as u32);
            Rest { prefill, communication, host }
        } else {
            let all = [chain.batch_growth, prefill, communication, host];
            self.long.insert(IterationNo(self.rows.len() as u32), all);
            Rest { prefill: 0, communication: 0, host: LONG }
        };
        let rest = self.rest(rest);
        self.rows.push(Parts { batch_growth, rest });
        if staged {
            self.bubbles.push(chain.bubble);
        }
        if drafts {
            self.rejected.push(chain.rejected);
        }
    }

    /// Where a rest stands. Most are that of the iteration before, or of the one before that, which a
    /// prefill has come between.
    fn rest(&mut self, rest: Rest) -> u32 {
        let last = self.rests.len();
        let known = (last.saturating_sub(2)..last).rev().find(|&place| self.rests[place] == rest);
        let place = known.unwrap_or(last);
        if known.is_none() {
            self.rests.push(rest);
        }
        place as u32
    }

    /// Keeps iterations of decodes alone of which each began when the one before ended, and adds
    /// them to `sums`: the first at `start`, their ends as given. `owns` tells how long a decode
    /// alone would take in each. `false`, and nothing is done, where some are too short or too long.
    pub(super) fn extend(
        &mut self,
        steady: &Steady,
        start: Time,
        ends: &[Time],
        mut owns: impl FnMut() -> u64,
        sums: &mut Sums,
    ) -> bool {
        let &Steady { communication, host, single, .. } = steady;
        let aside = communication.saturating_add(host);
        let lasted = |before: &mut Time, end: Time| {
            let lasted = end.since(*before).as_nanos();
            *before = end;
            lasted
        };
        let mut before = start;
        let fits = |&end: &Time| {
            let lasted = lasted(&mut before, end);
            lasted >= aside && lasted < u64::from(LONG)
        };
        if !ends.iter().all(fits) {
            return false;
        }
        let rest =
            self.rest(Rest { prefill: 0, communication: communication as u32, host: host as u32 });
        let (mut before, mut growth) = (start, 0);
        self.rows.extend(ends.iter().map(|&end| {
            let kernels = lasted(&mut before, end) - aside;
            let own = if single { kernels } else { owns() };
            let batch_growth = kernels.saturating_sub(own);
            growth += batch_growth;
            Parts { batch_growth: batch_growth as u32, rest }
        }));
        sums.batch_growth += growth;
        sums.communication += communication * ends.len() as u64;
        sums.host += host * ends.len() as u64;
        true
    }

    /// Keeps the chunks of the iteration.
    pub(super) fn push_chunks(&mut self, chunks: &[PrefillChain]) {
        self.chunks.extend(chunks.iter().map(|chunk| [chunk.own, chunk.others]));
    }

    /// Adds some iterations.
    #[inline]
    pub(super) fn add(&self, numbers: Range<IterationNo>, sums: &mut Sums) {
        let rows = numbers.start.index()..numbers.end.index();
        for (row, number) in self.rows[rows.clone()].iter().zip(numbers.start.onwards()) {
            let rest = &self.rests[row.rest as usize];
            if row.batch_growth == ALONE || rest.host == LONG {
                self.add_rare(number, sums);
                continue;
            }
            sums.batch_growth += u64::from(row.batch_growth);
            sums.prefill_interference += u64::from(rest.prefill);
            sums.communication += u64::from(rest.communication);
            sums.host += u64::from(rest.host);
        }
        if let Some(bubbles) = self.bubbles.get(rows.clone()) {
            sums.bubble += bubbles.iter().sum::<u64>();
        }
        if let Some(rejected) = self.rejected.get(rows) {
            sums.rejected += rejected.iter().sum::<u64>();
        }
    }

    #[cold]
    fn add_rare(&self, number: IterationNo, sums: &mut Sums) {
        let [batch_growth, prefill, communication, host] = self.of(number);
        let chain =
            DecodeChain { batch_growth, prefill, communication, host, ..DecodeChain::default() };
        sums.add(&chain, self.rows[number.index()].batch_growth != ALONE);
    }

    /// Batch growth, prefill, communication and host work of an iteration.
    fn of(&self, number: IterationNo) -> [u64; 4] {
        let Parts { batch_growth, rest } = self.rows[number.index()];
        let Rest { prefill, communication, host } = self.rests[rest as usize];
        if host == LONG {
            return self.long[&number];
        }
        let batch_growth = if batch_growth == ALONE { 0 } else { batch_growth };
        [batch_growth, prefill, communication, host].map(u64::from)
    }

    /// Waiting between pipeline stages in an iteration.
    pub(super) fn bubble(&self, number: IterationNo) -> u64 {
        self.bubbles.get(number.index()).copied().unwrap_or(0)
    }

    /// What rejected drafts took in an iteration.
    fn rejected(&self, number: IterationNo) -> u64 {
        self.rejected.get(number.index()).copied().unwrap_or(0)
    }

    /// An iteration, which took `lasted` nanoseconds, as its decodes see it.
    pub(super) fn decodes(&self, number: IterationNo, lasted: u64) -> DecodeChain {
        let [batch_growth, prefill, communication, host] = self.of(number);
        let bubble = self.bubble(number);
        let rejected = self.rejected(number);
        let own = lasted - bubble - batch_growth - prefill - communication - host - rejected;
        DecodeChain { own, batch_growth, prefill, communication, host, bubble, rejected }
    }

    /// An iteration, which took `lasted` nanoseconds, as one of its chunks sees it: that in row `chunk`
    /// of the lane's.
    pub(super) fn prefill(&self, number: IterationNo, chunk: usize, lasted: u64) -> PrefillChain {
        let [own, others] = self.chunks[chunk];
        let [.., communication, host] = self.of(number);
        let bubble = self.bubble(number);
        let rejected = self.rejected(number);
        let decodes = lasted - own - others - communication - host - bubble - rejected;
        PrefillChain { own, others, decodes, communication, host, bubble, rejected }
    }
}

impl Sums {
    /// Adds an iteration, which decoded something or not.
    #[inline]
    pub(super) fn add(&mut self, chain: &DecodeChain, decoded: bool) {
        let &DecodeChain { batch_growth, prefill, communication, host, bubble, rejected, .. } =
            chain;
        self.rejected += rejected;
        if decoded {
            self.batch_growth += batch_growth;
            self.prefill_interference += prefill;
            self.communication += communication;
            self.host += host;
        } else {
            self.prefill_only += prefill + communication + host;
        }
        self.bubble += bubble;
    }

    /// These, less those up to an earlier iteration.
    pub(super) fn since(self, before: Sums) -> Sums {
        Sums {
            batch_growth: self.batch_growth - before.batch_growth,
            prefill_interference: self.prefill_interference - before.prefill_interference,
            prefill_only: self.prefill_only - before.prefill_only,
            communication: self.communication - before.communication,
            host: self.host - before.host,
            bubble: self.bubble - before.bubble,
            rejected: self.rejected - before.rejected,
        }
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.batch_growth
            + self.prefill_interference
            + self.prefill_only
            + self.communication
            + self.host
            + self.bubble
            + self.rejected
    }
}
