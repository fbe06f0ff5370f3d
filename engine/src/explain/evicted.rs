//! Prefixes that had been in a cache and were gone when the next turn of their session came: which tokens
//! were computed again, and whose KV had taken their place.
//!
//! A turn that its replica served right after the one before it, alone, would have found whole blocks of all
//! that both have in common. What it did not find had to go for what others computed there in between: they
//! share what its prefill took longer, by tokens computed.

use rustc_hash::FxHashMap;

use super::apportion::apportion;
use super::cause::Cause;
use super::recording::Recording;
use crate::ids::{LaneId, ReplicaId};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{ChunkRecord, last_tokens};

/// What was gone when it was asked for.
#[derive(Default)]
pub(super) struct Evicted {
    gone: FxHashMap<RequestId, Gone>,
    /// By replica: what was computed, in order of time.
    writes: Vec<Vec<Write>>,
}

/// Of one turn.
#[derive(Clone, Copy)]
struct Gone {
    /// The first token that was not found.
    from: u32,
    /// The end of those that would have been.
    to: u32,
    replica: usize,
    /// The first of the writes since the turn before had ended, and the one after the last.
    writes: (u32, u32),
    /// Tokens of these.
    tokens: u64,
}

/// KV that was computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Write {
    at: Time,
    request: RequestId,
    tokens: u64,
}

impl Evicted {
    pub(super) fn new(recording: &Recording<'_>) -> Evicted {
        let caches = recording.pools.iter().any(|pool| pool.caches.is_some());
        if recording.turns.is_empty() || !caches {
            return Evicted::default();
        }
        let trace = recording.trace;
        let rows = &trace.requests;
        let lasts = last_tokens(trace);
        let mut evicted = Evicted { gone: FxHashMap::default(), writes: writes(recording, &lasts) };
        for ((row, turn), id) in rows.iter().zip(recording.turns).zip((0..).map(RequestId)) {
            let Some(before) = turn.before.filter(|_| row.scheduled != Time::NEVER) else {
                continue;
            };
            let (earlier, end) = (&rows[before.index()], lasts[before.index()]);
            let replica = trace.replica_of(row);
            let pool = recording.pool(row.lane);
            // Where prompts are computed apart, what was answered was never kept there.
            let apart = trace.hand_over(id).is_some();
            let here = !apart && trace.replica_of(earlier) == replica && end != Time::NEVER;
            let Some(kept) = pool.caches.filter(|_| here) else { continue };
            let to = turn.findable(earlier, row.prompt_tokens, kept);
            if to <= row.hit_tokens {
                continue;
            }
            let writes = &evicted.writes[replica.index()];
            let place = |at: Time| writes.partition_point(|write| write.at < at);
            let (first, end) = (place(end), place(row.scheduled));
            let tokens = writes[first..end.max(first)].iter().map(|write| write.tokens).sum();
            if tokens > 0 {
                let writes = (first as u32, end as u32);
                let from = row.hit_tokens;
                evicted
                    .gone
                    .insert(id, Gone { from, to, replica: replica.index(), writes, tokens });
            }
        }
        evicted
    }

    /// Nanoseconds of a request's own part of a chunk, `own`, in which it computed what had been gone.
    pub(super) fn part(&self, request: RequestId, chunk: &ChunkRecord, own: u64) -> u64 {
        let Some(gone) = self.gone.get(&request) else { return 0 };
        let end = chunk.context.saturating_add(chunk.tokens);
        let within = end.min(gone.to).saturating_sub(chunk.context.max(gone.from));
        let share = u128::from(own) * u128::from(within) / u128::from(chunk.tokens.max(1));
        share as u64
    }

    /// Shares out what victims lost, nanoseconds by victim, among those who took the place: whole
    /// nanoseconds that add up, replica by replica.
    pub(super) fn share(
        &self,
        lost: &FxHashMap<RequestId, u64>,
        mut give: impl FnMut(RequestId, Cause, u64),
    ) {
        for (replica, writes) in self.writes.iter().enumerate() {
            // Before write k: the change in nanoseconds a token, and in the number of victims.
            let mut change = vec![(0.0, 0_i64); writes.len() + 1];
            let mut total = 0_u64;
            let mut victims: Vec<(&RequestId, &u64)> = lost.iter().collect();
            victims.sort_unstable();
            for (victim, &ns) in victims {
                let Some(gone) = self.gone.get(victim).filter(|gone| gone.replica == replica)
                else {
                    continue;
                };
                total = total.saturating_add(ns);
                let each = ns as f64 / gone.tokens as f64;
                for (place, sign) in [(gone.writes.0, 1), (gone.writes.1, -1)] {
                    let change = &mut change[place as usize];
                    change.0 += f64::from(sign) * each;
                    change.1 += i64::from(sign);
                }
            }
            if total == 0 {
                continue;
            }
            let (mut each, mut count) = (0.0, 0);
            let mut weights: FxHashMap<RequestId, f64> = FxHashMap::default();
            for (write, change) in writes.iter().zip(&change) {
                count += change.1;
                // What a difference of sums leaves of nothing is nobody's.
                each = if count == 0 { 0.0 } else { f64::max(each + change.0, 0.0) };
                if each > 0.0 && write.tokens > 0 {
                    *weights.entry(write.request).or_default() += each * write.tokens as f64;
                }
            }
            let mut culprits: Vec<(RequestId, f64)> = weights.into_iter().collect();
            culprits.sort_unstable_by_key(|&(request, _)| request);
            let weights: Vec<f64> = culprits.iter().map(|&(_, weight)| weight).collect();
            for ((culprit, _), ns) in culprits.iter().zip(apportion(total, &weights)) {
                if ns > 0 {
                    give(*culprit, Cause::CacheEvicted, ns);
                }
            }
        }
    }

    /// Who took the place of what a request had lost, with the tokens that they computed.
    pub(super) fn takers(&self, request: RequestId) -> Vec<(RequestId, u64)> {
        let Some(gone) = self.gone.get(&request) else { return Vec::new() };
        let writes = &self.writes[gone.replica][gone.writes.0 as usize..gone.writes.1 as usize];
        let mut tokens: FxHashMap<RequestId, u64> = FxHashMap::default();
        for write in writes {
            *tokens.entry(write.request).or_default() += write.tokens;
        }
        let mut takers: Vec<(RequestId, u64)> =
            tokens.into_iter().filter(|&(_, tokens)| tokens > 0).collect();
        takers.sort_unstable();
        takers
    }

    /// The part of a request's loss that is a culprit's.
    pub(super) fn share_of(&self, request: RequestId, culprit: RequestId) -> f64 {
        let Some(gone) = self.gone.get(&request) else { return 0.0 };
        let writes = &self.writes[gone.replica][gone.writes.0 as usize..gone.writes.1 as usize];
        let own = writes.iter().filter(|write| write.request == culprit);
        own.map(|write| write.tokens).sum::<u64>() as f64 / gone.tokens as f64
    }
}

/// What each replica computed: chunks of prompts as their iterations began, answers as they ended.
fn writes(recording: &Recording<'_>, lasts: &[Time]) -> Vec<Vec<Write>> {
    let trace = recording.trace;
    let mut writes: Vec<Vec<Write>> = Vec::new();
    let mut add = |replica: ReplicaId, write: Write| {
        if writes.len() <= replica.index() {
            writes.resize(replica.index() + 1, Vec::new());
        }
        writes[replica.index()].push(write);
    };
    for (log, lane) in recording.log.iter().zip((0..).map(LaneId)) {
        let replica = trace.lane(lane).replica;
        for (number, chunks) in log.prefills() {
            let at = log.start(number);
            for chunk in chunks {
                add(replica, Write { at, request: chunk.request, tokens: chunk.tokens.into() });
            }
        }
    }
    for ((row, &at), request) in trace.requests.iter().zip(lasts).zip((0..).map(RequestId)) {
        if row.tokens > 1 {
            let tokens = u64::from(row.tokens - 1);
            add(trace.replica_of(row), Write { at, request, tokens });
        }
    }
    let replicas =
        (0..recording.log.len()).map(|lane| trace.lane(LaneId::at(lane)).replica.index());
    writes.resize(replicas.max().map_or(0, |last| last + 1).max(writes.len()), Vec::new());
    writes.iter_mut().for_each(|of_replica| of_replica.sort_unstable());
    writes
}
