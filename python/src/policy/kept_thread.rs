//! Python knows a thread by a state that it makes where the thread first calls it, and throws away when the
//! call is over. On the simulator's threads that would be at each decision, and would cost more than the
//! decision itself; so the state is kept for as long as a policy is played there.
#![allow(unsafe_code)]

use std::thread::ThreadId;

use pyo3::ffi::{PyGILState_Ensure, PyGILState_Release, PyGILState_STATE};
use pyo3::prelude::*;

/// Keeps the state of the thread that it was made on, until it is dropped there.
pub(super) struct KeptThread {
    owner: ThreadId,
    was: PyGILState_STATE,
}

impl KeptThread {
    /// Keeps this thread's state, if it does not yet.
    pub(super) fn renew(kept: &mut Option<KeptThread>) {
        let owner = std::thread::current().id();
        if kept.as_ref().is_none_or(|kept| kept.owner != owner) {
            // SAFETY: it only counts one user more of the state that `attach` has made or found.
            let was = Python::attach(|_| unsafe { PyGILState_Ensure() });
            *kept = Some(KeptThread { owner, was });
        }
    }
}

impl Drop for KeptThread {
    fn drop(&mut self) {
        // On another thread there is nothing to do: that one's state goes when Python ends.
        if std::thread::current().id() == self.owner {
            // SAFETY: it takes back, on its thread, what `renew` has counted; `attach` counts by itself.
            Python::attach(|_| unsafe { PyGILState_Release(self.was) });
        }
    }
}
