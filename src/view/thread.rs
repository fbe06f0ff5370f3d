//! Sessions as threads: the turns of each along the clock, and where their prompts came from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::LaneId;
use crate::request::RequestId;
use crate::result::{HitsBySource, KvFacts, fates};
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Status, last_tokens};
use crate::workload::GapKind;

/// A turn of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// The request that it is.
    pub request: RequestId,
    /// The lane that it first was in; see [`super::LaneView::lane`].
    #[serde(rename = "replica")]
    pub lane: LaneId,
    /// Its number in the session, from 1.
    pub turn: u32,
    /// Turns of one session that were there at once lie above each other: which of these lines, from 0.
    pub line: u32,
    /// When it was sent.
    pub arrival_us: u64,
    /// When its first token came; none where none did.
    pub first_us: Option<u64>,
    /// When it left, or observation ended.
    pub end_us: u64,
    /// Whether it was answered to its end.
    pub done: bool,
    /// Whether it was turned away, or lost.
    pub lost: bool,
    /// Who was waited for before it; none before the first.
    pub after: Option<&'static str>,
    /// Tokens of its prompt; 0 where it was never in a batch.
    pub prompt_tokens: u32,
    /// Those that were found, by where they had been said.
    pub hits: HitsBySource,
    /// Those that were computed although the session had said them before.
    pub again: u32,
    /// Those that were computed for the first time.
    pub computed: u32,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Thread {
    /// Its number.
    pub session: u32,
    /// Turns that it has had, in all of the run.
    pub turns_sent: u32,
    /// Lines that its turns take.
    pub lines: u32,
    /// Its turns in the time that is told of, in order of their arrival.
    pub turns: Vec<Turn>,
}

/// The sessions of a run.
pub struct Threads {
    sessions: BTreeMap<u32, Thread>,
}

impl Threads {
    /// Those of a run whose requests are turns of sessions; of any other none.
    pub fn of(outcome: &Outcome, kv: KvFacts) -> Threads {
        let trace = &outcome.trace;
        let turns = &outcome.turns[..trace.requests.len().min(outcome.turns.len())];
        let fates = fates(outcome, turns, kv.cached).of_turns;
        let lasts = last_tokens(trace);
        let us = |at: Time| at.as_nanos() / 1000;
        let known = |at: Time| (at != Time::NEVER).then(|| us(at));
        let mut sessions: BTreeMap<u32, Vec<Turn>> = BTreeMap::new();
        let rows = (0..).map(RequestId).zip(&trace.requests);
        for (((request, row), turn), (fate, &last)) in rows.zip(turns).zip(fates.iter().zip(&lasts))
        {
            let end = match row.status {
                Status::Unfinished => trace.end,
                _ if last == Time::NEVER => row.arrival,
                _ => last,
            };
            sessions.entry(turn.session).or_default().push(Turn {
                request,
                lane: row.lane,
                turn: turn.turn + 1,
                line: 0,
                arrival_us: us(row.arrival),
                first_us: known(row.first_token),
                end_us: us(end.max(row.arrival)),
                done: row.status == Status::Completed,
                lost: row.status.is_lost(),
                after: turn.before.map(|_| GapKind::name(turn.kind)),
                prompt_tokens: fate.asked,
                hits: fate.hits,
                again: fate.missed,
                computed: fate.asked - fate.found - fate.missed,
            });
        }
        let threads =
            sessions.into_iter().map(|(session, turns)| (session, thread(session, turns)));
        Threads { sessions: threads.collect() }
    }

    /// The sessions that were under way at some time between two, microseconds, by when they began.
    pub fn between(&self, from_us: u64, to_us: u64) -> Vec<u32> {
        let there = self.sessions.values().filter(|thread| {
            let begun = thread.turns.first().is_some_and(|turn| turn.arrival_us < to_us);
            begun && thread.turns.iter().any(|turn| turn.end_us >= from_us)
        });
        let mut there: Vec<&Thread> = there.collect();
        there.sort_by_key(|thread| thread.turns[0].arrival_us);
        there.into_iter().map(|thread| thread.session).collect()
    }

    /// The requests of a session.
    pub fn requests(&self, session: u32) -> impl Iterator<Item = RequestId> {
        self.sessions.get(&session).into_iter().flat_map(|one| &one.turns).map(|turn| turn.request)
    }

    /// A session with its turns between two times, and the one before and behind, so that what lies between
    /// them is known; without turns where the run has not had it.
    pub fn thread(&self, session: u32, from_us: u64, to_us: u64) -> Thread {
        let Some(thread) = self.sessions.get(&session) else {
            return Thread { session, turns_sent: 0, lines: 1, turns: Vec::new() };
        };
        let all = &thread.turns;
        let first = all.iter().position(|turn| turn.end_us >= from_us).unwrap_or(all.len());
        let last = all.iter().rposition(|turn| turn.arrival_us < to_us).map_or(0, |at| at + 1);
        let kept = first.saturating_sub(1)..(last + 1).min(all.len());
        let turns = all.get(kept).unwrap_or_default().to_vec();
        Thread { session, turns_sent: thread.turns_sent, lines: thread.lines, turns }
    }
}

/// Most lines of a session; of more the last holds all others.
const LINES_MAX: usize = 3;

fn thread(session: u32, mut turns: Vec<Turn>) -> Thread {
    turns.sort_by_key(|turn| (turn.arrival_us, turn.request));
    let mut ends: Vec<u64> = Vec::new();
    for turn in &mut turns {
        let free = ends.iter().position(|&end| end <= turn.arrival_us);
        let line = free.unwrap_or(ends.len()).min(LINES_MAX - 1);
        if line == ends.len() {
            ends.push(0);
        }
        ends[line] = ends[line].max(turn.end_us);
        turn.line = line as u32;
    }
    Thread { session, turns_sent: turns.len() as u32, lines: ends.len() as u32, turns }
}
