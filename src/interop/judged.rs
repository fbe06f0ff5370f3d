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
    self, Deadlines, FirstToken, Options, PrefillCurve, RequestBounds, Summary, TokenCounts,
    distribution_of_nanos,
};
use crate::report::measured::AS_STATED;
use crate::report::stated::StatedRun;
use crate::report::{
    ClassResult, MeasuredDeadlines, MeasuredResult, RunResult, SloResult, SloTerm, slo,
};
use crate::runner::{FULL_METRICS_TOKENS_MAX, fairness, request_bounds};
use crate::scenario::{Slo, TtftDeadline};
use crate::time::{Span, Time};
use crate::trace::{RequestRow, Status, TokenTrace};
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
    let slos = Slos::of(measured, promise);
    let (mut options, words) = options(measured, promise, &slos, &mut notes)?;
    // The rule of a simulation.
    let tokens: u64 = measured.trace.requests.iter().map(|row| u64::from(row.tokens)).sum();
    options.full = full
        || tokens <= FULL_METRICS_TOKENS_MAX
        || measured.stated.as_ref().is_some_and(|stated| stated.full_metrics);
    let requests = metrics::per_request(&measured.trace, &options);
    let mut summary = metrics::summarise(&measured.trace, &options, &requests);
    adjust(measured, &mut summary);
    let mut said = Said::of(measured, &summary);
    let bounds = (measured.granularity == Granularity::FirstLast)
        .then(|| bounds::fluidity_bounds(&measured.trace, &options));
    let classes = classes(measured, &options, &slos);
    let slo = verdict(&slos, &summary, bounds.as_ref(), classes.as_ref(), &mut said);
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
        pools: None,
        kv: None,
        fairness: classes.as_ref().filter(|_| measured.stated.is_some()).map(fairness),
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
                tbt: slos.tbt_from.to_owned(),
                tbt_s: slos.common.tbt.as_secs_f64(),
                fluidity: slos.fluidity_from.to_owned(),
                fluid_index: slos.common.fluid_index,
                fluid_share: slos.common.fluid_share,
                stated_ttft: measured.stated.as_ref().map(|stated| stated.slo.ttft.clone()),
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

/// The promise that a file's requests are judged by, and where it comes from.
struct Slos {
    common: Slo,
    /// By class index.
    per_class: Vec<Slo>,
    /// Of the classes that have a promise of their own, in order.
    own: Vec<String>,
    tbt_from: &'static str,
    fluidity_from: &'static str,
}

impl Slos {
    fn of(measured: &Measured, promise: &Promise) -> Slos {
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

/// The options of the metric engine, and where the first token's deadline came from, in words.
fn options(
    measured: &Measured,
    promise: &Promise,
    slos: &Slos,
    notes: &mut Vec<String>,
) -> Result<(Options, Option<String>), JudgeError> {
    let with = |first: FirstToken, slo: &Slo| Deadlines::new(first, slo.tbt, slo.fluid_index);
    let curve = |curve: Arc<PrefillCurve>, slack: Span| FirstToken::Curve { curve, slack };
    let none = FirstToken::Fixed(Span::ZERO);
    // By class, where the file states them.
    let mut firsts: Vec<FirstToken> = Vec::new();
    let (common, words) = match &promise.ttft {
        TtftPromise::Fixed(span) => {
            let text = crate::report::units::duration(span.as_secs_f64());
            (FirstToken::Fixed(*span), Some(format!("{text} for every request")))
        }
        TtftPromise::Curve { curve: of, slack, from } => {
            outside(measured, of, notes);
            let slack_text = crate::report::units::duration(slack.as_secs_f64());
            (curve(Arc::clone(of), *slack), Some(format!("curve of {from} + {slack_text}")))
        }
        TtftPromise::Fit { slack } => {
            let fitted = fit_prefill_curve(measured).map_err(JudgeError::Fit)?;
            notes.push(fitted.words());
            outside(measured, &fitted.curve, notes);
            let slack_text = crate::report::units::duration(slack.as_secs_f64());
            let words = format!("curve fitted to its own unqueued requests + {slack_text}");
            (curve(Arc::new(fitted.curve), *slack), Some(words))
        }
        TtftPromise::Own => match own_deadlines(measured) {
            Own::Stated(curves) => {
                let first = |of: Option<PrefillCurve>| {
                    of.map_or(none.clone(), |of| curve(Arc::new(of), Span::ZERO))
                };
                firsts = curves.into_iter().map(first).collect();
                (none.clone(), Some(AS_STATED.to_owned()))
            }
            Own::None => {
                notes.push(
                    "no first-token deadline was given: only later tokens are judged for fluidity \
                     (--ttft, --ttft-curve or --ttft-fit gives one)"
                        .to_owned(),
                );
                (none.clone(), None)
            }
            Own::Uneven => {
                notes.push(
                    "the file's first-token deadlines do not follow from prompt length and class: \
                     only later tokens are judged for fluidity"
                        .to_owned(),
                );
                (none.clone(), None)
            }
        },
    };
    let stated = measured.stated.as_ref();
    let mut options = Options::new(with(common.clone(), &slos.common)?);
    if !firsts.is_empty() || !slos.own.is_empty() {
        for (class, slo) in slos.per_class.iter().enumerate() {
            let first = firsts.get(class).unwrap_or(&common);
            options.per_class.push(with(first.clone(), slo)?);
        }
    }
    options.nominal_rate_per_s = stated.and_then(StatedRun::nominal_rate_per_s);
    options.count.window = stated.map(StatedRun::window).unwrap_or_default();
    options.judge_first_token = words.is_some();
    options.bounds = Some(request_bounds(&slos.common));
    options.knows = measured.knows;
    Ok((options, words))
}

enum Own {
    /// By class; `None` for one without requests.
    Stated(Vec<Option<PrefillCurve>>),
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
    let made = |points: BTreeMap<u32, u64>| {
        PrefillCurve::new(points.into_iter().map(|(p, t)| (p, Span::from_nanos(t)))).ok()
    };
    Own::Stated(curves.into_iter().map(made).collect())
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
    slos: &Slos,
    summary: &Summary,
    bounds: Option<&crate::report::FluidityBounds>,
    classes: Option<&BTreeMap<String, ClassResult>>,
    said: &mut Said,
) -> SloResult {
    let mut result = slo::judge(&slos.common, summary);
    for name in &slos.own {
        let Some(class) = classes.and_then(|classes| classes.get(name)) else { continue };
        let terms = class.slo.terms.iter();
        result
            .terms
            .extend(terms.map(|term| SloTerm { class: Some(name.clone()), ..term.clone() }));
    }
    let mut unknown = None;
    let mut broken = false;
    for term in &mut result.terms {
        let known = match term.metric.as_str() {
            "fluid_request_share" if summary.fluidity.is_none() => {
                let known = bounds.filter(|_| term.class.is_none()).and_then(|bounds| {
                    let least = bounds.fluid_request_share_at_least.unwrap_or(0.0);
                    let most = bounds.fluid_request_share_at_most.unwrap_or(1.0);
                    if least >= term.bound {
                        Some(true)
                    } else {
                        (most < term.bound).then_some(false)
                    }
                });
                known.ok_or("the share of fluid requests is not known")
            }
            "tbt_s" if summary.tbt_s.is_none() => Err("times between tokens are not known"),
            "ttft_s" | "tpot_s" if summary.ttft_s.count == 0 && summary.e2e_s.count > 0 => {
                Err("the times of tokens are not known")
            }
            _ => Ok(term.met),
        };
        term.met = known == Ok(true);
        broken |= known == Ok(false);
        unknown = unknown.or(known.err());
    }
    result.met = result.terms.iter().all(|term| term.met);
    if let (false, Some(why)) = (broken, unknown) {
        said.unknown.push(format!("slo.met: {why}"));
    }
    result
}

fn classes(
    measured: &Measured,
    options: &Options,
    slos: &Slos,
) -> Option<BTreeMap<String, ClassResult>> {
    if measured.classes.len() < 2 && slos.own.is_empty() {
        return None;
    }
    let mut results = BTreeMap::new();
    for ((class, name), slo) in (0u16..).zip(&measured.classes).zip(&slos.per_class) {
        let mut options = options.clone();
        options.count.class = Some(class);
        // The workload's rate is that of all classes together.
        options.nominal_rate_per_s = None;
        let summary = metrics::evaluate(&measured.trace, &options);
        let slo = slo::judge(slo, &summary);
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
