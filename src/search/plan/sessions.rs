//! Sessions of several turns as a load: what one is where every answer comes as promised, and how many are
//! played.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::file::PlanSession;
use crate::promise::TtftDeadline;
use crate::request::{Request, RequestId};
use crate::runner::Requests;
use crate::scenario::Experiment;
use crate::search::probe::SearchError;
use crate::search::settled::REQUESTS_MAX;
use crate::time::{Span, Time};
use crate::workload::{Amount, Arrivals, SessionTurn, Source, WorkloadSpec};

/// Sessions that are looked at.
const SAMPLE: u32 = 400;
/// Sessions begin for so many times as long as one lasts.
const STAYS: f64 = 3.0;
/// Requests of a run: the worst percent of the fewest is twenty.
const REQUESTS: (f64, f64) = (2_000.0, REQUESTS_MAX);

/// Sessions where every answer comes as promised, however many there are.
pub(super) struct Pace {
    /// Of one, on the average.
    pub mean: PlanSession,
    /// Requests, and the tokens with which each begins and that were said or shared before: to see how much
    /// work they are.
    pub requests: Vec<(Request, u32)>,
}

/// How many sessions of flags are played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Played {
    /// So many begin.
    pub count: u32,
    /// What comes before is left out: the system fills first.
    pub skip_first: Span,
    /// Whether they begin for as long as it takes until as many end as begin.
    pub settles: bool,
}

impl Pace {
    /// The pace of a scenario's sessions; `None` where its requests belong to none.
    ///
    /// # Errors
    /// When the sessions cannot be drawn or read.
    pub(super) fn of(experiment: &Experiment) -> Result<Option<Pace>, SearchError> {
        if !experiment.workload.source.has_turns() {
            return Ok(None);
        }
        let mut ideal = experiment.clone();
        begin_by(&mut ideal.workload, Arrivals::AllAtOnce);
        let most = experiment.workload.amount.requests.unwrap_or(SAMPLE);
        let drawn = ideal.workload.source.sessions().is_some();
        let count = if drawn { SAMPLE } else { most.min(SAMPLE) };
        ideal.workload.amount = Amount { requests: Some(count), duration: None };
        let (requests, _) = Requests::of(&ideal)?;
        let slo = &experiment.promises.common;
        let first = match slo.ttft {
            TtftDeadline::Fixed(due) => due,
            TtftDeadline::PrefillCurvePlus { slack, .. } => slack,
        };
        let answer = |tokens: u32| {
            let gaps = u64::from(tokens.saturating_sub(1)) * slo.tbt.as_nanos();
            Span::from_nanos(first.as_nanos() + gaps)
        };
        let mut source = requests.arriving();
        let mut out: BinaryHeap<Reverse<(Time, RequestId)>> = BinaryHeap::new();
        let mut asked = Vec::new();
        let mut ended: Vec<Time> = Vec::new();
        loop {
            let (next, end) = (source.next_arrival(), out.peek().map(|Reverse((at, _))| *at));
            match (next, end) {
                (None, None) => break,
                (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                    let request = source.take();
                    let end = arrival + answer(request.output_tokens);
                    out.push(Reverse((end, RequestId::at(asked.len()))));
                    asked.push(request);
                    ended.push(end);
                }
                _ => {
                    let Some(Reverse((at, id))) = out.pop() else { break };
                    source.finished(id, at);
                }
            }
        }
        let turns = source.session_turns();
        let mut whole: Vec<Option<(Time, Time)>> = Vec::new();
        for ((request, turn), &end) in asked.iter().zip(&turns).zip(&ended) {
            let place = turn.session as usize;
            if whole.len() <= place {
                whole.resize(place + 1, None);
            }
            let of = whole[place].get_or_insert((request.arrival, end));
            of.1 = of.1.max(end);
        }
        let whole: Vec<(Time, Time)> = whole.into_iter().flatten().collect();
        let sessions = whole.len().max(1) as f64;
        let stay: f64 = whole.iter().map(|(from, to)| to.since(*from).as_secs_f64()).sum();
        let tokens: f64 = asked.iter().map(|request| f64::from(request.output_tokens)).sum();
        let mean = PlanSession {
            turns: asked.len() as f64 / sessions,
            output_tokens: tokens / sessions,
            stay_s: stay / sessions,
        };
        let said = |turn: &SessionTurn| turn.inherits.max(turn.prefix_tokens);
        let requests = asked.into_iter().zip(turns.iter().map(said)).collect();
        Ok(Some(Pace { mean, requests }))
    }

    /// How many sessions are played where so many begin a second, or users have one each.
    pub(super) fn played(&self, rate: Option<f64>, users: Option<u32>) -> Played {
        let of = |requests: f64| requests / self.mean.turns.max(1.0);
        let most = of(REQUESTS.1).max(1.0);
        let wanted = match users {
            Some(users) => STAYS * f64::from(users),
            None => STAYS * self.mean.stay_s * rate.unwrap_or(1.0),
        };
        // Each user has one session at the least.
        let least = users.map_or(1.0, f64::from);
        let count = wanted.max(of(REQUESTS.0)).min(most).max(least).ceil();
        let lasts_s = match (rate, users) {
            (Some(rate), None) => count / rate,
            _ => self.mean.stay_s * count / least,
        };
        Played {
            count: count as u32,
            skip_first: Span::from_millis((self.mean.stay_s.min(lasts_s / 2.0) * 1e3) as u64),
            settles: lasts_s >= (STAYS - 1.0) * self.mean.stay_s,
        }
    }
}

/// Makes sessions begin in another way.
pub(super) fn begin_by(workload: &mut WorkloadSpec, arrivals: Arrivals) {
    match &mut workload.source {
        Source::Sessions(sessions) => sessions.arrivals = arrivals,
        Source::Trace(trace) => trace.arrivals = Some(arrivals),
        Source::Synthetic { .. } => {}
    }
}

/// One session after the other, as many as have about so many requests.
pub(super) fn alone(experiment: &Experiment, turns: f64, requests: usize) -> Experiment {
    let mut one = experiment.clone();
    begin_by(&mut one.workload, Arrivals::ClosedLoop { users: 1, think_time: Span::ZERO });
    let count = (requests as f64 / turns.max(1.0)).ceil().clamp(4.0, requests as f64);
    let own = experiment.workload.amount.requests.unwrap_or(u32::MAX);
    one.workload.amount = Amount { requests: Some(own.min(count as u32)), duration: None };
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        let mean = PlanSession { turns: 10.0, output_tokens: 100.0, stay_s: 200.0 };
        Pace { mean, requests: Vec::new() }
    }

    #[test]
    fn sessions_begin_until_as_many_end() {
        // 2 a second, for three stays of 200 s.
        let played = pace().played(Some(2.0), None);
        let stay = Span::from_millis(200_000);
        assert_eq!(played, Played { count: 1200, skip_first: stay, settles: true });
        // Few of them: 2,000 requests all the same.
        assert_eq!(pace().played(Some(0.01), None).count, 200);
        // So many that a run of three stays would be too long.
        let many = pace().played(Some(100.0), None);
        assert_eq!((many.count, many.settles), (30_000, false));
        assert_eq!(many.skip_first, Span::from_millis(150_000));
    }

    #[test]
    fn users_have_three_sessions_each() {
        let played = pace().played(None, Some(500));
        let stay = Span::from_millis(200_000);
        assert_eq!(played, Played { count: 1500, skip_first: stay, settles: true });
        let many = pace().played(None, Some(20_000));
        assert_eq!((many.count, many.settles), (30_000, false));
    }
}
