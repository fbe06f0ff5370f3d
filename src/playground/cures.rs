//! A stall's story, and what would have helped.

use serde::Serialize;

use super::loaded::Loaded;
use super::{Allowance, Problems};
use crate::explain::{Index, Question, StallReport, explain};
use crate::request::RequestId;
use crate::runner::{Advice, Patient, WhatIf, what_if, worth_a_cure};

/// The answer to `cures`.
#[derive(Serialize)]
pub(super) struct Cured {
    /// The scheduler.
    label: String,
    /// The stall: where its time went, and who caused it.
    stall: StallReport,
    /// Whether the run kept its promise as it was: then nothing has to change. Null where that is not
    /// known.
    keeps_promise: Option<bool>,
    /// The run as it was, then each change, the best first.
    tried: Vec<WhatIf>,
    /// What helps most, as its place in `tried`.
    best: Option<usize>,
    /// Changes that could not be tried, or changed nothing.
    notes: Vec<String>,
}

/// About how many simulations it takes to answer.
pub(super) const TRIALS: u64 = 10;

pub(super) fn cures(
    loaded: &Loaded,
    scheduler: usize,
    (request, token): (RequestId, u32),
    allowance: &Allowance<'_>,
) -> Result<Cured, Problems> {
    let outputs = loaded.play(allowance)?;
    let output = &outputs[0];
    let index = Index::new(loaded.recording(0, output));
    let question = Question { top: 1, request: Some(request), token: Some(token) };
    let result = &output.result;
    let told = explain(&result.scheduler, &result.label, &index, &output.judged_by, question);
    let misses = told.misses.by_cause;
    let Some(stall) = told.request.and_then(|told| told.gaps.into_iter().next()) else {
        let message = format!("request {request} has no token {token} under {}", result.label);
        return Err(Problems::one("", message, None));
    };
    let patient = Patient {
        document: &loaded.document,
        seed: None,
        resolved: &loaded.resolved,
        experiment: &loaded.experiment,
        requests: &loaded.requests,
        scheduler,
        config: &loaded.experiment.schedulers[0].config,
        output,
        stall: (request, token),
    };
    let Advice { keeps_promise, tried, best, notes, .. } =
        what_if(&patient, &worth_a_cure(&stall, &misses), &allowance.simulator());
    allowance.go_on()?;
    Ok(Cured { label: result.label.clone(), stall, keeps_promise, tried, best, notes })
}
