//! Allocations that may be refused. The program ends in words where memory runs out; who can go on
//! without asks for it here.

use std::cell::Cell;

thread_local! {
    static MAY_FAIL: Cell<bool> = const { Cell::new(false) };
}

/// Does what may find no memory, and can go on then.
pub fn try_to<T>(allocate: impl FnOnce() -> T) -> T {
    let before = MAY_FAIL.replace(true);
    let done = allocate();
    MAY_FAIL.set(before);
    done
}

/// Whether this thread can go on where there is no memory: a program's allocator must not end it then.
pub fn may_fail() -> bool {
    MAY_FAIL.get()
}
