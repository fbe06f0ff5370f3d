//! How far a search has come, and when it must end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::progress::RunProgress;
use crate::runner::RunError;

/// Watches a search: counts the requests that its simulations have played, guesses how many are to
/// come, and ends it when its time is up. A result depends on it only where time ran out.
#[derive(Debug)]
pub struct Watch {
    until: Option<Instant>,
    stop: Arc<AtomicBool>,
    done: AtomicU64,
    /// Requests that are still expected, by task.
    expected: Mutex<Vec<u64>>,
    /// What a search chooses among: how many are decided, and how many there are.
    cells: [AtomicU64; 2],
    playing: Mutex<Vec<Arc<RunProgress>>>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new(None)
    }
}

impl Watch {
    /// For a search that must end after so long, if at all.
    pub fn new(at_most: Option<Duration>) -> Watch {
        Watch::stopped_by(at_most, Arc::default())
    }

    /// The same, of a search that ends too when `stop` is set.
    pub fn stopped_by(at_most: Option<Duration>, stop: Arc<AtomicBool>) -> Watch {
        Watch {
            until: at_most.and_then(|time| Instant::now().checked_add(time)),
            stop,
            done: AtomicU64::new(0),
            expected: Mutex::default(),
            cells: [const { AtomicU64::new(0) }; 2],
            playing: Mutex::default(),
        }
    }

    /// Whether the time is up, or somebody has ended it.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Requests played, and how many there will be by all that is known now.
    pub fn totals(&self) -> (u64, u64) {
        let playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner);
        let inside: u64 = playing.iter().map(|one| one.done()).sum();
        let done = self.done.load(Ordering::Relaxed) + inside;
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let left = expected.iter().sum::<u64>().saturating_sub(inside);
        (done, done + left)
    }

    /// Cells of a plan that are decided, by simulation or without, and all of them.
    pub fn cells(&self) -> (u64, u64) {
        let [decided, all] = &self.cells;
        (decided.load(Ordering::Relaxed), all.load(Ordering::Relaxed))
    }

    /// There are so many cells more.
    pub(super) fn has_cells(&self, count: usize) {
        self.cells[1].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// So many cells more are decided.
    pub(super) fn decided(&self, count: usize) {
        self.cells[0].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// A new task of the search, and a first guess at its requests.
    pub(super) fn task(&self, requests: u64) -> Task<'_> {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.push(requests);
        Task { watch: self, place: expected.len() - 1 }
    }

    /// Plays one simulation, unless the time is up before it ends.
    pub(super) fn play<T>(
        &self,
        simulate: impl FnOnce(&RunProgress) -> Result<T, RunError>,
    ) -> Result<Option<T>, RunError> {
        if self.is_over() {
            return Ok(None);
        }
        let progress = Arc::new(RunProgress::until(self.until, self.stop.clone()));
        let all = || self.playing.lock().unwrap_or_else(PoisonError::into_inner);
        all().push(progress.clone());
        let played = simulate(&progress);
        all().retain(|one| !Arc::ptr_eq(one, &progress));
        self.done.fetch_add(progress.done(), Ordering::Relaxed);
        match played {
            Err(error) if error.is_stopped() => Ok(None),
            played => played.map(Some),
        }
    }
}

/// A part of a search, with its guess at what is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    watch: &'a Watch,
    place: usize,
}

impl Task<'_> {
    /// So many requests are still expected of it.
    pub(super) fn expects(&self, requests: u64) {
        let mut expected = self.watch.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected[self.place] = requests;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimError;

    #[test]
    fn what_is_played_and_what_is_to_come_add_up() {
        let watch = Watch::default();
        let task = watch.task(100);
        assert_eq!(watch.totals(), (0, 100));
        let seen = watch.play(|progress| {
            progress.set(30, 40);
            Ok(watch.totals())
        });
        assert_eq!(seen.unwrap(), Some((30, 100)));
        task.expects(70);
        assert_eq!(watch.totals(), (30, 100));
        watch.has_cells(5);
        watch.decided(2);
        assert_eq!(watch.cells(), (2, 5));
    }

    #[test]
    fn a_simulation_is_left_when_the_time_is_up() {
        let watch = Watch::new(Some(Duration::from_millis(5)));
        let played: Result<Option<()>, RunError> = watch.play(|progress| {
            while progress.may_go_on(1) {}
            let label = "sarathi".to_owned();
            Err(RunError::Simulation { label, source: SimError::Stopped.into() })
        });
        assert!(played.unwrap().is_none() && watch.is_over());
        assert!(watch.play(|_| Ok(())).unwrap().is_none(), "nothing begins after it");
    }
}
