//! Work shared by the threads of whoever calls: those of the pool that the calling thread belongs
//! to. Outside of a pool, and where it has one thread, work is done in order on the calling thread.
//!
//! Nothing here depends on the number of threads but how long it takes.

use rayon::prelude::*;

/// How many threads share the work.
pub(crate) fn count() -> usize {
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads())
}

/// What `work` makes of each item, in their order.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    match count() {
        1 => items.into_iter().map(work).collect(),
        _ => items.into_par_iter().map(work).collect(),
    }
}

/// What `work` makes of each number below `n`, in order.
pub(crate) fn up_to<R: Send>(n: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    match count() {
        1 => (0..n).map(work).collect(),
        _ => (0..n).into_par_iter().map(work).collect(),
    }
}

/// Both results; with one thread `first` is done, and what it held is gone, before `second` begins.
pub(crate) fn both<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    match count() {
        1 => {
            let first = first();
            (first, second())
        }
        _ => rayon::join(first, second),
    }
}
