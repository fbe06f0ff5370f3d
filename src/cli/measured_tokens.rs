//! The tokens file of a run that was not simulated, or not by `run`.

use crate::cli::error::Error;
use crate::report::OutputFile;
use crate::result::stated::StatedLive;
use crate::runner::{judged_by, stated};
use crate::scenario::{Experiment, ResolvedScenario};
use crate::sim::Outcome;
use crate::trace::RequestRow;
use crate::trace::row_file::RowFormat;
use crate::trace::token_file::TokenFile;

/// Writes every token of `outcome`, with what the scenario promises its requests, and how it was measured
/// where it was.
///
/// # Errors
/// When the scenario's promise cannot be worked out, or the file not be written.
pub(super) fn write(
    (mut file, format): (OutputFile, RowFormat),
    input: (&Experiment, &ResolvedScenario),
    requests: &crate::runner::Requests,
    label: &str,
    outcome: &Outcome,
    live: Option<StatedLive>,
) -> Result<(), Error> {
    let (experiment, resolved) = input;
    let classes = requests.classes();
    let judged_by = judged_by(experiment, requests, outcome)?;
    let mut facts = stated(experiment, resolved, classes, &judged_by, 1, &outcome.trace);
    facts.live = live;
    let facts = facts.to_json();
    let deadline = |row: &RequestRow| judged_by.deadlines_of(row.class).ttft(row.prompt_tokens);
    let mut write = || -> std::io::Result<()> {
        let mut rows = TokenFile::new(&mut file, format)?;
        rows.run(label, &outcome.trace, classes, deadline, &facts)?;
        rows.finish().map(drop)
    };
    if let Err(source) = write() {
        return Err(file.error(source).into());
    }
    file.commit()?;
    Ok(())
}
