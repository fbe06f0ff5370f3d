//! The metrics of single requests: the rows of a request table, and what summaries are made of.

use super::fluidity::{Judge, Judged, Tally, demand};
use super::options::{Options, Window};
use crate::ids::RequestId;
use crate::time::{Span, Time};
use crate::trace::{Part, Parts, RequestRow, Status, TokenTrace};

/// The metrics of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestMetrics {
    /// Which: its row in [`TokenTrace::requests`].
    pub row: RequestId,
    /// Arrival to first token; `None` while there is none.
    pub ttft: Option<Span>,
    /// First to last token so far; 0 while there is none.
    pub decode: Span,
    /// Output tokens so far.
    pub tokens: u32,
    /// Deadlines met, and those that passed without their token up to the end of observation. A lost
    /// request (rejected, failed, ...) is not judged: its tally is empty.
    pub tally: Tally,
    /// The fluidity-index, of an unfinished request as it stood at the end of observation; 0 for a
    /// lost request.
    pub index: f64,
    /// Whether the index reaches the threshold; never for a lost request, `None` for an unfinished
    /// one that a continuation can make fluid.
    pub fluid: Option<bool>,
    /// Whether the first token came by its deadline; `None` where it has none, or it is not known.
    pub first_in_time: Option<bool>,
    /// Output tokens that observation did not see: 0 for a request that ended, [`UNKNOWN`] where there
    /// are some and their number is not known.
    pub(super) to_come: u32,
    /// Whether the next token cannot meet a deadline: it is late already, or has none.
    pub(super) next_is_no_hit: bool,
}

/// Stands for a number of tokens to come that is not known.
pub(super) const UNKNOWN: u32 = u32::MAX;

impl RequestMetrics {
    /// Arrival to last token so far; `None` while there is none.
    pub fn e2e(&self) -> Option<Span> {
        self.latencies().e2e()
    }

    /// Mean gap between its tokens in seconds; `None` for fewer than two.
    pub fn tpot_s(&self) -> Option<f64> {
        self.latencies().tpot_s()
    }

    /// Whether observation ended before the request did.
    pub fn is_open(&self) -> bool {
        self.to_come > 0
    }

    /// The best that an open request's tally can become; `None` where hits without number can follow.
    pub(super) fn best(&self) -> Option<Tally> {
        let hits = self.to_come.saturating_sub(u32::from(self.next_is_no_hit));
        let met = self.tally.met.saturating_add(u64::from(hits));
        (self.to_come < UNKNOWN).then_some(Tally { met, ..self.tally })
    }

    /// Gaps between the tokens of the whole answer, where their number is known.
    pub(super) fn gaps_in_all(&self) -> Option<u64> {
        let tokens = u64::from(self.tokens) + u64::from(self.to_come);
        (self.to_come < UNKNOWN).then(|| tokens.saturating_sub(1))
    }

    fn latencies(&self) -> Latencies {
        Latencies { ttft: self.ttft, decode: self.decode, tokens: self.tokens }
    }
}

/// The three numbers that every latency of a request follows from, as [`RequestMetrics`] has them.
#[derive(Clone, Copy)]
pub(super) struct Latencies {
    pub(super) ttft: Option<Span>,
    pub(super) decode: Span,
    pub(super) tokens: u32,
}

impl Latencies {
    /// From a request's row and its time from first to last token.
    pub(super) fn of(row: &RequestRow, decode: Span) -> Latencies {
        let has_token = row.first_token != Time::NEVER;
        let ttft = has_token.then(|| row.first_token.since(row.arrival));
        Latencies { ttft, decode, tokens: row.tokens }
    }

    pub(super) fn e2e(self) -> Option<Span> {
        self.ttft.map(|ttft| ttft + self.decode)
    }

    pub(super) fn tpot_s(self) -> Option<f64> {
        let gaps = self.tokens.checked_sub(1).filter(|&gaps| gaps > 0)?;
        self.ttft?;
        Some(self.decode.as_nanos() as f64 / (f64::from(gaps) * 1e9))
    }

    pub(super) fn normalized_s(self) -> Option<f64> {
        let tokens = Some(self.tokens).filter(|&tokens| tokens > 0)?;
        Some(self.e2e()?.as_nanos() as f64 / (f64::from(tokens) * 1e9))
    }
}

/// The metrics of every request that `options` count, in the trace's order.
///
/// # Panics
/// When the trace breaks its rules: a token before its request's arrival or before the token
/// before it, or a run outside of its column.
pub fn per_request(trace: &dyn Parts, options: &Options) -> Vec<RequestMetrics> {
    let mut metrics = Vec::new();
    each_request(trace, options, &mut |_, request| metrics.push(request));
    metrics
}

/// Calls `visit` with each request that `options` count, in the trace's order: its row, whose runs
/// hold within its part only, and its metrics. For millions of requests, of which nothing is kept.
///
/// # Panics
/// As [`per_request`].
pub fn each_request(
    trace: &dyn Parts,
    options: &Options,
    visit: &mut dyn FnMut(&RequestRow, RequestMetrics),
) {
    let window = Window::new(trace.requests(), options.count);
    trace.each_part(&mut |part| {
        let rows = || part.rows().filter(|(_, row)| window.holds(row));
        let demand = demand(part.trace, rows().map(|(_, row)| row));
        let judges = Judges::new(part, options, &demand, rows().map(|(_, row)| row));
        rows().for_each(|(index, row)| visit(row, judges.judge(row, index)));
    });
}

/// Judges some requests of a part, each by its class's promise.
pub(super) struct Judges<'t> {
    part: Part<'t>,
    options: &'t Options,
    /// One for each TBT deadline.
    judges: Vec<(Span, Judge<'t>)>,
}

impl<'t> Judges<'t> {
    /// For these rows, which run over `demand[c]` entries of column `c` in all.
    pub(super) fn new<'r>(
        part: Part<'t>,
        options: &'t Options,
        demand: &[u64],
        rows: impl Iterator<Item = &'r RequestRow>,
    ) -> Judges<'t> {
        let mut deadlines: Vec<Span> = Vec::new();
        let alike = options.per_class.is_empty();
        for row in rows.take(if alike { 1 } else { usize::MAX }) {
            let tbt = options.deadlines_of(row.class).tbt();
            if !deadlines.contains(&tbt) {
                deadlines.push(tbt);
            }
        }
        let judge = |tbt: Span| (tbt, Judge::new(part.trace, tbt.as_nanos(), demand));
        Judges { part, options, judges: deadlines.into_iter().map(judge).collect() }
    }

    /// The metrics of one of them.
    pub(super) fn judge(&self, row: &RequestRow, request: RequestId) -> RequestMetrics {
        let Judges { part, options, judges } = self;
        let trace = part.trace;
        let deadlines = options.deadlines_of(row.class);
        let tbt = deadlines.tbt();
        let (_, judge) = judges.iter().find(|(of, _)| *of == tbt).expect("one for each deadline");
        let lost = row.status.is_lost();
        let due = options.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens));
        let ttft_deadline = due.map(Span::as_nanos);
        let Judged { tally, overdue } =
            if lost { Judged::default() } else { judge.judge(row, ttft_deadline) };
        let last_token = trace.last_token(row);
        let ttft = last_token.map(|_| row.first_token.since(row.arrival));
        let mut metrics = RequestMetrics {
            row: request,
            ttft,
            decode: last_token.map_or(Span::ZERO, |time| time.since(row.first_token)),
            tokens: row.tokens,
            tally,
            index: if lost { 0.0 } else { tally.index() },
            fluid: Some(false),
            first_in_time: due.and_then(|due| match (ttft, row.status) {
                (Some(ttft), _) => Some(ttft <= due),
                // A time that the source did not tell.
                (None, Status::Completed) => None,
                (None, Status::Unfinished) => {
                    let waited = trace.end.max(row.arrival).since(row.arrival);
                    (waited > due).then_some(false)
                }
                (None, _) => Some(false),
            }),
            to_come: 0,
            // A first token that is not judged is no hit either.
            next_is_no_hit: overdue || (due.is_none() && ttft.is_none()),
        };
        let threshold = deadlines.fluid_index();
        metrics.fluid = match row.status {
            Status::Completed => Some(metrics.index >= threshold),
            Status::Unfinished => {
                metrics.to_come = trace.to_come(request).map_or(UNKNOWN, |tokens| tokens.max(1));
                let can_be_fluid = match metrics.best() {
                    Some(best) => best.index() >= threshold,
                    None => tally.missed == 0 || threshold < 1.0,
                };
                (!can_be_fluid).then_some(false)
            }
            _ => Some(false),
        };
        metrics
    }
}

/// The requests that `options` count, in the trace's order.
pub fn counted<'t>(
    trace: &'t TokenTrace,
    options: &Options,
) -> impl Iterator<Item = RequestId> + 't {
    let window = Window::new(&trace.requests, options.count);
    let rows = trace.requests.iter().zip(RequestId::FIRST.onwards());
    rows.filter(move |(row, _)| window.holds(row)).map(|(_, request)| request)
}
