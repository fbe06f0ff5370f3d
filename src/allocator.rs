//! The system's allocator, but where memory runs out the program says so and ends: stable Rust has no
//! other place for that, and would abort. It costs a comparison with null for each allocation.

// What an allocator hands out, the compiler cannot check: the one place of the program for it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metron_sim::cli::Exit;
use metron_sim::may_fail;
use metron_sim::report::try_remove_unfinished;

/// Ends the program in words when the system has no memory left.
pub(crate) struct OrExit;

/// Written as it is: nothing can be put together without memory.
const TOLD: &[u8] =
    b"error: out of memory: the run and its result take more than this process may \
use\nhelp: take fewer requests, or less beside them: --format text, no --timeline, no --report, \
--jobs 1\n";

// SAFETY: every call goes to `System` as it came, and what comes back is handed on.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        there(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        there(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        there(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[inline]
fn there(memory: *mut u8) -> *mut u8 {
    if memory.is_null() && !may_fail() {
        exhausted();
    }
    memory
}

/// Says that there is no memory left, and ends the program. Comes back only where it is itself what
/// finds none.
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
