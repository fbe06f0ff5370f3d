//! Users who wait for an answer, think, and ask again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::content::{Content, Ids, Origin, Turn};
use crate::request::{BlockIds, Request, RequestId};
use crate::time::{Span, Time};

use super::arrivals::{end_of, too_many_requests};
use super::recipe::Recipe;
use super::source::ids_cover;
use super::{
    Arrivals, Arriving, Limits, MAX_REQUESTS, Source, Warning, Workload, WorkloadError,
    WorkloadSpec, check_limits, trace_files,
};

/// What a request that ends at the instant of its arrival, a rejected one, costs its user: the
/// round trip of an error. Without it, a user with no think time would ask for ever at one instant.
const REJECTED_ROUND_TRIP: Span = Span::from_millis(1);

/// A source of requests that depends on the answers: `users` each send their next request
/// `think_time` after the last token of their answer.
///
/// All users send their first request at time 0, in user order; at one instant the lower user
/// comes first. `requests` bounds the total over all users; `duration` is when the last may arrive.
/// Random values are keyed by user and turn, so a user's turns are the same under every scheduler,
/// though their times differ. Pairs and rows of files are used in the order of arrival.
///
/// A clone of a fresh source plays the same game again: one serves every scheduler of a scenario.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    source: Rows,
    block_ids: Arc<Vec<u64>>,
    /// Where the content ids of each request taken stand, of a trace's those to come too; empty
    /// where there are none.
    blocks: Vec<BlockIds>,
    block_tokens: u32,
    ids_cover_answers: bool,
    /// The place of each row of a trace in its conversation; empty where there is none.
    places: Arc<[Turn]>,
    classes: Arc<[String]>,
    warnings: Arc<[Warning]>,
    think_time: Span,
    end: Time,
    /// Most requests in all.
    requests: u32,
    /// Whether only `duration` was to bound them.
    counted_by_us: bool,
    /// The next request of each user who is not waiting for an answer.
    thinking: BinaryHeap<Reverse<(Time, u32)>>,
    /// Turns that each user has taken.
    turns: Vec<u32>,
    /// User and arrival of each request taken.
    taken: Vec<(u32, Time)>,
}

/// Where the requests come from.
#[derive(Clone, Debug)]
enum Rows {
    Drawn(Box<Recipe>),
    Read(Arc<[Request]>),
}

impl ClosedLoop {
    /// A closed loop from a description that asks for one: synthetic, or over the rows of a trace.
    ///
    /// # Errors
    /// When the arrivals are not a closed loop, when nothing bounds them, and as
    /// [`draw`](super::draw).
    pub fn new(
        spec: &WorkloadSpec,
        seed: u64,
        limits: Limits,
    ) -> Result<ClosedLoop, WorkloadError> {
        check_limits(spec, limits)?;
        let Some(&Arrivals::ClosedLoop { users, think_time }) = spec.source.arrivals() else {
            return Err(WorkloadError::spec("arrivals", "not a closed loop"));
        };
        if users == 0 || users > MAX_REQUESTS {
            return Err(WorkloadError::spec(
                "arrivals.closed_loop.users",
                format!("expected 1 to {MAX_REQUESTS}, found {users}"),
            ));
        }
        let mut warnings = Vec::new();
        let mut requests = spec.amount.requests.unwrap_or(MAX_REQUESTS);
        let mut counted_by_us = spec.amount.requests.is_none();
        let (mut ids_cover_answers, mut places) = (false, Vec::new());
        let (source, block_ids, blocks, block_tokens, classes) = match &spec.source {
            Source::Synthetic { lengths, .. } => {
                if spec.amount.requests.is_none() && spec.amount.duration.is_none() {
                    return Err(WorkloadError::spec(
                        "requests",
                        "nothing says when the arrivals end",
                    )
                    .with_help("give `requests` or `duration`"));
                }
                let recipe = Recipe::new(spec, lengths, seed, limits, &mut warnings)?;
                let ids = match &recipe.prefixes {
                    Some(prefixes) => prefixes.block_ids.clone(),
                    None => Arc::default(),
                };
                let classes = recipe.classes.names.as_slice().into();
                (Rows::Drawn(Box::new(recipe)), ids, Vec::new(), limits.kv_block_tokens, classes)
            }
            Source::Sessions(_) => {
                return Err(WorkloadError::spec("sessions", "they are more than a closed loop"));
            }
            Source::Trace(trace) => {
                let mut workload = Workload::default();
                trace_files::read(trace, spec, seed, limits, &mut workload, &mut warnings)?;
                requests = requests.min(workload.requests.len() as u32);
                counted_by_us = false;
                ids_cover_answers = workload.ids_cover_answers;
                places = workload.turns;
                (
                    Rows::Read(workload.requests.into()),
                    workload.block_ids,
                    workload.blocks,
                    workload.block_tokens,
                    workload.classes.into(),
                )
            }
        };
        let end = end_of(spec.amount.duration);
        let first = (0..users).map(|user| Reverse((Time::ZERO, user)));
        Ok(ClosedLoop {
            source,
            block_ids,
            blocks,
            block_tokens,
            ids_cover_answers,
            places: places.into(),
            classes,
            warnings: warnings.into(),
            think_time,
            end,
            requests,
            counted_by_us,
            thinking: if end > Time::ZERO { first.collect() } else { BinaryHeap::new() },
            turns: vec![0; users as usize],
            taken: Vec::with_capacity(requests.min(1 << 20) as usize),
        })
    }

    /// What a user should know about the files that were read.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether the number of requests is known to be bounded, by more than time.
    pub fn is_bounded(&self) -> bool {
        !self.counted_by_us
    }

    /// Tokens that one content id stands for.
    #[cfg(any(test, feature = "internals"))]
    pub fn id_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// What is known of the tokens of a request taken.
    pub fn origin(&self, request: RequestId) -> Origin {
        let place = self.blocks.get(request.index()).copied().unwrap_or_default();
        let turn = self.places.get(request.index()).copied().unwrap_or_default();
        let prompt_tokens = match &self.source {
            Rows::Read(rows) => rows[request.index()].prompt_tokens,
            // Those of a drawn prefix lie in the prompt.
            Rows::Drawn(_) => u32::MAX,
        };
        let covers = ids_cover(place, self.block_tokens, prompt_tokens, self.ids_cover_answers);
        Origin {
            ids: Ids::of(&self.block_ids, place),
            covers,
            parent: turn.parent,
            own_is_met: turn.followed || covers > prompt_tokens,
        }
    }

    /// The most requests that it sends.
    pub fn requests_max(&self) -> u32 {
        self.requests
    }
}

impl Arriving for ClosedLoop {
    #[inline]
    fn next_arrival(&self) -> Option<Time> {
        if self.taken.len() >= self.requests as usize {
            return None;
        }
        self.thinking.peek().map(|Reverse((time, _))| *time)
    }

    fn take(&mut self) -> Request {
        assert!(self.taken.len() < self.requests as usize, "no request is due");
        let Reverse((arrival, user)) = self.thinking.pop().expect("no request is due");
        let turn = &mut self.turns[user as usize];
        let key = u64::from(user) << 32 | u64::from(*turn);
        *turn += 1;
        let request = match &mut self.source {
            Rows::Drawn(recipe) => {
                let request = recipe.request(key, arrival);
                self.blocks.extend(recipe.blocks(key, &request));
                request
            }
            Rows::Read(rows) => Request { arrival, ..rows[self.taken.len()] },
        };
        self.taken.push((user, arrival));
        request
    }

    fn finished(&mut self, request: RequestId, at: Time) {
        let (user, arrival) = self.taken[request.index()];
        let pause =
            if at == arrival { self.think_time.max(REJECTED_ROUND_TRIP) } else { self.think_time };
        // Past the end of time is past the end of any run.
        let Some(ns) = at.as_nanos().checked_add(pause.as_nanos()) else { return };
        let next = Time::from_nanos(ns);
        if next < self.end {
            self.thinking.push(Reverse((next, user)));
        }
    }

    fn check_complete(&self) -> Result<(), WorkloadError> {
        let cut = self.counted_by_us
            && self.taken.len() >= self.requests as usize
            && !self.thinking.is_empty();
        if cut { Err(too_many_requests()) } else { Ok(()) }
    }

    /// A user is a session.
    fn session(&self, request: RequestId) -> Option<u32> {
        self.taken.get(request.index()).map(|&(user, _)| user)
    }

    fn answers_bring_arrivals(&self) -> bool {
        true
    }

    fn content(&self, request: RequestId) -> Content {
        Content::of(request, self.block_tokens, |id| self.origin(id))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Amount, Dist, Lengths, MaxTokens, Shape};

    #[test]
    fn a_duration_that_brings_too_many_requests_is_an_error() {
        let one = || Dist { shape: Shape::Fixed(1), min: None, max: None };
        let spec = WorkloadSpec {
            source: Source::Synthetic {
                arrivals: Arrivals::ClosedLoop { users: 1, think_time: Span::ZERO },
                lengths: Lengths::Independent { prompt: one(), output: one() },
            },
            amount: Amount { requests: None, duration: Some(Span::from_millis(3)) },
            max_tokens: MaxTokens::Exact,
            classes: Vec::new(),
            prefix_groups: None,
        };
        let limits = Limits { max_model_len: 8, kv_block_tokens: 16 };
        for (most, complete) in [(2, false), (3, true), (4, true)] {
            let mut source = ClosedLoop::new(&spec, 1, limits).expect("a closed loop");
            source.requests = most;
            // Arrivals at 0, 1 and 2 ms: each answer takes a millisecond.
            while source.next_arrival().is_some() {
                let request = source.take();
                let end = request.arrival + Span::from_millis(1);
                source.finished(RequestId::at(source.taken.len() - 1), end);
            }
            assert_eq!(source.check_complete().is_ok(), complete, "{most}");
        }
    }
}
