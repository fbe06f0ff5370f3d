//! Acceptance as it was recorded: rounds of accepted counts.

use serde::Deserialize;

use crate::ids::RequestId;

/// Recorded rounds, request by request.
///
/// A file has a line for each recorded request: `{"accepted": [2, 0, 3]}`, the drafts accepted in each
/// of its decode steps, first to last. A round of `a` is taken to mean that its first `a` positions
/// were guessed and the one after them was not. So drafts of the same number give back the recorded
/// rounds; fewer give what these would have; more accept no more than was recorded. Requests take the
/// lines in turn, and an answer longer than its line goes through it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// For each line, by position: guessed positions in a row from there on.
    guessed: Vec<Box<[u8]>>,
}

/// What is wrong with a file of rounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundsError {
    /// A line that is none.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What it is.
        problem: String,
    },
    /// No lines.
    #[error("it has no line such as {{\"accepted\": [2, 0, 3]}}")]
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    accepted: Vec<u32>,
}

impl Rounds {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first line that is not as it should be.
    pub fn read(text: &str) -> Result<Rounds, RoundsError> {
        let mut guessed = Vec::new();
        for (index, text) in text.lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let wrong = |problem: String| RoundsError::Line { line: index + 1, problem };
            let line: Line =
                serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            if line.accepted.is_empty() {
                return Err(wrong("`accepted` has no round".to_owned()));
            }
            if let Some(many) = line.accepted.iter().find(|&&count| count > super::DRAFTS_MAX) {
                let most = super::DRAFTS_MAX;
                return Err(wrong(format!("{many} accepted in a round: at most {most} can be")));
            }
            guessed.push(in_a_row(&line.accepted));
        }
        if guessed.is_empty() { Err(RoundsError::Empty) } else { Ok(Rounds { guessed }) }
    }

    /// The most drafts that a round accepted.
    pub fn most(&self) -> u32 {
        self.guessed.iter().flat_map(|line| line.iter()).copied().max().unwrap_or(0).into()
    }

    #[inline(never)]
    pub(super) fn accepted(&self, request: RequestId, position: u32, drafts: u32) -> u32 {
        let line = &self.guessed[request.index() % self.guessed.len()];
        // The first token of an answer is no draft's.
        let place = position.saturating_sub(1) as usize % line.len();
        u32::from(line[place]).min(drafts)
    }
}

/// From each position, how many in a row were guessed.
fn in_a_row(accepted: &[u32]) -> Box<[u8]> {
    let each = accepted.iter().flat_map(|&count| (0..=count).rev().map(|left| left as u8));
    each.collect()
}
