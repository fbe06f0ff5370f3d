//! What each iteration of a lane was made of, in a few bytes; and what each chunk took of it.

use rustc_hash::FxHashMap;

use super::chain::{DecodeChain, PrefillChain};

/// Parts of the iterations of a lane, in nanoseconds; what is left of an iteration is a decode's own.
#[derive(Debug, Default)]
pub(super) struct PartsColumn {
    rows: Vec<Parts>,
    /// Those that are too long for a row.
    long: FxHashMap<u32, Long>,
    /// Waiting between pipeline stages in each iteration; nothing without stages.
    bubbles: Vec<u64>,
    /// Each chunk's own time, and that of the other chunks, in order.
    chunks: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    batch_growth: u32,
    prefill: u32,
    communication: u32,
    /// [`LONG`] where one of the parts is too long.
    host: u32,
}

/// Batch growth, prefill, communication and host work of an iteration, in nanoseconds.
type Long = [u64; 4];

const LONG: u32 = u32::MAX;

impl PartsColumn {
    /// Of so many iterations, and of so many chunks.
    pub fn with_capacity(iterations: usize, chunks: usize) -> PartsColumn {
        PartsColumn {
            rows: Vec::with_capacity(iterations),
            chunks: Vec::with_capacity(chunks),
            ..PartsColumn::default()
        }
    }

    /// Keeps the next iteration. `staged` where it runs through pipeline stages.
    #[inline]
    pub fn push(&mut self, chain: &DecodeChain, staged: bool) {
        let all = [chain.batch_growth, chain.prefill, chain.communication, chain.host];
        let is_short = |ns: &u64| *ns < u64::from(LONG);
        self.rows.push(if all.iter().all(is_short) {
            let [batch_growth, prefill, communication, host] = all.map(|ns| ns as u32);
            Parts { batch_growth, prefill, communication, host }
        } else {
            self.long.insert(self.rows.len() as u32, all);
            Parts { batch_growth: 0, prefill: 0, communication: 0, host: LONG }
        });
        if staged {
            self.bubbles.push(chain.bubble);
        }
    }

    /// Keeps the chunks of the iteration.
    pub fn push_chunks(&mut self, chunks: &[PrefillChain]) {
        self.chunks.extend(chunks.iter().map(|chunk| (chunk.own, chunk.others)));
    }

    /// Iteration `place`, which took `lasted` nanoseconds, as its decodes see it.
    #[inline]
    pub fn decodes(&self, place: usize, lasted: u64) -> DecodeChain {
        let row = &self.rows[place];
        let [batch_growth, prefill, communication, host] = match row.host {
            LONG => self.long[&(place as u32)],
            host => [row.batch_growth, row.prefill, row.communication, host].map(u64::from),
        };
        let bubble = self.bubbles.get(place).copied().unwrap_or(0);
        let own = lasted - bubble - batch_growth - prefill - communication - host;
        DecodeChain { own, batch_growth, prefill, communication, host, bubble }
    }

    /// The same as the `chunk`th chunk of the lane sees it.
    pub fn prefill(&self, place: usize, lasted: u64, chunk: usize) -> PrefillChain {
        let DecodeChain { communication, host, bubble, .. } = self.decodes(place, lasted);
        let (own, others) = self.chunks[chunk];
        let decodes = lasted - bubble - communication - host - own - others;
        PrefillChain { own, others, decodes, communication, host, bubble }
    }
}
