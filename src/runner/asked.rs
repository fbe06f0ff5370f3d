//! What is known of the requests before they run: what they share, and how they differ.

use std::collections::HashSet;

use super::Requests;
use crate::request::{BlockIds, Request};
use crate::scenario::Experiment;
use crate::workload::{Source, Workload};

impl Requests {
    /// All of them, where they are known before the run.
    pub fn known(&self) -> Option<&Workload> {
        match self {
            Requests::Open(workload) => Some(workload),
            Requests::Closed(_) => None,
        }
    }

    /// Whether any request belongs to a session.
    pub fn has_sessions(&self) -> bool {
        // A user of a closed loop is one.
        self.known().is_none_or(|workload| workload.sessions.iter().any(Option::is_some))
    }

    /// Whether two prompts begin with the same whole KV block.
    pub fn shares_prefixes(&self, experiment: &Experiment) -> bool {
        match self.known() {
            Some(workload) => {
                if workload.turns.iter().any(|turn| turn.parent.is_some()) {
                    return true;
                }
                let mut seen = HashSet::new();
                let first = |blocks: &BlockIds| blocks.of(&workload.block_ids).first().copied();
                workload.blocks.iter().filter_map(first).any(|id| !seen.insert(id))
            }
            None => match &experiment.workload.source {
                // The rows of a file may have ids.
                Source::Trace(_) => true,
                // A turn has the one before it, and short ones share no block: nobody knows before.
                Source::Sessions(_) => true,
                Source::Synthetic { .. } => {
                    let block = experiment.engine.kv_block_tokens;
                    let groups = experiment.workload.prefix_groups;
                    groups.is_some_and(|groups| groups.share > 0.0 && groups.tokens >= block)
                }
            },
        }
    }

    /// Whether requests differ in priority.
    pub fn priorities_differ(&self, experiment: &Experiment) -> bool {
        match self.known() {
            Some(workload) => {
                let first = workload.requests.first().map(|request| request.priority);
                workload.requests.iter().any(|request| Some(request.priority) != first)
            }
            None => {
                let classes = &experiment.workload.classes;
                let from_file = matches!(experiment.workload.source, Source::Trace(_));
                from_file || classes.iter().any(|class| class.priority != classes[0].priority)
            }
        }
    }

    /// Tokens of the longest prompt with its answer, where that is known before the run.
    pub fn longest(&self) -> Option<u32> {
        let tokens = |r: &Request| r.prompt_tokens.saturating_add(r.output_tokens);
        self.known()?.requests.iter().map(tokens).max()
    }

    /// Whether an answer may have been cut to a declared length of `tokens`.
    pub fn may_be_cut_to(&self, tokens: u64) -> bool {
        self.known().is_none_or(|workload| {
            workload.requests.iter().any(|r| u64::from(r.output_tokens) >= tokens)
        })
    }
}
