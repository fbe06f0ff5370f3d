//! Prices of parts of batches. Those that come again and again are kept: of one decode by the KV
//! entries that it reads, and of what is no kernel's by the number of decodes.

use crate::catalog::Reaches;
use crate::cost::{BatchShape, CostModel, Decodes, Overheads};

/// A cost model, and what was asked of it.
pub(super) struct Prices<'a> {
    pub cost: &'a dyn CostModel,
    reaches: Reaches,
    /// Row n: what is no kernel's in a batch of n decodes alone, where that is all it depends on;
    /// `None` where it was not asked for yet.
    overheads: Vec<Option<Option<Overheads>>>,
    /// Row k: kernel time of one decode that reads k KV entries, or [`UNKNOWN`].
    singles: Vec<u64>,
}

const UNKNOWN: u64 = u64::MAX;

/// Prices are kept for fewer decodes, and fewer KV entries, than these.
const DECODES_MAX: u32 = 1 << 16;
const KV_MAX: u64 = 1 << 18;

impl<'a> Prices<'a> {
    /// Nothing asked for yet.
    pub(super) fn of(cost: &'a dyn CostModel) -> Prices<'a> {
        Prices { cost, reaches: cost.reaches(), overheads: Vec::new(), singles: Vec::new() }
    }

    /// What is no kernel's in a batch.
    pub(super) fn overheads(&mut self, shape: &BatchShape<'_>) -> Overheads {
        let n = shape.decodes().requests();
        let alike = shape.tokens_beside().is_none();
        let alike = alike && shape.decodes().tokens() == n;
        if !alike || !shape.chunks().is_empty() || shape.sampled() != n {
            return self.cost.overheads(shape);
        }
        self.overheads_of_decodes(n).unwrap_or_else(|| self.cost.overheads(shape))
    }

    /// The same for decodes alone, where it depends on nothing but their number.
    pub(super) fn overheads_of_decodes(&mut self, n: u32) -> Option<Overheads> {
        if n >= DECODES_MAX {
            return self.cost.overheads_of_decodes(n);
        }
        if self.overheads.len() <= n as usize {
            self.overheads.resize(n as usize + 1, None);
        }
        let cost = self.cost;
        *self.overheads[n as usize].get_or_insert_with(|| cost.overheads_of_decodes(n))
    }

    /// Kernel time of a batch, nanoseconds.
    pub(super) fn kernels(&mut self, shape: &BatchShape<'_>) -> u64 {
        let aside = self.overheads(shape);
        let gpu = self.cost.time(shape).gpu.as_nanos();
        gpu.saturating_sub(aside.communication.as_nanos()).saturating_sub(aside.gap.as_nanos())
    }

    /// Kernel time of one decode that reads so many KV entries, nanoseconds.
    #[inline]
    pub(super) fn single(&mut self, kv: u64) -> u64 {
        match self.singles.get(kv as usize) {
            Some(&ns) if ns != UNKNOWN => ns,
            _ => self.price_single(kv),
        }
    }

    fn price_single(&mut self, kv: u64) -> u64 {
        let ns = self.kernels(&BatchShape::of_decodes(Decodes::single(kv, &self.reaches)));
        if kv < KV_MAX {
            if self.singles.len() <= kv as usize {
                self.singles.resize((kv as usize + 1).next_power_of_two(), UNKNOWN);
            }
            self.singles[kv as usize] = ns;
        }
        ns
    }
}
