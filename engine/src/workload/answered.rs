//! Requests that depend on the answers: of a closed loop, or of sessions.

use crate::content::{Content, Origin};
use crate::request::{Request, RequestId};
use crate::time::Time;

use super::{
    Arriving, ClosedLoop, Limits, RecordedSessions, SessionTurn, Sessions, Source, Warning,
    WorkloadError, WorkloadSpec,
};

/// A source of requests that come as answers do. A clone of a fresh one plays the same game again:
/// one serves every scheduler of a scenario.
#[derive(Clone, Debug)]
pub enum Answered {
    /// Users who ask again.
    Users(Box<ClosedLoop>),
    /// Sessions of several turns.
    Sessions(Box<Sessions>),
    /// Sessions that were recorded.
    Recorded(Box<RecordedSessions>),
}

macro_rules! of_either {
    ($source:expr, $inner:ident => $do:expr) => {
        match $source {
            Answered::Users($inner) => $do,
            Answered::Sessions($inner) => $do,
            Answered::Recorded($inner) => $do,
        }
    };
}

impl Answered {
    /// The source of a description that [asks for one](Source::waits_for_answers).
    ///
    /// # Errors
    /// As [`ClosedLoop::new`] and [`Sessions::new`].
    pub fn new(spec: &WorkloadSpec, seed: u64, limits: Limits) -> Result<Answered, WorkloadError> {
        Ok(match &spec.source {
            Source::Sessions(_) => Answered::Sessions(Box::new(Sessions::new(spec, seed, limits)?)),
            Source::Trace(trace) if trace.by_answers => {
                Answered::Recorded(Box::new(RecordedSessions::new(spec, seed, limits)?))
            }
            _ => Answered::Users(Box::new(ClosedLoop::new(spec, seed, limits)?)),
        })
    }

    /// What a user should know of how they came to be.
    pub fn warnings(&self) -> &[Warning] {
        of_either!(self, source => source.warnings())
    }

    /// Whether the number of requests is known to be bounded, by more than time.
    pub fn is_bounded(&self) -> bool {
        match self {
            Answered::Users(source) => source.is_bounded(),
            Answered::Sessions(source) => source.is_bounded(),
            Answered::Recorded(_) => true,
        }
    }

    /// The most requests that it sends; of sessions that end early fewer.
    pub fn requests_max(&self) -> u32 {
        of_either!(self, source => source.requests_max())
    }

    /// What is known of the tokens of a request taken.
    pub fn origin(&self, request: RequestId) -> Origin {
        of_either!(self, source => source.origin(request))
    }

    /// Whether requests are turns of sessions that nobody knows the number of beforehand.
    pub fn has_turns(&self) -> bool {
        !matches!(self, Answered::Users(_))
    }

    /// When sessions begin, where they do so by themselves.
    pub fn starts(&self) -> &[Time] {
        match self {
            Answered::Users(_) => &[],
            Answered::Sessions(sessions) => sessions.starts(),
            Answered::Recorded(sessions) => sessions.starts(),
        }
    }

    /// Sessions that begin a second: as the description states it, or as they were recorded.
    pub fn sessions_per_s(&self) -> Option<f64> {
        let stated = self.sessions().and_then(Sessions::nominal_rate_per_s);
        let recorded = || {
            let (first, last) = (self.starts().first()?, self.starts().last()?);
            let span = last.since(*first).as_secs_f64();
            (span > 0.0).then(|| (self.starts().len() - 1) as f64 / span)
        };
        stated.or_else(recorded)
    }

    /// The sessions that are drawn, where they are.
    pub fn sessions(&self) -> Option<&Sessions> {
        match self {
            Answered::Sessions(sessions) => Some(sessions),
            Answered::Users(_) | Answered::Recorded(_) => None,
        }
    }
}

impl Arriving for Answered {
    #[inline]
    fn next_arrival(&self) -> Option<Time> {
        of_either!(self, source => source.next_arrival())
    }

    fn take(&mut self) -> Request {
        of_either!(self, source => source.take())
    }

    fn finished(&mut self, request: RequestId, at: Time) {
        of_either!(self, source => source.finished(request, at));
    }

    fn turned_away(&mut self, request: RequestId, at: Time) {
        of_either!(self, source => source.turned_away(request, at));
    }

    fn check_complete(&self) -> Result<(), WorkloadError> {
        of_either!(self, source => source.check_complete())
    }

    fn session(&self, request: RequestId) -> Option<u32> {
        of_either!(self, source => source.session(request))
    }

    fn answers_bring_arrivals(&self) -> bool {
        true
    }

    fn content(&self, request: RequestId) -> Content {
        of_either!(self, source => source.content(request))
    }

    fn number(&self, request: RequestId) -> RequestId {
        of_either!(self, source => source.number(request))
    }

    fn classes(&self) -> &[String] {
        of_either!(self, source => source.classes())
    }

    fn session_turns(&self) -> Vec<SessionTurn> {
        of_either!(self, source => source.session_turns())
    }
}
