//! What sessions of several turns got: the whole of them, and turn by turn.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session_times::{Level, concurrent, working_set};
use super::session_tokens::{Fate, Fates, Reuse, fates, reuse};
use crate::kv::KeptBlocks;
use crate::metrics::{Distribution, distribution_of_nanos};
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Status, last_tokens};
use crate::workload::{GapKind, SessionTurn};

/// What sessions got, whole run: requests that `measure` leaves out are turns of sessions all the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsResult {
    /// Sessions that began.
    pub begun: u64,
    /// Of these, answered to the end of their last turn.
    pub completed: u64,
    /// Of these, ended by a turn that was turned away or dropped.
    pub failed: u64,
    /// Turns that were sent, of all sessions.
    pub turns: u64,
    /// Sessions that began a second, from the first of them to the last; null for fewer than two.
    pub begun_per_s: Option<f64>,
    /// From the first turn of a completed session to its last token, the gaps between turns included.
    pub completion_s: Distribution,
    /// How long the user of a completed session waited for first tokens, all turns together.
    pub user_wait_s: Distribution,
    /// Prompt tokens of all turns that were computed or found.
    pub prompt_tokens: u64,
    /// Where those that were found had been said.
    pub hit_tokens: HitsBySource,
    /// Prompt tokens that the session had said before, that the engine's blocks could have kept, and that
    /// were not found.
    pub missed_tokens: MissedTokens,
    /// Found tokens over all prompt tokens; null without any.
    pub hit_share: Option<f64>,
    /// Turns by their number in the session: the first, the second, the third and fourth, and so on.
    pub by_turn: Vec<TurnsResult>,
    /// Turns after the first by who was waited for before them: `tool`, `user`.
    pub by_gap: BTreeMap<String, TurnsResult>,
    /// From the last token of a turn to the first batch of the next one.
    pub reuse_s: Distribution,
    /// Tokens whose KV the replica of the turn before computed in that time, of all requests.
    pub reuse_tokens: TokenDistribution,
    /// Sessions under way at once.
    pub concurrent: Levels,
    /// Tokens of context of all sessions under way, without prefixes that they share: what a cache would
    /// have to hold so that each next turn finds all of the one before.
    pub working_set_tokens: Levels,
    /// Tokens of KV that all replicas together can hold; null where layers keep different things.
    pub kv_capacity_tokens: Option<u64>,
    /// Bytes of KV that the model keeps of a token; null where that is not known.
    pub kv_bytes_per_token: Option<u64>,
}

/// Found prompt tokens by where they had been said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HitsBySource {
    /// In an earlier turn of the same session.
    pub own_session: u64,
    /// In the prefix that sessions share.
    pub shared_prefix: u64,
    /// In other requests that are known to have the same tokens.
    pub other: u64,
    /// Wherever they had been said, brought from a tier behind the replica's KV blocks.
    #[serde(default)]
    pub tiers: u64,
}

/// Prompt tokens that could have been found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissedTokens {
    /// They had given way to others, on the replica that had them.
    pub evicted: u64,
    /// Another replica had the turn before: that one may still have had them.
    pub other_replica: u64,
}

/// What some turns got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TurnsResult {
    /// Number of the first of these turns in its session, from 1.
    pub from_turn: u32,
    /// Number of the last.
    pub to_turn: u32,
    /// Turns.
    pub requests: u64,
    /// Tokens of their prompts, on average.
    pub mean_prompt_tokens: Option<f64>,
    /// Found tokens over all tokens of their prompts.
    pub hit_share: Option<f64>,
    /// Time to first token.
    pub ttft_s: Distribution,
}

/// A number of tokens over some turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenDistribution {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean; null, as the others, without samples.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// Largest.
    pub max: Option<u64>,
}

/// A number that changes over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Levels {
    /// Mean over the time from the first arrival to the last token.
    pub mean: Option<f64>,
    /// The most at once.
    pub peak: u64,
}

/// What the figures of sessions must know of the replicas.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvFacts {
    /// What a prefix cache keeps; `None` where none is on.
    pub cached: Option<KeptBlocks>,
    /// Tokens that all replicas together hold.
    pub capacity_tokens: Option<u64>,
    /// Bytes of a token.
    pub bytes_per_token: Option<u64>,
}

impl SessionsResult {
    /// The figures of a run whose requests are turns of sessions; `None` of any other.
    pub fn of(outcome: &Outcome, kv: KvFacts) -> Option<SessionsResult> {
        if outcome.turns.is_empty() {
            return None;
        }
        let rows = &outcome.trace.requests;
        let turns = &outcome.turns[..rows.len().min(outcome.turns.len())];
        let lasts = last_tokens(&outcome.trace);
        let sessions = Sessions::of(outcome, turns, &lasts);
        let Fates { of_turns, hits, missed } = fates(outcome, turns, kv.cached);
        let prompt_tokens: u64 = of_turns.iter().map(|fate| u64::from(fate.asked)).sum();
        let found: u64 = of_turns.iter().map(|fate| u64::from(fate.found)).sum();
        let Reuse { mut nanos, tokens } = reuse(outcome, turns, &lasts);
        let Sessions { begun, completed, failed, begun_per_s, mut completions, mut waits } =
            sessions;
        Some(SessionsResult {
            begun,
            completed,
            failed,
            turns: turns.len() as u64,
            begun_per_s,
            completion_s: distribution_of_nanos(&mut completions),
            user_wait_s: distribution_of_nanos(&mut waits),
            prompt_tokens,
            hit_tokens: hits,
            missed_tokens: missed,
            hit_share: share(found, prompt_tokens),
            by_turn: by_turn(outcome, turns, &of_turns),
            by_gap: by_gap(outcome, turns, &of_turns),
            reuse_s: distribution_of_nanos(&mut nanos),
            reuse_tokens: TokenDistribution::of(tokens),
            concurrent: levels(&concurrent(outcome, turns, &lasts), &outcome.trace.end),
            working_set_tokens: levels(&working_set(outcome, turns, &lasts), &outcome.trace.end),
            kv_capacity_tokens: kv.capacity_tokens,
            kv_bytes_per_token: kv.bytes_per_token,
        })
    }
}

/// Whole sessions.
#[derive(Default)]
struct Sessions {
    begun: u64,
    completed: u64,
    failed: u64,
    begun_per_s: Option<f64>,
    completions: Vec<u64>,
    waits: Vec<u64>,
}

impl Sessions {
    fn of(outcome: &Outcome, turns: &[SessionTurn], lasts: &[Time]) -> Sessions {
        #[derive(Clone, Copy)]
        struct One {
            begun: Time,
            waited: u64,
            /// The end of its last turn.
            ended: Option<Time>,
            failed: bool,
        }
        let mut all: BTreeMap<u32, One> = BTreeMap::new();
        for ((row, turn), &last) in outcome.trace.requests.iter().zip(turns).zip(lasts) {
            let new = One { begun: row.arrival, waited: 0, ended: None, failed: false };
            let one = all.entry(turn.session).or_insert(new);
            if row.first_token != Time::NEVER {
                one.waited += row.first_token.since(row.arrival).as_nanos();
            }
            one.failed |= row.status.is_lost();
            if turn.is_last && row.status == Status::Completed {
                one.ended = Some(one.ended.map_or(last, |before| before.max(last)));
            }
        }
        let mut sessions = Sessions { begun: all.len() as u64, ..Sessions::default() };
        let (first, latest) = (
            all.values().map(|one| one.begun).min().unwrap_or(Time::ZERO),
            all.values().map(|one| one.begun).max().unwrap_or(Time::ZERO),
        );
        let span = latest.since(first).as_secs_f64();
        if span > 0.0 {
            sessions.begun_per_s = Some((all.len() - 1) as f64 / span);
        }
        for one in all.values() {
            sessions.failed += u64::from(one.failed);
            if let Some(ended) = one.ended.filter(|_| !one.failed) {
                sessions.completed += 1;
                sessions.completions.push(ended.since(one.begun).as_nanos());
                sessions.waits.push(one.waited);
            }
        }
        sessions
    }
}

/// The turns from and to which one line of the figures goes.
fn group_of(turn: u32) -> (u32, u32) {
    let number = turn + 1;
    match number {
        1 => (1, 1),
        _ => {
            let bits = (number - 1).ilog2();
            ((1 << bits) + 1, 1 << (bits + 1))
        }
    }
}

fn by_turn(outcome: &Outcome, turns: &[SessionTurn], fates: &[Fate]) -> Vec<TurnsResult> {
    let mut groups: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (place, turn) in turns.iter().enumerate() {
        groups.entry(group_of(turn.turn)).or_default().push(place);
    }
    let of = |((from, to), places): ((u32, u32), Vec<usize>)| {
        turns_result(outcome, fates, (from, to), &places)
    };
    groups.into_iter().map(of).collect()
}

fn by_gap(
    outcome: &Outcome,
    turns: &[SessionTurn],
    fates: &[Fate],
) -> BTreeMap<String, TurnsResult> {
    let of_kind = |kind: GapKind| {
        let after = |turn: &SessionTurn| turn.turn > 0 && turn.kind == kind;
        let places: Vec<usize> = (0..turns.len()).filter(|&place| after(&turns[place])).collect();
        let last = places.iter().map(|&place| turns[place].turn + 1).max()?;
        Some((kind.name().to_owned(), turns_result(outcome, fates, (2, last), &places)))
    };
    GapKind::ALL.into_iter().filter_map(of_kind).collect()
}

fn turns_result(
    outcome: &Outcome,
    fates: &[Fate],
    (from_turn, to_turn): (u32, u32),
    places: &[usize],
) -> TurnsResult {
    let rows = &outcome.trace.requests;
    let answered = places.iter().filter(|&&place| rows[place].first_token != Time::NEVER);
    let ttft = |&place: &usize| rows[place].first_token.since(rows[place].arrival).as_nanos();
    let mut ttfts: Vec<u64> = answered.map(ttft).collect();
    let prompts: u64 = places.iter().map(|&place| u64::from(rows[place].prompt_tokens)).sum();
    let asked: u64 = places.iter().map(|&place| u64::from(fates[place].asked)).sum();
    let found: u64 = places.iter().map(|&place| u64::from(fates[place].found)).sum();
    TurnsResult {
        from_turn,
        to_turn,
        requests: places.len() as u64,
        mean_prompt_tokens: share(prompts, places.len() as u64),
        hit_share: share(found, asked),
        ttft_s: distribution_of_nanos(&mut ttfts),
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn levels(changes: &[Level], end: &Time) -> Levels {
    let (mut level, mut peak, mut area) = (0_i128, 0_i128, 0_i128);
    let Some(first) = changes.first() else { return Levels::default() };
    let (start, mut before) = (first.at, first.at);
    for change in changes {
        area += level * i128::from(change.at.since(before).as_nanos());
        before = change.at;
        level += i128::from(change.by);
        peak = peak.max(level);
    }
    let stop = before.max(*end);
    area += level * i128::from(stop.since(before).as_nanos());
    let span = stop.since(start).as_nanos();
    Levels {
        mean: (span > 0).then(|| area as f64 / span as f64),
        peak: u64::try_from(peak).unwrap_or(0),
    }
}

impl TokenDistribution {
    fn of(mut samples: Vec<u64>) -> TokenDistribution {
        samples.sort_unstable();
        let Some(&max) = samples.last() else { return TokenDistribution::default() };
        let sum: u128 = samples.iter().map(|&tokens| u128::from(tokens)).sum();
        let at = |thousandths: usize| samples[(samples.len() - 1) * thousandths / 1000];
        TokenDistribution {
            count: samples.len() as u64,
            mean: Some(sum as f64 / samples.len() as f64),
            p50: Some(at(500)),
            p90: Some(at(900)),
            p99: Some(at(990)),
            max: Some(max),
        }
    }
}
