//! What engines said of themselves when the router last looked.

use crate::fleet::router::Report;
use crate::fleet::router::vllm_dp::EngineLoad;
use crate::time::{Span, Time};

/// Metrics that are read every so often: at one instant what is said then is not among them.
#[derive(Debug)]
pub(super) struct Metrics {
    interval: Span,
    seen: Vec<EngineLoad>,
    /// By place: what was said last, and when.
    last: Vec<(Time, EngineLoad)>,
}

impl Metrics {
    pub(super) fn new(interval: Span, engines: usize) -> Metrics {
        let none = EngineLoad::default();
        Metrics { interval, seen: vec![none; engines], last: vec![(Time::ZERO, none); engines] }
    }

    /// When the router last looked before `now`, or does then.
    fn looked(&self, now: Time) -> Time {
        let every = self.interval.as_nanos().max(1);
        Time::from_nanos(now.as_nanos() / every * every)
    }

    pub(super) fn hear(&mut self, place: usize, report: &Report) {
        let (at, load) = self.last[place];
        if at < self.looked(report.at) {
            self.seen[place] = load;
        }
        self.last[place] = (report.at, report.load);
    }

    /// By place: what the router knows at `now`.
    pub(super) fn seen(&mut self, now: Time) -> &[EngineLoad] {
        let looked = self.looked(now);
        for (seen, (at, load)) in self.seen.iter_mut().zip(&self.last) {
            if *at < looked {
                *seen = *load;
            }
        }
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ReplicaId;

    #[test]
    fn what_is_said_is_seen_at_the_next_look() {
        let mut metrics = Metrics::new(Span::from_millis(50), 1);
        let at = |ms| Time::ZERO + Span::from_millis(ms);
        let say = |metrics: &mut Metrics, ms, waiting| {
            let load = EngineLoad { waiting, running: 0, kv_use: 0.0 };
            metrics.hear(0, &Report { at: at(ms), replica: ReplicaId(0), load, step: None });
        };
        let seen = |metrics: &mut Metrics, ms| metrics.seen(at(ms))[0].waiting;
        say(&mut metrics, 10, 1);
        say(&mut metrics, 40, 2);
        assert_eq!([49, 50].map(|ms| seen(&mut metrics, ms)), [0, 2]);
        say(&mut metrics, 100, 3);
        assert_eq!([100, 149, 150].map(|ms| seen(&mut metrics, ms)), [2, 2, 3]);
        say(&mut metrics, 160, 4);
        say(&mut metrics, 210, 5);
        assert_eq!([249, 250].map(|ms| seen(&mut metrics, ms)), [4, 5]);
    }
}
