//! What the client of a live server says of its own measurement, besides the rows: by what tokens were
//! counted, and whether it could keep up.

use super::fault::Fault;
use super::measured::{Granularity, Measured};
use super::own::cut_off;
use crate::result::stated::{RowsHold, StatedLive};

/// Takes what the client says into the run. `rows` are those with a time.
///
/// # Errors
/// When some of its rows are missing.
pub(super) fn take_in(measured: &mut Measured, live: &StatedLive, rows: u64) -> Result<(), Fault> {
    if live.rows != rows {
        return Err(cut_off(&format!("it holds {rows} of {} times", live.rows)));
    }
    measured.cached_tokens = live.cached_tokens;
    if live.hold == RowsHold::Uncounted {
        // Each may be a token, several, or none.
        measured.granularity = measured.granularity.max(Granularity::Chunk);
        measured.extra_chunks = true;
        measured
            .notes
            .push("the server states no token counts: every chunk counts as one token".to_owned());
    }
    measured.notes.extend(measured.no_measurement());
    if let Some(seed) = live.prompts_seed {
        measured.notes.push(format!("prompts of seed {seed}"));
    }
    Ok(())
}

impl Measured {
    fn live(&self) -> Option<&StatedLive> {
        self.stated.as_ref()?.live.as_ref()
    }

    /// Whether nobody counted the tokens: there is one a chunk in the rows.
    pub(super) fn is_uncounted(&self) -> bool {
        self.live().is_some_and(|live| live.hold == RowsHold::Uncounted)
    }

    /// Why this measures the client and not the server, where that is so.
    pub(super) fn no_measurement(&self) -> Option<String> {
        let why = self.live()?.no_measurement.as_ref()?;
        Some(format!("this is no measurement of the server: {why}"))
    }
}
