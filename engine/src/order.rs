//! Sorting of short lists. The library's own sort is two thousand lines of LLVM IR for each
//! type and comparison; here they share one.

use std::cmp::Ordering;

/// Sorts by `compare`; what is equal keeps its order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut from = places(items.len(), &mut |a, b| compare(&items[a], &items[b]));
    for to in 0..items.len() {
        // What stood there may have been moved on, more than once.
        let mut at = from[to];
        while at < to {
            at = from[at];
        }
        from[to] = at;
        items.swap(to, at);
    }
}

/// Sorts by `key`; what is equal keeps its order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// The places of `n` items in their order.
fn places(n: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by(|&a, &b| compare(a, b));
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{sort_by, sort_by_key};

    proptest! {
        #[test]
        fn as_the_library_sorts(items in proptest::collection::vec((0_u8..20, any::<u16>()), 0..60)) {
            let mut wanted = items.clone();
            wanted.sort_by_key(|&(key, _)| key);
            let mut found = items.clone();
            sort_by_key(&mut found, |&(key, _)| key);
            prop_assert_eq!(&found, &wanted);
            wanted.sort_by_key(|&(_, value)| std::cmp::Reverse(value));
            sort_by(&mut found, |a, b| b.1.cmp(&a.1));
            prop_assert_eq!(found, wanted);
        }
    }
}
