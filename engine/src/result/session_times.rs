//! How many sessions are under way, and how many tokens of context they have, over time.

use rustc_hash::FxHashMap;

use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::Status;
use crate::workload::SessionTurn;

/// A change of a number over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// When.
    pub at: Time,
    /// By how much.
    pub by: i64,
}

/// Whether no turn comes after this one.
fn ends(turn: &SessionTurn, status: Status) -> bool {
    status.is_lost() || turn.is_last && status == Status::Completed
}

/// When a request left; `None` where it was there to the end.
fn left(outcome: &Outcome, place: usize, lasts: &[Time]) -> Option<Time> {
    let row = &outcome.trace.requests[place];
    match row.status {
        Status::Completed => Some(lasts[place]),
        Status::Unfinished => None,
        // One that was turned away left as it came.
        _ if lasts[place] == Time::NEVER => Some(row.arrival),
        _ => Some(lasts[place]),
    }
}

/// How the number of sessions under way changes, in order of time.
pub fn concurrent(outcome: &Outcome, turns: &[SessionTurn], lasts: &[Time]) -> Vec<Level> {
    let mut changes = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        let row = &outcome.trace.requests[place];
        if turn.turn == 0 && turn.before.is_none() {
            changes.push(Level { at: row.arrival, by: 1 });
        }
        if let Some(at) = left(outcome, place, lasts).filter(|_| ends(turn, row.status)) {
            changes.push(Level { at, by: -1 });
        }
    }
    sorted(changes)
}

/// How the tokens of context of sessions under way change, in order of time: a turn's prompt when it
/// arrives, with its answer when it has ended, nothing when the session has. Prefixes that sessions share
/// are not counted.
pub fn working_set(outcome: &Outcome, turns: &[SessionTurn], lasts: &[Time]) -> Vec<Level> {
    let mut changes = Vec::new();
    let shared = shared_at_head(turns);
    // By session: the tokens that it has.
    let mut context: FxHashMap<u32, i64> = FxHashMap::default();
    let mut events: Vec<(Time, bool, usize)> = Vec::with_capacity(2 * turns.len());
    for place in 0..turns.len() {
        events.push((outcome.trace.requests[place].arrival, true, place));
        events.extend(left(outcome, place, lasts).map(|at| (at, false, place)));
    }
    events.sort_unstable();
    for (at, arrives, place) in events {
        let (row, turn) = (&outcome.trace.requests[place], &turns[place]);
        let own = i64::from(row.prompt_tokens) - i64::from(shared[place].min(row.prompt_tokens));
        let now = match arrives {
            true => own,
            false if ends(turn, row.status) => 0,
            false => own + i64::from(row.tokens),
        };
        let before = context.insert(turn.session, now).unwrap_or(0);
        if now != before {
            changes.push(Level { at, by: now - before });
        }
        if now == 0 {
            context.remove(&turn.session);
        }
    }
    changes
}

/// Tokens of a shared prefix at the head of each turn's prompt.
pub(super) fn shared_at_head(turns: &[SessionTurn]) -> Vec<u32> {
    let mut shared = Vec::with_capacity(turns.len());
    for turn in turns {
        let of_before = turn.before.and_then(|before| shared.get(before.index()).copied());
        shared.push(match turn.inherits {
            0 => turn.prefix_tokens,
            inherits => of_before.unwrap_or(0).min(inherits),
        });
    }
    shared
}

fn sorted(mut changes: Vec<Level>) -> Vec<Level> {
    changes.sort_by_key(|change| change.at);
    changes
}
