//! What comes of a load: the few figures that are drawn against it.

use serde::Serialize;
use serde_json::Value;

use super::loaded::Loaded;
use super::{Allowance, Problems, member};
use crate::promise::{FLUID_SHARE, KEPT_SHARE};

/// The answer to `load`.
#[derive(Serialize)]
pub(super) struct UnderLoad {
    /// One for each scheduler shown.
    runs: Vec<LoadFigures>,
}

/// A scheduler's figures under one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct LoadFigures {
    /// The share of requests that kept the promise; none where nothing is promised to a single one, or only
    /// bounds are known.
    kept_share: Option<f64>,
    /// How many a second did.
    kept_per_s: Option<f64>,
    /// Time to first token, seconds: the slowest hundredth.
    ttft_p99_s: Option<f64>,
    /// Time between tokens, seconds: the slowest hundredth.
    tbt_p99_s: Option<f64>,
    /// The least share that must keep the promise.
    least_share: Option<f64>,
}

impl LoadFigures {
    /// The figures of a result. A request keeps the promise where its text is fluid, if that is what the
    /// verdict asks of requests, and otherwise where it is within the bounds that each is promised.
    pub(super) fn of(result: &Value) -> LoadFigures {
        let number = |path: &str| member(result, path).and_then(Value::as_f64);
        let fluid = || {
            let share = number("fluidity.fluid_request_share")?;
            let seconds = number("duration_s").filter(|&seconds| seconds > 0.0)?;
            Some((share, share * number("requests.offered")? / seconds))
        };
        let within = || number("goodput.share").zip(number("goodput.requests_per_s"));
        let (fluid_least, within_least) = (least(result, FLUID_SHARE), least(result, KEPT_SHARE));
        let (kept, least_share) = match (fluid_least, within_least) {
            (None, Some(bound)) => (within(), Some(bound)),
            (Some(bound), _) => (fluid(), Some(bound)),
            (None, None) => (fluid().or_else(within), None),
        };
        LoadFigures {
            kept_share: kept.map(|(share, _)| share),
            kept_per_s: kept.map(|(_, per_s)| per_s),
            ttft_p99_s: number("ttft_s.p99"),
            tbt_p99_s: number("tbt_s.p99"),
            least_share,
        }
    }
}

/// What the verdict asks at least of a share of all requests.
fn least(result: &Value, metric: &str) -> Option<f64> {
    let terms = member(result, "slo.terms")?.as_array()?;
    let whole = |term: &&Value| {
        term["metric"] == metric && term["class"].is_null() && term["pool"].is_null()
    };
    terms.iter().find(whole)?["bound"].as_f64()
}

pub(super) fn load(loaded: &Loaded, allowance: &Allowance<'_>) -> Result<UnderLoad, Problems> {
    let outputs = loaded.figures(allowance)?;
    let figures = outputs.iter().map(|one| {
        let result = serde_json::to_value(&one.result).expect("a result is plain data");
        LoadFigures::of(&result)
    });
    Ok(UnderLoad { runs: figures.collect() })
}
