//! What all policies in Python share: one command at a time plays them, and the first exception that one
//! raises is the command's.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::exception;

static FAILED: AtomicBool = AtomicBool::new(false);
static RAISED: Mutex<Option<PyErr>> = Mutex::new(None);

static PLAYS: Mutex<bool> = Mutex::new(false);
static ENDED: Condvar = Condvar::new();

thread_local! {
    static DECIDES: Cell<bool> = const { Cell::new(false) };
}

/// Whether a policy has raised in the command that goes on: from then on none is asked any more, and the
/// simulation stands still and ends.
pub(crate) fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Keeps the first exception.
pub(super) fn fail(error: PyErr) {
    RAISED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    FAILED.store(true, Ordering::Relaxed);
}

/// Begins a command that plays policies.
fn begin() {
    drop(raised());
}

/// What a policy has raised in the command that has ended.
pub(crate) fn raised() -> Option<PyErr> {
    FAILED.store(false, Ordering::Relaxed);
    RAISED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Lets a policy decide on this thread; a command that it asks for meanwhile is refused.
pub(super) fn deciding<T>(decide: impl FnOnce() -> T) -> T {
    DECIDES.set(true);
    let decided = decide();
    DECIDES.set(false);
    decided
}

/// The right to play policies in Python, until it is dropped.
pub(crate) struct Alone;

impl Drop for Alone {
    fn drop(&mut self) {
        *PLAYS.lock().unwrap_or_else(PoisonError::into_inner) = false;
        ENDED.notify_one();
    }
}

/// Waits for the right to play policies; none is needed where there are none.
pub(crate) fn alone(py: Python<'_>) -> PyResult<Option<Alone>> {
    if DECIDES.get() {
        let message = "a policy decides what runs next; it cannot run a command meanwhile";
        return Err(exception(py, "PolicyError", message, None, None));
    }
    if !super::slots::any() {
        return Ok(None);
    }
    loop {
        let got = py.detach(|| {
            let plays = PLAYS.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = ENDED.wait_timeout_while(plays, Duration::from_millis(50), |plays| *plays);
            let (mut plays, _) = waited.unwrap_or_else(PoisonError::into_inner);
            !std::mem::replace(&mut *plays, true)
        });
        if got {
            begin();
            return Ok(Some(Alone));
        }
        py.check_signals()?;
    }
}
