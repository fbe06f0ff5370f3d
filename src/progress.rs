//! How far a run has come: counters that simulations set and a terminal reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Progress of several simulations that run at the same time, one counter pair each.
///
/// Setting costs one relaxed store on a cache line of its own, so a simulator may call it for
/// every request. Nothing reads it but a display: results cannot depend on it.
#[derive(Debug)]
pub struct Progress {
    runs: Vec<RunProgress>,
}

/// Progress of one simulation.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RunProgress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// For this many simulations.
    pub fn new(runs: usize) -> Progress {
        Progress { runs: (0..runs).map(|_| RunProgress::default()).collect() }
    }

    /// The sink of simulation `index`, or `None` when there are fewer.
    pub fn run(&self, index: usize) -> Option<&RunProgress> {
        self.runs.get(index)
    }

    /// Requests done and requests in all, summed over the simulations that have said so.
    pub fn totals(&self) -> (u64, u64) {
        self.runs.iter().fold((0, 0), |(done, total), run| {
            (done + run.done.load(Ordering::Relaxed), total + run.total.load(Ordering::Relaxed))
        })
    }
}

impl RunProgress {
    /// Says that `done` of `total` requests have left the system.
    pub fn set(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_simulations_on_several_threads() {
        let progress = Progress::new(3);
        std::thread::scope(|scope| {
            for index in 0..2 {
                let run = progress.run(index).expect("there");
                scope.spawn(move || (0..=100).for_each(|done| run.set(done, 100)));
            }
        });
        assert_eq!(progress.totals(), (200, 200));
        assert!(progress.run(3).is_none());
    }
}
