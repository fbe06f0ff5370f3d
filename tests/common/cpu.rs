//! CPU time, for bounds on work: unlike the clock's it does not grow where a machine is busy.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What this thread has used since it began.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a clock").into()
}
