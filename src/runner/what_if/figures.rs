//! What a run came to, as far as it is compared with others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Patient;
use crate::metrics::{Latency, Options, Summary};
use crate::promise::Shortfall;
use crate::result::RunResult;
use crate::runner::{RunInput, summarise};
use crate::scenario::{Experiment, SchedulerRun};
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{Status, TokenTrace};

/// What is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// What became of the promise, over the whole run.
    pub promise: Shortfall,
    /// The gap that was the stall; null where the token never came. Where observation ended before it
    /// could come about: the longest gap of that kind.
    pub stall_s: Option<f64>,
    /// Where the token had not come when observation ended: the wait up to then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_at_least_s: Option<f64>,
    /// The longest gap of that kind (to the first token, or between tokens) of any request.
    pub worst_s: Option<f64>,
    /// The worst stall of any kind: what goes furthest beyond its deadline; null where every token
    /// came within it.
    pub worst_stall: Option<WorstStall>,
    /// The longest wait for a first token, up to the end of observation where none came.
    pub worst_first_token_s: Option<f64>,
    /// The longest time between two tokens.
    pub worst_gap_s: Option<f64>,
    /// How far that goes beyond the shortest deadline of a token.
    #[serde(skip)]
    pub(super) gap_beyond_s: f64,
    /// P99 of the time between tokens; null where observation ended too soon to know it.
    pub tbt_p99_s: Option<f64>,
    /// Then it is no less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tbt_p99_at_least_s: Option<f64>,
    /// P99 of the time to first token; null where observation ended too soon to know it.
    pub ttft_p99_s: Option<f64>,
    /// Then it is no less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_p99_at_least_s: Option<f64>,
    /// Fluid requests over all that were offered.
    pub fluid_request_share: Option<f64>,
    /// The mean fluidity-index.
    pub fluidity_index: Option<f64>,
    /// Output tokens per second.
    pub output_tokens_per_s: Option<f64>,
    /// Requests answered to the end.
    pub completed: u64,
    /// Requests turned away.
    pub rejected: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// GPUs of all replicas.
    pub gpus: u32,
    /// Dollars an hour of all GPUs; null where the price of one is not known.
    pub usd_per_hour: Option<f64>,
}

/// The worst stall of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorstStall {
    /// How long it was.
    pub length_s: f64,
    /// How far that is beyond its deadline.
    pub beyond_s: f64,
    /// Whether it was a wait for a first token; otherwise a gap between tokens.
    pub first_token: bool,
}

impl Figures {
    /// Whether all but the price is the same.
    pub(super) fn serves_as(&self, other: &Figures) -> bool {
        let priced = Figures { gpus: self.gpus, usd_per_hour: self.usd_per_hour, ..other.clone() };
        *self == priced
    }
}

/// The P99 of a latency, or the least that it can be where it is not known.
fn p99(summary: &Summary, latency: Latency) -> (Option<f64>, Option<f64>) {
    let (least, most) = summary.within(latency, |of| of.p99);
    if least == most { (least, None) } else { (None, least) }
}

impl Patient<'_> {
    /// A changed run, judged by the promise of the run as it was.
    pub(super) fn measured(
        &self,
        input: RunInput<'_>,
        scheduler: &SchedulerRun,
        outcome: &Outcome,
    ) -> RunResult {
        let judged_by = Options { full: false, ..self.output.judged_by.clone() };
        let label = scheduler.label.clone();
        let name = &scheduler.name;
        summarise::summarise(input, name, label, outcome, &judged_by, summarise::FAST)
    }

    pub(super) fn figures(
        &self,
        experiment: &Experiment,
        result: &RunResult,
        outcome: &Outcome,
    ) -> Figures {
        let summary = &result.summary;
        let (_, token) = self.stall;
        let (stall_s, stall_at_least_s) = self.stall_in(&outcome.trace);
        // Gaps that observation cut off count as far as it saw them.
        let seen = summary.latency_bounds.as_ref().and_then(|bounds| bounds.tbt_s);
        let gaps = seen.map(|range| range.lower).or(summary.tbt_s);
        let worst_gap_s = gaps.and_then(|tbt| tbt.max);
        let judged_by = &self.output.judged_by;
        let waits = Waits::of(&outcome.trace, judged_by);
        let worst_first_token_s = waits.map(|waits| waits.longest_s);
        let (ttft_p99_s, ttft_p99_at_least_s) = p99(summary, Latency::Ttft);
        let (tbt_p99_s, tbt_p99_at_least_s) = p99(summary, Latency::Tbt);
        let worst_s = match token {
            0 => worst_first_token_s,
            _ => worst_gap_s,
        };
        let unseen = stall_s.is_none() && stall_at_least_s.is_none() && self.unseen(&outcome.trace);
        let due = shortest_tbt_s(judged_by);
        Figures {
            promise: Shortfall::of(&result.slo),
            stall_s: stall_s.or(worst_s.filter(|_| unseen)),
            stall_at_least_s,
            worst_s,
            worst_stall: worst_stall(waits, worst_gap_s, judged_by),
            worst_first_token_s,
            worst_gap_s,
            gap_beyond_s: worst_gap_s.zip(due).map_or(0.0, |(gap, due)| gap - due),
            tbt_p99_s,
            tbt_p99_at_least_s,
            ttft_p99_s,
            ttft_p99_at_least_s,
            fluid_request_share: summary.fluidity.as_ref().and_then(|f| f.fluid_request_share),
            fluidity_index: summary.fluidity.as_ref().and_then(|f| f.index.mean),
            output_tokens_per_s: summary.throughput.as_ref().and_then(|t| t.output_tokens_per_s),
            completed: summary.requests.completed,
            rejected: summary.requests.rejected,
            preemptions: outcome.kv.preemptions,
            gpus: experiment.gpus(),
            usd_per_hour: experiment.usd_per_hour(),
        }
    }

    /// Whether the stall is within its deadline.
    pub(super) fn stall_is_in_time(&self) -> bool {
        let (request, token) = self.stall;
        let trace = &self.output.outcome.trace;
        let Some(row) = trace.requests.get(request.index()) else { return false };
        let deadlines = self.output.judged_by.deadlines_of(row.class);
        let allowed = if token == 0 { deadlines.ttft(row.prompt_tokens) } else { deadlines.tbt() };
        let (took, at_least) = self.stall_in(trace);
        at_least.is_none() && took.is_none_or(|took| took <= allowed.as_secs_f64())
    }

    /// Whether observation ended before the stall could come about: its request had not arrived, or
    /// had not got so far.
    fn unseen(&self, trace: &TokenTrace) -> bool {
        let (request, token) = self.stall;
        let row = trace.requests.get(request.index());
        row.is_none_or(|row| row.status == Status::Unfinished && row.tokens < token)
    }

    /// The gap before the stall's token, or how long it was at least.
    fn stall_in(&self, trace: &TokenTrace) -> (Option<f64>, Option<f64>) {
        let (request, token) = self.stall;
        let Some(row) = trace.requests.get(request.index()) else { return (None, None) };
        let mut times = trace.token_times(row);
        let before = match token {
            0 => Some(row.arrival),
            _ => times.nth(token as usize - 1),
        };
        let Some(before) = before else { return (None, None) };
        match times.next() {
            Some(at) => (Some(at.since(before).as_secs_f64()), None),
            None if row.status == Status::Unfinished => {
                (None, Some(trace.end.max(before).since(before).as_secs_f64()))
            }
            None => (None, None),
        }
    }
}

/// Waits for first tokens.
#[derive(Clone, Copy)]
struct Waits {
    longest_s: f64,
    /// Of the wait that goes furthest beyond its deadline.
    length_s: f64,
    beyond_s: f64,
}

impl Waits {
    /// `None` where nobody waited.
    fn of(trace: &TokenTrace, judged_by: &Options) -> Option<Waits> {
        let (mut longest, mut furthest) = (None, (0, 0));
        for row in trace.requests.iter().filter(|row| row.status != Status::Rejected) {
            let until = match row.first_token {
                Time::NEVER => trace.end.max(row.arrival),
                came => came,
            };
            let waited = until.since(row.arrival).as_nanos();
            let deadline = judged_by.deadlines_of(row.class).ttft(row.prompt_tokens).as_nanos();
            longest = longest.max(Some(waited));
            furthest = furthest.max((waited.saturating_sub(deadline), waited));
        }
        let seconds = |ns: u64| ns as f64 / 1e9;
        longest.map(|longest| Waits {
            longest_s: seconds(longest),
            length_s: seconds(furthest.1),
            beyond_s: seconds(furthest.0),
        })
    }
}

/// The shortest deadline between tokens: whose the longest gap is is not known.
fn shortest_tbt_s(judged_by: &Options) -> Option<f64> {
    let all = judged_by.per_class.iter().chain([&judged_by.deadlines]);
    all.map(|deadlines| deadlines.tbt()).min().map(|span| span.as_secs_f64())
}

fn worst_stall(
    waits: Option<Waits>,
    worst_gap_s: Option<f64>,
    judged_by: &Options,
) -> Option<WorstStall> {
    let deadline = shortest_tbt_s(judged_by)?;
    let gap = worst_gap_s.map(|length_s| WorstStall {
        length_s,
        beyond_s: length_s - deadline,
        first_token: false,
    });
    let wait = waits.filter(|_| judged_by.judge_first_token).map(
        |Waits { length_s, beyond_s, .. }| WorstStall { length_s, beyond_s, first_token: true },
    );
    let late = [wait, gap].into_iter().flatten().filter(|stall| stall.beyond_s > 0.0);
    late.max_by(|a, b| a.beyond_s.total_cmp(&b.beyond_s))
}
