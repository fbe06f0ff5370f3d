//! Finished points on disk: the folder beside a search's result, or the one that was asked for.

use std::path::Path;

use crate::cli::args::GlobalFlags;
use crate::cli::console::{Console, ResultSink};
use crate::cli::error::Error;
use crate::search::Cache;

/// Where a search keeps what it has finished: in `folder` where that is given, else beside the file
/// of its result; nowhere where that goes to a pipe.
///
/// # Errors
/// When the folder cannot be made, or another run has it.
pub(super) fn cache_of(
    folder: Option<&Path>,
    sink: &ResultSink,
    global: &GlobalFlags,
) -> Result<Option<Cache>, Error> {
    Ok(match (folder, sink, &global.output) {
        (Some(folder), ..) => Some(Cache::lasting(folder)?),
        (None, ResultSink::File { .. }, Some(path)) => Cache::beside(path)?,
        _ => None,
    })
}

/// Removes what was kept for a result that is in place now, and says what went wrong with it.
pub(super) fn put_away(cache: Option<Cache>, console: &Console) {
    let Some(cache) = cache else { return };
    if let Some(why) = cache.unkept() {
        console.warn(&format!("not all finished points were kept: {why}"));
    }
    let folder = cache.folder().display().to_string();
    if cache.remove() {
        console.warn(&format!("{folder} stays: it holds files that metron-sim did not write"));
    }
}
