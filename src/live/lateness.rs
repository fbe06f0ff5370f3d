//! How late things were done: a histogram that many threads add to, exact to 3 %.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps of each power of two.
const STEPS: u64 = 32;
const BUCKETS: usize = 64 * STEPS as usize;

/// Latenesses so far.
#[derive(Debug)]
pub struct Lateness {
    buckets: Box<[AtomicU64]>,
    max_ns: AtomicU64,
}

impl Default for Lateness {
    fn default() -> Lateness {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Lateness { buckets, max_ns: AtomicU64::new(0) }
    }
}

impl Lateness {
    /// One more.
    pub fn add(&self, late: Duration) {
        let ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// How many are above `limit`, as far as buckets tell.
    pub fn above(&self, limit: Duration) -> u64 {
        let first = bucket(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)) + 1;
        self.buckets[first..].iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The `q`-quantile, rounded up to its bucket's end; zero where there are none.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            below += bucket.load(Ordering::Relaxed);
            if below >= rank {
                return Duration::from_nanos(end_of(index)).min(self.max());
            }
        }
        Duration::ZERO
    }

    /// The largest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns.load(Ordering::Relaxed))
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let power = u64::from(ns.ilog2());
    let step = (ns >> (power - 5)) - STEPS;
    ((power - 4) * STEPS + step) as usize
}

/// The largest lateness of a bucket, ns.
fn end_of(index: usize) -> u64 {
    let (row, step) = (index as u64 / STEPS, index as u64 % STEPS);
    match row {
        0 => step,
        _ => ((STEPS + step + 1) << (row - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_belongs_to_them() {
        for ns in (0..2000).chain([12_345, 1_000_000, 987_654_321, 1 << 40]) {
            let index = bucket(ns);
            assert!(ns <= end_of(index), "{ns}");
            assert!(index == 0 || ns > end_of(index - 1), "{ns}");
            assert!(end_of(index) <= ns + ns / 31 + 1, "{ns}: within 3 %");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let lateness = Lateness::default();
        (1..=1000).for_each(|us| lateness.add(Duration::from_micros(us)));
        let p99 = lateness.quantile(0.99);
        assert!(p99 >= Duration::from_micros(990) && p99 <= Duration::from_micros(1000), "{p99:?}");
        assert_eq!((lateness.count(), lateness.max()), (1000, Duration::from_micros(1000)));
        assert_eq!(Lateness::default().quantile(0.99), Duration::ZERO);
    }
}
