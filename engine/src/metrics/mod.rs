//! Fluidity and the conventional latency metrics, for simulated and measured traces alike.
//!
//! The input is a [`TokenTrace`](crate::trace::TokenTrace): for each request its arrival and when
//! each of its `n` output tokens came, `e_0 <= e_1 <= ... <= e_(n-1)`. Where the times came from
//! makes no difference. Inside the engine time is integer nanoseconds; seconds appear in the
//! [`Summary`] alone.
//!
//! `docs/metrics.md` defines every figure for users; this is the same for who reads the code.
//!
//! # Latencies
//!
//! | name | definition | of whom |
//! |---|---|---|
//! | TTFT | `e_0 - arrival` | all that got a first token |
//! | TBT | `e_i - e_(i-1)` for `i >= 1`, one sample a token | all, pooled |
//! | TPOT | the mean of one request's TBTs; a request of one token has none | completed |
//! | E2E | `e_(n-1) - arrival` | completed |
//! | normalised latency | E2E / n | completed |
//! | scheduling delay | first batch with any of its tokens - arrival | all that were in one |
//!
//! Quantiles are exact and of Hyndman-Fan type 7. Means of times are exact integer sums, divided
//! once; means of ratios are summed in the order of requests.
//!
//! # Fluidity
//!
//! A user reads on while text comes in time, so each token has a deadline: `D_p` after arrival for
//! the first one, `D_d` after the deadline before it for each later one. Tokens that come early
//! leave slack to those after them. A late token misses its own deadline and each further `D_d`
//! that passed until it came, and the next one is due `D_d` after it. The *fluidity-index* of a
//! request is `met / (met + missed)`. (Agrawal et al., Etalon, once named Metron, arXiv
//! 2407.07000.) A request is *fluid* when its index reaches a threshold, 0.9 unless told.
//!
//! The *service-level miss rate* is all missed deadlines over all deadlines. The *fluid token
//! rate* is `1 / P99` over requests of the smallest `D_d` with which at most a tenth of a
//! request's deadlines are missed: tokens per second that a user can be promised.
//!
//! # Who is counted
//!
//! - The share of fluid requests and goodput are over *offered* requests. A rejected one is not
//!   fluid, its index is 0, and it has no deadlines.
//! - An unfinished request is *open*: it counts as what its best and its worst continuation make of
//!   it (see `open.rs`), and what depends on that is known within bounds. Deadlines that passed before
//!   observation ended are missed.
//! - The full figures are over requests with a deadline after the first token: rejected ones and
//!   ones of a single token have none. They are not given where requests are open.
//! - The makespan is the first arrival to the last token, and throughput is over it. Prompt tokens
//!   are those of requests that got a first token; output tokens are all that were emitted.
//!
//! # How it is fast
//!
//! A column of times is shared by many requests, and neither fluidity nor the TBT distribution
//! visits each request's tokens: see `forest.rs` and `tbt.rs`. [`mod@reference`] does, and is the
//! specification: both give the same summary to the last bit.

mod curve;
mod deadline;
mod evaluate;
mod fairness;
mod fluidity;
pub(crate) mod forest;
mod full;
mod latency;
pub(crate) mod lateness;
mod open;
mod options;
mod peaks;
mod per_request;
mod quantile;
pub mod reference;
mod summary;
mod sums;
mod tbt;
mod weighted;

pub use curve::{CurveError, PrefillCurve};
pub use deadline::{DeadlineError, Deadlines, FirstToken};
pub use evaluate::{evaluate, summarise};
pub(crate) use evaluate::{goodput, index_over_requests};
pub use fairness::{class_fairness, jain_index};
pub use fluidity::{Tally, tally_of};
#[cfg(any(test, feature = "internals"))]
pub use full::min_tbt_deadline;
pub use options::{Count, FULL_METRICS_TOKENS_MAX, Knowledge, Measure, Options, RequestBounds};
pub use quantile::distribution;

pub use latency::{Latency, Statistic};
pub use per_request::{RequestMetrics, counted, each_request, per_request};
pub use quantile::distribution_of_nanos;
pub use summary::{
    ArrivalRate, Bounds, Distribution, Fluidity, FluidityBounds, FluidityIndex, Goodput,
    GoodputBounds, LatencyBounds, LatencyRange, RequestCounts, Summary, Throughput, TokenCounts,
};
pub(crate) use tbt::gaps_at;
pub use tbt::pooled_gaps;
