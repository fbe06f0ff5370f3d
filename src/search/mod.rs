//! What-if and capacity planning: the highest load that keeps a promise, the fewest replicas for a
//! load, grids of scenarios, and which of them are worth having.

mod bisect;
mod cache;
mod capacity;
mod goal;
mod interval;
mod probe;
mod steady;
pub mod sweep;

pub use bisect::{Bracket, bracket_and_bisect};
pub use cache::{Cache, input_files};
pub use capacity::{
    AtCapacity, Capacity, CapacityFile, CapacityOptions, ForRate, SeedCapacity, SizingPrice,
    capacity_answers, capacity_rows, capacity_schema, find_capacity, to_text,
};
pub use goal::{Goal, Terms};
pub use interval::{Interval, interval};
pub use probe::{Kept, Load, Probe, SearchError, Study};
pub use steady::{Steadiness, steadiness};
