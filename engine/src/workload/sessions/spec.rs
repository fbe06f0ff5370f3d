//! Sessions as they are described: how many turns, how long, and what lies between them.

use crate::time::Span;
use crate::workload::{Arrivals, Dist};

/// Sessions of several turns. A turn is a request; it goes out a gap after the answer to the one before
/// it, and its prompt is that prompt, that answer and something new.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionsSpec {
    /// When sessions begin: an open process, or users who begin the next one when one has ended.
    pub arrivals: Arrivals,
    /// What the first prompts of sessions have in common.
    pub shared_prefix: Option<SharedPrefix>,
    /// Tokens of a first prompt, behind the shared prefix.
    pub first_prompt: Dist,
    /// Turns of a session.
    pub turns: Dist,
    /// Tokens that a later turn adds to what has been said.
    pub new_tokens: Dist,
    /// Tokens of each answer.
    pub output: Dist,
    /// From an answer to the turn after it.
    pub gap: Vec<Gap>,
    /// The part of each answer that is reasoning and not in the prompt of the turn after it: 0 where
    /// all of it is.
    pub dropped_reasoning: f64,
    /// What becomes of a session whose next turn would pass the model's context.
    pub max_context: MaxContext,
}

/// Tokens that sessions have in common, such as a system prompt and the descriptions of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedPrefix {
    /// How many different ones; each session has one of them, each as likely.
    pub count: u32,
    /// Tokens in each.
    pub tokens: u32,
}

/// One kind of gap among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Its part of all gaps; parts need not sum to 1.
    pub share: f64,
    /// Who is waited for.
    pub kind: GapKind,
    /// How long it lasts.
    pub shape: GapShape,
    /// Longer ones become this.
    pub max: Option<Span>,
}

/// Who is waited for between an answer and the turn after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapKind {
    /// A tool that a program runs.
    Tool,
    /// A person who reads and types.
    #[default]
    User,
}

impl GapKind {
    /// Both.
    pub const ALL: [GapKind; 2] = [GapKind::Tool, GapKind::User];

    /// Its name in scenarios and results.
    pub fn name(self) -> &'static str {
        match self {
            GapKind::Tool => "tool",
            GapKind::User => "user",
        }
    }
}

/// How long gaps last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GapShape {
    /// Always the same.
    Fixed(Span),
    /// Any length between two, each as likely.
    Uniform {
        /// Shortest.
        min: Span,
        /// Longest.
        max: Span,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean: Span,
    },
    /// Lognormal.
    Lognormal {
        /// Mean of the lengths.
        mean: Span,
        /// Standard deviation of their logarithm.
        sigma: f64,
    },
}

/// What becomes of a session whose next prompt and answer together pass the model's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxContext {
    /// It ends.
    #[default]
    End,
    /// The oldest tokens are left out, as many as must be: the prompt begins with other tokens than
    /// before, and nothing of it is found in a prefix cache.
    TruncateOldest,
    /// What has been said gives way to a summary: `to` tokens, of which the shared prefix is the
    /// first part. The session ends where that does not help.
    Compact {
        /// Tokens of the context afterwards.
        to: u32,
    },
}
