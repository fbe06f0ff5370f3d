//! Whether sessions began for so long that as many ended as began.
//!
//! A session may last minutes, with most of its turns long after its first. Where the last session begins
//! before the first ones end, fewer are under way than at that rate ever after, however high the rate: what
//! such a run holds says nothing of it. So the part of a run that is measured must have one session's length
//! at the least after the first sessions could have ended and before the last one began. Where a scenario draws
//! its sessions, more of them are played.

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::stays::{self, Stay};
use crate::metrics::Measure;
use crate::scenario::Experiment;
use crate::shown::duration;
use crate::sim::Outcome;

/// More requests than these are not played for sessions to settle, unless the scenario has them.
pub(super) const REQUESTS_MAX: f64 = 300_000.0;
/// So many lengths of a session are asked of what is measured where more are played: with the first one, in
/// which the system fills, as many as arrivals of requests should last. What is just too much shows late.
const ASKED: f64 = 4.0;
/// Most times as many sessions at once, and the least: how long they last is a guess where few are played.
const TIMES: (f64, f64) = (1.2, 50.0);

/// What was seen of the sessions of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settling {
    /// Sessions that began.
    pub begun: u32,
    /// Turns of one, on the average.
    pub turns: f64,
    /// From the first that began to the last, in seconds.
    pub starts_s: f64,
    /// From a session's first turn to its last token, on the average.
    pub stay_s: f64,
    /// How long as many ended as began, of what is measured: below 0 where that never came.
    pub measured_s: f64,
}

impl Settling {
    /// `None` where requests are no turns of sessions.
    pub(super) fn of(outcome: &Outcome, measure: Measure) -> Option<Settling> {
        let begun = outcome.turns.iter().map(|turn| turn.session + 1).max()?;
        let sessions = stays::of_sessions(outcome);
        let starts = || sessions.iter().map(|stay| stay.0);
        let (first, last) = (starts().reduce(f64::min)?, starts().reduce(f64::max)?);
        let length = |stay: &Stay| stay.1 - stay.0;
        let stay_s = sessions.iter().map(length).sum::<f64>() / sessions.len() as f64;
        let arrivals = outcome.trace.requests.iter().map(|row| row.arrival.as_secs_f64());
        let end = arrivals.fold(last, f64::max) - measure.skip_last.as_secs_f64();
        let from = first + stay_s.max(measure.skip_first.as_secs_f64());
        Some(Settling {
            begun,
            turns: outcome.turns.len() as f64 / f64::from(begun),
            starts_s: last - first,
            stay_s,
            measured_s: end.min(last) - from,
        })
    }

    /// Whether what is measured says how such a rate is served.
    pub fn settles(&self) -> bool {
        self.measured_s >= self.stay_s
    }

    /// Why not, in the form of a goal's terms.
    pub(super) fn told(&self) -> String {
        let (starts, stay) = (duration(self.starts_s), duration(self.stay_s));
        format!("steady_state = not reached: sessions begin for {starts} and one lasts {stay}")
    }

    /// How many must begin in all for it.
    fn needed(&self) -> u32 {
        let longer = self.starts_s + ASKED * self.stay_s - self.measured_s;
        let times = (longer / self.starts_s.max(1e-9)).clamp(TIMES.0, TIMES.1);
        let most = REQUESTS_MAX / self.turns.max(1.0);
        (f64::from(self.begun) * times).min(most).ceil() as u32
    }
}

/// The same with more sessions, where it is for want of them that nothing is known to be broken. A queue that
/// seems to grow may be a system that fills.
pub(super) fn longer(experiment: &Experiment, probe: &Probe) -> Option<Experiment> {
    let settling = probe.unsettled()?;
    if !probe.broken.is_empty() || probe.open.len() > 1 {
        return None;
    }
    let workload = &experiment.workload;
    // A file has no more of them.
    workload.source.sessions()?;
    // Something else may have ended them.
    let own = workload.amount.requests.filter(|own| settling.begun >= *own)?;
    let needed = settling.needed();
    (f64::from(needed) >= TIMES.0 * f64::from(own)).then(|| {
        let mut longer = experiment.clone();
        longer.workload.amount.requests = Some(needed);
        longer
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, LaneId};
    use crate::time::{Span, Time};
    use crate::trace::{RequestRow, Run, Status};
    use crate::workload::{GapKind, SessionTurn};

    /// A session a second, each with two turns `gap` apart that take a second; observed up to `end`.
    fn run(sessions: u64, gap: u64, end: u64) -> Outcome {
        let second = |at: u64| Time::from_nanos(at * 1_000_000_000);
        let mut outcome = Outcome::default();
        outcome.trace.end = second(end);
        let mut turns: Vec<(u64, u32, u64)> =
            (0..sessions).flat_map(|one| [(one, 0, one), (one + 1 + gap, 1, one)]).collect();
        turns.sort_unstable();
        for (at, turn, session) in turns.into_iter().filter(|(at, ..)| *at < end) {
            outcome.trace.requests.push(RequestRow {
                arrival: second(at),
                scheduled: second(at),
                first_token: second(at + 1),
                run: Run::EMPTY,
                prompt_tokens: 1,
                tokens: 1,
                hit_tokens: 0,
                preemptions: 0,
                lane: LaneId(0),
                class: ClassId(0),
                status: Status::Completed,
            });
            outcome.turns.push(SessionTurn {
                session: session as u32,
                turn,
                before: None,
                inherits: 0,
                prefix_tokens: 0,
                gap: Span::ZERO,
                kind: GapKind::User,
                is_last: turn == 1,
            });
        }
        outcome
    }

    #[test]
    fn what_is_measured_lies_between_the_first_ends_and_the_last_beginning() {
        let all = |sessions, gap| run(sessions, gap, 10_000);
        let measured = |outcome: &Outcome, first: u64, last: u64| {
            let [skip_first, skip_last] = [first, last].map(|s| Span::from_millis(s * 1_000));
            Settling::of(outcome, Measure { skip_first, skip_last }).expect("sessions")
        };
        // 101 of them begin in 100 s, and one lasts 1 + 18 + 1 s.
        let seen = measured(&all(101, 18), 0, 0);
        let expected =
            Settling { begun: 101, turns: 2.0, starts_s: 100.0, stay_s: 20.0, measured_s: 80.0 };
        assert_eq!(seen, expected);
        assert!(seen.settles());
        assert_eq!(measured(&all(101, 18), 30, 0).measured_s, 70.0);
        // The last turn comes 19 s after the last beginning.
        assert_eq!(measured(&all(101, 18), 0, 29).measured_s, 70.0);
        assert!(!measured(&all(101, 18), 81, 0).settles());
        assert!(measured(&all(101, 48), 0, 0).settles());
        assert!(!measured(&all(101, 49), 0, 0).settles());
        // Sessions that are not over when observation ends last until then.
        assert_eq!(measured(&run(101, 1_000, 101), 0, 0).stay_s, 51.0);
        assert_eq!(Settling::of(&Outcome::default(), Measure::default()), None);
    }

    #[test]
    fn as_many_are_played_as_it_takes() {
        // 300 sessions in 4 s that last 215 s each: nothing of it is steady.
        let seen =
            Settling { begun: 300, turns: 8.0, starts_s: 4.0, stay_s: 215.0, measured_s: -211.0 };
        assert!(!seen.settles());
        // 50 times as many at once, so that 200 s are seen; then five times 215 s.
        assert_eq!(seen.needed(), 15_000);
        let more = Settling { begun: 15_000, starts_s: 200.0, measured_s: -15.0, ..seen };
        assert_eq!(more.needed(), 37_500);
        let more = Settling { turns: 1.0, ..more };
        assert_eq!(more.needed(), (15_000.0_f64 * 1_075.0 / 200.0).ceil() as u32);
        let enough = Settling { starts_s: 537.5, measured_s: 322.5, ..more };
        assert!(enough.settles());
    }
}
