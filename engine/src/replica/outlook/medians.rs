//! Medians of the lengths of answers that have ended, kept as they end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::ClassId;

/// Of all answers, and of each class's.
#[derive(Clone, Debug, Default)]
pub(super) struct Medians {
    all: Median,
    of_classes: Vec<Median>,
}

impl Medians {
    pub(super) fn add(&mut self, class: ClassId, length: u32) {
        self.all.add(length);
        if self.of_classes.len() <= class.index() {
            self.of_classes.resize(class.index() + 1, Median::default());
        }
        self.of_classes[class.index()].add(length);
    }

    pub(super) fn of_all(&self) -> Option<u32> {
        self.all.get()
    }

    pub(super) fn of(&self, class: ClassId) -> Option<u32> {
        self.of_classes.get(class.index())?.get()
    }
}

/// The lower half, its largest on top, and the upper half, its smallest on top.
#[derive(Clone, Debug, Default)]
struct Median {
    low: BinaryHeap<u32>,
    high: BinaryHeap<Reverse<u32>>,
}

impl Median {
    fn add(&mut self, value: u32) {
        if self.low.peek().is_some_and(|&middle| value > middle) {
            self.high.push(Reverse(value));
        } else {
            self.low.push(value);
        }
        if self.high.len() > self.low.len() {
            self.low.extend(self.high.pop().map(|Reverse(value)| value));
        } else if self.low.len() > self.high.len() + 1 {
            self.high.extend(self.low.pop().map(Reverse));
        }
    }

    fn get(&self) -> Option<u32> {
        self.low.peek().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_lower_one_in_the_middle() {
        let mut medians = Medians::default();
        assert_eq!(medians.of_all(), None);
        let mut seen: Vec<u32> = Vec::new();
        for value in [5, 1, 9, 9, 2, 700, 3, 3, 4, 0, 8] {
            medians.add(ClassId(1), value);
            seen.push(value);
            seen.sort_unstable();
            assert_eq!(medians.of_all(), Some(seen[(seen.len() - 1) / 2]), "{seen:?}");
        }
        assert_eq!(medians.of(ClassId(1)), medians.of_all());
        assert_eq!((medians.of(ClassId(0)), medians.of(ClassId(2))), (None, None));
    }
}
