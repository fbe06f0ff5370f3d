//! Sessions of several turns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arrivals, Dist};
use crate::units::Duration;

/// Sessions of several turns, in place of `arrivals` and `lengths`. A turn is a request: it goes out a
/// gap after the answer to the turn before it, and its prompt is that prompt, that answer and new tokens.
/// What a session says depends on the seed and its number alone, so all schedulers and routers face the same
/// sessions. Rates are sessions a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a map such as `{preset: agent, count: 100, arrivals: {poisson: {rate: 0.1}}}`"
)]
pub struct Sessions {
    /// Figures of real sessions, for the keys that are not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<SessionPreset>,
    /// No session begins after so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// No session begins after this time; those that have begun go on. With `count`, whichever comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// When sessions begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// In place of `arrivals`: users, each of whom begins a session when the one before has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What first prompts begin with, such as a system prompt and the descriptions of tools; nothing
    /// unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_prefix: Option<SharedPrefix>,
    /// Tokens of a first prompt behind the shared prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_prompt: Option<Dist>,
    /// Turns of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<Dist>,
    /// Tokens that each later turn adds to what has been said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_tokens: Option<Dist>,
    /// Tokens of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Dist>,
    /// From the last token of an answer to the next turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Whether the reasoning in an answer is in the prompts after it; `true` unless given. Where it is not,
    /// what can be found again in a prefix cache ends where that answer begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_reasoning: Option<bool>,
    /// The part of each answer that is reasoning, for `keep_reasoning: false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<f64>,
    /// What becomes of a session whose next prompt and answer would together pass `max_model_len`; `end`
    /// unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_context: Option<MaxContext>,
}

/// Figures of real sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionPreset {
    /// People who talk with an assistant (WildChat: 2.5 turns, short prompts).
    Chat,
    /// A program that calls tools (coding agents: 45 turns, long prompts that grow).
    Agent,
}

/// Users who begin a session when the one before has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{users: 64}`")]
pub struct Concurrency {
    /// How many: as many sessions are under way at once.
    pub users: u32,
    /// From the end of a session to the next one; 0s unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think_time: Option<Duration>,
}

/// Prefixes that sessions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{tokens: 8000}`")]
pub struct SharedPrefix {
    /// How many different ones, each as likely; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Tokens in each.
    pub tokens: u32,
}

/// A distribution of times: one shape, or a mixture of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a distribution of times such as `{fixed: 5s}` or `{lognormal: {mean: 10s, sigma: 0.8}}`"
)]
pub struct Gap {
    /// Always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Duration>,
    /// Any time between two, each as likely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniform: Option<GapUniform>,
    /// Exponential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential: Option<GapExponential>,
    /// Lognormal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lognormal: Option<GapLognormal>,
    /// Several kinds of gaps, each with its `share`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Vec<Gap>>,
    /// Its part of a mixture; shares need not sum to 1. 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Who is waited for, a tool or a person: results tell turns apart by it. `user` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<GapKind>,
    /// Longer ones become this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Who is waited for between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GapKind {
    /// A tool that a program runs.
    Tool,
    /// A person.
    User,
}

/// Times from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{min: 1s, max: 5s}`")]
pub struct GapUniform {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

/// Exponential times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{mean: 10s}`")]
pub struct GapExponential {
    /// Mean.
    pub mean: Duration,
}

/// Lognormal times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{mean: 10s, sigma: 0.8}`")]
pub struct GapLognormal {
    /// Mean of the times.
    pub mean: Duration,
    /// Standard deviation of their logarithm.
    pub sigma: f64,
}

/// What becomes of a session whose context is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaxContext {
    /// It ends.
    End,
    /// The oldest tokens are left out of the prompt, as many as must be. It begins with other tokens
    /// then, and nothing of it is found in a prefix cache.
    TruncateOldest,
    /// What has been said gives way to a summary, whose making is not simulated.
    Compact(Compact),
}

/// A summary in place of what has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as `{to: 20000}`")]
pub struct Compact {
    /// Tokens of the context afterwards, the shared prefix among them.
    pub to: u32,
}
