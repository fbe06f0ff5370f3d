//! Bytes on their way between memories: which links they go over, and when they arrive.
//!
//! A transfer takes a time of its own first (its set-up, and so much for each KV block), which no other
//! transfer shortens or lengthens. Then its bytes flow over one or several links, which all that flow
//! over them share max-min fairly. Shares change only where a flow begins or ends, so a transfer costs
//! by how many others there are at these two instants, and nothing in between.

mod flows;
mod links;

pub use flows::{Flows, TransferId};
pub use links::{LinkId, Links};
