//! How far a run has come: counters that simulations set and a terminal reads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

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
    /// The simulation is left when it comes to report after this.
    until: Option<Instant>,
}

/// What a simulation that is left is unwound with. It carries nothing: all of the run is dropped.
struct Stopped;

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
    /// For a simulation that is left at its first report after `until`. It must be played within
    /// [`RunProgress::unless_stopped`].
    pub fn until(until: Option<Instant>) -> RunProgress {
        RunProgress { until, ..RunProgress::default() }
    }

    /// Says that `done` of `total` requests have left the system.
    pub fn set(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
        if self.until.is_some_and(|until| Instant::now() >= until) {
            // Unwinding leaves a simulation from any depth, on any thread, at no cost to those that
            // are not left.
            resume_unwind(Box::new(Stopped));
        }
    }

    /// Requests that have left the system.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What `simulate` gives, or `None` when its time was up before it ended.
    pub fn unless_stopped<T>(simulate: impl FnOnce() -> T) -> Option<T> {
        let stopped = |cause: &Box<dyn Any + Send>| cause.is::<Stopped>();
        match catch_unwind(AssertUnwindSafe(simulate)) {
            Ok(done) => Some(done),
            Err(cause) if stopped(&cause) => None,
            Err(cause) => resume_unwind(cause),
        }
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
