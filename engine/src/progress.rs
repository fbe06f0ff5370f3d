//! How far a run has come: counters that simulations set and a terminal reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Progress of several simulations that run at the same time, one counter pair each.
///
/// Setting costs one relaxed store on a cache line of its own, so a simulator may call it for
/// every request. Nothing reads it but a display: results cannot depend on it. A
/// bounded run ends with an error in place of a result.
#[derive(Debug)]
pub struct Progress {
    runs: Vec<RunProgress>,
}

/// Progress of one simulation.
#[derive(Debug)]
#[repr(align(128))]
pub struct RunProgress {
    done: AtomicU64,
    total: AtomicU64,
    iterations_max: u64,
    stop: Arc<AtomicBool>,
    until: Option<Instant>,
}

impl Default for RunProgress {
    fn default() -> RunProgress {
        RunProgress::bounded(u64::MAX, Arc::default())
    }
}

impl Progress {
    /// For this many simulations.
    pub fn new(runs: usize) -> Progress {
        Progress::stopped_by(runs, &Arc::default())
    }

    /// For this many simulations, which end with an error soon after `stop` is set.
    pub fn stopped_by(runs: usize, stop: &Arc<AtomicBool>) -> Progress {
        let one = |_| RunProgress::bounded(u64::MAX, stop.clone());
        Progress { runs: (0..runs).map(one).collect() }
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
    /// Of a simulation that ends with an error after about so many iterations, or soon after `stop`
    /// is set.
    pub fn bounded(iterations_max: u64, stop: Arc<AtomicBool>) -> RunProgress {
        let [done, total] = [(); 2].map(|()| AtomicU64::new(0));
        RunProgress { done, total, iterations_max, stop, until: None }
    }

    /// Of a simulation that ends with an error soon after `until`, or after `stop` is set.
    pub fn until(until: Option<Instant>, stop: Arc<AtomicBool>) -> RunProgress {
        RunProgress { until, ..RunProgress::bounded(u64::MAX, stop) }
    }

    /// Whether a simulation that has run so many iterations may go on.
    pub fn may_go_on(&self, iterations: u64) -> bool {
        iterations <= self.iterations_max
            && !self.stop.load(Ordering::Relaxed)
            && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Says that `done` of `total` requests have left the system.
    pub fn set(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// Requests that have left the system.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
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
