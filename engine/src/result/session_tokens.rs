//! What became of the prompt tokens of turns: found, computed, and of those that were computed again
//! where they had gone; and how far apart a turn and the next one are.

use super::session_times::shared_at_head;
use super::sessions::{HitsBySource, MissedTokens};
use crate::ids::RequestId;
use crate::kv::KeptBlocks;
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::RequestRow;
use crate::workload::SessionTurn;

/// What became of the prompt tokens of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Prompt tokens, where it was served.
    pub asked: u32,
    /// Of these, found.
    pub found: u32,
    /// Where those had been said.
    pub hits: HitsBySource,
    /// Of these, said before by the session and kept by a cache without end, and not found.
    pub missed: u32,
}

/// The same of all turns.
pub struct Fates {
    /// Turn by turn.
    pub of_turns: Vec<Fate>,
    /// Found tokens by where they had been said.
    pub hits: HitsBySource,
    /// Tokens that could have been found.
    pub missed: MissedTokens,
}

/// What became of the prompt tokens of turns. Without a cache none could have been found.
pub fn fates(outcome: &Outcome, turns: &[SessionTurn], kept: Option<KeptBlocks>) -> Fates {
    let rows = &outcome.trace.requests;
    let shared = shared_at_head(turns);
    let mut all = Fates {
        of_turns: Vec::with_capacity(turns.len()),
        hits: HitsBySource::default(),
        missed: MissedTokens::default(),
    };
    for (place, turn) in turns.iter().enumerate() {
        let row = &rows[place];
        if row.scheduled == Time::NEVER {
            all.of_turns.push(Fate::default());
            continue;
        }
        let cached = row.hit_tokens;
        let of_shared = cached.min(shared[place]);
        let of_own = cached.min(turn.inherits).saturating_sub(of_shared);
        let brought = brought(outcome, place);
        let hits = HitsBySource {
            own_session: of_own.into(),
            shared_prefix: of_shared.into(),
            other: (cached - of_shared - of_own).into(),
            tiers: brought.into(),
        };
        all.hits.own_session += hits.own_session;
        all.hits.shared_prefix += hits.shared_prefix;
        all.hits.other += hits.other;
        all.hits.tiers += hits.tiers;
        let found = cached + brought;
        let before = turn.before.map(|before| &rows[before.index()]);
        let missed = match (before, kept) {
            (Some(before), Some(kept)) => {
                turn.findable(before, row.prompt_tokens, kept).saturating_sub(found)
            }
            _ => 0,
        };
        if let Some(before) = before.filter(|_| missed > 0) {
            // Where prompts are computed apart, what was answered was never kept.
            let apart = outcome.trace.hand_over(RequestId::at(place)).is_some();
            let same = outcome.trace.replica_of(row) == outcome.trace.replica_of(before);
            let here = same && !apart;
            let to = if here { &mut all.missed.evicted } else { &mut all.missed.other_replica };
            *to += u64::from(missed);
        }
        all.of_turns.push(Fate { asked: row.prompt_tokens, found, hits, missed });
    }
    all
}

/// Prompt tokens of a request that tiers brought before it was first in a batch.
fn brought(outcome: &Outcome, place: usize) -> u32 {
    outcome.trace.first_load(RequestId::at(place)).map_or(0, |load| load.tokens)
}

/// How far apart turns are that follow each other.
pub(super) struct Reuse {
    /// From the last token of one to the first batch of the next.
    pub nanos: Vec<u64>,
    /// Tokens whose KV the replica of the first computed in that time.
    pub tokens: Vec<u64>,
}

/// How far apart turns are.
pub(super) fn reuse(outcome: &Outcome, turns: &[SessionTurn], lasts: &[Time]) -> Reuse {
    let rows = &outcome.trace.requests;
    // By replica: when KV was computed, and how much by then. Prompts count when their first token comes,
    // answers when their last does.
    let mut computed: Vec<Vec<(Time, u64)>> = Vec::new();
    let replica = |row: &RequestRow| outcome.trace.replica_of(row).index();
    for (id, (row, &last)) in rows.iter().zip(lasts).enumerate() {
        if row.first_token == Time::NEVER {
            continue;
        }
        let place = replica(row);
        if computed.len() <= place {
            computed.resize(place + 1, Vec::new());
        }
        let own = row.prompt_tokens.saturating_sub(row.hit_tokens + brought(outcome, id));
        computed[place].push((row.first_token, own.into()));
        computed[place].push((last, row.tokens.saturating_sub(1).into()));
    }
    for of_replica in &mut computed {
        of_replica.sort_unstable();
        let mut sum = 0;
        for (_, tokens) in of_replica {
            sum += *tokens;
            *tokens = sum;
        }
    }
    let by = |place: usize, at: Time| {
        let of_replica = &computed[place];
        match of_replica.partition_point(|&(when, _)| when <= at) {
            0 => 0,
            count => of_replica[count - 1].1,
        }
    };
    let mut found = Reuse { nanos: Vec::new(), tokens: Vec::new() };
    for (row, turn) in rows.iter().zip(turns) {
        let Some(before) = turn.before.filter(|_| row.scheduled != Time::NEVER) else { continue };
        let (earlier, last) = (&rows[before.index()], lasts[before.index()]);
        if last == Time::NEVER || last > row.scheduled {
            continue;
        }
        found.nanos.push(row.scheduled.since(last).as_nanos());
        let place = replica(earlier);
        found.tokens.push(by(place, row.scheduled) - by(place, last));
    }
    found
}
