//! Memory: what a run takes at least, and what there is, asked before it starts. A machine that
//! runs out of memory ends the program without a word.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Requests, RunInput};
use crate::request::Request;
use crate::scenario::SchedulerRun;
use crate::trace::RequestRow;

/// A KV block that a prefix cache tracks, bytes.
pub(super) const CACHED_BLOCK: u64 = 32;
/// An iteration's tokens share one time, bytes.
const DECODE_STEP: u64 = size_of::<crate::time::Time>() as u64;

/// Bytes that a run of this scheduler takes at least, `cached_blocks` tracked by its prefix caches.
pub(super) fn least(input: RunInput<'_>, scheduler: &SchedulerRun, cached_blocks: u64) -> u64 {
    let rows = |count: u64| count * size_of::<RequestRow>() as u64;
    let requests = match input.requests {
        Requests::Open(workload) => {
            let drawn = &workload.requests;
            let tokens: u64 = drawn.iter().map(|r: &Request| u64::from(r.output_tokens)).sum();
            let longest = drawn.iter().map(|r| u64::from(r.output_tokens)).max().unwrap_or(0);
            // Each iteration brings a request one token, and a replica as many as it has seats.
            let iterations = seats(input, scheduler).map_or(0, |seats| tokens / seats.max(1));
            let kept = match input.experiment.horizon {
                None => iterations.max(longest) * DECODE_STEP,
                // Observation may end long before.
                Some(_) => 0,
            };
            rows(drawn.len() as u64) + kept
        }
        // Where only time bounds them, a [`Watch`] looks as they come.
        Requests::Closed(source) if source.is_bounded() => rows(source.requests_max().into()),
        Requests::Closed(_) => 0,
    };
    requests + cached_blocks * CACHED_BLOCK
}

/// The most requests that one replica serves at once, where the scheduler bounds them.
fn seats(input: RunInput<'_>, scheduler: &SchedulerRun) -> Option<u64> {
    let of_pool = |pool: crate::scenario::PoolView<'_>| {
        let seats =
            scheduler.config.facts(&pool.engine_info(&scheduler.config)).seats?.limit.most?;
        u64::from(seats).checked_mul(u64::from(pool.cost.stages()))
    };
    let each: Option<Vec<u64>> = input.experiment.fleet().into_iter().map(of_pool).collect();
    each?.into_iter().max()
}

/// Watches the memory of a run whose number of requests nobody knows beforehand.
pub(super) struct Watch {
    /// Requests and iterations at which it looks again.
    next: AtomicU64,
}

/// The first look; then again whenever there are a quarter more.
const FIRST_LOOK: u64 = 1 << 18;
/// Bytes of a request beside its row: its place, its user, what the metrics sort.
const BESIDE_A_ROW: u64 = 64;

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { next: AtomicU64::new(FIRST_LOOK) }
    }

    /// Whether there is room for more than so many, asked as they come.
    pub(super) fn has_room(&self, requests: u64, iterations: u64) -> bool {
        let all = requests.saturating_add(iterations);
        if all < self.next.load(Ordering::Relaxed) {
            return true;
        }
        self.next.store(all.saturating_add(all / 4), Ordering::Relaxed);
        available().is_none_or(|there| doubled(requests, iterations) <= there)
    }
}

/// Bytes for lists twice as long as those of so many, which are there until they are copied.
fn doubled(requests: u64, iterations: u64) -> u64 {
    let row = size_of::<RequestRow>() as u64 + BESIDE_A_ROW;
    (requests.saturating_mul(row))
        .saturating_add(iterations.saturating_mul(DECODE_STEP))
        .saturating_mul(2)
}

/// Bytes that this program can still have, where the system says.
pub(super) fn available() -> Option<u64> {
    [of_machine(), of_process(), of_group()].into_iter().flatten().min()
}

/// What there was when this was first asked, before any run took its part.
pub(super) fn available_at_first() -> Option<u64> {
    static FIRST: OnceLock<Option<u64>> = OnceLock::new();
    *FIRST.get_or_init(available)
}

/// Memory and swap that are free, or can be freed.
fn of_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(kilobytes(&text, "MemAvailable:")? + kilobytes(&text, "SwapFree:").unwrap_or(0))
}

/// What `ulimit -v` leaves.
fn of_process() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let most: u64 = line.split_whitespace().next()?.parse().ok()?;
    let taken = kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(most.saturating_sub(taken))
}

/// What the control group leaves, in a container.
fn of_group() -> Option<u64> {
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

/// The figure behind a name, of a file that counts in kilobytes, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// As people say it.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        let text = "MemTotal:   100 kB\nMemAvailable:    7 kB\n";
        assert_eq!(kilobytes(text, "MemAvailable:"), Some(7 * 1024));
        assert_eq!(kilobytes(text, "SwapFree:"), None);
    }

    #[test]
    fn a_watch_looks_where_there_are_a_quarter_more() {
        let watch = Watch::new();
        assert!(watch.has_room(FIRST_LOOK - 1, 0));
        assert_eq!(watch.next.load(Ordering::Relaxed), FIRST_LOOK);
        assert!(watch.has_room(1, FIRST_LOOK - 1));
        assert_eq!(watch.next.load(Ordering::Relaxed), FIRST_LOOK + FIRST_LOOK / 4);
        // No machine has so much.
        let room = watch.has_room(1 << 60, 0);
        assert_eq!(room, available().is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_what_it_has() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
