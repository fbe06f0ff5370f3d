//! Stalls of a measured run, where only token times are known: found, grouped by instant, and read
//! as far as token times allow. What is said here is inference: a file of token times holds no
//! iteration, no queue and no memory.
//!
//! A gap between two tokens is a stall when it is longer than five times the median gap and than
//! the deadline. Stalls that share an instant are one group: where half or more of the requests
//! that were being answered then stall together, the server stood still; one request alone lost
//! its own place, or its own connection. These two are told apart by what came after: text that was held
//! back on its way (a network, a proxy, a client) comes all at once when the gap ends; a request that lost
//! its place goes on at its pace, and catches nothing up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::gaps_at;
use crate::order;
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::trace::{Parts, RequestRow, TokenTrace, last_tokens};

/// A stall is longer than so many median gaps.
pub(super) const MEDIANS: u64 = 5;

/// A prompt is long, and so a suspect, from so many median prompts on.
pub(super) const LONG_PROMPT: u32 = 2;

/// ... and from so many tokens on.
pub(super) const LONG_PROMPT_MIN: u32 = 512;

/// From so many stalled requests on, one token number of most stalls is told.
const PATTERN_MIN: u64 = 4;

/// Tokens come at once when the gaps between them are below this part of the median gap, and below so many
/// nanoseconds.
const AT_ONCE_PART: u64 = 8;
const AT_ONCE_MAX: u64 = 2_000_000;

/// Fewer tokens at once may be chance.
const AT_ONCE_MIN: u32 = 2;

/// Groups that are listed, and stalls and suspects of each.
const LISTED: usize = 10;
const NAMED: usize = 3;

/// What stalls a measured run shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredStalls {
    /// Median gap between tokens; null without gaps.
    pub median_gap_s: Option<f64>,
    /// A gap longer than this is a stall.
    pub threshold_s: f64,
    /// How many there are.
    pub stalls: u64,
    /// Requests with at least one.
    pub requests_hit: u64,
    /// Requests whose tokens are known.
    pub requests: u64,
    /// Time lost beyond the threshold, summed over stalls.
    pub beyond_threshold_s: f64,
    /// Stalls that share an instant, those with most lost time first.
    pub groups: Vec<StallGroup>,
    /// How many more groups there are.
    pub more_groups: u64,
    /// The number of the late token, where three stalls in four have the same: then the stall
    /// belongs to the requests, or to how they are sent, more than to an instant of the server.
    pub same_token: Option<u32>,
    /// How far this can be trusted.
    pub note: String,
}

/// Stalls that share an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StallGroup {
    /// The earliest token before.
    pub from_s: f64,
    /// The latest late token.
    pub to_s: f64,
    /// Requests that stalled.
    pub requests: u32,
    /// Requests that were between their first and last token at that instant.
    pub answering: u32,
    /// The longest gap.
    pub longest_s: f64,
    /// Requests whose missing tokens came all at once when the gap ended.
    #[serde(default)]
    pub caught_up: u32,
    /// What it looks like.
    pub looks_like: LooksLike,
    /// The longest stalls of the group.
    pub worst: Vec<MeasuredGap>,
    /// Long prompts that were waiting for their first token meanwhile, the longest first:
    /// suspects, no more.
    pub suspects: Vec<Suspect>,
    /// How many more there are.
    pub more_suspects: u32,
}

/// What token times suggest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LooksLike {
    /// Half or more of those being answered stalled together: the server, or what all share.
    Server,
    /// Several, and fewer than half: a part of the server, such as a replica, or chance.
    Several,
    /// The tokens that were missing came all at once when the gap ended: they had been made meanwhile,
    /// and were held back by the network, a proxy or the client.
    HeldBack,
    /// One among others that went on, without catching up afterwards: its own preemption, or the prefill
    /// of a long prompt beside it.
    OneRequest,
    /// One that was alone: token times cannot tell.
    Alone,
}

impl LooksLike {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            LooksLike::Server => "the server seems to have stalled",
            LooksLike::Several => "a part of the server, or chance",
            LooksLike::HeldBack => {
                "probably held back by the network, a proxy or the client: the missing tokens came all at \
                 once afterwards"
            }
            LooksLike::OneRequest => {
                "probably its own preemption, or a long prefill beside it: nothing was caught up afterwards"
            }
            LooksLike::Alone => "no other request to compare with",
        }
    }
}

/// A gap between two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredGap {
    /// Place of the request in the file, from 0 on.
    pub request: RequestId,
    /// Number of the late token, or of the late chunk of text, from 0 on.
    pub token: u32,
    /// The token before.
    pub from_s: f64,
    /// The late token.
    pub to_s: f64,
    /// Tokens that came together with the late one, as if they had waited for it.
    #[serde(default)]
    pub at_once: u32,
}

/// A long prompt that arrived, or was waiting, while others stalled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// Place of the request in the file, from 0 on.
    pub request: RequestId,
    /// Length of its prompt.
    pub prompt_tokens: u32,
    /// When it was sent.
    pub arrival_s: f64,
}

#[derive(Clone, Copy)]
struct Stall {
    request: RequestId,
    token: u32,
    from: Time,
    to: Time,
    /// Tokens that came at once with the late one.
    at_once: u32,
}

impl Stall {
    /// Whether so many tokens came at once as half the gap would have brought at the usual pace.
    fn caught_up(&self, median: u64) -> bool {
        let missed = self.length().as_nanos().checked_div(median).unwrap_or(u64::MAX);
        self.at_once >= AT_ONCE_MIN && u64::from(self.at_once).saturating_mul(2) >= missed
    }

    fn length(&self) -> Span {
        self.to.since(self.from)
    }
}

/// Finds the stalls of a measured trace. `one_clock` says whether its requests' times can be
/// compared with each other; without that there are no groups.
pub fn measured_stalls(trace: &dyn Parts, deadline: Span, one_clock: bool) -> MeasuredStalls {
    let has_token = |row: &RequestRow| row.first_token != Time::NEVER;
    let rows = RequestId::FIRST.onwards().zip(trace.requests());
    let rows: Vec<RequestId> =
        rows.filter(|(_, row)| has_token(row)).map(|(request, _)| request).collect();
    // The lower median.
    let (_, middle) = gaps_at(trace, &rows, |gaps| vec![(gaps - 1) / 2]);
    let median = middle.first().copied();
    let threshold = deadline.as_nanos().max(median.unwrap_or(0).saturating_mul(MEDIANS));
    let mut stalls: Vec<Stall> = Vec::new();
    let mut hit = 0;
    // Where several tokens at once are the rule, that some come so tells nothing.
    let at_once = median.map_or(0, |median| (median / AT_ONCE_PART).min(AT_ONCE_MAX));
    trace.each_part(&mut |part| {
        for (request, row) in part.rows().filter(|(_, row)| has_token(row)) {
            let before = stalls.len();
            let mut after_stall = false;
            each_gap(part.trace, row, |token, from, to| {
                let gap = to.since(from).as_nanos();
                if gap > threshold {
                    stalls.push(Stall { request, token, from, to, at_once: 0 });
                    after_stall = at_once > 0;
                } else if after_stall {
                    after_stall = gap <= at_once;
                    if let Some(last) = stalls.last_mut().filter(|_| after_stall) {
                        last.at_once += 1;
                    }
                }
            });
            hit += u64::from(stalls.len() > before);
        }
    });
    let beyond = beyond(&stalls, threshold);
    let (groups, more_groups) = match one_clock {
        true => Groups::new(trace, threshold, median.unwrap_or(0)).of(&mut stalls),
        false => (Vec::new(), 0),
    };
    let note = match one_clock {
        true => "inferred from token times alone: not what the server recorded",
        false => "the file has no common clock: stalls of different requests cannot be compared",
    };
    MeasuredStalls {
        median_gap_s: median.map(|ns| Span::from_nanos(ns).as_secs_f64()),
        threshold_s: Span::from_nanos(threshold).as_secs_f64(),
        stalls: stalls.len() as u64,
        requests_hit: hit,
        requests: rows.len() as u64,
        beyond_threshold_s: Span::from_nanos(beyond).as_secs_f64(),
        groups,
        more_groups,
        same_token: same_token(&stalls).filter(|_| hit >= PATTERN_MIN),
        note: note.to_owned(),
    }
}

/// Time lost beyond the threshold; sums end at the most that nanoseconds hold.
fn beyond(stalls: &[Stall], threshold: u64) -> u64 {
    let each = stalls.iter().map(|stall| stall.length().as_nanos() - threshold);
    each.fold(0, u64::saturating_add)
}

fn each_gap(trace: &TokenTrace, row: &RequestRow, mut tell: impl FnMut(u32, Time, Time)) {
    let mut times = trace.token_times(row);
    let Some(mut before) = times.next() else { return };
    for (at, token) in times.zip(1..) {
        tell(token, before, at);
        before = at;
    }
}

/// The token that three in four stalls come before.
fn same_token(stalls: &[Stall]) -> Option<u32> {
    let mut tokens: Vec<u64> = stalls.iter().map(|stall| u64::from(stall.token)).collect();
    // Three in four hold the median.
    let token = median(&mut tokens)?;
    let same = tokens.iter().filter(|&&other| other == token).count();
    (same * 4 >= tokens.len() * 3).then_some(token as u32)
}

/// The lower median.
fn median(values: &mut [u64]) -> Option<u64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

struct Groups<'g> {
    requests: &'g [RequestRow],
    threshold: u64,
    /// The median gap, nanoseconds.
    median: u64,
    /// First tokens and last tokens, each in order: who is being answered at an instant.
    firsts: Vec<Time>,
    lasts: Vec<Time>,
    long: u32,
}

impl<'g> Groups<'g> {
    fn new(trace: &'g dyn Parts, threshold: u64, median_gap: u64) -> Groups<'g> {
        let requests = trace.requests();
        let mut lasts = last_tokens(trace);
        lasts.retain(|&last| last != Time::NEVER);
        let firsts = requests.iter().map(|row| row.first_token);
        let mut firsts: Vec<Time> = firsts.filter(|&first| first != Time::NEVER).collect();
        firsts.sort_unstable();
        lasts.sort_unstable();
        let mut prompts: Vec<u64> =
            requests.iter().map(|row| u64::from(row.prompt_tokens)).collect();
        let long = median(&mut prompts).unwrap_or(0) as u32;
        Groups {
            requests,
            threshold,
            median: median_gap,
            firsts,
            lasts,
            long: long.saturating_mul(LONG_PROMPT).max(LONG_PROMPT_MIN),
        }
    }

    fn of(&self, stalls: &mut [Stall]) -> (Vec<StallGroup>, u64) {
        stalls.sort_by_key(|stall| (stall.from, stall.to, stall.request));
        let mut found: Vec<&[Stall]> = Vec::new();
        let mut rest = &*stalls;
        while let Some(first) = rest.first() {
            // The instant that all of a group share is before the earliest end.
            let mut ends = first.to;
            let mut count = 1;
            for stall in &rest[1..] {
                if stall.from >= ends {
                    break;
                }
                ends = ends.min(stall.to);
                count += 1;
            }
            let (group, later) = rest.split_at(count);
            found.push(group);
            rest = later;
        }
        let lost = |group: &&[Stall]| beyond(group, self.threshold);
        order::sort_by_key(&mut found, |group| (std::cmp::Reverse(lost(group)), group[0].from));
        let more = found.len().saturating_sub(LISTED) as u64;
        (found.into_iter().take(LISTED).map(|group| self.group(group)).collect(), more)
    }

    fn group(&self, stalls: &[Stall]) -> StallGroup {
        let from = stalls.iter().map(|stall| stall.from).min().expect("a group has a stall");
        let to = stalls.iter().map(|stall| stall.to).max().expect("a group has a stall");
        let instant = stalls.iter().map(|stall| stall.from).max().expect("a group has a stall");
        let begun = self.firsts.partition_point(|&first| first <= instant);
        let over = self.lasts.partition_point(|&last| last <= instant);
        let answering = (begun - over) as u32;
        let requests = stalls.len() as u32;
        let caught_up = stalls.iter().filter(|stall| stall.caught_up(self.median)).count() as u32;
        let looks_like = match requests {
            // Text that was made all the while tells of no server that stood still.
            hit if caught_up * 2 > hit => LooksLike::HeldBack,
            1 if answering < 2 => LooksLike::Alone,
            1 => LooksLike::OneRequest,
            hit if hit * 2 >= answering => LooksLike::Server,
            _ => LooksLike::Several,
        };
        let mut worst = stalls.to_vec();
        order::sort_by_key(&mut worst, |stall| (std::cmp::Reverse(stall.length()), stall.request));
        let gap = |stall: &Stall| MeasuredGap {
            request: stall.request,
            token: stall.token,
            from_s: seconds(stall.from),
            to_s: seconds(stall.to),
            at_once: stall.at_once,
        };
        let mut suspects: Vec<Suspect> = self
            .requests
            .iter()
            .zip((0..).map(RequestId))
            .filter(|(row, _)| self.is_suspect(row, from, to))
            .map(|(row, request)| Suspect {
                request,
                prompt_tokens: row.prompt_tokens,
                arrival_s: seconds(row.arrival),
            })
            .collect();
        order::sort_by_key(&mut suspects, |s| (std::cmp::Reverse(s.prompt_tokens), s.request));
        let more_suspects = suspects.len().saturating_sub(NAMED) as u32;
        suspects.truncate(NAMED);
        StallGroup {
            from_s: seconds(from),
            to_s: seconds(to),
            requests,
            answering,
            longest_s: worst[0].length().as_secs_f64(),
            caught_up,
            looks_like,
            worst: worst.iter().take(NAMED).map(gap).collect(),
            suspects,
            more_suspects,
        }
    }

    /// Whether a long prompt had been sent by the end of the stall and had no token at its start.
    fn is_suspect(&self, row: &RequestRow, from: Time, to: Time) -> bool {
        row.prompt_tokens >= self.long
            && !row.status.is_lost()
            && row.arrival < to
            && row.first_token > from
    }
}

fn seconds(time: Time) -> f64 {
    time.since(Time::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClassId, ColumnId, LaneId};
    use crate::trace::{Column, NO_RUN, Run, Status};

    fn ms(ms: u64) -> Time {
        Time::ZERO + Span::from_millis(ms)
    }

    /// Requests by arrival, prompt and token times in ms.
    fn trace(requests: &[(u64, u32, &[u64])]) -> TokenTrace {
        let mut trace =
            TokenTrace { columns: vec![Column::own(Vec::new())], ..TokenTrace::default() };
        for &(arrival, prompt_tokens, times) in requests {
            let column = &mut trace.columns[0].times;
            let first = column.len() as u32;
            column.extend(times[1..].iter().map(|&time| ms(time)));
            trace.requests.push(RequestRow {
                arrival: ms(arrival),
                scheduled: Time::NEVER,
                first_token: ms(times[0]),
                run: Run { column: ColumnId(0), first, len: times.len() as u32 - 1, next: NO_RUN },
                prompt_tokens,
                tokens: times.len() as u32,
                hit_tokens: 0,
                preemptions: 0,
                lane: LaneId(0),
                class: ClassId(0),
                status: Status::Completed,
            });
        }
        trace
    }

    #[test]
    fn together_the_server_alone_the_request() {
        // Gaps of 10 ms; at 30 ms two stand still for 100 ms while a long prompt is prefilled; at
        // 150 ms one of them does for 80 ms while the other goes on.
        let trace = trace(&[
            (0, 100, &[10, 20, 30, 130, 140, 150, 160, 170, 180, 190, 200, 210, 220, 230]),
            (0, 100, &[10, 20, 30, 130, 140, 150, 230, 240]),
            (25, 4000, &[130, 140]),
        ]);
        let found = measured_stalls(&trace, Span::from_millis(25), true);
        assert_eq!((found.median_gap_s, found.threshold_s), (Some(0.01), 0.05));
        assert_eq!((found.stalls, found.requests_hit, found.requests), (3, 2, 3));
        let [server, one] = &found.groups[..] else { panic!("two groups") };
        assert_eq!(
            (server.looks_like, server.requests, server.answering),
            (LooksLike::Server, 2, 2)
        );
        assert_eq!(
            (server.suspects[0].request, server.suspects[0].prompt_tokens),
            (RequestId(2), 4000)
        );
        assert_eq!((one.looks_like, one.requests, one.answering), (LooksLike::OneRequest, 1, 2));
        assert!(one.suspects.is_empty());
        assert_eq!((one.worst[0].request, one.worst[0].token), (RequestId(1), 6));
        // Without a common clock nothing is compared.
        assert!(measured_stalls(&trace, Span::from_millis(25), false).groups.is_empty());
    }

    #[test]
    fn text_that_was_held_back_comes_at_once_and_a_lost_place_catches_nothing_up() {
        let pace = |from: u64, tokens: u64| (0..tokens).map(move |i| from + 10 * i);
        let steady: Vec<u64> = pace(10, 30).collect();
        // Nine tokens of a gap of 100 ms come together with the late one.
        let held: Vec<u64> = pace(10, 5).chain([150; 10]).chain(pace(160, 10)).collect();
        let lost: Vec<u64> = pace(10, 5).chain(pace(150, 15)).collect();
        let look = |one: &[u64]| {
            let trace = trace(&[(0, 100, &steady), (0, 100, &steady), (0, 100, one)]);
            let found = measured_stalls(&trace, Span::from_millis(25), true);
            let [group] = &found.groups[..] else { panic!("one group") };
            (group.looks_like, group.caught_up, group.worst[0].at_once)
        };
        assert_eq!(look(&held), (LooksLike::HeldBack, 1, 9));
        assert_eq!(look(&lost), (LooksLike::OneRequest, 0, 0));
        // Two at once after a gap of ten say little.
        let chance: Vec<u64> = pace(10, 5).chain([150; 2]).chain(pace(160, 10)).collect();
        assert_eq!(look(&chance).0, LooksLike::OneRequest);
        // A proxy that held every answer back is not the server.
        let trace = trace(&[(0, 100, &held), (0, 100, &held)]);
        let found = measured_stalls(&trace, Span::from_millis(25), true);
        assert_eq!(found.groups[0].looks_like, LooksLike::HeldBack);
    }

    #[test]
    fn the_deadline_bounds_what_is_a_stall() {
        let trace = trace(&[(0, 10, &[1, 2, 3, 4, 24, 25])]);
        assert_eq!(measured_stalls(&trace, Span::from_millis(25), true).stalls, 0);
        let found = measured_stalls(&trace, Span::from_millis(19), true);
        assert_eq!((found.stalls, found.groups[0].looks_like), (1, LooksLike::Alone));
        let none = measured_stalls(&TokenTrace::default(), Span::from_millis(19), true);
        assert_eq!((none.stalls, none.median_gap_s), (0, None));
    }
}
