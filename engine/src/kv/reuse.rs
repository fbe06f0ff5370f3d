//! What a system keeps of a request's KV for others, and what it takes of what it finds: where
//! systems differ beyond how they keep their [blocks](super::CacheRules).

/// What is kept, when, and what is taken of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// When a request's full blocks can be found by others.
    pub stored: Stored,
    /// Whether only blocks of prompts are kept (TGI); otherwise those of answers too.
    pub prompts_alone: bool,
    /// Whether one block of each content is kept (TGI, TensorRT-LLM): what a request has computed
    /// besides is free when it ends. Otherwise all are (vLLM).
    pub once: bool,
    /// What is made of a prompt that is found whole.
    pub whole: Whole,
    /// Whether it ever empties its cache (TGI; [`Step::forget_cached`](crate::replica::Step::forget_cached)).
    pub forgets: bool,
}

/// What a replica keeps for the next turn of a session: blocks of so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBlocks {
    /// Tokens in a block.
    pub tokens: u32,
    /// Whether answers are kept beside prompts.
    pub answers: bool,
}

/// When a request's full blocks can be found by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// As they are computed, at the moment that the [rules](super::CacheRules) of the blocks name.
    #[default]
    Computed,
    /// Those of the prompt but for its last token when all of it is computed; the others when it
    /// ends (TensorRT-LLM).
    PromptDone,
    /// When it ends (TGI).
    Ended,
}

/// What is made of a prompt that is found whole: one token has to be computed, to sample from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whole {
    /// Its last block is computed anew (vLLM).
    #[default]
    LastBlock,
    /// Its last token is computed anew, in the block that was found (TGI).
    InPlace,
    /// Its last block but for the last token is copied into one of its own (TensorRT-LLM's partial
    /// reuse).
    Copied,
}

impl Reuse {
    /// Whether it is like vLLM's.
    pub fn is_plain(&self) -> bool {
        *self == Reuse::default()
    }
}
