//! Fewer drafts in larger batches: vLLM's `num_speculative_tokens_per_batch_size`.

/// Drafts by the number of running requests: ranges with both ends included. What lies between two
/// ranges is as the one below it, and so is what lies beyond the last (vLLM pull request 32374).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftsByBatchSize {
    /// The first batch size of each range and the drafts from there on, rising.
    from: Vec<(u32, u32)>,
}

impl DraftsByBatchSize {
    /// Of these ranges: first and last batch size, and drafts.
    ///
    /// # Errors
    /// The place of the first range that is empty, or overlaps another; places are those of `ranges`.
    pub fn new(ranges: &[(u32, u32, u32)]) -> Result<DraftsByBatchSize, usize> {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|&place| ranges[place].0);
        let mut next_free = 1;
        let mut from = Vec::new();
        for place in order {
            let (first, last, drafts) = ranges[place];
            if first < next_free || last < first {
                return Err(place);
            }
            next_free = last.saturating_add(1);
            from.push((first, drafts));
        }
        Ok(DraftsByBatchSize { from })
    }

    /// Drafts in a batch of so many requests; `None` below all ranges.
    #[inline]
    pub fn at(&self, running: u32) -> Option<u32> {
        let after = self.from.partition_point(|&(first, _)| first <= running);
        after.checked_sub(1).map(|place| self.from[place].1)
    }
}
