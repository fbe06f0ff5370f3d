//! A scenario's text, played with every iteration kept.

use std::path::Path;

use metron_sim::progress::Progress;
use metron_sim::runner::{
    Requests, RunInput, RunOptions, SchedulerOutput, Simulator, run_experiment,
};
use metron_sim::scenario::{Document, Experiment, Files};
use metron_sim::time::Time;

pub(crate) fn experiment(text: &str) -> Experiment {
    let document = Document::from_text("s.yaml", text, Files::any(Path::new("."))).unwrap();
    document.resolve(None).map_err(|error| error.render(false)).unwrap().experiment
}

/// Its first scheduler.
pub(crate) fn play(text: &str, reference: bool) -> SchedulerOutput {
    let experiment = &experiment(text);
    let (requests, _) = Requests::of(experiment).unwrap();
    let input = RunInput { experiment, requests: &requests };
    let options = RunOptions { reference, keep_log: true, ..RunOptions::default() };
    let progress = Progress::new(experiment.schedulers.len());
    run_experiment(input, options, &Simulator, &progress).unwrap().remove(0)
}

pub(crate) fn ms(time: Time) -> f64 {
    time.as_nanos() as f64 / 1e6
}
