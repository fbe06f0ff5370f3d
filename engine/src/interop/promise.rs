//! What measured requests are judged by: what the user promises, or what the file states.

use std::sync::Arc;

use serde_json::{Value, json};

use super::measured::Measured;
use crate::metrics::PrefillCurve;
use crate::promise::{Promises, Slo, TtftDeadline};
use crate::time::Span;
use crate::units::Duration;

/// What a user says of the promise; the rest is left to each file.
#[derive(Clone, Debug)]
pub struct GivenPromise {
    /// The first token's deadline.
    pub ttft: GivenTtft,
    /// Each later token's; `None` for what the file states, or
    /// [`DEFAULT_TBT`](crate::promise::DEFAULT_TBT).
    pub tbt: Option<Span>,
    /// The fluidity-index from which on a request is fluid, and the share of requests that must be;
    /// `None` for what the file states, or [`DEFAULT_FLUIDITY`](crate::promise::DEFAULT_FLUIDITY).
    pub fluidity: Option<(f64, f64)>,
}

/// Where the first token's deadline comes from.
#[derive(Clone, Debug)]
pub enum GivenTtft {
    /// The file, where it states one; first tokens are left out otherwise.
    Own,
    /// The same for all.
    Fixed(Span),
    /// A curve plus slack.
    Curve {
        /// Prefill times by prompt length.
        curve: Arc<PrefillCurve>,
        /// What is added.
        slack: Span,
        /// The file that it came from.
        from: String,
    },
    /// A curve fitted to the file's own unqueued requests, plus slack.
    Fit {
        /// What is added.
        slack: Span,
    },
}

/// The promise in the form of a scenario's `slo`; null for what is left to each file.
pub fn promise_json(promise: &GivenPromise) -> Value {
    let time = |span: Span| serde_json::to_value(Duration(span)).unwrap_or(Value::Null);
    let ttft = match &promise.ttft {
        GivenTtft::Own => Value::Null,
        GivenTtft::Fixed(span) => time(*span),
        GivenTtft::Curve { slack, from, .. } => {
            json!({"curve": from.as_str(), "plus": time(*slack)})
        }
        GivenTtft::Fit { slack } => json!({"curve": "fitted", "plus": time(*slack)}),
    };
    json!({
        "ttft": ttft,
        "tbt": promise.tbt.map_or(Value::Null, time),
        "fluidity": promise.fluidity.map(|(index, share)| json!({"index": index, "share": share}))
    })
}

/// The promises that a file's requests are judged by, but for their first tokens' deadlines, and where
/// they come from.
pub(super) struct Settled {
    pub(super) promises: Promises,
    pub(super) tbt_from: &'static str,
    pub(super) fluidity_from: &'static str,
}

impl Settled {
    pub(super) fn of(measured: &Measured, given: &GivenPromise) -> Settled {
        let stated = measured.stated.as_ref();
        let from = |given: bool| match (given, stated) {
            (true, _) => "given",
            (false, Some(_)) => "stated in the file",
            (false, None) => "default",
        };
        let settle = |slo: Slo| {
            let tbt = given.tbt.unwrap_or(slo.tbt);
            let (fluid_index, fluid_share) =
                given.fluidity.unwrap_or((slo.fluid_index, slo.fluid_share));
            Slo { tbt, fluid_index, fluid_share, ..slo }
        };
        // Its first deadline is not looked at: the summary holds the judged figures.
        let default = || Slo { ttft: TtftDeadline::Fixed(Span::ZERO), ..Slo::default() };
        let of_classes = stated.iter().flat_map(|stated| &stated.class_slos);
        Settled {
            promises: Promises {
                common: settle(stated.map_or_else(default, |stated| stated.slo.slo())),
                of_classes: of_classes
                    .map(|(name, slo)| (name.clone(), settle(slo.slo())))
                    .collect(),
            },
            tbt_from: from(given.tbt.is_some()),
            fluidity_from: from(given.fluidity.is_some()),
        }
    }
}
