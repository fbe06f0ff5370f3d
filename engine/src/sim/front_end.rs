//! What lies between a client and its engine: HTTP, tokenising, detokenising, and the queue of a front
//! end that serves one request after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Outcome;
use crate::content::Content;
use crate::request::{Request, RequestId};
use crate::time::{Span, Time};
use crate::workload::{Arriving, SessionTurn, WorkloadError};

/// Times of a front end. All zero: clients speak to the engine itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontEnd {
    /// From a client's sending to the engine's queue, of a request alone.
    pub before: Span,
    /// From the engine's token to the client.
    pub after: Span,
    /// Of `before`, what is served one request after the other.
    pub request: Span,
}

impl FrontEnd {
    /// Whether it takes no time.
    pub fn is_none(&self) -> bool {
        *self == FrontEnd::default()
    }
}

/// The requests of a fleet as its engines get them: behind front ends that serve one request after the
/// other each, the first free one the next request.
///
/// The engines' clock is the clients' less what a token takes to them, so that an engine's token has the
/// instant at which the client sees it; the time after the engine is spent before it. Each request
/// sees each of its instants as it would otherwise, and so do users who ask again when they are answered.
pub struct BehindFrontEnd<'a> {
    inner: Box<dyn Arriving + 'a>,
    front_end: FrontEnd,
    /// When each front end is free.
    free: BinaryHeap<Reverse<Time>>,
    /// Where all are known: the requests with the time at which the engine gets them.
    known: Option<Vec<Request>>,
    /// Requests taken so far.
    taken: usize,
    /// By request: when the client sent it.
    sent: Vec<Time>,
    /// By request: when the engine got it.
    entered: Vec<Time>,
}

impl<'a> BehindFrontEnd<'a> {
    /// Behind so many front ends, at least one.
    pub fn new(
        inner: Box<dyn Arriving + 'a>,
        front_end: FrontEnd,
        front_ends: u32,
    ) -> BehindFrontEnd<'a> {
        let free = (0..front_ends.max(1)).map(|_| Reverse(Time::ZERO)).collect();
        let (sent, entered) = (Vec::new(), Vec::new());
        let mut behind =
            BehindFrontEnd { inner, front_end, free, known: None, taken: 0, sent, entered };
        let known = behind.inner.known().map(<[Request]>::to_vec);
        behind.known = known.map(|mut requests| {
            for request in &mut requests {
                request.arrival = behind.serve(request.arrival);
            }
            requests
        });
        behind
    }

    /// When a request sent at `sent` reaches the engine, if it is the next.
    fn entry(&self, sent: Time) -> Time {
        let free = self.free.peek().map_or(Time::ZERO, |&Reverse(free)| free);
        sent.max(free) + self.front_end.before + self.front_end.after
    }

    /// Serves the next request.
    fn serve(&mut self, sent: Time) -> Time {
        let entry = self.entry(sent);
        let Reverse(free) = self.free.pop().unwrap_or_default();
        self.free.push(Reverse(sent.max(free) + self.front_end.request));
        self.sent.push(sent);
        self.entered.push(entry);
        entry
    }

    /// Puts back into an outcome when clients sent their requests.
    pub fn put_back(mut self, outcome: &mut Outcome) {
        for (row, &sent) in outcome.trace.requests.iter_mut().zip(&self.sent) {
            row.arrival = sent;
        }
        self.entered.truncate(outcome.trace.requests.len());
        outcome.entered = self.entered;
        outcome.trace.way_back = self.front_end.after;
    }
}

impl Arriving for BehindFrontEnd<'_> {
    fn known(&self) -> Option<&[Request]> {
        self.known.as_deref()
    }

    fn next_arrival(&self) -> Option<Time> {
        let sent = self.inner.next_arrival()?;
        match &self.known {
            // Served already, in order: the one that is next within.
            Some(known) => known.get(self.taken).map(|request| request.arrival),
            None => Some(self.entry(sent)),
        }
    }

    fn take(&mut self) -> Request {
        let place = self.taken;
        let request = self.inner.take();
        self.taken += 1;
        let arrival = match &self.known {
            Some(known) => known[place].arrival,
            None => self.serve(request.arrival),
        };
        Request { arrival, ..request }
    }

    fn finished(&mut self, request: RequestId, at: Time) {
        self.inner.finished(request, at);
    }

    fn turned_away(&mut self, request: RequestId, at: Time) {
        self.inner.turned_away(request, at);
    }

    fn number(&self, request: RequestId) -> RequestId {
        self.inner.number(request)
    }

    fn session_turns(&self) -> Vec<SessionTurn> {
        self.inner.session_turns()
    }

    fn check_complete(&self) -> Result<(), WorkloadError> {
        self.inner.check_complete()
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        self.inner.session(request)
    }

    fn answers_bring_arrivals(&self) -> bool {
        self.inner.answers_bring_arrivals()
    }

    fn content(&self, request: RequestId) -> Content {
        self.inner.content(request)
    }

    fn classes(&self) -> &[String] {
        self.inner.classes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClassId;
    use crate::workload::Workload;

    #[test]
    fn a_burst_queues_for_the_front_end_and_a_request_alone_does_not() {
        let ms = |ms: u64| Time::ZERO + Span::from_millis(ms);
        let request = |arrival| Request {
            arrival,
            prompt_tokens: 5,
            output_tokens: 2,
            max_tokens: 2,
            priority: 0,
            class: ClassId(0),
        };
        let workload = Workload {
            requests: [0, 0, 0, 50].map(|at| request(ms(at))).to_vec(),
            block_ids: Vec::new().into(),
            blocks: Vec::new(),
            block_tokens: 16,
            classes: vec![String::new()],
            names_classes: false,
            nominal_rate_per_s: None,
            ids_cover_answers: false,
            turns: Vec::new(),
            sessions: Vec::new(),
        };
        let span = Span::from_millis;
        let front_end = FrontEnd { before: span(3), after: span(1), request: span(2) };
        let entries = |front_ends| {
            let inner = Box::new(workload.arriving());
            let mut behind = BehindFrontEnd::new(inner, front_end, front_ends);
            let known: Vec<Time> =
                behind.known().expect("open").iter().map(|r| r.arrival).collect();
            let taken: Vec<Time> = (0..4)
                .map(|_| {
                    let next = behind.next_arrival();
                    let request = behind.take();
                    assert_eq!(Some(request.arrival), next);
                    request.arrival
                })
                .collect();
            assert_eq!((known, behind.next_arrival()), (taken.clone(), None));
            taken
        };
        assert_eq!(entries(1), [4, 6, 8, 54].map(ms));
        assert_eq!(entries(2), [4, 4, 6, 54].map(ms));
    }
}
