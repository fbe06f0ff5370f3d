//! What measured requests are judged by: what the user promises, or what the file states.

use std::sync::Arc;

use serde_json::{Value, json};

use super::measured::Measured;
use crate::metrics::PrefillCurve;
use crate::scenario::{Slo, TtftDeadline};
use crate::time::Span;
use crate::units::Duration;

/// What measured requests are to be judged by.
#[derive(Clone, Debug)]
pub struct Promise {
    /// The first token's deadline.
    pub ttft: TtftPromise,
    /// Each later token's; `None` for what the file states, or [`DEFAULT_TBT`].
    pub tbt: Option<Span>,
    /// The fluidity-index from which on a request is fluid, and the share of requests that must be;
    /// `None` for what the file states, or [`DEFAULT_FLUIDITY`].
    pub fluidity: Option<(f64, f64)>,
}

/// Deadline of later tokens where neither the user nor the file states one.
pub const DEFAULT_TBT: Span = Span::from_millis(25);

/// Fluidity-index and share of requests where neither the user nor the file states them.
pub const DEFAULT_FLUIDITY: (f64, f64) = (0.9, 0.99);

/// Where the first token's deadline comes from.
#[derive(Clone, Debug)]
pub enum TtftPromise {
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
pub fn promise_json(promise: &Promise) -> Value {
    let time = |span: Span| serde_json::to_value(Duration(span)).unwrap_or(Value::Null);
    let ttft = match &promise.ttft {
        TtftPromise::Own => Value::Null,
        TtftPromise::Fixed(span) => time(*span),
        TtftPromise::Curve { slack, from, .. } => {
            json!({"curve": from.as_str(), "plus": time(*slack)})
        }
        TtftPromise::Fit { slack } => json!({"curve": "fitted", "plus": time(*slack)}),
    };
    json!({
        "ttft": ttft,
        "tbt": promise.tbt.map_or(Value::Null, time),
        "fluidity": promise.fluidity.map(|(index, share)| json!({"index": index, "share": share}))
    })
}

/// The promise that a file's requests are judged by, and where it comes from.
pub(super) struct Slos {
    pub(super) common: Slo,
    /// By class index.
    pub(super) per_class: Vec<Slo>,
    /// Of the classes that have a promise of their own, in order.
    pub(super) own: Vec<String>,
    pub(super) tbt_from: &'static str,
    pub(super) fluidity_from: &'static str,
}

impl Slos {
    pub(super) fn of(measured: &Measured, promise: &Promise) -> Slos {
        let stated = measured.stated.as_ref();
        let from = |given: bool| match (given, stated) {
            (true, _) => "given",
            (false, Some(_)) => "stated in the file",
            (false, None) => "default",
        };
        let settle = |slo: Option<Slo>| {
            let mut slo = slo.unwrap_or_else(|| Slo {
                // Not looked at: the summary holds the judged figures.
                ttft: TtftDeadline::Fixed(Span::ZERO),
                tbt: DEFAULT_TBT,
                fluid_index: DEFAULT_FLUIDITY.0,
                fluid_share: DEFAULT_FLUIDITY.1,
                first_tokens_promised: false,
                bounds: Vec::new(),
            });
            slo.tbt = promise.tbt.unwrap_or(slo.tbt);
            (slo.fluid_index, slo.fluid_share) =
                promise.fluidity.unwrap_or((slo.fluid_index, slo.fluid_share));
            slo
        };
        let of = |class: &String| settle(stated.map(|stated| stated.slo_of(class).slo()));
        Slos {
            common: settle(stated.map(|stated| stated.slo.slo())),
            per_class: measured.classes.iter().map(of).collect(),
            own: stated.map_or_else(Vec::new, |stated| {
                stated.class_slos.iter().map(|(name, _)| name.clone()).collect()
            }),
            tbt_from: from(promise.tbt.is_some()),
            fluidity_from: from(promise.fluidity.is_some()),
        }
    }
}
