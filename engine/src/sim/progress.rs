//! What replicas on clocks of their own have done together so far, for whoever watches a run.

use std::sync::atomic::{AtomicU64, Ordering};

use super::SimOptions;

/// Requests that have come to their end, and iterations, summed over replicas.
#[derive(Debug, Default)]
pub(super) struct Done {
    requests: AtomicU64,
    iterations: AtomicU64,
}

/// What one replica last said.
#[derive(Debug, Default)]
struct Said {
    requests: AtomicU64,
    iterations: AtomicU64,
}

impl Done {
    /// A report for one more replica: tells `options.progress` the sums.
    pub(super) fn reporter<'d>(
        &'d self,
        options: &SimOptions<'d>,
    ) -> impl Fn(u64, u64) -> bool + Sync + use<'d> {
        let progress = options.progress;
        let said = Said::default();
        move |requests, iterations| {
            let requests = sum(&self.requests, &said.requests, requests);
            let iterations = sum(&self.iterations, &said.iterations, iterations);
            progress.is_none_or(|progress| progress(requests, iterations))
        }
    }
}

/// The sum of all, where one has moved from what it last said to `now`.
fn sum(of_all: &AtomicU64, before: &AtomicU64, now: u64) -> u64 {
    let more = now - before.swap(now, Ordering::Relaxed);
    of_all.fetch_add(more, Ordering::Relaxed) + more
}
