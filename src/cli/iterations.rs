//! `metron-sim calibrate --iterations`: a step-time law from an engine's own log, as a profile.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::{EngineProfile, Evidence, EvidenceKind, FittedOn, StepsSeen};
use crate::cli::args::{CalibrateArgs, Format, GlobalFlags};
use crate::cli::backend::{Backend, ScenarioRequest};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::report::calibration::profile_yaml;
use crate::report::step_law as report;
use crate::result::{SCHEMA_VERSION, Tool};
use crate::validation::{IterationLog, LawFit, fit_law, read_log};

/// With fewer steps a law is shaky.
const FEW_STEPS: usize = 100;

#[derive(Serialize)]
struct LawFile<'f> {
    schema_version: u32,
    tool: Tool,
    logs: Vec<LogRead>,
    #[serde(flatten)]
    fit: &'f LawFit,
    warnings: &'f [String],
}

/// A log, as it was read.
#[derive(Serialize)]
struct LogRead {
    file: String,
    format: &'static str,
    steps: usize,
    asynchronous: Option<bool>,
}

/// Runs the command: the profile goes to the file of `-o`, what was found to stdout.
///
/// # Errors
/// When a log or the scenario cannot be read, or a file cannot be written.
pub(super) fn run(
    args: &CalibrateArgs,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let Some(output) = &global.output else {
        return Err(Error::Usage(
            "calibrate writes a profile: name its file, such as -o profile.yaml".to_owned(),
        ));
    };
    without_effect(args, global)?;
    let sink = console.open_result(Some(output))?;
    let engine = match &args.scenario {
        Some(scenario) => {
            let request = ScenarioRequest::new(scenario.clone(), global);
            Some(console.load(backend, &request)?.experiment.engine)
        }
        None => None,
    };
    let kv_tokens = engine
        .as_ref()
        .map(|engine| u64::from(engine.kv_blocks) * u64::from(engine.kv_block_tokens));
    let mut logs = Vec::new();
    for file in &args.iterations {
        logs.push(read_log(file, kv_tokens)?);
    }
    of_one_kind(&args.iterations, &logs)?;
    let fit = fit_law(&logs);
    let mut warnings: Vec<String> = Vec::new();
    let steps: usize = logs.iter().map(|log| log.steps.len()).sum();
    if steps < FEW_STEPS {
        warnings.push(format!(
            "{steps} steps are few: a law settles from some hundreds on, so take a longer log"
        ));
    }
    for note in logs.iter().flat_map(|log| &log.notes) {
        if !warnings.contains(note) {
            warnings.push(note.clone());
        }
    }
    for warning in &warnings {
        console.warn(warning);
    }
    let mut profile = profile(&fit, &args.iterations, &logs);
    if let Some(engine) = engine {
        profile.kv_block_tokens = engine.kv_block_tokens;
    }
    let yaml = profile_yaml(&profile)
        .map_err(|error| Error::Usage(format!("the profile cannot be written: {error}")))?;
    console.for_people(|| report::to_text(&fit));
    let text = match global.format {
        Format::Text => report::to_text(&fit),
        Format::Csv => report::to_csv(&fit),
        Format::Quiet => String::new(),
        Format::Json => {
            let read = |(file, log): (&PathBuf, &IterationLog)| LogRead {
                file: file.display().to_string(),
                format: log.format.name(),
                steps: log.steps.len(),
                asynchronous: log.asynchronous,
            };
            let logs = args.iterations.iter().zip(&logs).map(read).collect();
            let (schema_version, tool) = (SCHEMA_VERSION, Tool::this());
            let file = LawFile { schema_version, tool, logs, fit: &fit, warnings: &warnings };
            crate::json::indented(&file)
        }
    };
    sink.finish(yaml.as_bytes())?;
    if output == Path::new("-") {
        console.note(text.trim_end());
    } else {
        console.open_result(None)?.finish(text.as_bytes())?;
    }
    Ok(Exit::Fine)
}

/// Refuses flags that change nothing here.
fn without_effect(args: &CalibrateArgs, global: &GlobalFlags) -> Result<(), Error> {
    let refused = |text: &str| Err(Error::Usage(text.to_owned()));
    if global.seed.is_some() {
        return refused(
            "--seed has no effect with --iterations, where nothing is drawn: leave it out",
        );
    }
    if args.scenario.is_none() && !global.set.is_empty() {
        return refused(
            "--set has no effect with --iterations alone: name the scenario that it changes, or leave it out",
        );
    }
    Ok(())
}

/// Refuses logs whose steps are not measured alike: one law of them would be neither's.
fn of_one_kind(files: &[PathBuf], logs: &[IterationLog]) -> Result<(), Error> {
    let way = |log: &IterationLog| match log.asynchronous {
        Some(true) => ", of steps planned while the one before ran",
        Some(false) => ", of steps planned one after the other",
        None => "",
    };
    let kind = |log: &IterationLog| format!("{}{}", log.format.name(), way(log));
    let first = kind(&logs[0]);
    match logs.iter().zip(files).find(|(log, _)| kind(log) != first) {
        None => Ok(()),
        Some((log, file)) => Err(Error::Usage(format!(
            "{} is {}, and {} is {first}: fit a law to each kind alone",
            file.display(),
            kind(log),
            files[0].display()
        ))),
    }
}

/// The law as a profile that says where it is from.
fn profile(fit: &LawFit, files: &[PathBuf], logs: &[IterationLog]) -> EngineProfile {
    let name = |file: &PathBuf| {
        let inner = file.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy());
        let mut parts: Vec<_> = inner.collect();
        parts.reverse();
        parts.join("/")
    };
    let from = files.iter().map(name).collect::<Vec<_>>().join(", ");
    let steps: usize = logs.iter().map(|log| log.steps.len()).sum();
    let percent =
        |error: Option<f64>| error.map_or("unknown".to_owned(), |e| format!("{:.1} %", e * 100.0));
    let ranges =
        fit.ranges.iter().map(|range| format!("{} to {} {}", range.least, range.most, range.of));
    EngineProfile {
        description: format!("a step-time law fitted on {from}"),
        host: fit.host.unwrap_or_default(),
        async_scheduling: fit.asynchronous,
        prefix_caching: fit.prefix_hits.then_some(true),
        evidence: Evidence {
            kind: EvidenceKind::Fitted,
            from: format!("the iteration log {from}"),
            expected_error: Some(format!(
                "{} of a step's time, on the half that a fit to the other had not seen",
                percent(fit.held_out.mape)
            )),
        },
        fitted_on: Some(FittedOn {
            engine: Some(logs[0].format.name().to_owned()),
            run: Some(from.clone()),
            most: Some(most(fit)),
            ..FittedOn::default()
        }),
        source: format!(
            "Fitted by metron-sim {} to {steps} iterations ({from}), of {}. It holds for the machine, the \
             model and the engine of that log. Mean absolute error of a step {}; steps in sum {} off on \
             the half that a fit to the other half had not seen.",
            env!("CARGO_PKG_VERSION"),
            ranges.collect::<Vec<_>>().join(", "),
            percent(fit.residuals.last().and_then(|all| all.mape)),
            percent(fit.held_out.sum_error),
        ),
        ..EngineProfile::of_law("step-law-fitted", fit.law)
    }
}

/// The most that the steps of the logs held.
fn most(fit: &LawFit) -> StepsSeen {
    let of = |what: &str| {
        let range = fit.ranges.iter().find(|range| range.of == what);
        range.map(|range| range.most as u64)
    };
    StepsSeen {
        prefill_tokens: of("prefill tokens"),
        decodes: of("decodes"),
        context: fit.longest_request.map(u64::from),
    }
}
