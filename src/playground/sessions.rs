//! Sessions as threads, under every scheduler that is shown.

use std::collections::BTreeSet;

use serde::Serialize;

use super::loaded::Loaded;
use super::readers::{Fared, stretch_of_time};
use super::{Allowance, Problems};
use crate::order;
use crate::request::RequestId;
use crate::runner::kv_facts;
use crate::view::{Thread, Threads};

/// Most sessions of one answer.
const SESSIONS_MAX: usize = 60;

/// The answer to `sessions`.
#[derive(Serialize)]
pub(super) struct SessionsTold {
    /// Sessions that were under way under any scheduler.
    there: usize,
    /// For each scheduler shown the same sessions, in the same order: all that were under way, or those
    /// whose turns fared worst under any.
    runs: Vec<Vec<Thread>>,
}

/// The sessions between two times, microseconds: at most `rows` of them, that of the turn `always` among
/// them.
pub(super) fn sessions(
    loaded: &Loaded,
    (from_us, to_us): (u64, u64),
    rows: usize,
    always: Option<RequestId>,
    allowance: &Allowance<'_>,
) -> Result<SessionsTold, Problems> {
    stretch_of_time(from_us, to_us)?;
    let outputs = loaded.play(allowance)?;
    let told: Vec<Threads> = outputs
        .iter()
        .zip(&loaded.experiment.schedulers)
        .map(|(one, run)| Threads::of(&one.outcome, kv_facts(&loaded.experiment, &run.name)))
        .collect();
    // By when they began under the first scheduler under which they were there.
    let mut seen = BTreeSet::new();
    let mut those: Vec<u32> =
        told.iter().flat_map(|threads| threads.between(from_us, to_us)).collect();
    those.retain(|&session| seen.insert(session));
    let (there, rows) = (those.len(), rows.clamp(1, SESSIONS_MAX));
    if there > rows {
        let judged = Fared::under(&outputs);
        let fared = |session: u32| {
            let of = |place: usize| {
                let turns = told[place].requests(session);
                turns.map(|turn| judged.at(place, turn)).fold(1.0, f64::min)
            };
            (0..told.len()).map(of).fold(1.0, f64::min)
        };
        let last = |session: u32| !told[0].requests(session).any(|turn| Some(turn) == always);
        let mut kept: Vec<(bool, f64, u32)> =
            those.iter().map(|&session| (last(session), fared(session), session)).collect();
        order::sort_by(&mut kept, |a, b| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        });
        kept.truncate(rows);
        those.retain(|session| kept.iter().any(|one| one.2 == *session));
    }
    let runs = told.iter().map(|threads| {
        those.iter().map(|&session| threads.thread(session, from_us, to_us)).collect()
    });
    Ok(SessionsTold { there, runs: runs.collect() })
}
