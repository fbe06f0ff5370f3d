//! `metron-sim show`: the file behind a name, as it comes with the program.

use crate::catalog::{self, Kind};
use crate::cli::args::GlobalFlags;
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::excerpt::quoted;
use crate::scenario;
use crate::suggest::nearest;

const KINDS: [Kind; 5] = [Kind::Gpu, Kind::Model, Kind::Profile, Kind::Acceptance, Kind::Link];

/// Runs the command.
///
/// # Errors
/// When nothing has this name, or the text cannot be written.
pub(super) fn run(name: &str, global: &GlobalFlags, console: &Console) -> Result<Exit, Error> {
    let scenarios = scenario::bundled();
    let scenario = scenarios.iter().find(|one| one.name == name).map(|one| one.text);
    let text = scenario.or_else(|| KINDS.iter().find_map(|kind| catalog::text(*kind, name)));
    let Some(text) = text else {
        let mut names: Vec<String> = scenarios.into_iter().map(|one| one.name).collect();
        names.extend(KINDS.iter().flat_map(|kind| catalog::names(*kind)));
        let meant = nearest(name, names.iter().map(String::as_str));
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        return Err(Error::NoSense(format!(
            "nothing is named `{}`{meant} `metron-sim list scenarios` (or gpus, models, profiles, \
             acceptance, links) shows what there is",
            quoted(name)
        )));
    };
    console.open_result(global.output.as_ref())?.finish(text.as_bytes())?;
    Ok(Exit::Fine)
}
