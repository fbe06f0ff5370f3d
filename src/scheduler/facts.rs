//! What a policy's parameters do, told by the policy itself: advice, dials and a change of policy
//! that holds all else fixed ask for it here, so that none of them keeps a list of names.

use serde_json::Value;

/// What a scheduler's parameters bound, and how it goes about prompts and memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The most requests that hold a seat at once; `None` where nothing bounds them.
    pub seats: Option<Limit>,
    /// The tokens of a step; `None` where nothing bounds them.
    pub budget: Option<StepBudget>,
    /// The longest chunk of one prompt in a step, where that is a parameter of its own.
    pub longest_chunk: Option<Limit>,
    /// The parameter that says which share of the KV blocks an admission leaves free, where it has
    /// an effect.
    pub watermark: Option<&'static str>,
    /// The parameter that says how many decode steps lie between two prefill steps.
    pub decodes_between: Option<Limit>,
    /// When prompts are computed.
    pub prefills: Prefills,
    /// Whether prompts are cut into chunks.
    pub cuts_prompts: bool,
    /// What an admission takes of the KV memory.
    pub takes: Takes,
    /// Whether a request's priority counts.
    pub by_priority: bool,
    /// Single settings that change what the policy does, as far as they are not so already.
    pub switches: Vec<Switch>,
    /// Parameters whose defaults follow from the others: they are given when one of these changes.
    pub follows: Vec<(&'static str, Value)>,
}

impl Facts {
    /// A policy that decodes beside whole prompts, takes memory as tokens need it, and bounds
    /// nothing.
    pub(super) fn plain() -> Facts {
        Facts {
            seats: None,
            budget: None,
            longest_chunk: None,
            watermark: None,
            decodes_between: None,
            prefills: Prefills::Beside,
            cuts_prompts: false,
            takes: Takes::AsNeeded,
            by_priority: false,
            switches: Vec::new(),
            follows: Vec::new(),
        }
    }
}

/// A parameter that bounds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub parameter: &'static str,
    /// What it is; `None` where it sets no limit now.
    pub most: Option<u32>,
}

impl Limit {
    pub(super) fn of(parameter: &'static str, most: u32) -> Option<Limit> {
        Some(Limit { parameter, most: Some(most) })
    }
}

/// The parameter that bounds the tokens of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBudget {
    /// The parameter.
    pub limit: Limit,
    /// Which tokens it bounds: budgets of one kind can be compared.
    pub bounds: Bounds,
}

/// Which tokens of a step a budget bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// Decodes and chunks of prompts together.
    Step,
    /// Chunks of prompts, in steps without decodes or beside decodes that do not count.
    Chunks,
    /// Whole prompts: a longer one is rejected.
    WholePrompts,
}

impl Bounds {
    /// Such tokens in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Bounds::Step => "a budget for decodes and chunks of prompts together",
            Bounds::Chunks => "a budget for chunks of prompts, decodes apart",
            Bounds::WholePrompts => "a budget that only whole prompts are admitted to",
        }
    }
}

/// When a policy computes prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefills {
    /// In the steps of the decodes.
    Beside,
    /// In steps of their own, before the decodes.
    First,
    /// In steps of their own, every so many decode steps.
    Between,
    /// When nobody decodes.
    WhenIdle,
}

/// What an admission takes of the KV memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// What is computed next, or the prompt; more as the answer grows, so that others may have to be
    /// preempted.
    AsNeeded,
    /// Room for the prompt and all of `max_tokens`.
    MaxTokens,
    /// Room for `max_model_len` tokens.
    MaxModelLen,
    /// A share of the memory that is as large for each seat.
    EqualShare,
}

/// What a single setting brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Prompts are cut into chunks.
    CutsPrompts,
    /// Requests decode while others' prompts are computed.
    DecodesBeside,
    /// Fewer requests are admitted to the memory that there is: fewer preemptions.
    AdmitsLess,
    /// More requests are admitted to the memory that there is: shorter queues.
    AdmitsMore,
    /// Requests share the memory, in place of an equal share for each seat.
    SharesMemory,
    /// Prompts share a step instead of taking it one after the other.
    SharesSteps,
}

/// A setting that changes what a policy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// What it brings about.
    pub effect: Effect,
    /// The parameter.
    pub parameter: &'static str,
    /// The value to give it.
    pub value: Value,
}

impl Switch {
    /// The switch, unless it is `on` already.
    pub(super) fn unless(
        on: bool,
        effect: Effect,
        parameter: &'static str,
        value: impl Into<Value>,
    ) -> Option<Switch> {
        (!on).then(|| Switch { effect, parameter, value: value.into() })
    }
}
