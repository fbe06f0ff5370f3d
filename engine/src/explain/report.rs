//! What an explanation says, for programs: times in whole nanoseconds, so that sums can be checked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blame::{Blame, Culprit};
use super::cause::main_cause;
use super::cause::{Cause, Split};
use super::index::Index;
use super::left_out::left_out;
use super::misses::Misses;
use super::stalls::{Stall, longest_pause, one, worst};
use super::timeline::{Timeline, timeline};
use super::totals::Totals;
use super::victims::{Victims, victims};
use crate::fleet::{Held, RouteDecision};
use crate::ids::ReplicaId;
use crate::metrics::{Count, Options, RequestMetrics, per_request};
use crate::request::RequestId;
use crate::trace::Status;

/// Nanoseconds, or counts, by cause; causes without any are left out.
pub type ByCause = BTreeMap<Cause, u64>;

/// Why one scheduler's tokens were late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunExplanation {
    /// Its registered name.
    pub scheduler: String,
    /// Name and parameters.
    pub label: String,
    /// Where all requests' time to first token went.
    pub first_token_ns: ByCause,
    /// Where all time between tokens went.
    pub between_tokens_ns: ByCause,
    /// The fluidity-index in the mean over the requests that count; null where none does, or some were
    /// still to be answered when observation ended.
    pub fluidity_index: Option<f64>,
    /// Missed deadlines of the requests that count.
    pub misses: MissReport,
    /// Requests that were turned away.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u64,
    /// The worst stalls, worst first.
    pub stalls: Vec<StallReport>,
    /// Requests that delayed others most, most first.
    pub culprits: Vec<CulpritTotal>,
    /// How many more delayed others.
    pub more_culprits: u32,
    /// The request that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestReport>,
}

fn is_nothing(number: &u32) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Missed deadlines charged to causes; the charges sum to the misses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissReport {
    /// Deadlines missed.
    pub missed: u64,
    /// By cause.
    pub by_cause: ByCause,
}

impl MissReport {
    fn new((missed, by_cause): (u64, Split)) -> MissReport {
        MissReport { missed, by_cause: listed(&by_cause) }
    }
}

/// A stall, and who caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StallReport {
    /// Whose text.
    pub request: RequestId,
    /// The pool of replicas that served it, where replicas differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The late token's number; 0 is the first.
    pub token: u32,
    /// Tokens that came with it: with drafts a step may bring several.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub came_with: u32,
    /// Whether it had still not come when observation ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The token before, or the arrival.
    pub from_ns: u64,
    /// The late token, or the end of observation.
    pub to_ns: u64,
    /// From one to the other; the causes sum to it.
    pub length_ns: u64,
    /// Beyond the deadline's pace.
    pub beyond_ns: u64,
    /// Requests with a stall of this kind at the same time, this one included.
    pub requests_hit: u32,
    /// The cause to look at.
    pub main_cause: Cause,
    /// Where the time went.
    pub causes_ns: ByCause,
    /// For which reasons its scheduler left it out of batches meanwhile, where it gives them for single
    /// requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out_ns: BTreeMap<String, u64>,
    /// Who caused it, most first.
    pub culprits: Vec<CulpritReport>,
    /// Others who did, too many to name.
    pub more_culprits: MoreCulprits,
    /// How it looked.
    pub timeline: Timeline,
    /// Where the request was sent and why, where there are several replicas and it waited for its first
    /// token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
}

/// Where a request was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Routed {
    /// The replica.
    pub replica: ReplicaId,
    /// What decided, in words.
    pub reason: String,
    /// Tokens of its prompt that the replica held in its prefix cache then; absent where that is of no
    /// account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_tokens: Option<u32>,
    /// The most that any replica held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_held_tokens: Option<u32>,
    /// One that held so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<ReplicaId>,
}

impl Routed {
    /// What a router decided, and what replicas held of the prompt then, where that is noted.
    pub fn by(decision: &RouteDecision, held: Option<Held>) -> Routed {
        Routed {
            replica: decision.replica,
            reason: decision.to_string(),
            held_tokens: held.map(|held| held.here),
            most_held_tokens: held.map(|held| held.most),
            held_by: held.map(|held| held.at),
        }
    }
}

/// Culprits of a stall beyond those who are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoreCulprits {
    /// How many parts they had in it.
    pub count: u32,
    /// How long, together.
    pub ns: u64,
}

/// Culprits of a stall that are named.
pub const CULPRITS_NAMED: usize = 20;

/// A request's part in a stall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CulpritReport {
    /// Who.
    pub request: RequestId,
    /// By what.
    pub cause: Cause,
    /// How long.
    pub ns: u64,
    /// Its prefill tokens that ran within the stall; 0 where it held seats or memory.
    pub prefill_tokens: u64,
    /// Length of its prompt.
    pub prompt_tokens: u32,
}

/// Delay that a request caused others, summed over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CulpritTotal {
    /// Who.
    pub request: RequestId,
    /// Length of its prompt.
    pub prompt_tokens: u32,
    /// All delay.
    pub total_ns: u64,
    /// By its prefill, its communication included, in its own lane of a pipeline or in others.
    pub prefill_ns: u64,
    /// By holding a seat.
    pub seat_ns: u64,
    /// By holding KV blocks: waits for them, also of preempted requests, and what these computed
    /// anew.
    pub kv_ns: u64,
    /// By every cause; they sum to `total_ns`.
    pub by_cause_ns: ByCause,
    /// The most requests of one lane that one of its chunks delayed at once.
    pub delayed_at_once: u32,
    /// Whom it delayed.
    pub victims: VictimsReport,
}

/// Whom a request delayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VictimsReport {
    /// How many requests.
    pub count: u32,
    /// The most that one of them was delayed.
    pub worst_ns: u64,
    /// What each was delayed in the mean, rounded down.
    pub mean_ns: u64,
    /// Those delayed most, most first.
    pub most: Vec<VictimReport>,
    /// How many more there are.
    pub more: u32,
}

/// A request that another delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VictimReport {
    /// Which.
    pub request: RequestId,
    /// By how much.
    pub ns: u64,
}

/// One request from arrival to its last token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestReport {
    /// Which.
    pub request: RequestId,
    /// Length of its prompt.
    pub prompt_tokens: u32,
    /// Tokens that it got.
    pub output_tokens: u32,
    /// When it was sent.
    pub arrival_ns: u64,
    /// Where its time to first token went.
    pub first_token_ns: ByCause,
    /// Where the time between its tokens went.
    pub between_tokens_ns: ByCause,
    /// Its fluidity-index; null where it was rejected, or still to be answered.
    pub fluidity_index: Option<f64>,
    /// Its missed deadlines.
    pub misses: MissReport,
    /// Delay that it caused others.
    pub caused: CulpritTotal,
    /// The gap before the token that was asked for, or its longest gaps.
    pub gaps: Vec<StallReport>,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How many stalls and culprits.
    pub top: usize,
    /// One request.
    pub request: Option<RequestId>,
    /// One token of it.
    pub token: Option<u32>,
}

/// The worst stalls of a run, worst first.
pub fn stall_reports(index: &Index<'_>, judged_by: &Options, top: usize) -> Vec<StallReport> {
    let stalls = worst(index, judged_by, top);
    stalls.iter().map(|stall| stall_report(index, stall)).collect()
}

/// The longest pause within a text that goes beyond its pace; none where no text stood still.
pub fn longest_pause_report(index: &Index<'_>, judged_by: &Options) -> Option<StallReport> {
    longest_pause(index, judged_by).map(|stall| stall_report(index, &stall))
}

/// The gap before one token of a request (0 is the first), late or not; none where there is no such token.
pub fn stall_of(
    index: &Index<'_>,
    judged_by: &Options,
    request: RequestId,
    token: u32,
) -> Option<StallReport> {
    one(index, judged_by, request, token).map(|stall| stall_report(index, &stall))
}

/// Missed deadlines of these requests, by cause.
pub fn miss_report(
    index: &Index<'_>,
    judged_by: &Options,
    requests: impl Iterator<Item = RequestId>,
) -> MissReport {
    MissReport::new(Misses::new(index, judged_by).sum(requests))
}

/// Explains one scheduler's run.
pub fn explain(
    scheduler: &str,
    label: &str,
    index: &Index<'_>,
    judged_by: &Options,
    question: Question,
) -> RunExplanation {
    let misses = Misses::new(index, judged_by);
    let counted = per_request(index.trace(), judged_by);
    let indices: f64 = counted.iter().map(|request| request.index).sum();
    let known = !counted.is_empty() && !counted.iter().any(RequestMetrics::is_open);
    let fluidity_index = known.then(|| indices / counted.len() as f64);
    let blame = Blame::new(index);
    let totals = index.totals();
    let (culprits, more_culprits) = top_culprits(index, &blame, question.top);
    let rows = index.trace().requests.iter();
    let rejected = rows.filter(|row| row.status == Status::Rejected).count();
    RunExplanation {
        scheduler: scheduler.to_owned(),
        label: label.to_owned(),
        first_token_ns: listed(&totals.first_token),
        between_tokens_ns: listed(&totals.between_tokens),
        fluidity_index,
        misses: MissReport::new(misses.sum(counted.iter().map(|request| request.row))),
        rejected: rejected as u64,
        stalls: stall_reports(index, judged_by, question.top),
        culprits,
        more_culprits,
        request: question
            .request
            .filter(|&request| request.index() < index.trace().requests.len())
            .map(|request| one_request(index, judged_by, &misses, &blame, request, question)),
    }
}

fn one_request(
    index: &Index<'_>,
    judged_by: &Options,
    misses: &Misses<'_, '_>,
    blame: &Blame,
    request: RequestId,
    question: Question,
) -> RequestReport {
    let row = &index.trace().requests[request.index()];
    let Totals { first_token, between_tokens } = index.totals_of(request);
    let tokens = match question.token {
        Some(token) => vec![token],
        None => {
            let mut gaps = index.gaps(request);
            gaps.sort_by_key(|gap| (std::cmp::Reverse(gap.to.since(gap.from)), gap.token));
            gaps.iter().take(question.top).map(|gap| gap.token).collect()
        }
    };
    let gaps = tokens.into_iter().filter_map(|token| one(index, judged_by, request, token));
    RequestReport {
        request,
        prompt_tokens: row.prompt_tokens,
        output_tokens: row.tokens,
        arrival_ns: row.arrival.as_nanos(),
        first_token_ns: listed(&first_token),
        between_tokens_ns: listed(&between_tokens),
        fluidity_index: (row.status == Status::Completed).then(|| {
            let all = Options { count: Count::default(), ..judged_by.clone() };
            per_request(index.trace(), &all)[request.index()].index
        }),
        misses: MissReport::new(misses.of(request)),
        caused: {
            let mut found = victims(index, blame, &[request]);
            culprit_total(index, blame, request, found.remove(0), question.top)
        },
        gaps: gaps.map(|stall| stall_report(index, &stall)).collect(),
    }
}

/// Causes with any time or count.
pub fn listed(split: &Split) -> ByCause {
    split.iter().filter(|&(_, ns)| ns > 0).collect()
}

fn stall_report(index: &Index<'_>, stall: &Stall) -> StallReport {
    let gap = &stall.gap;
    let row = &index.trace().requests[stall.request.index()];
    let open = gap.token >= row.tokens;
    let later = index.trace().token_times(row).skip(gap.token as usize + 1);
    let came_with = later.take_while(|&at| !open && at == gap.to).count() as u32;
    let pool = index.recording.pool(index.lane(stall.request));
    StallReport {
        request: stall.request,
        pool: pool.name.map(str::to_owned),
        token: gap.token,
        came_with,
        open,
        from_ns: gap.from.as_nanos(),
        to_ns: gap.to.as_nanos(),
        length_ns: gap.to.since(gap.from).as_nanos(),
        beyond_ns: stall.beyond.as_nanos(),
        requests_hit: stall.hit,
        main_cause: main_cause(&gap.split),
        causes_ns: listed(&gap.split),
        left_out_ns: left_out(index, stall.request, (gap.from, gap.to)),
        culprits: stall
            .culprits
            .iter()
            .take(CULPRITS_NAMED)
            .map(|culprit| culprit_report(index, culprit))
            .collect(),
        more_culprits: {
            let rest = stall.culprits.get(CULPRITS_NAMED..).unwrap_or_default();
            MoreCulprits {
                count: rest.len() as u32,
                ns: rest.iter().fold(0, |sum: u64, culprit| sum.saturating_add(culprit.ns)),
            }
        },
        timeline: timeline(index, stall),
        routed: None,
    }
}

fn culprit_report(index: &Index<'_>, culprit: &Culprit) -> CulpritReport {
    CulpritReport {
        request: culprit.request,
        cause: culprit.cause,
        ns: culprit.ns,
        prefill_tokens: culprit.tokens,
        prompt_tokens: index.trace().requests[culprit.request.index()].prompt_tokens,
    }
}

fn culprit_total(
    index: &Index<'_>,
    blame: &Blame,
    request: RequestId,
    victims: Victims,
    top: usize,
) -> CulpritTotal {
    let given = &blame.given[request.index()];
    let by = |causes: &[Cause]| {
        causes.iter().fold(0, |sum: u64, &cause| sum.saturating_add(given[cause]))
    };
    CulpritTotal {
        request,
        prompt_tokens: index.trace().requests[request.index()].prompt_tokens,
        total_ns: given.total().as_nanos(),
        prefill_ns: by(&[
            Cause::PrefillInterference,
            Cause::PrefillOnly,
            Cause::Communication,
            Cause::PipelineBubble,
            Cause::LockstepWait,
        ]),
        seat_ns: by(&[Cause::NoSeat]),
        kv_ns: by(&[Cause::NoKvBlocks, Cause::PreemptedWaiting, Cause::Recompute]),
        by_cause_ns: listed(given),
        delayed_at_once: blame.delayed_at_once[request.index()],
        victims: victims_report(&victims, top),
    }
}

fn victims_report(victims: &Victims, top: usize) -> VictimsReport {
    let count = victims.delayed.len();
    let victim = |&(request, ns): &(RequestId, u64)| VictimReport { request, ns };
    let most: Vec<VictimReport> = victims.delayed.iter().take(top).map(victim).collect();
    VictimsReport {
        count: count as u32,
        worst_ns: victims.delayed.first().map_or(0, |&(_, ns)| ns),
        mean_ns: victims.total_ns().checked_div(count as u64).unwrap_or(0),
        more: (count - most.len()) as u32,
        most,
    }
}

/// Those who delayed others most, and how many more did.
fn top_culprits(index: &Index<'_>, blame: &Blame, top: usize) -> (Vec<CulpritTotal>, u32) {
    let mut ranked: Vec<(u64, RequestId)> = blame
        .given
        .iter()
        .zip((0..).map(RequestId))
        .map(|(given, request)| (given.total().as_nanos(), request))
        .filter(|&(total, _)| total > 0)
        .collect();
    ranked.sort_by_key(|&(total, request)| (std::cmp::Reverse(total), request));
    let best: Vec<RequestId> = ranked.iter().take(top).map(|&(_, request)| request).collect();
    let found = victims(index, blame, &best);
    let total = |(&request, victims)| culprit_total(index, blame, request, victims, top);
    let totals: Vec<CulpritTotal> = best.iter().zip(found).map(total).collect();
    let more = (ranked.len() - totals.len()) as u32;
    (totals, more)
}
