//! What to evaluate: which requests, against which promise, and how much of it.

use super::Deadlines;
use crate::ids::{ClassId, LaneId};
use crate::time::{Span, Time};
use crate::trace::RequestRow;

/// Up to this many output tokens in a run, the full figures come without being asked for.
pub const FULL_METRICS_TOKENS_MAX: u64 = 1_000_000;

/// What [`evaluate`](super::evaluate) is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The promise to requests of a class that [`per_class`](Options::per_class) does not hold.
    pub deadlines: Deadlines,
    /// The promise to class 0, 1, ..., where classes have promises of their own.
    pub per_class: Vec<Deadlines>,
    /// Which requests the summary is about.
    pub count: Count,
    /// Whether the first token has a deadline too; otherwise only the smoothness of decoding is
    /// judged.
    pub judge_first_token: bool,
    /// Whether to work out the full figures: the fluid token rate and the miss-rate curve.
    pub full: bool,
    /// Bounds for single requests; goodput is given when there are any.
    pub bounds: Option<RequestBounds>,
    /// The arrival rate that the workload asked for, to be shown beside the realised one.
    pub nominal_rate_per_s: Option<f64>,
    /// Users of a closed loop.
    pub users: Option<u32>,
    /// What the trace's source knew.
    pub knows: Knowledge,
}

impl Options {
    /// All requests against one promise, first tokens included, without the full figures.
    pub fn new(deadlines: Deadlines) -> Options {
        Options {
            deadlines,
            per_class: Vec::new(),
            count: Count::default(),
            judge_first_token: true,
            full: false,
            bounds: None,
            nominal_rate_per_s: None,
            users: None,
            knows: Knowledge::default(),
        }
    }

    /// The promise to a request of this class.
    pub fn deadlines_of(&self, class: ClassId) -> &Deadlines {
        self.per_class.get(class.index()).unwrap_or(&self.deadlines)
    }
}

/// Which requests a summary is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// By arrival time, relative to the first and the last arrival of the whole trace.
    pub window: Measure,
    /// Only requests of this class.
    pub class: Option<ClassId>,
    /// Only requests of the lanes from the first up to before the second.
    pub lanes: Option<(LaneId, LaneId)>,
}

/// Which requests the results are about, by arrival time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Leave out requests that arrive this soon after the first.
    pub skip_first: Span,
    /// Leave out requests that arrive this close to the last.
    pub skip_last: Span,
}

/// Bounds that a single request can keep or break. What is `None` is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestBounds {
    /// Longest time to first token.
    pub ttft: Option<Span>,
    /// Longest mean gap between its tokens; a single token keeps it.
    pub tpot: Option<Span>,
    /// Longest time from arrival to last token.
    pub e2e: Option<Span>,
    /// Whether the request must be fluid.
    pub fluid: bool,
    /// Whether its first token must come by its deadline.
    pub first_in_time: bool,
}

/// What the source of a trace knew; the rest is left out of the summary. A simulation knows all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// Every token's time, not just the first and the last of each request (TBT, fluidity).
    pub token_times: bool,
    /// When requests were sent, on one clock (makespan, throughput, arrival rate).
    pub arrivals: bool,
    /// When requests were first scheduled (scheduling delay).
    pub scheduling: bool,
}

impl Default for Knowledge {
    fn default() -> Knowledge {
        Knowledge { token_times: true, arrivals: true, scheduling: true }
    }
}

/// The instants that bound a [`Count`]'s window, found once for a trace.
pub(super) struct Window {
    from: Time,
    to: Time,
    class: Option<ClassId>,
    lanes: Option<(LaneId, LaneId)>,
}

impl Window {
    /// The window of `count` on the requests of a trace. Empty when the two skips meet.
    pub(super) fn new(requests: &[RequestRow], count: Count) -> Window {
        let arrivals = || requests.iter().map(|row| row.arrival.as_nanos());
        let (first, last) = (arrivals().min().unwrap_or(0), arrivals().max().unwrap_or(0));
        // One past the last instant would not fit a Time; a window that ends before the trace
        // begins holds nothing, and neither does one from NEVER on.
        let from = first.saturating_add(count.window.skip_first.as_nanos());
        match last.checked_sub(count.window.skip_last.as_nanos()) {
            Some(to) => Window {
                from: Time::from_nanos(from),
                to: Time::from_nanos(to),
                class: count.class,
                lanes: count.lanes,
            },
            None => {
                Window { from: Time::NEVER, to: Time::ZERO, class: count.class, lanes: count.lanes }
            }
        }
    }

    /// Whether a request counts.
    pub(super) fn holds(&self, row: &RequestRow) -> bool {
        (self.from..=self.to).contains(&row.arrival)
            && self.class.is_none_or(|class| class == row.class)
            && self.lanes.is_none_or(|(from, to)| (from..to).contains(&row.lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Run, Status, TokenTrace};

    fn trace(arrivals: &[u64]) -> TokenTrace {
        let row = |(&arrival, class)| RequestRow {
            arrival: Time::from_nanos(arrival),
            scheduled: Time::NEVER,
            first_token: Time::NEVER,
            run: Run::EMPTY,
            prompt_tokens: 1,
            tokens: 0,
            hit_tokens: 0,
            preemptions: 0,
            lane: LaneId(0),
            class,
            status: Status::Unfinished,
        };
        let requests = arrivals.iter().zip((0..).map(ClassId)).map(row).collect();
        TokenTrace { requests, ..TokenTrace::default() }
    }

    fn held(arrivals: &[u64], skip_first: u64, skip_last: u64, class: Option<ClassId>) -> Vec<u64> {
        let trace = trace(arrivals);
        let window = Measure {
            skip_first: Span::from_nanos(skip_first),
            skip_last: Span::from_nanos(skip_last),
        };
        let window = Window::new(&trace.requests, Count { window, class, lanes: None });
        let rows = trace.requests.iter().filter(|row| window.holds(row));
        rows.map(|row| row.arrival.as_nanos()).collect()
    }

    #[test]
    fn the_window_is_relative_to_the_first_and_the_last_arrival() {
        let arrivals = [130, 100, 110, 120];
        assert_eq!(held(&arrivals, 0, 0, None), arrivals);
        assert_eq!(held(&arrivals, 10, 0, None), [130, 110, 120]);
        assert_eq!(held(&arrivals, 11, 0, None), [130, 120]);
        assert_eq!(held(&arrivals, 0, 10, None), [100, 110, 120]);
        assert_eq!(held(&arrivals, 10, 20, None), [110]);
        assert_eq!(held(&arrivals, 0, 0, Some(ClassId(2))), [110]);
    }

    #[test]
    fn skipping_more_than_there_is_leaves_nothing() {
        assert!(held(&[100, 130], 31, 0, None).is_empty());
        assert!(held(&[100, 130], 0, 131, None).is_empty());
        assert!(held(&[100, 130], u64::MAX, u64::MAX, None).is_empty());
        assert!(held(&[], 1, 1, None).is_empty());
    }
}
