//! A prefix cache that is a radix tree over pages of tokens, as SGLang 0.5.23 keeps it
//! (`UnifiedRadixCache`).
//!
//! A node holds a stretch of tokens and is evicted as a whole: leaves that nobody holds, the least
//! recently used first. Tokens are known by where they come from ([`Text`]), so that a long prompt
//! is one node and comparing two prompts takes a few steps, however long they are.

mod text;
mod tree;

pub use text::{Origin, Text};
pub use tree::{Matched, NodeId, RadixTree};
