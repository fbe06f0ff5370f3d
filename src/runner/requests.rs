//! The requests that every scheduler of an experiment faces.

use crate::request::Request;
use crate::scenario::Experiment;
use crate::workload::{Answered, Arriving, Limits, Warning, Workload, WorkloadError, draw};

/// Requests of an experiment: known beforehand, or made as answers come.
#[derive(Clone, Debug)]
pub enum Requests {
    /// The same requests at the same times for every scheduler.
    Open(Workload),
    /// The same users, or sessions, for every scheduler; when they ask depends on when they are answered.
    Closed(Box<Answered>),
}

impl Requests {
    /// Draws or reads the requests of an experiment, with what a user should know of them.
    ///
    /// # Errors
    /// When the workload's description cannot be followed or its files cannot be read.
    pub fn of(experiment: &Experiment) -> Result<(Requests, Vec<Warning>), WorkloadError> {
        let limits = Limits {
            max_model_len: experiment.engine.max_model_len,
            kv_block_tokens: experiment.engine.kv_block_tokens,
        };
        let (spec, seed) = (&experiment.workload, experiment.seed);
        super::drawn::check(experiment)?;
        if spec.source.waits_for_answers() {
            let source = Answered::new(spec, seed, limits)?;
            let warnings = source.warnings().to_vec();
            Ok((Requests::Closed(Box::new(source)), warnings))
        } else {
            let mut drawn = draw(spec, seed, limits)?;
            drawn.warnings.extend(fill_the_context(&drawn.workload, limits.max_model_len));
            Ok((Requests::Open(drawn.workload), drawn.warnings))
        }
    }

    /// A fresh source of them, for one simulation.
    pub fn arriving(&self) -> Box<dyn Arriving + '_> {
        match self {
            Requests::Open(workload) => Box::new(workload.arriving()),
            Requests::Closed(source) => Box::new(source.as_ref().clone()),
        }
    }

    /// Names of the request classes, at least one.
    pub fn classes(&self) -> &[String] {
        match self {
            Requests::Open(workload) => &workload.classes,
            Requests::Closed(source) => source.classes(),
        }
    }

    /// How many there are, where that is known beforehand.
    pub fn count(&self, experiment: &Experiment) -> Option<u64> {
        match self {
            Requests::Open(workload) => Some(workload.requests.len() as u64),
            Requests::Closed(source) if source.has_turns() => None,
            Requests::Closed(_) => experiment.workload.amount.requests.map(u64::from),
        }
    }

    /// Output tokens of one run to the end, where they are known beforehand.
    pub fn output_tokens(&self) -> Option<u64> {
        match self {
            Requests::Open(workload) => {
                Some(workload.requests.iter().map(|r| u64::from(r.output_tokens)).sum())
            }
            Requests::Closed(_) => None,
        }
    }

    /// Arrivals a second as the scenario states them, where it does.
    pub fn nominal_rate_per_s(&self) -> Option<f64> {
        match self {
            Requests::Open(workload) => workload.nominal_rate_per_s,
            Requests::Closed(_) => None,
        }
    }
}

/// Says how many answers end where they fill the model's context: there longer ones are cut.
fn fill_the_context(workload: &Workload, max_model_len: u32) -> Option<Warning> {
    let fills = |one: &&Request| {
        one.prompt_tokens < max_model_len && one.prompt_tokens + one.output_tokens == max_model_len
    };
    let all = workload.requests.len();
    let full = workload.requests.iter().filter(fills).count();
    (full > 0).then(|| Warning {
        path: None,
        message: format!(
            "{full} of {all} answers end where they fill the context (max_model_len {max_model_len}): \
             longer ones are cut there"
        ),
    })
}
