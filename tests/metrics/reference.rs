//! The metric engine against its slow reference, to the last bit, on random traces.

use std::sync::Arc;

use metron_sim::explain::measured_stalls;
use metron_sim::ids::{ClassId, ColumnId, LaneId, RequestId};
use metron_sim::metrics::{
    Count, Deadlines, FirstToken, Knowledge, Measure, Options, PrefillCurve, RequestBounds,
    class_fairness, evaluate, min_tbt_deadline, per_request, reference,
};
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Column, NO_RUN, Part, Parts, RequestRow, Run, Status, ToCome, TokenTrace};
use proptest::prelude::*;
use proptest::sample::select;

/// What a random request is made of; which runs fit is settled when the trace is built.
#[derive(Clone, Debug)]
struct Draft {
    arrival: u64,
    wait: u64,
    prefill: Option<u64>,
    /// For each run its column, how many entries it skips before it, and how many it takes.
    runs: Vec<(usize, usize, usize)>,
    prompt_tokens: u32,
    class: ClassId,
    status: Status,
    /// Tokens that an unfinished request was still to get.
    left: Option<u32>,
}

/// Gaps in units: many alike, so that deadlines on exact multiples are common.
fn gap() -> impl Strategy<Value = u64> {
    select(vec![0, 1, 2, 4, 5, 5, 5, 5, 6, 10, 15, 20, 50, 95])
}

fn draft() -> impl Strategy<Value = Draft> {
    let run = (0..3usize, select(vec![0, 0, 0, 1, 3]), 0..60usize);
    let status = select(vec![
        Status::Completed,
        Status::Completed,
        Status::Completed,
        Status::Unfinished,
        Status::Rejected,
        Status::Failed,
        Status::TimedOut,
        Status::Cancelled,
    ]);
    let prefill = prop::option::weighted(0.9, gap());
    let left = prop::option::weighted(0.9, select(vec![1, 1, 2, 5, 30, 200]));
    let ends = (status, left);
    (0..200u64, gap(), prefill, prop::collection::vec(run, 0..5), 1..50u32, 0..3u16, ends).prop_map(
        |(arrival, wait, prefill, runs, prompt_tokens, class, (status, left))| Draft {
            arrival,
            wait,
            prefill,
            runs,
            prompt_tokens,
            class: ClassId(class),
            status,
            left,
        },
    )
}

fn build(
    columns: Vec<Vec<u64>>,
    drafts: Vec<Draft>,
    end: u64,
    unit: u64,
    origin: u64,
) -> TokenTrace {
    let time = |units: u64| Time::from_nanos(origin + units * unit);
    let mut trace = TokenTrace { end: time(end), ..TokenTrace::default() };
    for gaps in columns {
        let mut at = 0;
        let times = gaps.into_iter().map(|gap| {
            at += gap;
            time(at)
        });
        trace.columns.push(Column::own(times.collect()));
    }
    for draft in drafts {
        let scheduled = time(draft.arrival + draft.wait);
        let first_token = draft.prefill.map(|prefill| time(draft.arrival + draft.wait + prefill));
        let mut row = RequestRow {
            arrival: time(draft.arrival),
            scheduled: if draft.prefill.is_some() { scheduled } else { Time::NEVER },
            first_token: first_token.unwrap_or(Time::NEVER),
            run: Run::EMPTY,
            prompt_tokens: draft.prompt_tokens,
            tokens: u32::from(first_token.is_some()),
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class: draft.class,
            status: draft.status,
        };
        let mut last = row.first_token;
        let mut runs = Vec::new();
        for (column, skip, len) in draft.runs {
            let column = column % trace.columns.len();
            let times = &trace.columns[column].times;
            let first = times.partition_point(|&time| time < last) + skip;
            let len = len.min(times.len().saturating_sub(first));
            if len > 0 {
                last = times[first + len - 1];
                row.tokens += len as u32;
                runs.push(Run {
                    column: ColumnId::at(column),
                    first: first as u32,
                    len: len as u32,
                    next: NO_RUN,
                });
            }
        }
        if let Some((first, more)) = runs.split_first() {
            row.run = *first;
            let mut before: Option<usize> = None;
            for run in more {
                let index = trace.more_runs.len();
                match before {
                    Some(before) => trace.more_runs[before].next = index as u32,
                    None => row.run.next = index as u32,
                }
                trace.more_runs.push(*run);
                before = Some(index);
            }
        }
        let left = draft.left.filter(|_| row.status == Status::Unfinished);
        let number = trace.requests.len() as u32;
        trace.to_come.extend(left.map(|tokens| ToCome { row: RequestId(number), tokens }));
        trace.requests.push(row);
    }
    trace
}

/// A trace, and the nanoseconds of its unit.
fn trace() -> impl Strategy<Value = (TokenTrace, u64)> {
    let column = prop::collection::vec(gap(), 0..80);
    (
        prop::collection::vec(column, 1..4),
        prop::collection::vec(draft(), 0..70),
        0..2000u64,
        select(vec![1, 7, 1_000_000, 1 << 45]),
        select(vec![0, 1_000_000_007, 1 << 62]),
    )
        .prop_map(|(columns, drafts, end, unit, origin)| {
            (build(columns, drafts, end, unit, origin), unit)
        })
}

fn deadlines(unit: u64) -> impl Strategy<Value = Deadlines> {
    let span = move |units: u64, nudge: i64| {
        Span::from_nanos((units * unit).saturating_add_signed(nudge).max(1))
    };
    let curve = move |slack: u64| FirstToken::Curve {
        curve: Arc::new(
            PrefillCurve::new([(5, span(1, 0)), (30, span(12, 0)), (20, span(40, 0))]).unwrap(),
        ),
        slack: span(slack, 0),
    };
    let ttft = prop_oneof![
        select(vec![0u64, 5, 20, 100]).prop_map(move |units| FirstToken::Fixed(span(units, 0))),
        Just(FirstToken::Fixed(Span::MAX)),
        select(vec![0u64, 3, 50]).prop_map(curve),
    ];
    let tbt = prop_oneof![
        8 => (select(vec![1u64, 2, 4, 5, 6, 10, 20, 100]), -1..=1i64)
            .prop_map(move |(units, nudge)| span(units, nudge)),
        1 => select(vec![1, 3_600_000_000_000, u64::MAX / 2, u64::MAX]).prop_map(Span::from_nanos),
    ];
    (ttft, tbt, select(vec![0.0, 0.5, 0.9, 1.0]))
        .prop_map(|(ttft, tbt, index)| Deadlines::new(ttft, tbt, index).unwrap())
}

fn options(unit: u64) -> impl Strategy<Value = Options> {
    let bound = || prop::option::of(gap().prop_map(move |units| Span::from_nanos(units * unit)));
    let bounds = (bound(), bound(), bound(), any::<(bool, bool)>()).prop_map(
        |(ttft, tpot, e2e, (fluid, first_in_time))| RequestBounds {
            ttft,
            tpot,
            e2e,
            fluid,
            first_in_time,
        },
    );
    let skip = || {
        prop_oneof![3 => Just(0u64), 1 => 0..120u64]
            .prop_map(move |units| Span::from_nanos(units * unit))
    };
    let count = (skip(), skip(), prop::option::weighted(0.2, 0..3u16)).prop_map(
        |(skip_first, skip_last, class)| Count {
            window: Measure { skip_first, skip_last },
            class: class.map(ClassId),
            lanes: None,
        },
    );
    let knows =
        (prop::bool::weighted(0.9), prop::bool::weighted(0.9), prop::bool::weighted(0.9)).prop_map(
            |(token_times, arrivals, scheduling)| Knowledge { token_times, arrivals, scheduling },
        );
    (
        deadlines(unit),
        prop::collection::vec(deadlines(unit), 0..3),
        count,
        any::<bool>(),
        any::<bool>(),
        prop::option::of(bounds),
        prop::option::of(Just(2.5)),
        knows,
    )
        .prop_map(|(deadlines, per_class, count, first, full, bounds, nominal, knows)| {
            Options {
                deadlines,
                per_class,
                count,
                judge_first_token: first,
                full,
                bounds,
                nominal_rate_per_s: nominal,
                users: nominal.map(|_| 4),
                knows,
            }
        })
}

/// A trace cut into parts of a few requests.
struct Cut {
    whole: TokenTrace,
    parts: Vec<TokenTrace>,
}

impl Cut {
    fn new(whole: &TokenTrace, every: usize) -> Cut {
        let parts = whole.requests.chunks(every);
        let parts = parts.map(|rows| TokenTrace { requests: rows.to_vec(), ..whole.clone() });
        Cut { whole: whole.clone(), parts: parts.collect() }
    }
}

impl Parts for Cut {
    fn requests(&self) -> &[RequestRow] {
        &self.whole.requests
    }

    fn end(&self) -> Time {
        self.whole.end
    }

    fn whole(&self) -> Option<&TokenTrace> {
        None
    }

    fn each_part(&self, visit: &mut dyn FnMut(Part<'_>)) {
        let mut first = 0;
        for trace in &self.parts {
            visit(Part { trace, first: RequestId::at(first) });
            first += trace.requests.len();
        }
    }
}

proptest! {
    #[test]
    fn parts_make_the_whole(
        (trace, options) in trace()
            .prop_flat_map(|(trace, unit)| (Just(trace), options(unit))),
        every in 1..40usize,
    ) {
        let cut = Cut::new(&trace, every);
        prop_assert_eq!(per_request(&cut, &options), per_request(&trace, &options));
        prop_assert_eq!(evaluate(&cut, &options), evaluate(&trace, &options));
        let deadline = options.deadlines.tbt();
        prop_assert_eq!(
            measured_stalls(&cut, deadline, true),
            measured_stalls(&trace, deadline, true)
        );
    }

    #[test]
    fn the_engine_equals_the_reference(
        (trace, options) in trace()
            .prop_flat_map(|(trace, unit)| (Just(trace), options(unit)))
    ) {
        let fast = evaluate(&trace, &options);
        prop_assert_eq!(&fast, &reference::evaluate(&trace, &options));
        // Equal also as written, and as read again.
        let json = serde_json::to_string(&fast).unwrap();
        prop_assert_eq!(&serde_json::from_str::<metron_sim::metrics::Summary>(&json).unwrap(), &fast);
        if let Some(fluidity) = &fast.fluidity {
            let share = fluidity.fluid_request_share.unwrap_or(0.0);
            prop_assert!((0.0..=1.0).contains(&share));
            let known = fluidity.fluid_request_share.is_some();
            let even = (known && share > 0.0).then_some(1.0);
            prop_assert_eq!(class_fairness([&fast, &fast]), even);
        }
    }

    #[test]
    fn single_requests_equal_the_reference(
        (trace, options) in trace()
            .prop_flat_map(|(trace, unit)| (Just(trace), options(unit)))
    ) {
        for metrics in per_request(&trace, &options) {
            let row = &trace.requests[metrics.row.index()];
            let mut times: Vec<Time> = trace.token_times(row).collect();
            let delivered = times.len();
            if row.status == Status::Unfinished {
                times.push(trace.end.max(times.last().copied().unwrap_or(row.arrival)));
            }
            let mut before = row.arrival;
            let gaps: Vec<u64> = times
                .iter()
                .map(|&time| time.since(std::mem::replace(&mut before, time)).as_nanos())
                .collect();
            if row.status.is_lost() {
                prop_assert_eq!((metrics.tally.total(), metrics.fluid), (0, Some(false)));
                prop_assert_eq!(min_tbt_deadline(&trace, row), None);
                continue;
            }
            let deadlines = options.deadlines_of(row.class);
            let ttft = deadlines.ttft(row.prompt_tokens).as_nanos();
            let ttft = options.judge_first_token.then_some(ttft);
            let tbt = deadlines.tbt().as_nanos();
            // What came was met or not; what did not come has missed what passed.
            let met = reference::tally(&gaps[..delivered], ttft, tbt).met;
            let missed = reference::tally(&gaps, ttft, tbt).missed;
            prop_assert_eq!((metrics.tally.met, metrics.tally.missed), (met, missed));
            prop_assert_eq!(metrics.is_open(), row.status == Status::Unfinished);
            let smallest = min_tbt_deadline(&trace, row).map(Span::as_nanos);
            let known = !metrics.is_open();
            prop_assert_eq!(smallest, reference::min_tbt_deadline(&gaps).filter(|_| known));
        }
    }
}
