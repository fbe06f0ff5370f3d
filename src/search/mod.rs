//! What-if and capacity planning: the highest load that keeps a promise, the fewest replicas for a
//! load, the cheapest GPUs for a question, grids of scenarios, and which of them are worth having.

mod bisect;
mod cache;
mod capacity;
mod depends;
mod digest;
mod goal;
mod interval;
mod lone;
mod plan;
mod probe;
mod settled;
mod size;
mod stays;
mod steady;
pub mod sweep;
mod watch;

pub use bisect::{Bracket, Range, Shown, bracket_and_bisect, bracket_from};
pub use cache::{Cache, CacheError};
pub use capacity::{
    Alone, AtCapacity, Capacity, CapacityFile, CapacityOptions, ForLoad, MAX_REPLICAS,
    RatioCapacity, Searched, SeedCapacity, SizingPrice, capacity_answers, capacity_rows,
    capacity_schema, find_capacity, ratios, to_text,
};
pub use depends::{Contents, FileDigests, build};
pub use goal::{Goal, Judged, Terms};
pub use interval::{Border, Estimate, Interval, interval};
pub use plan::{
    Launch, PlanAnswer, PlanApart, PlanAsked, PlanError, PlanFile, PlanForm, PlanInfeasible,
    PlanLoad, PlanOptions, PlanQuestion, PlanSession, PlanWrong, SESSION_PRESETS, Traffic,
    TrafficLengths, apart_lines, check, find_plan, launch, plan_answer, plan_nearest, plan_rows,
    plan_schema, plan_text,
};
pub use probe::{Kept, Length, Load, Offered, Probe, SearchError, Study};
pub use settled::Settling;
pub use size::{FleetSize, Steps};
pub use steady::{Steadiness, steadiness};
pub use watch::Watch;
