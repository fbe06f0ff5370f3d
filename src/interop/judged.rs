//! From a measured run to its part of a result: the same engine as for a simulation, and what the
//! file lets one say.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bounds;
use super::fit::fit_prefill_curve;
use super::measured::{Granularity, Measured};
use super::plots;
use crate::metrics::{
    self, Deadlines, FirstToken, Fluidity, Options, PrefillCurve, RequestBounds, Summary,
    TokenCounts, distribution_of_nanos,
};
use crate::report::{
    ClassResult, MeasuredDeadlines, MeasuredResult, RunResult, Sense, SloResult, SloTerm, slo,
};
use crate::runner::FULL_METRICS_TOKENS_MAX;
use crate::scenario::{Slo, TtftDeadline};
use crate::time::{Span, Time};
use crate::trace::{RequestRow, Status, TokenTrace};
use crate::units::Duration;

/// What measured requests are to be judged by.
#[derive(Clone, Debug)]
pub struct Promise {
    /// The first token's deadline.
    pub ttft: TtftPromise,
    /// Each later token's.
    pub tbt: Span,
    /// The fluidity-index from which on a request is fluid.
    pub fluid_index: f64,
    /// The share of requests that must be fluid.
    pub fluid_share: f64,
}

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

/// Why a run cannot be judged as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JudgeError {
    /// No curve can be fitted.
    #[error("--ttft-fit: {0}")]
    Fit(String),
    /// The deadlines make no sense.
    #[error(transparent)]
    Deadlines(#[from] metrics::DeadlineError),
}

/// The promise in the form of a scenario's `slo`.
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
        "tbt": time(promise.tbt),
        "fluidity": {"index": promise.fluid_index, "share": promise.fluid_share}
    })
}

/// Judges a run. `full` asks for the full figures however many tokens there are.
///
/// # Errors
/// When the promise cannot be applied to this file.
pub fn judge(
    measured: &Measured,
    result_of: MeasuredResult,
    label: String,
    promise: &Promise,
    full: bool,
) -> Result<RunResult, JudgeError> {
    let mut notes = measured.notes.clone();
    let (mut options, words) = options(measured, promise, &mut notes)?;
    let times: u64 = measured.trace.columns.iter().map(|column| column.len() as u64).sum();
    options.full = full || times <= FULL_METRICS_TOKENS_MAX;
    let requests = metrics::per_request(&measured.trace, &options);
    let mut summary = metrics::summarise(&measured.trace, &options, &requests);
    adjust(measured, &mut summary);
    let mut said = Said::of(measured, &summary);
    let bounds = (measured.granularity == Granularity::FirstLast)
        .then(|| bounds::fluidity_bounds(&measured.trace, &options));
    let slo = verdict(promise, &summary, bounds.as_ref(), &mut said);
    let classes = classes(measured, &options, promise);
    let fixed = match options.judge_first_token.then(|| options.deadlines_of(0)) {
        Some(deadlines) => Some(deadlines.ttft(0))
            .filter(|first| *first == deadlines.ttft(u32::MAX) && options.per_class.len() < 2),
        None => None,
    };
    let drawn = options.full && measured.granularity <= Granularity::Chunk;
    Ok(RunResult {
        scheduler: scheduler(measured, &result_of),
        label,
        summary,
        slo,
        stalls: None,
        iterations: None,
        kv: None,
        fairness: None,
        classes,
        energy: None,
        cost: None,
        warnings: Vec::new(),
        unknown: said.unknown,
        measured: Some(MeasuredResult {
            granularity: measured.granularity.name().to_owned(),
            deadlines: MeasuredDeadlines {
                ttft: words,
                ttft_s: fixed.map(Span::as_secs_f64),
                tbt_s: promise.tbt.as_secs_f64(),
                fluid_index: promise.fluid_index,
            },
            failed: measured.failed,
            cached_tokens: measured.cached_tokens,
            client_queue_s: measured
                .client_queue_ns
                .as_ref()
                .map(|waits| distribution_of_nanos(&mut waits.clone())),
            exact: said.exact,
            bounds: said.bounds,
            fluidity_bounds: bounds,
            reported: measured.reported.clone(),
            notes,
            plots: drawn.then(|| plots::plots(&measured.trace, &options, &requests)),
            ..result_of
        }),
    })
}

/// A scheduler where the file names one, its format otherwise.
fn scheduler(measured: &Measured, of: &MeasuredResult) -> String {
    if of.format == "tokens" || of.format == "requests" {
        let name = measured.name.split('(').next().unwrap_or("").trim();
        return name.to_owned();
    }
    of.format.clone()
}

/// The options of the metric engine, and where the first token's deadline came from, in words.
fn options(
    measured: &Measured,
    promise: &Promise,
    notes: &mut Vec<String>,
) -> Result<(Options, Option<String>), JudgeError> {
    let with = |first: FirstToken| Deadlines::new(first, promise.tbt, promise.fluid_index);
    let curve = |curve: Arc<PrefillCurve>, slack: Span| with(FirstToken::Curve { curve, slack });
    let none = || with(FirstToken::Fixed(Span::ZERO));
    let mut per_class = Vec::new();
    let (common, words) = match &promise.ttft {
        TtftPromise::Fixed(span) => {
            let text = crate::report::units::duration(span.as_secs_f64());
            (with(FirstToken::Fixed(*span))?, Some(format!("{text} for every request")))
        }
        TtftPromise::Curve { curve: of, slack, from } => {
            outside(measured, of, notes);
            let slack_text = crate::report::units::duration(slack.as_secs_f64());
            (curve(Arc::clone(of), *slack)?, Some(format!("curve of {from} + {slack_text}")))
        }
        TtftPromise::Fit { slack } => {
            let fitted = fit_prefill_curve(measured).map_err(JudgeError::Fit)?;
            let how =
                if fitted.alone { "alone" } else { "while no other waited for its first token" };
            let (from, to) = fitted.curve.range();
            notes.push(format!(
                "the prefill curve was fitted to this file's own {} requests that ran {how} \
                 (prompts of {from} to {to} tokens, {} points)",
                fitted.requests,
                fitted.curve.points().len()
            ));
            outside(measured, &fitted.curve, notes);
            let slack_text = crate::report::units::duration(slack.as_secs_f64());
            let words = format!("curve fitted to its own unqueued requests + {slack_text}");
            (curve(Arc::new(fitted.curve), *slack)?, Some(words))
        }
        TtftPromise::Own => match own_deadlines(measured) {
            Own::Stated(curves) => {
                per_class = curves
                    .into_iter()
                    .map(|of| curve(Arc::new(of), Span::ZERO))
                    .collect::<Result<_, _>>()?;
                (none()?, Some("as the file states them".to_owned()))
            }
            Own::None => {
                notes.push(
                    "no first-token deadline was given: only later tokens are judged for fluidity \
                     (--ttft, --ttft-curve or --ttft-fit gives one)"
                        .to_owned(),
                );
                (none()?, None)
            }
            Own::Uneven => {
                notes.push(
                    "the file's first-token deadlines do not follow from prompt length and class: \
                     only later tokens are judged for fluidity"
                        .to_owned(),
                );
                (none()?, None)
            }
        },
    };
    let mut options = Options::new(common);
    options.per_class = per_class;
    options.judge_first_token = words.is_some();
    options.bounds = Some(RequestBounds { fluid: true, ..RequestBounds::default() });
    options.knows = measured.knows;
    Ok((options, words))
}

enum Own {
    Stated(Vec<PrefillCurve>),
    None,
    Uneven,
}

/// The deadlines that the file states, as a curve for each class.
fn own_deadlines(measured: &Measured) -> Own {
    let Some(deadlines) = &measured.ttft_deadlines_ns else { return Own::None };
    let mut curves: Vec<BTreeMap<u32, u64>> = vec![BTreeMap::new(); measured.classes.len()];
    for (row, &deadline) in measured.trace.requests.iter().zip(deadlines) {
        let Some(points) = curves.get_mut(usize::from(row.class)) else { return Own::Uneven };
        if *points.entry(row.prompt_tokens).or_insert(deadline) != deadline {
            return Own::Uneven;
        }
    }
    // A curve never falls; deadlines that do are no curve.
    if curves.iter().any(|points| !points.values().is_sorted()) {
        return Own::Uneven;
    }
    let made: Result<Vec<_>, _> = curves
        .into_iter()
        .map(|points| PrefillCurve::new(points.into_iter().map(|(p, t)| (p, Span::from_nanos(t)))))
        .collect();
    made.map_or(Own::None, Own::Stated)
}

fn outside(measured: &Measured, curve: &PrefillCurve, notes: &mut Vec<String>) {
    let rows = &measured.trace.requests;
    let outside = rows.iter().filter(|row| !curve.covers(row.prompt_tokens)).count();
    if outside > 0 {
        let (from, to) = curve.range();
        notes.push(format!(
            "{outside} of {} prompts lie outside of the curve's {from} to {to} tokens: their \
             deadline is that of its nearest end",
            rows.len()
        ));
    }
}

/// Figures that the trace alone does not give.
fn adjust(measured: &Measured, summary: &mut Summary) {
    if let Some(totals) = &measured.totals_ns {
        summary.e2e_s = distribution_of_nanos(&mut totals.clone());
        if let Some((prompt, output)) = measured.token_totals {
            summary.tokens = TokenCounts { prompt, output };
        }
    }
}

/// What is exact, what is a bound, what is not known.
#[derive(Default)]
struct Said {
    exact: Vec<String>,
    bounds: Vec<String>,
    unknown: Vec<String>,
}

impl Said {
    fn of(measured: &Measured, summary: &Summary) -> Said {
        let mut said = Said::default();
        let exact = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let latencies = ["ttft_s", "tpot_s", "e2e_s", "normalized_latency_s_per_token"];
        match measured.granularity {
            Granularity::Token => {
                said.exact = exact(&latencies);
                said.exact.extend(["tbt_s".to_owned(), "fluidity".to_owned()]);
            }
            Granularity::Chunk => {
                said.exact = exact(&latencies);
                said.of_chunks(measured);
            }
            Granularity::FirstLast => {
                said.exact = exact(&latencies);
                said.unknown.push("tbt_s: the file has first and last token times only".to_owned());
                said.unknown.push(
                    "fluidity: the file has first and last token times only; see its bounds"
                        .to_owned(),
                );
            }
            Granularity::Total => {
                said.exact = exact(&["e2e_s"]);
                for name in ["ttft_s", "tbt_s", "tpot_s", "normalized_latency_s_per_token"] {
                    said.unknown.push(format!("{name}: the file has total times only"));
                }
                said.unknown.push("fluidity: the file has total times only".to_owned());
                if measured.token_totals.is_none() {
                    said.unknown.push("tokens: the file has total times only".to_owned());
                }
            }
        }
        if summary.duration_s.is_none() {
            for name in ["duration_s", "arrival_rate_per_s", "throughput"] {
                said.unknown
                    .push(format!("{name}: the file does not tell when requests were sent"));
            }
        }
        if summary.scheduling_delay_s.is_none() {
            said.unknown.push(
                "scheduling_delay_s: the file does not tell when requests were scheduled"
                    .to_owned(),
            );
        }
        said
    }

    /// Every chunk holds a token at least, so tokens that share its time only add hits and slack.
    fn of_chunks(&mut self, measured: &Measured) {
        if measured.extra_chunks {
            self.unknown.push(
                "tbt_s and fluidity of tokens: those given are of chunks, some of which are no \
                 token"
                    .to_owned(),
            );
            return;
        }
        for text in [
            "tbt_s: of chunks; no quantile of the tokens' is larger",
            "fluidity.index, fluidity.fluid_request_share, fluidity.fluid_tokens_per_s, \
             fluidity.tbt_tokens_per_s: of chunks; the tokens' are no smaller",
            "fluidity.service_miss_rate, fluidity.p99_miss_rate_by_tbt_ms: of chunks; the tokens' \
             are no larger",
        ] {
            self.bounds.push(text.to_owned());
        }
    }
}

/// Whether the promise was kept, as far as that can be known.
fn verdict(
    promise: &Promise,
    summary: &Summary,
    bounds: Option<&crate::report::FluidityBounds>,
    said: &mut Said,
) -> SloResult {
    let share = summary.fluidity.as_ref().and_then(|f: &Fluidity| f.fluid_request_share);
    let met = match (share, bounds) {
        (Some(_), _) => return slo::judge(&scenario_slo(promise), summary),
        (None, Some(bounds)) => {
            let at_least = bounds.fluid_request_share_at_least.unwrap_or(0.0);
            let at_most = bounds.fluid_request_share_at_most.unwrap_or(1.0);
            if at_least >= promise.fluid_share {
                Some(true)
            } else if at_most < promise.fluid_share {
                Some(false)
            } else {
                None
            }
        }
        (None, None) => None,
    };
    if met.is_none() {
        said.unknown.push("slo.met: the share of fluid requests is not known".to_owned());
    }
    let met = met.unwrap_or(false);
    SloResult {
        met,
        terms: vec![SloTerm {
            class: None,
            metric: "fluid_request_share".to_owned(),
            stat: None,
            sense: Sense::AtLeast,
            bound: promise.fluid_share,
            value: None,
            met,
        }],
    }
}

fn scenario_slo(promise: &Promise) -> Slo {
    Slo {
        // Not looked at: the summary holds the judged figures.
        ttft: TtftDeadline::Fixed(Span::ZERO),
        tbt: promise.tbt,
        fluid_index: promise.fluid_index,
        fluid_share: promise.fluid_share,
        bounds: Vec::new(),
    }
}

fn classes(
    measured: &Measured,
    options: &Options,
    promise: &Promise,
) -> Option<BTreeMap<String, ClassResult>> {
    if measured.classes.len() < 2 {
        return None;
    }
    let mut results = BTreeMap::new();
    for (class, name) in (0u16..).zip(&measured.classes) {
        let mut options = options.clone();
        options.count.class = Some(class);
        let summary = metrics::evaluate(&measured.trace, &options);
        let slo = slo::judge(&scenario_slo(promise), &summary);
        results.insert(name.clone(), ClassResult { summary, slo });
    }
    Some(results)
}

/// A summary in which every figure is there: the paths that a result can have.
pub(crate) fn full_summary() -> Summary {
    let at = Time::from_nanos;
    let row = RequestRow {
        arrival: at(0),
        scheduled: at(1),
        first_token: at(2),
        run: crate::trace::Run { column: 0, first: 0, len: 1, next: crate::trace::NO_RUN },
        prompt_tokens: 1,
        tokens: 2,
        hit_tokens: 0,
        preemptions: 0,
        replica: 0,
        class: 0,
        status: Status::Completed,
    };
    let later = RequestRow { arrival: at(1), scheduled: at(2), ..row };
    let trace = TokenTrace {
        columns: vec![vec![at(3)]],
        requests: vec![row, later],
        more_runs: Vec::new(),
        end: at(3),
    };
    let second = Span::from_nanos(1);
    let deadlines = Deadlines::new(FirstToken::Fixed(second), second, 0.9);
    let mut options = Options::new(deadlines.expect("sound figures"));
    options.full = true;
    options.bounds = Some(RequestBounds::default());
    options.nominal_rate_per_s = Some(1.0);
    metrics::evaluate(&trace, &options)
}
