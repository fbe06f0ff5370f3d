//! Files that describe conversations in place of listing them: their trees, with the places of values.

use std::path::Path;

use super::values::Values;
use super::{ReadSession, ReadSessions, ReadStep};
use crate::time::Span;
use crate::workload::streams::{Purpose, Stream};
use crate::workload::trace_files::whole;
use crate::workload::{GapKind, MAX_REQUESTS, WorkloadError};
use crate::yaml::{Node, Value};

/// A described file: YAML, or JSON, which is YAML too.
pub(super) struct File<'f> {
    path: &'f Path,
    text: String,
    pub(super) root: Node,
}

impl File<'_> {
    pub(super) fn read(path: &Path) -> Result<File<'_>, WorkloadError> {
        let text = whole::text(path)?;
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let root = crate::yaml::tree(&text)
            .map_err(|error| WorkloadError::content(path, None, error.to_string()))?;
        Ok(File { path, text, root })
    }

    /// Something wrong with a value, at its place.
    pub(super) fn wrong(
        &self,
        node: &Node,
        field: &str,
        message: impl Into<String>,
    ) -> WorkloadError {
        let start = (node.span.start).min(self.text.len());
        let before = &self.text.as_bytes()[..start];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[begin..]).chars().count() as u64 + 1;
        WorkloadError::content(self.path, Some(line), message).with_field(field).with_column(column)
    }

    /// The value of a key that must be there.
    pub(super) fn needed<'n>(&self, of: &'n Node, key: &str) -> Result<&'n Node, WorkloadError> {
        given(of, key).ok_or_else(|| self.wrong(of, key, "expected a value, found none"))
    }

    /// A number from `least` on.
    pub(super) fn number(
        &self,
        node: &Node,
        field: &str,
        least: f64,
    ) -> Result<f64, WorkloadError> {
        let value = match node.value {
            Value::Int(whole) => Some(whole as f64),
            Value::Float(value, _) => Some(value),
            _ => None,
        };
        value.filter(|value| *value >= least && *value <= f64::from(u32::MAX)).ok_or_else(|| {
            let message =
                format!("expected a number of {least} or more, found {}", node.describe());
            self.wrong(node, field, message)
        })
    }

    /// A whole number from 1 on, such as how many conversations there are.
    pub(super) fn count(&self, node: &Node, field: &str) -> Result<u32, WorkloadError> {
        let value = self.number(node, field, 1.0)?;
        if value > f64::from(MAX_REQUESTS) || libm::trunc(value) != value {
            let message = format!(
                "expected a whole number of 1 to {MAX_REQUESTS}, found {}",
                node.describe()
            );
            return Err(self.wrong(node, field, message));
        }
        Ok(value as u32)
    }

    /// The number of a key, or what it is where there is none.
    pub(super) fn number_or(&self, of: &Node, key: &str, or: f64) -> Result<f64, WorkloadError> {
        given(of, key).map_or(Ok(or), |node| self.number(node, key, 0.0))
    }
}

/// The value of a key that is not null.
pub(super) fn given<'n>(of: &'n Node, key: &str) -> Option<&'n Node> {
    of.get(key).filter(|node| !matches!(node.value, Value::Null))
}

/// Conversations as they are described.
pub(super) struct Described {
    pub(super) conversations: u32,
    /// Each begins with one of so many prefixes, in turn.
    pub(super) prefixes: Vec<u32>,
    /// Tokens behind the prefix in the first prompt, apart from what each turn adds.
    pub(super) own_prefix: Values,
    /// Messages of a conversation, and how many of them a request and its answer are.
    pub(super) messages: Values,
    pub(super) messages_a_turn: u32,
    /// Tokens that a turn adds to what has been said.
    pub(super) input: Values,
    /// Whether the prefix is a part of what the first turn adds, not in front of it.
    pub(super) input_has_prefix: bool,
    pub(super) output: Values,
    /// Seconds from an answer to the next turn.
    pub(super) gap_s: Values,
    pub(super) kind: GapKind,
}

/// The tokens of an id, so that whole ones make up each prefix; no fewer than an engine's blocks have.
fn common_measure(prefixes: &[u32]) -> Option<u32> {
    const LEAST: u32 = 16;
    let gcd = |mut a: u32, mut b: u32| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let measure = prefixes.iter().copied().filter(|&tokens| tokens > 0).reduce(gcd)?;
    let shortest = prefixes.iter().copied().filter(|&tokens| tokens > 0).min()?;
    Some(measure.max(LEAST.min(shortest)))
}

/// A key of each turn, and one of each conversation that is none of a turn.
fn key(conversation: u32, turn: u32) -> u64 {
    (u64::from(conversation) << 32) | u64::from(turn)
}

impl Described {
    /// Draws them. The same seed gives the same ones.
    ///
    /// # Errors
    /// When they are more requests than a run can have, or longer than can be counted.
    pub(super) fn draw(&self, path: &Path, seed: u64) -> Result<ReadSessions, WorkloadError> {
        let of = |purpose| Stream::new(seed, purpose);
        let [turns, first, input, output, gap] =
            [Purpose::Turns, Purpose::FirstPrompt, Purpose::Prompt, Purpose::Output, Purpose::Gap]
                .map(of);
        let id_tokens = common_measure(&self.prefixes);
        let mut sessions = Vec::new();
        let mut total = 0_u64;
        for one in 0..self.conversations {
            let messages = self.messages.draw(turns, key(one, 0));
            let count = messages.div_ceil(self.messages_a_turn).max(1);
            total += u64::from(count);
            if total > u64::from(MAX_REQUESTS) {
                return Err(crate::workload::arrivals::too_many_requests());
            }
            let group = one as usize % self.prefixes.len().max(1);
            let prefix = self.prefixes.get(group).copied().unwrap_or(0);
            let mut steps: Vec<ReadStep> = Vec::with_capacity(count as usize);
            let mut said = 0_u32;
            for turn in 0..count {
                let before = turn.checked_sub(1);
                let new = self.input.draw(input, key(one, turn));
                let added = match turn {
                    0 => {
                        let own = self.own_prefix.draw(first, key(one, 0));
                        let with = if self.input_has_prefix {
                            new.max(prefix)
                        } else {
                            new.saturating_add(prefix)
                        };
                        own.saturating_add(with)
                    }
                    _ => new,
                };
                let prompt_tokens = said.saturating_add(added).max(1);
                let output_tokens = self.output.draw(output, key(one, turn)).max(1);
                said = prompt_tokens.checked_add(output_tokens).ok_or_else(|| {
                    WorkloadError::content(path, None, "a conversation of over 4 billion tokens")
                })?;
                let seconds = self.gap_s.draw(gap, key(one, turn));
                let shared = id_tokens.filter(|_| turn == 0).map_or(0, |tokens| prefix / tokens);
                // Ids of different prefixes differ.
                let ids = (0..u64::from(shared)).map(|at| ((group as u64) << 32) | at);
                steps.push(ReadStep {
                    prompt_tokens,
                    output_tokens,
                    gap_ns: before
                        .map_or(0, |_| Span::from_millis(u64::from(seconds) * 1000).as_nanos()),
                    kind: self.kind,
                    waits: before.into_iter().collect(),
                    before,
                    turn,
                    ids: ids.collect(),
                    goes_on: before.is_some(),
                    ..ReadStep::default()
                });
            }
            sessions.push(ReadSession { start_ns: None, steps });
        }
        Ok(ReadSessions { sessions, id_tokens: id_tokens.unwrap_or(1), notes: Vec::new() })
    }
}
