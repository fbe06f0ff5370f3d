//! Whose turn it is. Questions that take little go ahead of the rest: a heavy one waits for other
//! heavy ones, and never holds up a light one. Those that may take minutes are worked on one at a time,
//! beside all others.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::playground::Weight;

/// Most memory of a light question, bytes, and most work.
const LIGHT: Weight = Weight { bytes: 48 << 20, work: 400_000, long: false };
/// Memory of all heavy questions at once, bytes. One alone may take more.
const HEAVY_BYTES: u64 = 512 << 20;
/// How often somebody who waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Places for questions.
pub(super) struct Room {
    state: Mutex<State>,
    freed: Condvar,
    light: usize,
    heavy: usize,
}

#[derive(Default)]
struct State {
    light: usize,
    heavy: usize,
    heavy_bytes: u64,
    long: bool,
}

/// A question's place; given back when it is dropped.
pub(super) struct Turn<'r> {
    room: &'r Room,
    held: Cell<Held>,
    /// Whether it was turned away.
    pub refused: Cell<bool>,
}

#[derive(Clone, Copy)]
enum Held {
    Nothing,
    Light,
    Heavy(u64),
    Long,
}

impl Room {
    /// For so many cores.
    pub(super) fn new(cores: usize) -> Room {
        Room {
            state: Mutex::default(),
            freed: Condvar::new(),
            light: 2 * cores,
            heavy: (cores / 2).max(1),
        }
    }

    /// A place for a question of which nothing is known yet; none where there is none in time.
    pub(super) fn enter(&self, patience: Duration) -> Option<Turn<'_>> {
        let wanted = AtomicBool::new(false);
        let fits = |state: &State| state.light < self.light;
        self.wait(patience, &wanted, fits, |state| state.light += 1).then(|| Turn {
            room: self,
            held: Cell::new(Held::Light),
            refused: Cell::new(false),
        })
    }

    fn wait(
        &self,
        patience: Duration,
        given_up: &AtomicBool,
        fits: impl Fn(&State) -> bool,
        take: impl FnOnce(&mut State),
    ) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !fits(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || given_up.load(Ordering::Relaxed) {
                return false;
            }
            let waited = self.freed.wait_timeout(state, left.min(LOOK));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        take(&mut state);
        true
    }
}

impl Turn<'_> {
    /// Now that it is known what the question takes, moves it to where it belongs; false where there
    /// is no room in time, or nobody waits for it any more.
    pub(super) fn weigh(&self, weight: Weight, patience: Duration, given_up: &AtomicBool) -> bool {
        if !weight.long && weight.bytes <= LIGHT.bytes && weight.work <= LIGHT.work {
            return true;
        }
        self.give_back();
        if weight.long {
            let entered =
                self.room.wait(patience, given_up, |state| !state.long, |state| state.long = true);
            if entered {
                self.held.set(Held::Long);
            }
            self.refused.set(!entered);
            return entered;
        }
        let fits = |state: &State| {
            state.heavy == 0
                || state.heavy < self.room.heavy && state.heavy_bytes + weight.bytes <= HEAVY_BYTES
        };
        let entered = self.room.wait(patience, given_up, fits, |state| {
            state.heavy += 1;
            state.heavy_bytes += weight.bytes;
        });
        if entered {
            self.held.set(Held::Heavy(weight.bytes));
        }
        self.refused.set(!entered);
        entered
    }

    fn give_back(&self) {
        let mut state = self.room.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.held.replace(Held::Nothing) {
            Held::Nothing => {}
            Held::Light => state.light -= 1,
            Held::Heavy(bytes) => {
                state.heavy -= 1;
                state.heavy_bytes -= bytes;
            }
            Held::Long => state.long = false,
        }
        drop(state);
        self.room.freed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAVY: Weight = Weight { bytes: 300 << 20, work: 0, long: false };
    const LONG: Weight = Weight { bytes: 0, work: 0, long: true };
    const NOW: Duration = Duration::ZERO;

    #[test]
    fn heavy_questions_wait_for_each_other_and_light_ones_for_neither() {
        let room = Room::new(4);
        let wanted = AtomicBool::new(false);
        let first = room.enter(NOW).expect("a place");
        assert!(first.weigh(HEAVY, NOW, &wanted));
        let second = room.enter(NOW).expect("a place");
        assert!(!second.weigh(HEAVY, NOW, &wanted) && second.refused.get());
        let light: Vec<Turn<'_>> = (0..8).filter_map(|_| room.enter(NOW)).collect();
        assert_eq!(light.len(), 8, "a refused question has given its place back");
        assert!(light.iter().all(|turn| turn.weigh(Weight::default(), NOW, &wanted)));
        assert!(room.enter(NOW).is_none());
        drop(light);
        drop(first);
        let third = room.enter(NOW).expect("a place");
        assert!(third.weigh(HEAVY, NOW, &wanted));
        // Alone, it may take more than is there for several.
        drop(third);
        let largest = room.enter(NOW).expect("a place");
        assert!(largest.weigh(Weight { bytes: u64::MAX / 2, ..HEAVY }, NOW, &wanted));
    }
    #[test]
    fn a_long_question_waits_for_a_long_one_and_for_no_other() {
        let room = Room::new(2);
        let wanted = AtomicBool::new(false);
        let first = room.enter(NOW).expect("a place");
        assert!(first.weigh(LONG, NOW, &wanted));
        let heavy = room.enter(NOW).expect("a place");
        assert!(heavy.weigh(HEAVY, NOW, &wanted));
        let second = room.enter(NOW).expect("a place");
        assert!(!second.weigh(LONG, NOW, &wanted) && second.refused.get());
        drop(first);
        let third = room.enter(NOW).expect("a place");
        assert!(third.weigh(LONG, NOW, &wanted));
    }
}
