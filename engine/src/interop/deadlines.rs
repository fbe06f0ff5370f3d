//! The metric engine's options for a measured run: the deadlines of its tokens, and where they come
//! from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fit::fit_prefill_curve;
use super::judged::JudgeError;
use super::measured::Measured;
use super::promise::{GivenPromise, GivenTtft};
use crate::metrics::{FirstToken, Options, PrefillCurve};
use crate::promise::Promises;
use crate::result::measured::AS_STATED;
use crate::result::stated::StatedRun;
use crate::time::Span;

/// The options of the metric engine, and where the first token's deadline came from, in words.
pub(super) fn options(
    measured: &Measured,
    given: &GivenPromise,
    promises: &Promises,
    notes: &mut Vec<String>,
) -> Result<(Options, Option<String>), JudgeError> {
    let curve = |curve: Arc<PrefillCurve>, slack: Span| FirstToken::Curve { curve, slack };
    let none = FirstToken::Fixed(Span::ZERO);
    // By class, where the file states them.
    let mut firsts: Vec<FirstToken> = Vec::new();
    let (common, words) = match &given.ttft {
        GivenTtft::Fixed(span) => {
            let text = crate::shown::duration(span.as_secs_f64());
            (FirstToken::Fixed(*span), Some(format!("{text} for every request")))
        }
        GivenTtft::Curve { curve: of, slack, from } => {
            prompts_are_known(measured, notes)?;
            outside(measured, of, notes);
            let slack_text = crate::shown::duration(slack.as_secs_f64());
            (curve(Arc::clone(of), *slack), Some(format!("curve of {from} + {slack_text}")))
        }
        GivenTtft::Fit { slack } => {
            let fitted = fit_prefill_curve(measured).map_err(JudgeError::Fit)?;
            notes.push(fitted.words());
            outside(measured, &fitted.curve, notes);
            let slack_text = crate::shown::duration(slack.as_secs_f64());
            let words = format!("curve fitted to its own unqueued requests + {slack_text}");
            (curve(Arc::new(fitted.curve), *slack), Some(words))
        }
        GivenTtft::Own => match own_deadlines(measured) {
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
    let mut options = Options::new(promises.common.deadlines(common.clone())?);
    if !firsts.is_empty() || !promises.of_classes.is_empty() {
        for (place, class) in measured.classes.iter().enumerate() {
            let first = firsts.get(place).unwrap_or(&common);
            options.per_class.push(promises.to(class).deadlines(first.clone())?);
        }
    }
    options.nominal_rate_per_s = stated.and_then(StatedRun::nominal_rate_per_s);
    options.count.window = stated.map(StatedRun::window).unwrap_or_default();
    options.judge_first_token = words.is_some();
    options.bounds = Some(promises.common.request_bounds());
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
        let Some(points) = curves.get_mut(row.class.index()) else { return Own::Uneven };
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

/// Says how many prompts have no length, which a curve needs.
///
/// # Errors
/// When none has.
fn prompts_are_known(measured: &Measured, notes: &mut Vec<String>) -> Result<(), JudgeError> {
    let rows = &measured.trace.requests;
    let unknown = rows.iter().filter(|row| row.prompt_tokens == 0).count();
    if unknown == rows.len() && unknown > 0 {
        return Err(JudgeError::PromptsUnknown);
    }
    if unknown > 0 {
        notes.push(format!(
            "the file does not tell the prompt length of {unknown} of {} requests: their deadline is that of \
             the shortest prompt",
            rows.len()
        ));
    }
    Ok(())
}

fn outside(measured: &Measured, curve: &PrefillCurve, notes: &mut Vec<String>) {
    let rows = &measured.trace.requests;
    let known = rows.iter().filter(|row| row.prompt_tokens > 0);
    let outside = known.filter(|row| !curve.covers(row.prompt_tokens)).count();
    if outside > 0 {
        let (from, to) = curve.range();
        notes.push(format!(
            "{outside} of {} prompts lie outside of the curve's {from} to {to} tokens: their \
             deadline is that of its nearest end",
            rows.len()
        ));
    }
}
