//! What `explain --observed` publishes: stalls of a real run, each beside a simulated one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::{LooksLike, MeasuredGap, StallReport};

/// Stalls of a real run, with what the simulation had there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Joined {
    /// The file.
    pub file: String,
    /// The scheduler that the same requests were simulated with.
    pub label: String,
    /// A gap longer than this is a stall.
    pub threshold_s: f64,
    /// How many stalls the file has.
    pub stalls: u64,
    /// The worst stall of each instant, those with most lost time first.
    pub worst: Vec<JoinedStall>,
    /// How far this can be trusted.
    pub note: String,
}

/// One real stall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct JoinedStall {
    /// The gap, by its place in the file.
    pub real: MeasuredGap,
    /// Requests that stalled at that instant.
    pub requests_hit: u32,
    /// What token times alone suggest.
    pub looks_like: LooksLike,
    /// What may be said of its cause.
    pub verdict: Likely,
    /// The longest gap of the same request in the simulation, at the same token or next to it; null where the
    /// request got no token there.
    pub simulated: Option<StallReport>,
}

/// What may be said of the cause of a real stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Likely {
    /// The simulation stood still there for half as long or longer: probably for its reason.
    Simulated,
    /// It stood still for a part of that: probably a part of the reason.
    Partly,
    /// It did not: nothing that is simulated.
    NotSimulated,
    /// The missing tokens came all at once: probably not the server at all.
    HeldBack,
}
