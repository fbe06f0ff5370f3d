//! Columns: the times that runs of tokens point into.

use crate::ids::LaneId;
use crate::time::Time;

/// Times at which tokens were emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Whose times.
    pub kind: ColumnKind,
    /// Within any run they never decrease.
    pub times: Vec<Time>,
}

/// Whose times a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// The decode steps of a lane: one time for all who decode in it.
    Steps(LaneId),
    /// Tokens of a lane that came between its decode steps, of prompts that were computed anew.
    Between(LaneId),
    /// Those of single requests, one request after the other: measured ones.
    Own,
}

impl Column {
    /// A column without entries yet.
    pub fn of(kind: ColumnKind) -> Column {
        Column { kind, times: Vec::new() }
    }

    /// Times of single requests, one request after the other.
    pub fn own(times: Vec<Time>) -> Column {
        Column { kind: ColumnKind::Own, times }
    }

    /// The lane whose decode steps these are.
    pub fn steps_of(&self) -> Option<LaneId> {
        match self.kind {
            ColumnKind::Steps(lane) => Some(lane),
            ColumnKind::Between(_) | ColumnKind::Own => None,
        }
    }

    /// The same when `lanes` other lanes come before its own.
    pub(crate) fn after(self, lanes: u32) -> Column {
        let moved = |LaneId(lane)| LaneId(lane + lanes);
        let kind = match self.kind {
            ColumnKind::Steps(lane) => ColumnKind::Steps(moved(lane)),
            ColumnKind::Between(lane) => ColumnKind::Between(moved(lane)),
            ColumnKind::Own => ColumnKind::Own,
        };
        Column { kind, ..self }
    }
}
