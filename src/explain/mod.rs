//! Where the time of each gap went, and who caused it.

mod apportion;
mod attribution;
mod beats;
mod blame;
mod bubble;
mod cause;
mod chain;
mod hold;
mod lane;
mod line;
mod measured;
mod misses;
mod over_time;
mod parts;
mod pressure;
mod prices;
mod recording;
mod report;
mod stalls;
mod timeline;
mod victims;
mod walk;

pub use attribution::{Attribution, Totals, main_cause};
pub use blame::{Blame, Culprit};
pub use cause::{CAUSES, Cause, SHARED, Split};
pub use chain::{DecodeChain, PrefillChain};
pub use lane::{DECODING, HELD};
pub use measured::{LooksLike, MeasuredGap, MeasuredStalls, StallGroup, Suspect, measured_stalls};
pub use misses::Misses;
pub use over_time::{LatenessOverTime, lateness_over_time};
pub use recording::{Memory, RecordedPool, Recording};
pub use report::*;
pub use stalls::{Stall, culprits, one, worst};
pub use timeline::{COLUMNS, Timeline};
pub use victims::{Victims, victims};
pub use walk::{Gap, Visit, Wait};
