//! Drawing data: what a page needs to draw a result, worked out from traces and attributions.
//!
//! Everything is bounded whatever the run: long runs are thinned so that extremes stay, and say
//! so. Nothing here touches files or the clock, so that a page and its server draw alike.

mod cdf;
mod curve;
mod iterations;
mod lateness;
mod life;
mod measured;
mod packed;
mod page;
mod reader;
mod run;
mod search;
mod stall;
mod thread;
mod waiting;

pub use cdf::Cdf;
pub use curve::{CurveView, LateToken, Place};
pub use iterations::{ChunkLists, Columns, LaneView, Merged, columns};
pub use lateness::LatenessView;
pub use life::{Life, Lives, Part, Phase};
pub(crate) use measured::measured_run;
pub use packed::{Packed, Plain};
pub use page::{Absent, CauseName, CuresView, Page, PageKind};
pub use reader::{ReaderView, Unlucky, unluckiest};
pub use run::{Drawn, Line, RunView};
pub use search::{CapacityView, Figure, Probed, ProbedScheduler, SweepPoint, SweepView};
pub use stall::{CulpritPlaces, StallView};
pub use thread::{Thread, Threads, Turn};
pub use waiting::{Queue, Wait};

/// How much detail each part of a page may hold, shared among its runs: single iterations take the
/// most, up to some eight megabytes (see [`PACKED_MAX`]), the rest a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Points of a distribution curve.
    pub cdf_points: usize,
    /// Tokens of a request's curve.
    pub curve_tokens: usize,
    /// Stalls told.
    pub stalls: usize,
    /// Columns of a run's iteration timeline, all replicas together.
    pub columns: usize,
    /// Columns of the lateness plot.
    pub lateness_columns: usize,
    /// Replicas whose iterations are drawn.
    pub lanes: usize,
    /// Whether iterations that are put together are also kept one by one, packed.
    pub packed: bool,
}

/// Iterations that a page draws one by one; with more, each column stands for several.
pub const ITERATIONS_MAX: u64 = 60_000;
/// Iterations that a page keeps one by one beside the columns, packed into a few bytes each; with
/// more, single ones are kept around the worst stalls alone.
pub const PACKED_MAX: u64 = 3_000_000;
/// Columns of all timelines of a page where iterations are put together.
const COLUMNS: usize = 24_000;

impl Room {
    /// The room of each of `runs` runs, which ran `iterations` in all.
    pub fn for_runs(runs: usize, iterations: u64) -> Room {
        let runs = runs.max(1);
        let share = |all: usize, least: usize, most: usize| (all / runs).clamp(least, most);
        let columns = match iterations {
            0..=ITERATIONS_MAX => usize::MAX,
            _ => (COLUMNS / runs).max(50),
        };
        Room {
            cdf_points: share(3_000, 24, 300),
            curve_tokens: share(6_000, 40, 1_200),
            stalls: share(48, 2, 12),
            columns,
            lateness_columns: share(1_200, 24, 240),
            lanes: share(64, 1, 16),
            packed: (ITERATIONS_MAX + 1..=PACKED_MAX).contains(&iterations),
        }
    }
}
