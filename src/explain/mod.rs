//! Where the time of each gap went, and who caused it.

mod attribution;
mod blame;
mod cause;
mod chain;
mod hold;
mod lane;
mod misses;
mod over_time;
mod report;
mod stalls;
mod timeline;
mod walk;

pub use attribution::{Attribution, Recording, Totals, main_cause};
pub use blame::{Blame, Culprit, Given};
pub use cause::{CAUSES, Cause, Split};
pub use chain::{DecodeChain, PrefillChain};
pub use lane::{DECODING, HELD};
pub use misses::Misses;
pub use over_time::{LatenessOverTime, lateness_over_time};
pub use report::*;
pub use stalls::{Stall, culprits, one, worst};
pub use timeline::{COLUMNS, Timeline};
pub use walk::{Gap, Visit, Wait};
