//! What a policy's parameters do, told by the policy itself: advice, dials and a change of policy
//! that holds all else fixed ask for it here, so that none of them keeps a list of names.

use serde_json::Value;

/// What a scheduler's parameters bound, and how it goes about prompts and memory. The default is a
/// policy that decodes beside whole prompts, takes memory as tokens need it, and bounds nothing.
///
/// Tests hold a policy to what it says here: to its seats, to a strict budget, to its order, and to
/// giving nobody up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The most requests at once; `None` where nothing bounds them.
    pub seats: Option<Seats>,
    /// Whether the system counts seats over all batches of a pipeline; here they hold for each batch.
    /// `None` where nothing is known.
    pub seats_over_pipeline: Option<bool>,
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
    /// Whether nothing looks at the declared `max_tokens` of a request with these values, though the
    /// policy can.
    pub ignores_max_tokens: bool,
    /// Who is first scheduled first.
    pub order: Order,
    /// Whether it may give up a request that it had begun.
    pub drops: bool,
    /// Whether it may wait for ever, as the real system does: for a preempted request that has grown
    /// beyond a token budget.
    pub hangs: bool,
    /// Single settings that change what the policy does, as far as they are not so already.
    pub switches: Vec<Switch>,
    /// Parameters whose defaults follow from the others: they are given when one of these changes.
    pub follows: Vec<(&'static str, Value)>,
}

impl Facts {
    /// The limit on requests at once that holds in every step, whichever way they are counted.
    pub fn most_at_once(&self) -> Option<u32> {
        self.counted(Counted::Held).or(self.counted(Counted::InStep))
    }

    /// The most requests of a kind, if that is the kind that the limit counts.
    pub fn counted(&self, counts: Counted) -> Option<u32> {
        self.seats.filter(|seats| seats.counts == counts)?.limit.most
    }

    /// The most tokens of any step, decodes and chunks together, where none ever has more.
    pub fn most_tokens(&self) -> Option<u32> {
        self.budget.filter(|budget| budget.strict)?.limit.most
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
    /// A limit that is set.
    pub fn of(parameter: &'static str, most: u32) -> Option<Limit> {
        Some(Limit { parameter, most: Some(most) })
    }
}

/// The parameter that bounds how many requests are served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// The parameter.
    pub limit: Limit,
    /// Which requests it counts.
    pub counts: Counted,
}

impl Seats {
    /// Counts who holds a seat.
    pub fn held(parameter: &'static str, most: u32) -> Option<Seats> {
        Some(Seats { limit: Limit { parameter, most: Some(most) }, counts: Counted::Held })
    }

    /// Counts who is in a step.
    pub fn in_step(parameter: &'static str, most: u32) -> Option<Seats> {
        Some(Seats { limit: Limit { parameter, most: Some(most) }, counts: Counted::InStep })
    }
}

/// Which requests a limit on seats counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// All who are running, in this step or not.
    Held,
    /// Those in a step.
    InStep,
    /// Those of a batch that is formed while nobody runs; more may join it.
    AtFirst,
}

/// The parameter that bounds the tokens of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBudget {
    /// The parameter.
    pub limit: Limit,
    /// Which tokens it bounds: budgets of one kind can be compared.
    pub bounds: Bounds,
    /// Whether no step ever has more tokens, decodes and chunks together.
    pub strict: bool,
}

impl StepBudget {
    /// A budget that every step keeps to with all of its tokens.
    pub fn strict(limit: Limit, bounds: Bounds) -> StepBudget {
        StepBudget { limit, bounds, strict: true }
    }

    /// A budget that a step may go beyond: with its decodes, or with one long prompt.
    pub fn loose(limit: Limit, bounds: Bounds) -> StepBudget {
        StepBudget { limit, bounds, strict: false }
    }
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

/// Who is first scheduled first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Who arrived first, always.
    Arrival,
    /// Who is most urgent.
    Priority,
    /// By other rules, or in order of arrival as a rule only.
    #[default]
    Own,
}

/// When a policy computes prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prefills {
    /// In the steps of the decodes.
    #[default]
    Beside,
    /// In steps of their own, before the decodes.
    First,
    /// In steps of their own, every so many decode steps.
    Between,
    /// When nobody decodes.
    WhenIdle,
}

/// What an admission takes of the KV memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takes {
    /// What is computed next, or the prompt; more as the answer grows, so that others may have to be
    /// preempted.
    #[default]
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
#[non_exhaustive]
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
    /// The most urgent requests come first, whenever they arrived.
    OrdersByPriority,
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
    pub fn unless(
        on: bool,
        effect: Effect,
        parameter: &'static str,
        value: impl Into<Value>,
    ) -> Option<Switch> {
        (!on).then(|| Switch { effect, parameter, value: value.into() })
    }
}
