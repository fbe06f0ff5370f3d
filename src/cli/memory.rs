//! The end of a program that finds no memory.

use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Exit;
use crate::memory::may_fail;
use crate::report::try_remove_unfinished;

/// Written as it is: nothing can be put together without memory.
const TOLD: &[u8] =
    b"error: out of memory: the run and its result take more than this process may \
use\nhelp: take fewer requests, or less beside them: --format text, no --timeline, no --report, \
--jobs 1\n";

/// What an allocator calls that finds no memory: ends the program in words, or comes back where whoever
/// asked can go on without, or where this itself is what finds none.
pub fn no_memory_left() {
    if !may_fail() {
        exhausted();
    }
}

/// Says that there is no memory left, and ends the program.
#[cold]
#[inline(never)]
fn exhausted() {
    static ENDING: AtomicBool = AtomicBool::new(false);
    thread_local! {
        static TIMES: Cell<u8> = const { Cell::new(0) };
    }
    let before = TIMES.get();
    TIMES.set(before.saturating_add(1));
    if before == 0 {
        // Another thread may be about to end all of them.
        while ENDING.swap(true, Ordering::AcqRel) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = std::io::stderr().write_all(TOLD);
        try_remove_unfinished();
    }
    if before < 2 {
        std::process::exit(Exit::Failure.code().into());
    }
}
