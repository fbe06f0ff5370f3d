//! Links between replicas, by name: what KV goes over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Evidence;
use super::check::InvalidFigure;

/// A link that KV goes over from replica to replica, one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkPreset {
    /// Catalog name, such as `ib-400g`.
    pub name: String,
    /// One line for `metron-sim list links`.
    pub description: String,
    /// The line's rate one way, GB/s.
    pub gb_per_s: f64,
    /// The share of it that large transfers reach.
    pub efficiency: f64,
    /// Microseconds.
    pub latency_us: f64,
    /// Whose it is: `gpu` where each GPU has one, `replica` where those of a replica share one.
    pub scope: String,
    /// What the figures rest on.
    #[serde(default, skip_serializing_if = "Evidence::is_unstated")]
    pub evidence: Evidence,
    /// Where they come from.
    pub source: String,
}

impl LinkPreset {
    /// Bytes a second that large transfers reach.
    pub fn bytes_per_s(&self) -> f64 {
        self.gb_per_s * 1e9 * self.efficiency
    }

    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        let invalid = |path: &str, problem: String| Err(InvalidFigure::new(path, problem));
        if !(self.gb_per_s > 0.0 && self.gb_per_s.is_finite()) {
            return invalid("gb_per_s", format!("must be above 0, got {}", self.gb_per_s));
        }
        if !(self.efficiency > 0.0 && self.efficiency <= 1.0) {
            return invalid("efficiency", format!("must lie in 0 to 1, got {}", self.efficiency));
        }
        if !(0.0..=1e6).contains(&self.latency_us) {
            return invalid("latency_us", format!("must lie in 0 to 1e6, got {}", self.latency_us));
        }
        if !["gpu", "replica"].contains(&self.scope.as_str()) {
            return invalid("scope", format!("must be gpu or replica, got {}", self.scope));
        }
        Ok(())
    }
}
