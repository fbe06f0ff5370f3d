//! YAML texts as trees that know where each value stands, and typed values read from them.

mod decode;
mod node;
mod parse;
mod problem;
mod read;
mod scalar;
mod source;

pub use decode::{Decoded, decode};
pub use node::{Entry, Node, Path, Step, Value};
pub use parse::parse;
pub use problem::Problem;
pub use read::Unreadable;
pub use read::{read, tree};
pub use source::floor_char_boundary;
pub use source::{Source, Sources, Span};
