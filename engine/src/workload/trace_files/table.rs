//! The rows of a trace file as they are read, whatever its format.

use std::collections::HashMap;

use crate::memory::try_to;
use crate::request::BlockIds;
use crate::workload::arrivals::too_many_requests;
use crate::workload::classes::CLASSES_MAX;
use crate::workload::{MAX_BLOCK_IDS, MAX_REQUESTS, WorkloadError};

use super::chained::Chained;
use super::lines::Line;

/// One request of a trace, with what its row does not say left open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Since whatever the file counts from; 0 where the file has no arrivals.
    pub(super) arrival_ns: u64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) priority: Option<i32>,
    /// Index into [`Table::class_names`].
    pub(super) class: Option<u16>,
    /// Number of its session, as they appear in the file.
    pub(super) session: Option<u32>,
    pub(super) blocks: BlockIds,
    /// From the answer before it in its session.
    pub(super) gap_ns: Option<u64>,
    /// The row whose answer it goes on from, where the format says so.
    pub(super) parent: Option<u32>,
    /// Whether it says when it arrived.
    pub(super) has_arrival: bool,
    /// Where it stands, from 1.
    pub(super) line: u64,
}

/// A trace file, read.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) block_ids: Vec<u64>,
    /// Which of them follows which.
    pub(super) chained: Chained,
    /// Whether the ids of some row go on beyond its prompt.
    pub(super) ids_cover_answers: bool,
    /// Tokens that a content id stands for, where the file or its format says so.
    pub(super) block_tokens: Option<u32>,
    /// In the order in which they appear.
    pub(super) class_names: Vec<String>,
    /// Numbers of the sessions that were named.
    sessions: HashMap<String, u32>,
    /// Whether rows of one session are turns of a conversation, each with the one before in its prompt.
    pub(super) sessions_are_conversations: bool,
    pub(super) has_arrivals: bool,
    /// Whether rows say how long after an answer they came, where they do.
    pub(super) has_gaps: bool,
    /// Rows that were sent before the answer before them in their session had come.
    pub(super) sooner: u64,
    /// What the arrivals are called, for an error that misses them.
    pub(super) arrival_names: &'static [&'static str],
    /// What a user should know.
    pub(super) notes: Vec<String>,
}

impl Table {
    pub(super) fn push(&mut self, row: Row, line: &Line<'_>) -> Result<(), WorkloadError> {
        if self.rows.len() >= MAX_REQUESTS as usize {
            return Err(line.error(too_many_requests().message()));
        }
        try_to(|| self.rows.try_reserve(1))
            .map_err(|_| line.error("out of memory: too many requests for this machine"))?;
        self.rows.push(row);
        Ok(())
    }

    /// The ids from `start` to the end of the table, checked against the prompt and the answer that
    /// they are for; `answer_tokens` is `None` where a format has ids of prompts alone.
    /// `block_tokens` tokens each, the last one perhaps not full. An id that follows another than where it
    /// first stood becomes another one.
    pub(super) fn block_ids_from(
        &mut self,
        start: usize,
        prompt_tokens: u32,
        answer_tokens: Option<u32>,
        block_tokens: u32,
        line: &Line<'_>,
    ) -> Result<BlockIds, WorkloadError> {
        if self.block_ids.len() > MAX_BLOCK_IDS {
            return Err(line.error(format!("more than {MAX_BLOCK_IDS} block ids in one trace")));
        }
        let len = self.block_ids.len() - start;
        let tokens = u64::from(prompt_tokens) + u64::from(answer_tokens.unwrap_or(0));
        let most = tokens.div_ceil(u64::from(block_tokens));
        if len as u64 > most {
            let answer =
                answer_tokens.map_or(String::new(), |tokens| format!(" and an answer of {tokens}"));
            return Err(line
                .error(format!(
                    "expected at most {most} block ids for a prompt of {prompt_tokens} tokens\
                     {answer} in blocks of {block_tokens}, found {len}"
                ))
                .with_help("a first line such as {\"block_tokens\": 16} gives the block size"));
        }
        if len == 0 {
            return Ok(BlockIds::default());
        }
        self.chained.chain(&mut self.block_ids[start..]);
        self.ids_cover_answers |= len > prompt_tokens.div_ceil(block_tokens) as usize;
        Ok(BlockIds { start: start as u32, len: len as u32 })
    }

    /// The number of a session by name.
    pub(super) fn session(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.sessions.get(name) {
            return number;
        }
        let number = self.sessions.len() as u32;
        self.sessions.insert(name.to_owned(), number);
        number
    }

    /// Whether any row names a session.
    pub(super) fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// The index of a class by name; `None` when there are too many.
    pub(super) fn class(&mut self, name: &str) -> Option<u16> {
        if let Some(index) = self.class_names.iter().position(|known| known == name) {
            return Some(index as u16);
        }
        if self.class_names.len() >= CLASSES_MAX {
            return None;
        }
        self.class_names.push(name.to_owned());
        Some((self.class_names.len() - 1) as u16)
    }
}

/// Names of columns or keys that no one reads, some of them kept to be told.
#[derive(Debug, Default)]
pub(super) struct Ignored(Vec<String>);

impl Ignored {
    const NAMES_MAX: usize = 8;

    pub(super) fn add(&mut self, name: &str) {
        if self.0.len() <= Self::NAMES_MAX && !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }

    /// A note such as "columns not used: `a`, `b`".
    pub(super) fn note(&self, what: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut names = self.0.iter().take(Self::NAMES_MAX).map(|name| format!("`{name}`"));
        let mut text = format!("{what} not used: {}", names.next().unwrap_or_default());
        for name in names {
            text += ", ";
            text += &name;
        }
        if self.0.len() > Self::NAMES_MAX {
            text += " and others";
        }
        Some(text)
    }
}
