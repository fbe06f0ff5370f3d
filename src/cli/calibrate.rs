//! `metron-sim calibrate`: constants fitted to a real run, written as an engine profile.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::catalog::{Evidence, EvidenceKind, FittedOn, FrontEndTimes};
use crate::cli::args::{CalibrateArgs, Fit, Format, GlobalFlags};
use crate::cli::backend::{Backend, Loaded};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::{iterations, validate};
use crate::report::calibration as report;
use crate::result::{SCHEMA_VERSION, Tool};
use crate::validation::{Calibration, Group, calibrate};

/// Between two lines of progress.
const TICK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct CalibrationFile {
    schema_version: u32,
    tool: Tool,
    scenario: serde_json::Value,
    calibration: Calibration,
}

/// Runs the command: the profile goes to the file of `-o`, what was found to stdout.
///
/// # Errors
/// When the scenario or the observed run cannot be read, do not go together, or a file cannot be
/// written.
pub(super) fn run(
    args: &CalibrateArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    if !args.iterations.is_empty() {
        return iterations::run(args, global, console, backend);
    }
    let Some(output) = &global.output else {
        return Err(Error::Usage(
            "calibrate writes a profile: name its file, such as -o profile.yaml".to_owned(),
        ));
    };
    // With the profile on stdout, what was found goes to stderr.
    let profile_sink = console.open_result(Some(output))?;
    let (Some(scenario), Some(file)) = (&args.scenario, &args.observed) else {
        return Err(Error::Usage("calibrate needs a scenario and --observed FILE".to_owned()));
    };
    let observed = (file.as_path(), args.run.as_deref());
    let (loaded, replay) = validate::load(scenario, observed, global, console, backend)?;
    let experiment = &loaded.experiment;
    let scheduler = experiment.schedulers.first().expect("a scenario has a scheduler");
    if experiment.schedulers.len() > 1 {
        console.warn(&format!(
            "the scenario has {} schedulers: fitted with the first, {}",
            experiment.schedulers.len(),
            scheduler.label
        ));
    }
    let groups = groups(&args.fit);
    let last = Cell::new(Instant::now());
    let progress = |stage: &str, simulations: usize, rms: f64| {
        if last.get().elapsed() >= TICK {
            last.set(Instant::now());
            console.note(&format!(
                "fitting to {stage}: {simulations} simulations, {:.2} % off (root mean square)",
                rms * 100.0
            ));
        }
    };
    let mut found = calibrate(experiment, scheduler, &replay, &groups, backend, &progress)?;
    describe(&mut found, file, &loaded);
    for warning in &found.warnings {
        console.warn(warning);
    }
    let yaml = report::profile_yaml(&found.profile)
        .map_err(|error| Error::Usage(format!("the profile cannot be written: {error}")))?;
    console.for_people(|| report::to_text(&found));
    let text = match global.format {
        Format::Text => report::to_text(&found),
        Format::Csv => report::to_csv(&found),
        Format::Quiet => String::new(),
        Format::Json => {
            let file = CalibrationFile {
                schema_version: SCHEMA_VERSION,
                tool: Tool::this(),
                scenario: loaded.resolved.to_json(),
                calibration: found,
            };
            crate::json::indented(&file)
        }
    };
    profile_sink.finish(yaml.as_bytes())?;
    if output == Path::new("-") {
        console.note(text.trim_end());
    } else {
        console.open_result(None)?.finish(text.as_bytes())?;
    }
    Ok(Exit::Fine)
}

fn groups(asked: &[Fit]) -> Vec<Group> {
    let mut groups = Vec::new();
    for fit in asked {
        let group = match fit {
            Fit::Host => Group::Host,
            Fit::Kernels => Group::Kernels,
            Fit::Gpu => Group::Gpu,
            Fit::Link => Group::Link,
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// Says in the profile where its constants come from.
fn describe(found: &mut Calibration, observed: &Path, loaded: &Loaded) {
    let hardware = &loaded.experiment.hardware;
    let [model, gpu] = [&hardware.model, &hardware.gpu].map(|name| name.as_deref().unwrap_or("?"));
    let base = found.profile.name.trim_end_matches("-fitted").to_owned();
    let fitted: Vec<&str> = found.constants.iter().map(|constant| constant.name).collect();
    let percent =
        |error: Option<f64>| error.map_or("unknown".to_owned(), |e| format!("{:+.2} %", e * 100.0));
    let observed = observed.file_name().map(|n| n.to_string_lossy().into_owned());
    found.profile.name = format!("{base}-fitted");
    // A range is of other machines, around a figure that is no longer there.
    if fitted.iter().any(|name| name.starts_with("host.") || name.starts_with("step_gap.")) {
        found.profile.host_range = None;
    }
    // What the fit took from the front end is not in the constants.
    let (front_end, _) = loaded.experiment.front_ends();
    if !front_end.is_none() {
        let us = |span: crate::time::Span| span.as_nanos() as f64 / 1e3;
        found.profile.front_end = Some(FrontEndTimes {
            before_us: us(front_end.before),
            after_us: us(front_end.after),
            request_us: us(front_end.request),
        });
    }
    let engine = &found.profile.fitted_on.as_ref().and_then(|on| on.engine.clone());
    found.profile.fitted_on = hardware.pricing.as_ref().map(|pricing| FittedOn {
        engine: Some(engine.clone().unwrap_or_else(|| base.clone())),
        run: observed.clone(),
        ..pricing.fitted_here()
    });
    found.profile.evidence = Evidence {
        kind: EvidenceKind::Fitted,
        from: format!("a run of {model} on {gpu}"),
        expected_error: None,
    };
    found.profile.description = format!("{base}, fitted to a run of {model} on {gpu}");
    found.profile.source = format!(
        "Fitted by metron-sim {} to {} ({} requests of {model} on {gpu}): {}. Mean errors after \
         the fit: end to end {}, TPOT {}, TTFT {}; on the half that a fit to the other half had \
         not seen: {}, {}, {}. The rest: {base}.",
        env!("CARGO_PKG_VERSION"),
        observed.unwrap_or_default(),
        found.after.requests,
        fitted.join(", "),
        percent(found.after.mean_e2e),
        percent(found.after.mean_tpot),
        percent(found.after.mean_ttft),
        percent(found.out_of_sample.mean_e2e),
        percent(found.out_of_sample.mean_tpot),
        percent(found.out_of_sample.mean_ttft),
    );
}
