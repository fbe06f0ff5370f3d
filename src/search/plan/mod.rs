//! Which GPU, how many, and what it costs, for a model, its traffic and a promise.
//!
//! A *kind* is a GPU with a parallelism and a number format; with the settings of a scheduler it is a
//! *cell*. What a cell costs is what the fewest of its replicas cost that hold the load. Cells are looked
//! at in order of what they cost at the least; one that would have to hold the load on fewer replicas
//! than it can to be cheaper than the best so far is left after one run, which ends as soon as it is
//! lost. So every GPU's cheapest cell is found as if all of them had been tried, as long as more
//! replicas hold what fewer do (`tests/cli/plan.rs` tries all).

mod answer;
mod apart;
mod asked;
mod bound;
mod cells;
pub mod check;
mod file;
mod fleet;
mod form;
mod group;
mod launch;
mod question;
mod search;
mod sessions;
mod text;
mod written;

pub use file::{PlanAnswer, PlanApart, PlanFile, PlanInfeasible, PlanSession, plan_schema};
pub use form::{PlanAsked, PlanForm, PlanWrong};
pub use launch::{Launch, launch};
pub use question::{Load as PlanLoad, PlanQuestion, SESSION_PRESETS, Traffic, TrafficLengths};
pub use search::{PlanError, PlanOptions, find_plan};
pub use text::{apart_lines, nearest as plan_nearest, plan_answer, plan_rows, plan_text};
