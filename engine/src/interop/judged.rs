//! From a measured run to its part of a result: the same engine as for a simulation, and what the
//! file lets one say.

use std::collections::BTreeMap;

use super::bounds::{self, Ranges};
use super::contradictions::of_latencies;
use super::deadlines::options;
use super::measured::{Granularity, Measured};
use super::plots;
use super::promise::{GivenPromise, Settled};
use super::said::{Said, settled, verdict};
use crate::ids::ClassId;
use crate::metrics::{
    self, Deadlines, FULL_METRICS_TOKENS_MAX, FirstToken, Options, Summary, TokenCounts,
    distribution_of_nanos,
};
use crate::promise::{self, DEFAULT_TBT, JudgedBy, Promises};
use crate::result::{ClassResult, Fairness, MeasuredDeadlines, MeasuredResult, RunResult};
use crate::time::Span;

/// Why a run cannot be judged as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JudgeError {
    /// No curve can be fitted.
    #[error("--ttft-fit: {0}")]
    Fit(String),
    /// A curve goes by lengths that are not known.
    #[error(
        "--ttft-curve: the file does not tell how long prompts are; --ttft gives one deadline to all"
    )]
    PromptsUnknown,
    /// The deadlines make no sense.
    #[error(transparent)]
    Deadlines(#[from] metrics::DeadlineError),
    /// Token times cannot be read back.
    #[error("the temporary file of token times cannot be read: {0}")]
    Lost(String),
}

/// Judges a run. `full` asks for the full figures however many tokens there are.
///
/// # Errors
/// When the promise cannot be applied to this file.
pub fn judge(
    measured: &Measured,
    result_of: MeasuredResult,
    label: String,
    given: &GivenPromise,
    full: bool,
) -> Result<RunResult, JudgeError> {
    let mut notes = measured.notes.clone();
    let Settled { promises, tbt_from, fluidity_from } = Settled::of(measured, given);
    let (mut options, words) = options(measured, given, &promises, &mut notes)?;
    // The rule of a simulation.
    let tokens: u64 = measured.trace.requests.iter().map(|row| u64::from(row.tokens)).sum();
    options.full = full
        || tokens <= FULL_METRICS_TOKENS_MAX
        || measured.stated.as_ref().is_some_and(|stated| stated.full_metrics);
    let requests = metrics::per_request(measured, &options);
    let mut summary = metrics::summarise(measured, &options, &requests);
    adjust(measured, &mut summary);
    let said = Said::of(measured, &summary);
    let mut contradictions = measured.contradictions.clone();
    contradictions.extend(of_latencies(measured, &summary));
    let ranges = Ranges::of(measured, &options);
    let bounds = ranges.as_ref().map(|ranges| ranges.over(measured, &options));
    if let Some(bounds) = &bounds {
        bounds::bound(&mut summary, bounds);
    }
    let classes = classes(measured, &options, &promises, ranges.as_ref(), &contradictions);
    let slo = verdict(measured, &promises, &summary, classes.as_ref(), &contradictions);
    let fixed = match options.judge_first_token.then(|| options.deadlines_of(ClassId(0))) {
        Some(deadlines) => Some(deadlines.ttft(0))
            .filter(|first| *first == deadlines.ttft(u32::MAX) && options.per_class.len() < 2),
        None => None,
    };
    let drawn = options.full && measured.granularity <= Granularity::Chunk;
    let mut plots = drawn.then(|| plots::plots(measured, &options, &requests));
    // What is known within bounds has no one curve.
    if let (Some(plots), true) = (&mut plots, ranges.is_some()) {
        plots.fluidity_cdf.clear();
    }
    if let Some(why) = measured.lost() {
        return Err(JudgeError::Lost(why));
    }
    Ok(RunResult {
        scheduler: scheduler(measured, &result_of),
        label,
        summary,
        slo,
        judged_by: JudgedBy::of(&options, &measured.classes, &measured.trace.requests),
        stalls: None,
        iterations: None,
        routing: None,
        pools: None,
        disaggregation: None,
        kv_tiers: None,
        kv: None,
        fairness: classes.as_ref().filter(|_| measured.stated.is_some()).map(Fairness::of),
        sessions: None,
        classes,
        energy: None,
        cost: None,
        features: BTreeMap::new(),
        warnings: measured
            .no_measurement()
            .into_iter()
            .chain(contradictions.iter().map(|what| format!("the file contradicts itself: {what}")))
            .collect(),
        inert: Vec::new(),
        unknown: said.unknown,
        measured: Some(MeasuredResult {
            granularity: measured.granularity.name().to_owned(),
            deadlines: MeasuredDeadlines {
                ttft: words,
                ttft_s: fixed.map(Span::as_secs_f64),
                tbt: tbt_from.to_owned(),
                tbt_s: promises.common.tbt.as_secs_f64(),
                fluidity: fluidity_from.to_owned(),
                fluid_index: promises.common.fluid_index,
                fluid_share: promises.common.fluid_share,
                stated_ttft: measured.stated.as_ref().map(|stated| stated.slo.ttft.clone()),
            },
            failed: measured.failed,
            cached_tokens: measured.cached_tokens,
            client_queue_s: measured
                .client_queue_ns
                .as_ref()
                .map(|waits| distribution_of_nanos(&mut waits.clone())),
            first_answer_s: measured
                .first_answer_ns
                .as_ref()
                .map(|times| distribution_of_nanos(&mut times.clone())),
            exact: said.exact,
            bounds: said.bounds,
            fluidity_bounds: bounds.map(|over| over.gaps),
            reported: measured.reported.clone(),
            notes,
            extra_chunks: measured.extra_chunks && measured.granularity == Granularity::Chunk,
            contradictions,
            plots,
            ..result_of
        }),
    })
}

/// All that a file says that cannot be true together, the latencies that its client worked out
/// included.
pub fn contradictions(measured: &Measured) -> Vec<String> {
    // Latencies need no promise: any does.
    let deadlines = Deadlines::new(FirstToken::Fixed(Span::ZERO), DEFAULT_TBT, 1.0);
    let mut options = Options::new(deadlines.expect("sound figures"));
    options.judge_first_token = false;
    options.knows = measured.knows;
    let mut summary = metrics::evaluate(measured, &options);
    adjust(measured, &mut summary);
    measured.contradictions.iter().cloned().chain(of_latencies(measured, &summary)).collect()
}

/// A scheduler where the file names one, its format otherwise.
fn scheduler(measured: &Measured, of: &MeasuredResult) -> String {
    if of.format == "tokens" || of.format == "requests" {
        let name = measured.name.split('(').next().unwrap_or("").trim();
        return name.to_owned();
    }
    of.format.clone()
}

/// Figures that the trace alone does not give.
fn adjust(measured: &Measured, summary: &mut Summary) {
    if let Some(totals) = &measured.totals_ns {
        summary.e2e_s = distribution_of_nanos(&mut totals.clone());
        // Which of them failed is not told.
        let failed = measured.failed.min(summary.requests.completed);
        summary.requests.completed -= failed;
        summary.requests.failed += failed;
        if let Some((prompt, output)) = measured.token_totals {
            summary.tokens = TokenCounts { prompt, output };
        }
    }
}

fn classes(
    measured: &Measured,
    options: &Options,
    promises: &Promises,
    ranges: Option<&Ranges>,
    contradictions: &[String],
) -> Option<BTreeMap<String, ClassResult>> {
    if measured.classes.len() < 2 && promises.of_classes.is_empty() {
        return None;
    }
    let mut results = BTreeMap::new();
    for (class, name) in (0..).map(ClassId).zip(&measured.classes) {
        let slo = promises.to(name);
        let mut options = options.clone();
        options.count.class = Some(class);
        // The workload's rate is that of all classes together.
        options.nominal_rate_per_s = None;
        options.bounds = Some(slo.request_bounds());
        let mut summary = metrics::evaluate(measured, &options);
        if let Some(ranges) = ranges {
            bounds::bound(&mut summary, &ranges.over(measured, &options));
        }
        let terms = promise::judge(slo, &summary).terms;
        let slo = settled(measured, &summary, terms, contradictions);
        results.insert(name.clone(), ClassResult { summary, slo });
    }
    Some(results)
}
