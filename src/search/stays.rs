//! From when to when requests, and the sessions whose turns they are, were in the system.

use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{RequestRow, Status, TokenTrace};

/// From when to when, in seconds.
pub(super) type Stay = (f64, f64);

/// Of each request that was let in.
pub(super) fn of_requests(trace: &TokenTrace) -> Vec<Stay> {
    let rows = trace.requests.iter().filter(|row| row.status != Status::Rejected);
    rows.map(|row| (row.arrival.as_secs_f64(), left(trace, row).as_secs_f64())).collect()
}

/// Of each session of which a turn was let in, from its first turn to the last token of its last one; none
/// where requests belong to no session.
pub(super) fn of_sessions(outcome: &Outcome) -> Vec<Stay> {
    let trace = &outcome.trace;
    let mut found: Vec<Option<(Time, Time, bool)>> = Vec::new();
    for (row, turn) in trace.requests.iter().zip(&outcome.turns) {
        let place = turn.session as usize;
        if found.len() <= place {
            found.resize(place + 1, None);
        }
        let rejected = row.status == Status::Rejected;
        let end = if rejected { row.arrival } else { left(trace, row) };
        let (from, to, over) = found[place].get_or_insert((row.arrival, end, false));
        (*from, *to) = ((*from).min(row.arrival), (*to).max(end));
        // It ends with a turn that is turned away, too.
        *over |= turn.is_last || rejected;
    }
    let stay = |(from, to, over): (Time, Time, bool)| {
        // Observation may end between two turns.
        let to = if over { to } else { to.max(trace.end) };
        (from.as_secs_f64(), to.as_secs_f64())
    };
    let let_in = |one: &(Time, Time, bool)| one.0 < one.1;
    found.into_iter().flatten().filter(let_in).map(stay).collect()
}

/// When a request that was let in left.
fn left(trace: &TokenTrace, row: &RequestRow) -> Time {
    let end = match row.status {
        Status::Completed => {
            let run = trace.runs(row).last();
            let last = run.and_then(|run| trace.times(run).last().copied());
            last.unwrap_or(row.first_token)
        }
        _ => trace.end.max(row.arrival),
    };
    debug_assert_ne!(end, Time::NEVER, "what is complete has a token");
    end
}
