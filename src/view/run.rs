//! One scheduler's run, ready to draw.

use serde::Serialize;

use super::Room;
use super::cdf::Cdf;
use super::curve::{CurveView, chosen, curve};
use super::iterations::{LaneView, columns, packed};
use super::lateness::{LatenessView, lateness};
use super::page::Absent;
use super::stall::{StallView, stall_view};
use super::waiting::Queue;
use crate::explain::{
    Index, MissReport, Recording, RunExplanation, longest_pause_report, miss_report, stall_reports,
};
use crate::ids::LaneId;
use crate::metrics::{Options, RequestMetrics, per_request, pooled_gaps};
use crate::request::RequestId;
use crate::result::RunResult;
use crate::shown::duration;
use crate::trace::{Lane, Log, Status};

/// Iterations drawn one by one around a stall.
const DETAIL_MAX: u32 = 400;

/// A value of a distribution that the promise names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which distribution: `ttft`, `tbt`, `tpot`, `e2e` or `fluidity`.
    pub of: &'static str,
    /// Where.
    pub value: f64,
    /// What it means.
    pub label: String,
}

/// What is drawn of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunView {
    /// The scheduler's registered name.
    pub scheduler: String,
    /// Name and parameters.
    pub label: String,
    /// Time to first token of completed requests, seconds.
    pub ttft: Option<Cdf>,
    /// Time between tokens of completed requests, seconds.
    pub tbt: Option<Cdf>,
    /// Time per output token of completed requests, seconds.
    pub tpot: Option<Cdf>,
    /// The fluidity-index of all requests.
    pub fluidity: Option<Cdf>,
    /// From sending to the last token, of completed requests, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<Cdf>,
    /// From sending to the first iteration (scheduling delay), of requests that ran, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queueing: Option<Cdf>,
    /// The promise.
    pub lines: Vec<Line>,
    /// P99 over requests of the miss rate, by TBT target in milliseconds.
    pub miss_rate: Option<Vec<(u32, f64)>>,
    /// The worst, the median and the best request.
    pub curves: Vec<CurveView>,
    /// The iterations, lane by lane: a replica has one, or in a pipeline one a stage.
    pub lanes: Vec<LaneView>,
    /// Lanes that ran; more than `lanes` where not all are drawn.
    pub replicas: usize,
    /// Lateness by cause over time; none where no token was late.
    pub lateness: Option<LatenessView>,
    /// Missed deadlines by cause.
    pub misses: Option<MissReport>,
    /// The worst stalls, worst first.
    pub stalls: Vec<StallView>,
    /// Requests that were unfinished when observation ended: distributions hold what was seen of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unfinished: u64,
    /// Requests that were turned away, where some were, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<(u64, u64)>,
    /// Parts that are not there, and why.
    pub absent: Vec<Absent>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A simulated run, to be drawn.
#[derive(Clone)]
pub struct Drawn<'a> {
    /// Its published figures.
    pub result: &'a RunResult,
    /// What it was judged by.
    pub judged_by: &'a Options,
    /// The index of what it wrote down.
    pub index: &'a Index<'a>,
    /// Why its tokens were late, where that is worked out already.
    pub explanation: Option<&'a RunExplanation>,
}

impl RunView {
    /// Draws a simulated run.
    pub fn of(drawn: &Drawn<'_>, room: Room) -> RunView {
        let &Drawn { result, judged_by, index, explanation } = drawn;
        let recording = &index.recording;
        let trace = recording.trace;
        let requests = per_request(trace, judged_by);
        let own = match explanation {
            Some(known) if known.stalls.len() >= room.stalls => None,
            _ => Some(stall_reports(index, judged_by, room.stalls)),
        };
        let told = own.as_deref().or(explanation.map(|known| &known.stalls[..]));
        let mut view = RunView::of_figures(result);
        view.distributions(drawn, &requests, room.cdf_points);
        view.lines = lines(result, judged_by, Some(&prompt_range(drawn)));
        view.curves = chosen(trace, &requests)
            .into_iter()
            .map(|one| curve(trace, judged_by, Some(index), one, room.curve_tokens))
            .collect();
        let stalls = told.unwrap_or_default().iter().take(room.stalls);
        view.stalls = stalls.map(|stall| stall_view(index, stall)).collect();
        // Where first tokens are all that is told, the longest pause within a text is told too.
        let longest = result.summary.tbt_s.as_ref().and_then(|tbt| tbt.max).unwrap_or(0.0);
        let told =
            |stall: &StallView| stall.token > 0 && stall.length_ns as f64 / 1e9 >= longest - 1e-9;
        if !view.stalls.is_empty() && !view.stalls.iter().any(told) {
            let pause = longest_pause_report(index, judged_by);
            view.stalls.extend(pause.map(|stall| stall_view(index, &stall)));
        }
        view.misses = Some(match explanation {
            Some(known) => known.misses.clone(),
            None => miss_report(index, judged_by, requests.iter().map(|m| m.row)),
        });
        view.lateness = lateness(index, judged_by, room.lateness_columns);
        view.replicas = recording.log.len();
        view.lanes = lanes(recording, &view.stalls, room);
        if view.curves.is_empty() {
            let why = "no request got two tokens".to_owned();
            view.absent.push(Absent { part: "curves", why });
        }
        view
    }

    /// What the published figures alone tell.
    pub(super) fn of_figures(result: &RunResult) -> RunView {
        let fluidity = result.summary.fluidity.as_ref();
        let requests = &result.summary.requests;
        let miss_rate = fluidity.and_then(|f| f.p99_miss_rate_by_tbt_ms.clone());
        let mut absent = Vec::new();
        if miss_rate.is_none() {
            let why = match fluidity {
                Some(_) if result.summary.requests.unfinished > 0 => {
                    "some requests were unfinished when observation ended, and what they would \
                     miss is not known"
                }
                Some(_) if result.summary.requests.completed > 0 => {
                    "it is worked out up to 1,000,000 output tokens; --metrics full gives it here"
                }
                Some(_) => "no request completed",
                None => "single tokens' times are not known",
            };
            absent.push(Absent { part: "miss_rate", why: why.to_owned() });
        }
        RunView {
            scheduler: result.scheduler.clone(),
            label: result.label.clone(),
            miss_rate,
            unfinished: result.summary.requests.unfinished,
            turned_away: (requests.rejected > 0).then_some((requests.rejected, requests.offered)),
            absent,
            ..RunView::default()
        }
    }

    fn distributions(&mut self, drawn: &Drawn<'_>, requests: &[RequestMetrics], points: usize) {
        let trace = drawn.index.recording.trace;
        let ended = || requests.iter().filter(|m| !m.is_open());
        let completed =
            ended().filter(|m| trace.requests[m.row.index()].status == Status::Completed);
        let ttft = requests.iter().filter_map(|m| m.ttft).map(|ttft| ttft.as_secs_f64());
        self.ttft = Cdf::of(ttft.collect(), points);
        let e2e = completed.clone().filter_map(RequestMetrics::e2e).map(|e2e| e2e.as_secs_f64());
        self.e2e = Cdf::of(e2e.collect(), points);
        let rows = requests.iter().map(|m| &trace.requests[m.row.index()]);
        let delays =
            rows.filter_map(|row| Some(trace.scheduled(row)?.since(row.arrival).as_secs_f64()));
        self.queueing = Cdf::of(delays.collect(), points);
        self.tpot = Cdf::of(completed.filter_map(RequestMetrics::tpot_s).collect(), points);
        self.fluidity = Cdf::of(ended().map(|m| m.index).collect(), points);
        let rows: Vec<RequestId> = requests.iter().map(|m| m.row).collect();
        let gaps: Vec<(f64, u64)> = pooled_gaps(trace, &rows)
            .into_iter()
            .map(|(ns, weight)| (ns as f64 / 1e9, weight))
            .collect();
        self.tbt = Cdf::of_weighted(&gaps, points);
    }
}

/// Shortest and longest prompt.
fn prompt_range(drawn: &Drawn<'_>) -> (u32, u32) {
    let lengths = || drawn.index.recording.trace.requests.iter().map(|row| row.prompt_tokens);
    (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0))
}

/// The promise as lines on the distributions.
fn lines(result: &RunResult, options: &Options, prompts: Option<&(u32, u32)>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |of, value: f64, label: String| lines.push(Line { of, value, label });
    let tbt = options.deadlines.tbt().as_secs_f64();
    add("tbt", tbt, format!("a token due every {}", duration(tbt)));
    add("tpot", tbt, format!("a token due every {}", duration(tbt)));
    // Classes that are promised another pace are judged by that.
    let mut others: Vec<f64> = options.per_class.iter().map(|of| of.tbt().as_secs_f64()).collect();
    others.sort_by(f64::total_cmp);
    others.dedup();
    for own in others.into_iter().filter(|&own| own != tbt).take(2) {
        for of in ["tbt", "tpot"] {
            add(of, own, format!("a token due every {}, for some", duration(own)));
        }
    }
    if let Some(&(shortest, longest)) = prompts.filter(|_| options.judge_first_token) {
        let due = |prompt| options.deadlines.ttft(prompt).as_secs_f64();
        match (due(shortest), due(longest)) {
            (all, same) if all == same => {
                add("ttft", all, format!("first token due after {}", duration(all)));
            }
            (low, high) => {
                add("ttft", low, format!("due after {}: shortest prompt", duration(low)));
                add("ttft", high, format!("due after {}: longest prompt", duration(high)));
            }
        }
    }
    let index = options.deadlines.fluid_index();
    add("fluidity", index, format!("fluid from {index} on"));
    lines.extend(bound_lines(result));
    lines
}

/// Bounds of the promise as lines on the distributions.
pub(super) fn bound_lines(result: &RunResult) -> Vec<Line> {
    let of = |metric: &str| {
        [("ttft_s", "ttft"), ("tbt_s", "tbt"), ("tpot_s", "tpot"), ("e2e_s", "e2e")]
            .into_iter()
            .find(|(name, _)| *name == metric)
            .map(|(_, of)| of)
    };
    let terms = result.slo.terms.iter();
    terms
        .filter_map(|term| {
            let of = of(&term.metric)?;
            let stat = term.stat.as_deref().unwrap_or("").to_uppercase();
            let class = term.class.as_ref().map_or(String::new(), |class| format!("{class}: "));
            let label = format!("{class}{stat} at most {}", duration(term.bound));
            Some(Line { of, value: term.bound, label })
        })
        .collect()
}

/// The iterations of every replica that is drawn, those with the worst stalls first to be kept.
fn lanes(recording: &Recording<'_>, stalls: &[StallView], room: Room) -> Vec<LaneView> {
    let log = recording.log;
    let mut shown: Vec<LaneId> = Vec::new();
    let every = (0..log.len()).map(LaneId::at);
    for lane in stalls.iter().map(|stall| stall.lane).chain(every) {
        if shown.len() < room.lanes && !shown.contains(&lane) {
            shown.push(lane);
        }
    }
    shown.sort_unstable();
    let queues = Queue::of_replicas(recording);
    let nobody = Queue::default();
    let all: usize = shown.iter().map(|&lane| log[lane.index()].len()).sum();
    let mut lanes: Vec<LaneView> = Vec::new();
    for lane in shown {
        let log = &log[lane.index()];
        // Lanes of a pipeline stand before one queue.
        let Lane { replica, part, .. } = recording.trace.lane(lane);
        let queue = queues.get(replica.index()).unwrap_or(&nobody);
        let most = match room.columns {
            usize::MAX => usize::MAX,
            columns => (columns as u128 * log.len() as u128 / all.max(1) as u128) as usize,
        };
        let thinned = columns(log, queue, log.numbers(), most);
        let mut details = Vec::new();
        if thinned.each > 1 {
            for stall in stalls.iter().filter(|stall| stall.lane == lane) {
                details.push(around(log, queue, stall));
            }
        }
        let single = (room.packed && thinned.each > 1).then(|| packed(log, queue));
        let pool = recording.pool(lane);
        lanes.push(LaneView {
            lane,
            part: part.map(|part| (replica, part)),
            pool: pool.name.map(str::to_owned),
            iterations: log.len() as u64,
            kv_blocks: u64::from(pool.memory.blocks),
            all: thinned,
            details,
            packed: single,
        });
    }
    lanes
}

/// The iterations of a stall and as many on both sides, those of its end where it is long.
fn around(log: &Log, queue: &Queue, stall: &StallView) -> super::Columns {
    let from = log.partition_point(|i| i.end.as_nanos() / 1000 <= stall.from_us);
    let to = log.partition_point(|i| i.start.as_nanos() / 1000 < stall.to_us).max(from);
    let margin = to.since(from).clamp(20, DETAIL_MAX / 4);
    let to = to.after(margin).min(log.numbers().end);
    let from = from.back(margin).max(to.back(DETAIL_MAX));
    columns(log, queue, from..to, usize::MAX)
}

/// Iterations of runs that keep their log.
pub(super) fn iterations_of(runs: &[Drawn<'_>]) -> u64 {
    runs.iter().flat_map(|run| run.index.recording.log).map(|log| log.len() as u64).sum()
}

/// Runs of one page, each with its room.
pub(super) fn draw(runs: &[Drawn<'_>]) -> Vec<RunView> {
    let room = Room::for_runs(runs.len(), iterations_of(runs));
    let mut views: Vec<RunView> = runs.iter().map(|run| RunView::of(run, room)).collect();
    let packed = views.iter_mut().flat_map(|view| &mut view.lanes);
    for (id, packed) in packed.filter_map(|lane| lane.packed.as_mut()).enumerate() {
        packed.id = id;
    }
    views
}
