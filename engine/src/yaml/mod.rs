//! YAML texts as trees that know where each value stands, and typed values read from them.

mod decode;
mod node;
mod parse;
mod problem;
mod read;
mod scalar;
mod source;

pub(crate) use decode::{Decoded, decode};
pub(crate) use node::{Entry, Node, Path, Step, Value};
pub(crate) use parse::parse;
pub use problem::Problem;
pub use read::Unreadable;
pub(crate) use read::{read, tree};
pub(crate) use source::floor_char_boundary;
pub use source::{Source, Sources, Span};
