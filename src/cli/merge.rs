//! `metron-sim merge`: a sweep's shards put together.

use std::io::Read;
use std::path::Path;

use crate::cli::args::{GlobalFlags, MergeArgs};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::report_file::{ReportFile, page_of_sweep};
use crate::cli::sweep;
use crate::search::sweep::{SweepFile, sweep_to_text};

/// Runs the command.
///
/// # Errors
/// When a file is no shard, or they are not all of one sweep.
pub(super) fn run(
    args: &MergeArgs,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let shards = args.shards.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let of_capacities = shards.first().is_some_and(|shard| shard.capacity.is_some());
    let objectives = sweep::front(args.pareto.as_deref(), of_capacities)?;
    let report = ReportFile::open(args.report.as_ref())?;
    let sink = console.open_result(global.output.as_ref())?;
    let names = args.shards.iter().map(|path| path.display().to_string());
    let mut file = SweepFile::merge(names.zip(shards).collect())?;
    file.conclude(objectives);
    if let Some(report) = report {
        report.sweep(&file)?;
    }
    for warning in file.warned() {
        console.warn(&warning);
    }
    console.for_people(|| sweep_to_text(&file));
    console.page(|| page_of_sweep(&file));
    sweep::write(&mut file, global.format, sink)?;
    Ok(Exit::Fine)
}

/// Longest shard; a point takes some kilobytes.
const SHARD_BYTES_MAX: u64 = 256 << 20;

fn read(path: &Path) -> Result<SweepFile, Error> {
    let wrong = |problem: String| Error::NoSense(format!("{}: {problem}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SHARD_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > SHARD_BYTES_MAX {
        return Err(wrong(format!("is longer than {SHARD_BYTES_MAX} bytes")));
    }
    let file: SweepFile = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("is not a sweep's JSON result: {error}")))?;
    match file.kind.as_str() {
        "sweep" => Ok(file),
        other => Err(wrong(format!("is a `{other}`, not a sweep"))),
    }
}
