//! What was sent where: prompts as a router remembers them, and who holds how much of one.

mod prompt;
mod sent;
mod tree;

pub(crate) use prompt::{Caches, NoCaches, Prompt};
pub use sent::Held;
pub(super) use sent::Sent;
pub(super) use tree::{Goes, PrefixTree, Step};
