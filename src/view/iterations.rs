//! A replica's iterations as columns of a timeline: one each, or several put together with their
//! extremes.

use std::ops::Range;

use serde::Serialize;

use super::packed::{Packed, Plain};
use super::waiting::Queue;
use crate::ids::{IterationNo, LaneId, LaneOfReplica, ReplicaId};
use crate::request::RequestId;
use crate::trace::{Iteration, Iterations, Log};

/// Chunks listed of one iteration.
pub(super) const CHUNKS_LISTED: usize = 6;
/// Chunks listed in all of one [`Columns`].
const CHUNKS_MAX: usize = 40_000;

/// One lane's iterations: a replica's, or in a pipeline those of one of its lanes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LaneView {
    /// Which, among those of all replicas: the replica's number where each has one.
    #[serde(rename = "replica")]
    pub lane: LaneId,
    /// In a pipeline: the replica's number, and the lane's number within the replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(ReplicaId, LaneOfReplica)>,
    /// The pool that it belongs to, where replicas differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Iterations that it ran.
    pub iterations: u64,
    /// Its KV blocks.
    pub kv_blocks: u64,
    /// All of its time.
    pub all: Columns,
    /// Stretches around the worst stalls, one column an iteration, where `all` has fewer columns.
    pub details: Vec<Columns>,
    /// Every iteration, where `all` has fewer columns and the page keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
}

/// A stretch of iterations, as columns of numbers.
///
/// Where a column stands for several iterations, its numbers are the largest among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Columns {
    /// Iterations a column; the last one may have fewer.
    pub each: u64,
    /// Number of the first iteration.
    pub first: IterationNo,
    /// Start of the first iteration, microseconds rounded down; then from start to start.
    pub start_us: Vec<u64>,
    /// From the start of a column's first iteration to when its last one left the GPU free.
    pub span_us: Vec<u64>,
    /// Requests that decoded.
    pub decodes: Vec<u32>,
    /// Prompt tokens prefilled.
    pub prefill_tokens: Vec<u32>,
    /// Requests that prefilled.
    pub chunks: Vec<u32>,
    /// KV blocks in use.
    pub kv: Vec<u32>,
    /// Requests waiting: the most at once until the next column begins.
    pub waiting: Vec<u32>,
    /// Drafts that the decodes verified, and those of them that were accepted; none where nobody drafts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drafts: Option<DraftColumns>,
    /// What else is known of several iterations put together; none where a column is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// Who prefilled; only where a column is one iteration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<ChunkLists>,
}

/// Drafts of a stretch of iterations; sums where a column stands for several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DraftColumns {
    /// Verified, beyond a token for each request that decoded.
    pub verified: Vec<u32>,
    /// Those of them that were accepted.
    pub accepted: Vec<u32>,
}

/// Iterations put together: time by kind, and the smaller extremes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Merged {
    /// Time of iterations with prefills alone.
    pub prefill_us: Vec<u64>,
    /// Time of iterations with both.
    pub mixed_us: Vec<u64>,
    /// Time of iterations with decodes alone.
    pub decode_us: Vec<u64>,
    /// The longest iteration.
    pub longest_us: Vec<u64>,
    /// The shortest one.
    pub shortest_us: Vec<u64>,
    /// Most requests of one iteration, decoding or prefilling.
    pub batch: Vec<u32>,
    /// Fewest of them.
    pub batch_min: Vec<u32>,
    /// Fewest KV blocks.
    pub kv_min: Vec<u32>,
    /// Fewest waiting.
    pub waiting_min: Vec<u32>,
}

/// Prefill chunks, one entry each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChunkLists {
    /// The column, counted from the entry before.
    pub column: Vec<u32>,
    /// Whose prompt.
    pub request: Vec<RequestId>,
    /// Tokens.
    pub tokens: Vec<u32>,
    /// Whether some chunks are not listed.
    pub more: bool,
}

/// Iterations of a log in at most `columns_max` columns (at least one); `queue` is the line before the
/// lane's replica.
pub fn columns(
    log: &Log,
    queue: &Queue,
    numbers: Range<IterationNo>,
    columns_max: usize,
) -> Columns {
    let count = numbers.end.since(numbers.start) as usize;
    let each = count.div_ceil(columns_max.max(1)).max(1);
    let first = numbers.start;
    let mut columns = Columns { each: each as u64, first, ..Columns::default() };
    let mut merged = Merged::default();
    let mut drafts = log.has_drafts().then(DraftColumns::default);
    let us = |ns: u64| ns / 1000;
    let mut before = 0;
    let mut bucket = Vec::with_capacity(each);
    let mut rest = log.range(numbers.clone());
    loop {
        bucket.clear();
        bucket.extend(rest.by_ref().take(each));
        if bucket.is_empty() {
            break;
        }
        let (head, last) = (&bucket[0], &bucket[bucket.len() - 1]);
        let start = us(head.start.as_nanos());
        columns.start_us.push(start - before);
        before = start;
        columns.span_us.push(us(last.free.max(last.end).as_nanos()) - start);
        let most = |of: fn(&Iteration<'_>) -> u32| bucket.iter().map(of).max().unwrap_or(0);
        let least = |of: fn(&Iteration<'_>) -> u32| bucket.iter().map(of).min().unwrap_or(0);
        columns.decodes.push(most(|i| i.decodes));
        columns.prefill_tokens.push(most(prefill_tokens));
        columns.chunks.push(most(|i| i.chunks.len() as u32));
        columns.kv.push(most(|i| i.kv_used));
        if let Some(drafts) = &mut drafts {
            drafts.verified.push(bucket.iter().map(|i| i.drafts.verified).sum());
            drafts.accepted.push(bucket.iter().map(|i| i.drafts.accepted).sum());
        }
        let next = first.after((columns.start_us.len() * each) as u32);
        let until = match next < log.numbers().end {
            true => log.start(next),
            false => last.free.max(last.end),
        };
        let (fewest, most_waiting) = queue.extremes(head.start, until);
        columns.waiting.push(most_waiting);
        if each == 1 {
            continue;
        }
        let took = |i: &Iteration<'_>| i.end.since(i.start).as_nanos();
        let of_kind = |prefills: bool, decodes: bool| {
            let of = bucket
                .iter()
                .filter(|i| (!i.chunks.is_empty(), i.decodes > 0) == (prefills, decodes));
            us(of.map(took).sum())
        };
        merged.prefill_us.push(of_kind(true, false));
        merged.mixed_us.push(of_kind(true, true));
        merged.decode_us.push(of_kind(false, true));
        merged.longest_us.push(us(bucket.iter().map(took).max().unwrap_or(0)));
        merged.shortest_us.push(us(bucket.iter().map(took).min().unwrap_or(0)));
        merged.batch.push(most(batch));
        merged.batch_min.push(least(batch));
        merged.kv_min.push(least(|i| i.kv_used));
        merged.waiting_min.push(fewest);
    }
    columns.drafts = drafts;
    match each {
        1 => columns.who = Some(chunk_lists(log.range(numbers))),
        _ => columns.merged = Some(merged),
    }
    columns
}

/// Every iteration of `log`, packed.
pub(super) fn packed(log: &Log, queue: &Queue) -> Packed {
    let until = |next: IterationNo| match next < log.numbers().end {
        true => log.start(next),
        false => log.free_before(next),
    };
    Packed::of(log.iter().zip(IterationNo::FIRST.next().onwards()).map(|(i, next)| Plain {
        start_us: i.start.as_nanos() / 1000,
        end_us: i.free.max(i.end).as_nanos() / 1000,
        decodes: i.decodes,
        kv: i.kv_used,
        waiting: queue.extremes(i.start, until(next)).1,
        chunks: i.chunks.iter().map(|chunk| (chunk.request, chunk.tokens)).collect(),
    }))
}

fn batch(iteration: &Iteration<'_>) -> u32 {
    iteration.decodes + iteration.chunks.len() as u32
}

fn prefill_tokens(iteration: &Iteration<'_>) -> u32 {
    iteration.chunks.iter().map(|chunk| chunk.tokens).sum()
}

fn chunk_lists(part: Iterations<'_>) -> ChunkLists {
    let mut lists = ChunkLists::default();
    let mut before = 0;
    for (iteration, column) in part.zip(0_u32..) {
        lists.more |= iteration.chunks.len() > CHUNKS_LISTED;
        for chunk in iteration.chunks.iter().take(CHUNKS_LISTED) {
            if lists.column.len() == CHUNKS_MAX {
                lists.more = true;
                return lists;
            }
            lists.column.push(column - before);
            before = column;
            lists.request.push(chunk.request);
            lists.tokens.push(chunk.tokens);
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::trace::ChunkRecord;
    use proptest::prelude::*;

    fn log() -> impl Strategy<Value = Log> {
        let one =
            (0u64..50_000_000, 1u64..400_000_000, 0u32..300, 0u32..9_000, 0u32..5_000, 0u32..90);
        prop::collection::vec(one, 1..500).prop_map(|parts| {
            let mut at = 0;
            let mut log = Log::default();
            for (idle, took, decodes, tokens, kv_used, waiting) in parts {
                let start = at + idle;
                at = start + took;
                let chunk = ChunkRecord {
                    request: RequestId(7),
                    context: 0,
                    tokens,
                    blocks: 0,
                    samples: false,
                };
                log.push(&Iteration {
                    start: Time::from_nanos(start),
                    end: Time::from_nanos(at),
                    free: Time::from_nanos(at),
                    decodes,
                    chunks: &[chunk][..usize::from(tokens > 0)],
                    kv_used,
                    waiting,
                    ..Iteration::default()
                });
            }
            log
        })
    }

    proptest! {
        #[test]
        fn thinning_keeps_extremes_and_time(log in log(), most in 1usize..80) {
            let thin = columns(&log, &Queue::default(), log.numbers(), most);
            let each = thin.each as usize;
            prop_assert!(thin.start_us.len() <= most);
            prop_assert_eq!(thin.start_us.len(), log.len().div_ceil(each));
            let mut start = 0;
            let all: Vec<Iteration<'_>> = log.iter().collect();
            for (at, bucket) in all.chunks(each).enumerate() {
                start += thin.start_us[at];
                prop_assert_eq!(start, bucket[0].start.as_nanos() / 1000);
                let end = bucket[bucket.len() - 1].end.as_nanos() / 1000;
                prop_assert_eq!(start + thin.span_us[at], end);
                prop_assert_eq!(Some(thin.decodes[at]), bucket.iter().map(|i| i.decodes).max());
                prop_assert_eq!(Some(thin.kv[at]), bucket.iter().map(|i| i.kv_used).max());
                let Some(merged) = &thin.merged else { continue };
                prop_assert_eq!(Some(merged.kv_min[at]), bucket.iter().map(|i| i.kv_used).min());
                prop_assert_eq!(Some(merged.batch[at]), bucket.iter().map(batch).max());
                prop_assert_eq!(Some(merged.batch_min[at]), bucket.iter().map(batch).min());
                let took = |i: &Iteration<'_>| i.end.since(i.start).as_nanos();
                let longest = bucket.iter().map(took).max().unwrap_or(0) / 1000;
                prop_assert_eq!(merged.longest_us[at], longest);
            }
            prop_assert_eq!(thin.merged.is_none(), each == 1);
        }
    }

    #[test]
    fn single_iterations_tell_who_prefilled() {
        let chunk = |id| ChunkRecord {
            request: RequestId(id),
            context: 0,
            tokens: 5,
            blocks: 0,
            samples: true,
        };
        let (one, many) = ([chunk(1)], Vec::from_iter((0..9).map(chunk)));
        let with = |chunks| Iteration { chunks, ..Iteration::default() };
        let log = Log::from_iter([with(&one[..]), with(&[]), with(&many)]);
        let who = columns(&log, &Queue::default(), log.numbers(), 10)
            .who
            .expect("one column an iteration");
        assert_eq!(who.request, [1, 0, 1, 2, 3, 4, 5].map(RequestId));
        assert_eq!(who.column, [0, 2, 0, 0, 0, 0, 0]);
        assert!(who.more);
    }
}
