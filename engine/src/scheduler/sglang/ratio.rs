//! The share of their longest answers that running requests are expected to use.

/// SGLang's `NewTokenRatioTracker`: it falls with every decode batch, and is estimated anew by a
/// retraction.
#[derive(Clone, Debug)]
pub(super) struct NewTokenRatio {
    pub now: f64,
    start: f64,
    floor: f64,
    decay: f64,
}

impl NewTokenRatio {
    pub(super) fn new(conservativeness: f64) -> NewTokenRatio {
        let start = (0.7 * conservativeness).min(1.0);
        let floor = (0.14 * start).min(1.0);
        NewTokenRatio { now: start, start, floor, decay: (start - floor) / 600.0 }
    }

    /// Falls by so many decode batches.
    pub(super) fn fall(&mut self, batches: u32) {
        for _ in 0..batches {
            let next = (self.now - self.decay).max(self.floor);
            if next == self.now {
                break;
            }
            self.now = next;
        }
    }

    pub(super) fn estimate(&mut self, ratio: f64) {
        self.now = ratio.min(1.0);
    }

    pub(super) fn restart(&mut self) {
        self.now = self.start;
    }
}
