//! No dead knobs: for every parameter of every scheduler, every figure of an engine profile and
//! every key of a scenario there is a scenario in which two values of it give two results.
//!
//! What there is to turn is read from the program itself, so that a new parameter without a case
//! fails here. What cannot change a result by its nature is listed, with the reason.
//!
//! And no setting is inert in silence: where two values of a key give one result, the program says so.

mod inert;
mod profile;
mod scenario;
mod schedulers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use metron_sim::inert::{Ended, written};
use metron_sim::progress::Progress;
use metron_sim::result::Inert;
use metron_sim::runner::{Requests, RunInput, RunOptions, Simulator, run_experiment};
use metron_sim::scenario::{Document, Files};

/// Every case starts from this scenario.
const BASE: &str = "\
seed: 1
model: llama-3.1-8b
gpu: h100-sxm
engine: {profile: vllm-0.6}
schedulers: [sarathi]
workload:
  requests: 60
  arrivals: {poisson: {rate: 8}}
  lengths: {prompt: {lognormal: {mean: 800, sigma: 0.8}}, output: {geometric: {mean: 40}}}
slo: {ttft: 200ms, tbt: 15ms, fluidity: {index: 0.9, share: 0.9}}
";

/// Two settings of one knob.
#[derive(Clone, Copy)]
struct Case {
    knob: &'static str,
    /// Overrides that both runs share.
    shared: &'static [&'static str],
    /// The override of one run, and of the other; empty for the default.
    values: [&'static str; 2],
}

const fn case(
    knob: &'static str,
    shared: &'static [&'static str],
    one: &'static str,
    other: &'static str,
) -> Case {
    Case { knob, shared, values: [one, other] }
}

/// What a scenario leads to.
struct Played {
    /// Every run's published figures and every token's time, without labels.
    results: Vec<String>,
    /// Whether each run kept the promise, term by term.
    slos: Vec<(Option<bool>, Vec<Option<bool>>)>,
    /// The keys that the program says have no effect, by their names in the tables.
    inert: Vec<String>,
}

fn play(folder: &Path, sets: &[String]) -> Result<Played, String> {
    let document = Document::from_text("base.yaml", BASE, Files::any(folder))
        .and_then(|document| document.with(sets))
        .map_err(|error| error.render(false))?;
    let resolved = document.resolve(None).map_err(|error| error.render(false))?;
    let experiment = &resolved.experiment;
    let (requests, _) = Requests::of(experiment).map_err(|error| error.to_string())?;
    let input = RunInput { experiment, requests: &requests };
    let progress = Progress::new(experiment.schedulers.len());
    let outputs = run_experiment(input, RunOptions::default(), &Simulator, &progress)
        .map_err(|error| error.to_string())?;
    let written = written(&document);
    let count = requests.count(experiment);
    let ended: Vec<Ended> = outputs.iter().map(|one| Ended::of(count, &one.outcome)).collect();
    let told =
        metron_sim::inert::inert(&written, &resolved.scenario, experiment, &requests, Some(&ended));
    let knob = |one: &Inert| {
        let key = written.iter().find(|key| key.path == one.path);
        key.expect("only what was written is reported").knob.clone()
    };
    let one = |output: &metron_sim::runner::SchedulerOutput| {
        let mut published = serde_json::to_value(&output.result).expect("plain data");
        let members = published.as_object_mut().expect("an object");
        members.remove("label").expect("runs have labels");
        members.remove("scheduler").expect("runs have schedulers");
        // What could make a difference is no figure.
        members.remove("features").expect("runs have features");
        let trace = &output.outcome.trace;
        format!("{published} {:?} {:?} {:?}", trace.columns, trace.requests, trace.more_runs)
    };
    Ok(Played {
        results: outputs.iter().map(one).collect(),
        slos: outputs
            .iter()
            .map(|output| {
                let slo = &output.result.slo;
                (slo.met, slo.terms.iter().map(|term| term.met).collect())
            })
            .collect(),
        inert: told.everywhere.iter().map(knob).collect(),
    })
}

/// Every run's published figures and every token's time, without labels.
fn result(folder: &Path, sets: &[String]) -> Result<Vec<String>, String> {
    play(folder, sets).map(|played| played.results)
}

/// Runs all cases and tells every one whose two results are equal, or that cannot be run.
fn dead(cases: &[Case]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    scenario::write_files(folder.path());
    let mut complaints = Vec::new();
    for case in cases {
        let run = |value: &str| {
            let sets: Vec<String> = case
                .shared
                .iter()
                .copied()
                .chain((!value.is_empty()).then_some(value))
                .map(str::to_owned)
                .collect();
            play(folder.path(), &sets)
        };
        let [one, other] = case.values.map(run);
        match (one, other) {
            (Ok(one), Ok(other)) if one.results == other.results => {
                complaints.push(format!("{}: {:?} give the same result", case.knob, case.values));
            }
            (Ok(one), Ok(other)) => {
                if [&one, &other].iter().any(|played| played.inert.iter().any(|k| k == case.knob)) {
                    complaints.push(format!("{}: has an effect, and is called inert", case.knob));
                }
            }
            (one, other) => {
                for error in [one.err(), other.err()].into_iter().flatten() {
                    complaints.push(format!("{}: {error}", case.knob));
                }
            }
        }
    }
    complaints
}

/// Every known knob has a case or a reason, and no case is for a knob that is not there.
fn covered(known: &BTreeSet<String>, cases: &[Case], exempt: &[(&str, &str)]) -> Vec<String> {
    let tested: BTreeSet<&str> = cases.iter().map(|case| case.knob).collect();
    let excused: BTreeSet<&str> = exempt.iter().map(|&(knob, _)| knob).collect();
    let mut complaints = Vec::new();
    for knob in known {
        match (tested.contains(knob.as_str()), excused.contains(knob.as_str())) {
            (false, false) => complaints.push(format!("{knob}: no case")),
            (true, true) => complaints.push(format!("{knob}: a case and a reason to have none")),
            _ => {}
        }
    }
    for knob in tested.union(&excused).filter(|knob| !known.contains(**knob)) {
        complaints.push(format!("{knob}: there is no such knob"));
    }
    complaints
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

fn copy(from: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
    fs::copy(&from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// The comparison can fail: two equal settings are reported.
#[test]
fn a_dead_knob_is_reported() {
    let complaints = dead(&[case("seed", &[], "seed=3", "seed=3")]);
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].contains("the same result"), "{complaints:?}");
    let known = BTreeSet::from(["new".to_owned()]);
    assert_eq!(covered(&known, &[], &[]), ["new: no case"]);
}
