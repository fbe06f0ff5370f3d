//! A summary with every figure, for the paths that a result can have.

use crate::ids::{ClassId, ColumnId, LaneId};
use crate::metrics::{self, Deadlines, Distribution, FirstToken, Options, RequestBounds, Summary};
use crate::time::{Span, Time};
use crate::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};

/// A summary in which every figure is there: the paths that a result can have.
pub(super) fn full_summary() -> Summary {
    let at = Time::from_nanos;
    let row = RequestRow {
        arrival: at(0),
        scheduled: at(1),
        first_token: at(2),
        run: Run { column: ColumnId(0), first: 0, len: 1, next: NO_RUN },
        prompt_tokens: 1,
        tokens: 2,
        hit_tokens: 0,
        preemptions: 0,
        lane: LaneId(0),
        class: ClassId(0),
        status: Status::Completed,
    };
    let later = RequestRow { arrival: at(1), scheduled: at(2), ..row };
    let trace = TokenTrace {
        way_back: Span::ZERO,
        columns: vec![Column::own(vec![at(3)])],
        requests: vec![row, later],
        lanes: Vec::new(),
        more_runs: Vec::new(),
        end: at(3),
        to_come: Vec::new(),
        hand_overs: Vec::new(),
        kv_loads: Vec::new(),
    };
    let second = Span::from_nanos(1);
    let deadlines = Deadlines::new(FirstToken::Fixed(second), second, 0.9);
    let mut options = Options::new(deadlines.expect("sound figures"));
    options.full = true;
    options.bounds = Some(RequestBounds::default());
    options.nominal_rate_per_s = Some(1.0);
    options.users = Some(1);
    let mut summary = metrics::evaluate(&trace, &options);
    if let Some(fluidity) = &mut summary.fluidity {
        let any = Some(metrics::Bounds::default());
        fluidity.bounds = Some(metrics::FluidityBounds {
            fluid_request_share: any,
            index_mean: any,
            service_miss_rate: any,
            index_p1: any,
            index_p5: any,
            index_p50: any,
            tpot_tokens_per_s: any,
            tbt_tokens_per_s: any,
        });
    }
    let bounds = Some(metrics::Bounds::default());
    summary.ttft_in_time_bounds = bounds;
    if let Some(goodput) = &mut summary.goodput {
        goodput.bounds = Some(metrics::GoodputBounds {
            requests: bounds,
            share: bounds,
            requests_per_s: bounds,
        });
    }
    let of = |one: Distribution| metrics::LatencyRange { lower: one, upper: one };
    summary.latency_bounds = Some(Box::new(metrics::LatencyBounds {
        ttft_s: of(summary.ttft_s),
        tbt_s: summary.tbt_s.map(of),
        tpot_s: of(summary.tpot_s),
        e2e_s: of(summary.e2e_s),
        normalized_latency_s_per_token: of(summary.normalized_latency_s_per_token),
        scheduling_delay_s: summary.scheduling_delay_s.map(of),
    }));
    summary
}
