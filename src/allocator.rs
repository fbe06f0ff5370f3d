//! The system's allocator, but where memory runs out the program says so and ends: stable Rust has no
//! other place for that, and would abort. It costs a comparison with null for each allocation.

// What an allocator hands out, the compiler cannot check: the one place of the program for it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

use metron_sim::no_memory_left;

/// Ends the program in words when the system has no memory left.
pub(crate) struct OrExit;

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
    if memory.is_null() {
        no_memory_left();
    }
    memory
}
