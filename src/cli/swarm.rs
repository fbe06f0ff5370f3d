//! `metron-sim swarm`: random scenarios, every invariant checked.

use std::fmt::Write;

use crate::cli::args::{Format, GlobalFlags, SwarmArgs};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::progress;
use crate::progress::Progress;
use crate::runner::{RunError, on_threads};
use crate::swarm::{Report, swarm};

/// Failures told one by one.
const TOLD_MAX: usize = 10;

/// Runs the command; exit code 1 when an invariant broke.
///
/// # Errors
/// When the report cannot be written.
pub(super) fn run(
    args: &SwarmArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    if !matches!(global.format, Format::Text | Format::Json | Format::Quiet) {
        return Err(Error::Usage("swarm writes --format text, json or quiet".to_owned()));
    }
    let sink = console.open_result(global.output.as_ref())?;
    let jobs = global.threads();
    let progress = Progress::new(1);
    let report = progress::shown_of("cases", &|| progress.totals(), console.shows(false), || {
        on_threads(jobs, || swarm(global.seed.unwrap_or(1), args.runs, progress.run(0)))
    });
    let report = report.map_err(RunError::Threads)?;
    let bytes = match global.format {
        Format::Json => serde_json::to_vec_pretty(&report).expect("plain data"),
        Format::Quiet => Vec::new(),
        _ => to_text(&report).into_bytes(),
    };
    sink.finish(&bytes)?;
    Ok(if report.failures.is_empty() { Exit::Fine } else { Exit::Failure })
}

fn to_text(report: &Report) -> String {
    let Report { seed, runs, iterations, features, failures } = report;
    let last = seed.wrapping_add(runs.saturating_sub(1));
    let mut text = format!(
        "{runs} random scenarios (seeds {seed} to {last}), {iterations} iterations checked: {}\n",
        match failures.len() {
            0 => "everything held".to_owned(),
            1 => "1 broke".to_owned(),
            many => format!("{many} broke"),
        }
    );
    for failure in failures.iter().take(TOLD_MAX) {
        let what = failure.what.lines().next().unwrap_or_default();
        let _ = write!(text, "\n{what}\n  {}\n", failure.replay);
    }
    if failures.len() > TOLD_MAX {
        let _ = writeln!(text, "\nand {} more", failures.len() - TOLD_MAX);
    }
    text.push_str("\nCases by what was switched on:\n");
    for (feature, cases) in features {
        let _ = writeln!(text, "  {feature:<22}{cases:>8}");
    }
    text
}
