//! Work shared by the threads of whoever calls: those of the pool that the calling thread belongs
//! to. Outside of a pool, and where it has one thread, work is done in order on the calling thread.
//!
//! Nothing here depends on the number of threads but how long it takes.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// A page has one thread. That this is known when it is compiled leaves rayon out of it.
const ALONE: bool = cfg!(target_arch = "wasm32");

/// How many threads share the work.
pub(crate) fn count() -> usize {
    if ALONE {
        return 1;
    }
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads())
}

/// What `work` makes of each item, in their order: a few items with much to do.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    match count() {
        1 => items.into_iter().map(work).collect(),
        _ => spread_map(items, work),
    }
}

/// The same outside of a pool too, where all of the machine's threads share the work.
pub fn spread_map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if ALONE {
        return items.into_iter().map(work).collect();
    }
    let items: Vec<Mutex<Option<T>>> =
        items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    spread_up_to(items.len(), |place| {
        let item = items[place].lock().unwrap_or_else(PoisonError::into_inner).take();
        work(item.expect("each place is looked at once"))
    })
}

/// What `work` makes of each number below `n`, in order, as [`spread_map`].
pub fn spread_up_to<R: Send>(n: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    if ALONE {
        return (0..n).map(work).collect();
    }
    let made: Vec<Mutex<Option<R>>> = (0..n).map(|_| Mutex::new(None)).collect();
    spread(n, &|place| {
        let result = work(place);
        *made[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let made = made.into_iter().map(|one| one.into_inner().unwrap_or_else(PoisonError::into_inner));
    made.map(|one| one.expect("each place is looked at once")).collect()
}

/// Not generic: rayon's machinery is compiled anew, thousands of lines, for every closure that it
/// gets to see.
fn spread(n: usize, work: &(dyn Fn(usize) + Sync)) {
    (0..n).into_par_iter().for_each(work);
}

/// What `work` makes of each number below `n`, in order; `n` may be large and the work small.
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
    let (mut a, mut b) = (None, None);
    let (mut first, mut second) = (Some(first), Some(second));
    join(&mut || a = first.take().map(|first| first()), &mut || {
        b = second.take().map(|second| second())
    });
    (a.expect("done"), b.expect("done"))
}

fn join(first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
    match count() {
        1 => {
            first();
            second();
        }
        _ => {
            rayon::join(first, second);
        }
    }
}

/// `work` on a pool of so many threads of its own.
///
/// # Errors
/// When they cannot be started.
pub fn on<T: Send>(
    threads: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, rayon::ThreadPoolBuildError> {
    if ALONE {
        return Ok(work());
    }
    let (mut made, mut work) = (None, Some(work));
    install(threads, &mut || made = work.take().map(|work| work()))?;
    Ok(made.expect("done"))
}

fn install(
    threads: usize,
    work: &mut (dyn FnMut() + Send),
) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?.install(work);
    Ok(())
}
