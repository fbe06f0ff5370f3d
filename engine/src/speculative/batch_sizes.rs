//! Fewer drafts in larger batches: vLLM's `num_speculative_tokens_per_batch_size`.

/// The most ranges.
const RANGES_MAX: usize = 16;

/// Drafts by the number of running requests: ranges with both ends included. What lies between two
/// ranges is as the one below it, and so is what lies beyond the last (vLLM pull request 32374).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftsByBatchSize {
    /// The first batch size of each range and the drafts from there on, rising.
    from: [(u32, u32); RANGES_MAX],
    ranges: usize,
}

impl DraftsByBatchSize {
    /// Of these ranges, at most 16: first and last batch size, and drafts.
    ///
    /// # Errors
    /// The place of the first range that is empty, overlaps another or is one too many; places are
    /// those of `given`.
    pub fn new(given: &[(u32, u32, u32)]) -> Result<DraftsByBatchSize, usize> {
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by_key(|&place| given[place].0);
        let mut next_free = 1;
        let mut table = DraftsByBatchSize { from: [(0, 0); RANGES_MAX], ranges: 0 };
        for place in order {
            let (first, last, drafts) = given[place];
            if first < next_free || last < first || table.ranges == RANGES_MAX {
                return Err(place);
            }
            next_free = last.saturating_add(1);
            table.from[table.ranges] = (first, drafts);
            table.ranges += 1;
        }
        Ok(table)
    }

    /// The ranges up to a batch of `most` requests, without anything between two: first and last batch
    /// size, and drafts.
    pub fn ranges(&self, most: u32) -> impl Iterator<Item = (u32, u32, u32)> {
        let ranges = &self.from[..self.ranges];
        ranges.iter().enumerate().map(move |(place, &(first, drafts))| {
            let next = ranges.get(place + 1).map(|&(first, _)| first - 1);
            (first, next.unwrap_or(most).max(first), drafts)
        })
    }

    /// Drafts in a batch of so many requests; `None` below all ranges.
    #[inline]
    pub fn at(&self, running: u32) -> Option<u32> {
        let ranges = &self.from[..self.ranges];
        let after = ranges.partition_point(|&(first, _)| first <= running);
        after.checked_sub(1).map(|place| ranges[place].1)
    }
}
