//! What is to happen, and in which order: the one place that says it.
//!
//! At one instant the order is that of [`What`]: all steps end that end then (tokens, finishes,
//! blocks freed), stages become free, transfers begin and end, arrivals enter, controllers are asked; then those that were woken by any of it
//! decide, in the order of their numbers. Events of one kind at one instant go by number too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::{ControllerId, ReplicaId};
use crate::time::Time;

/// A kind of event and whom it concerns. The order of the variants is the order at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A step of this server is over.
    StepEnds(ReplicaId),
    /// Stage 0 of this server's pipeline is free, before the step that left it is over.
    StageFree(ReplicaId),
    /// A transfer sets out or is over, or blocks were held for one long enough.
    Transfers,
    /// The next request arrives.
    Arrives,
    /// A controller of the fleet is asked.
    Tick(ControllerId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Time,
    what: What,
}

/// What stands for an event where none is to come.
const NONE: Event = Event { at: Time::NEVER, what: What::Arrives };

/// What can touch a server from outside, so that it may run ahead until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Anything: every step is an event. The slow path.
    Anything,
    /// Arrivals, which are known beforehand.
    Arrivals,
    /// Arrivals, which the end of an answer elsewhere may bring.
    Answers,
}

/// The events to come, without arrivals: whoever asks names the next of those.
#[derive(Debug)]
pub(super) struct Calendar {
    /// The earliest, or [`NONE`]. One server has no other, and most runs have one server.
    first: Event,
    /// The others.
    rest: BinaryHeap<Reverse<Event>>,
    /// When a controller is to be asked next, and the times of all of them.
    tick: Time,
    ticks: BinaryHeap<Reverse<(Time, ControllerId)>>,
    /// When something is due of transfers.
    transfers: Time,
    now: Time,
    /// Servers that are to decide now; while they do, the next one last.
    awake: Vec<ReplicaId>,
    touch: Touch,
}

impl Calendar {
    pub(super) fn new(touch: Touch) -> Calendar {
        Calendar {
            first: NONE,
            rest: BinaryHeap::new(),
            tick: Time::NEVER,
            ticks: BinaryHeap::new(),
            transfers: Time::NEVER,
            now: Time::ZERO,
            awake: Vec::new(),
            touch,
        }
    }

    /// What can touch a server from now on.
    pub(super) fn touch(&mut self, touch: Touch) {
        self.touch = touch;
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// When the next event is, where `arrival` is the next arrival; `None` when nothing is to come. An
    /// arrival can lie in the past only where an answer's tokens came before its step's end: it
    /// enters now.
    #[inline]
    pub(super) fn next(&self, arrival: Option<Time>) -> Option<Time> {
        let arrival = arrival.map_or(Time::NEVER, |at| at.max(self.now));
        let next = self.first.at.min(arrival).min(self.transfers);
        (next != Time::NEVER).then(|| next.min(self.tick))
    }

    /// Time moves on.
    pub(super) fn turn_to(&mut self, now: Time) {
        debug_assert!(now >= self.now, "time moves forward");
        self.now = now;
    }

    #[inline]
    pub(super) fn add(&mut self, at: Time, what: What) {
        debug_assert!(at > self.now, "what is added lies ahead");
        let event = Event { at, what };
        let later = event.max(self.first);
        self.first = event.min(self.first);
        if later != NONE {
            self.rest.push(Reverse(later));
        }
    }

    /// The only event to come is later.
    pub(super) fn put_off(&mut self, what: What, at: Time) {
        debug_assert!(self.first.what == what && self.first.at < at && self.rest.is_empty());
        self.first = Event { at, what };
    }

    /// Something is due of transfers then, and not before; [`Time::NEVER`] where nothing is.
    pub(super) fn transfers_due(&mut self, at: Time) {
        self.transfers = at;
    }

    /// A controller is to be asked then. That alone is nothing to come: a run ends when nothing else
    /// is.
    pub(super) fn ask(&mut self, controller: ControllerId, at: Time) {
        self.ticks.push(Reverse((at, controller)));
        self.tick = self.tick.min(at);
    }

    /// Takes what is due next at this instant. An arrival is not taken: whoever asks lets it in.
    #[inline]
    pub(super) fn due(&mut self, arrival: Option<Time>) -> Option<What> {
        if self.first.at <= self.now {
            let next = self.rest.pop().map_or(NONE, |Reverse(event)| event);
            return Some(std::mem::replace(&mut self.first, next).what);
        }
        if self.transfers <= self.now {
            self.transfers = Time::NEVER;
            return Some(What::Transfers);
        }
        if arrival.is_some_and(|at| at <= self.now) {
            return Some(What::Arrives);
        }
        if self.tick <= self.now { self.due_tick() } else { None }
    }

    #[cold]
    fn due_tick(&mut self) -> Option<What> {
        let Reverse((_, controller)) = self.ticks.pop()?;
        self.tick = self.ticks.peek().map_or(Time::NEVER, |Reverse((at, _))| *at);
        Some(What::Tick(controller))
    }

    /// This server has something to decide now.
    #[inline]
    pub(super) fn wake(&mut self, server: ReplicaId) {
        self.awake.push(server);
    }

    /// Whether somebody has something to decide now.
    pub(super) fn is_anybody_awake(&self) -> bool {
        !self.awake.is_empty()
    }

    /// Nothing more is due: puts those that were woken in the order in which they decide.
    #[inline]
    pub(super) fn order_awake(&mut self) {
        if self.awake.len() > 1 {
            self.awake.sort_unstable_by_key(|&server| Reverse(server));
            self.awake.dedup();
        }
    }

    /// The next that decides now.
    #[inline]
    pub(super) fn decides(&mut self) -> Option<ReplicaId> {
        self.awake.pop()
    }

    /// Until when the server that decides now may run ahead on its own: the earliest event that can
    /// touch it. An arrival can, wherever it will be sent, and so can a controller. Where answers bring arrivals, so can any
    /// event of another server, and what those that decide after it will begin.
    #[inline]
    pub(super) fn lookahead(&self, arrival: Option<Time>) -> Time {
        let arrival = arrival.unwrap_or(Time::NEVER).min(self.tick).min(self.transfers);
        match self.touch {
            Touch::Anything => Time::ZERO,
            Touch::Arrivals => arrival,
            Touch::Answers if !self.awake.is_empty() => arrival.min(self.now),
            Touch::Answers => arrival.min(self.first.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn one_instant_has_one_order() {
        let mut calendar = Calendar::new(Touch::Arrivals);
        for (when, what) in [
            (7, What::StageFree(ReplicaId(0))),
            (7, What::StepEnds(ReplicaId(2))),
            (9, What::StepEnds(ReplicaId(0))),
            (7, What::StepEnds(ReplicaId(1))),
        ] {
            calendar.add(at(when), what);
        }
        // An arrival of the past enters after the steps that end now.
        assert_eq!(calendar.next(Some(at(8))), Some(at(7)));
        calendar.turn_to(at(7));
        let arrival = Some(at(3));
        let due: Vec<What> = (0..4).map_while(|_| calendar.due(arrival)).collect();
        assert_eq!(
            due,
            [
                What::StepEnds(ReplicaId(1)),
                What::StepEnds(ReplicaId(2)),
                What::StageFree(ReplicaId(0)),
                What::Arrives
            ]
        );
        assert_eq!(calendar.due(Some(at(8))), None);
        [2, 0, 2].map(ReplicaId).into_iter().for_each(|server| calendar.wake(server));
        calendar.order_awake();
        assert_eq!(
            [(); 3].map(|()| calendar.decides()),
            [Some(ReplicaId(0)), Some(ReplicaId(2)), None]
        );
    }

    #[test]
    fn controllers_are_asked_last_and_keep_no_run_alive() {
        let mut calendar = Calendar::new(Touch::Arrivals);
        calendar.ask(ControllerId(1), at(4));
        calendar.ask(ControllerId(0), at(7));
        assert_eq!(calendar.next(None), None);
        calendar.add(at(7), What::StepEnds(ReplicaId(3)));
        assert_eq!((calendar.next(None), calendar.lookahead(Some(at(9)))), (Some(at(4)), at(4)));
        let due = |calendar: &mut Calendar, now| {
            calendar.turn_to(at(now));
            let arrival = Some(at(7)).filter(|_| now == 7);
            (0..3).map_while(|_| calendar.due(arrival)).collect::<Vec<_>>()
        };
        assert_eq!(due(&mut calendar, 4), [What::Tick(ControllerId(1))]);
        let last = due(&mut calendar, 7);
        assert_eq!(last, [What::StepEnds(ReplicaId(3)), What::Arrives, What::Arrives]);
        assert_eq!(calendar.lookahead(None), at(7));
    }

    #[test]
    fn transfers_come_between_steps_and_arrivals_and_keep_a_run_alive() {
        let mut calendar = Calendar::new(Touch::Answers);
        calendar.transfers_due(at(7));
        assert_eq!((calendar.next(None), calendar.lookahead(None)), (Some(at(7)), at(7)));
        calendar.add(at(7), What::StepEnds(ReplicaId(0)));
        calendar.turn_to(at(7));
        let mut arrivals = 1;
        let mut due = Vec::new();
        while let Some(what) = calendar.due((arrivals > 0).then_some(at(7))) {
            arrivals -= i32::from(what == What::Arrives);
            due.push(what);
        }
        assert_eq!(due, [What::StepEnds(ReplicaId(0)), What::Transfers, What::Arrives]);
        assert_eq!(calendar.next(None), None);
    }

    #[test]
    fn a_server_runs_ahead_until_something_can_touch_it() {
        let lookahead = |touch, others: bool| {
            let mut calendar = Calendar::new(touch);
            calendar.add(at(5), What::StepEnds(ReplicaId(1)));
            calendar.turn_to(at(2));
            if others {
                calendar.wake(ReplicaId(2));
            }
            (calendar.lookahead(Some(at(9))), calendar.lookahead(None))
        };
        assert_eq!(lookahead(Touch::Anything, false), (Time::ZERO, Time::ZERO));
        assert_eq!(lookahead(Touch::Arrivals, true), (at(9), Time::NEVER));
        assert_eq!(lookahead(Touch::Answers, false), (at(5), at(5)));
        assert_eq!(lookahead(Touch::Answers, true), (at(2), at(2)));
    }
}
