//! The scenarios that come with the program.

use include_dir::{Dir, include_dir};

use crate::order;
use crate::yaml::{self, Node};

static SCENARIOS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// A scenario that comes with the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Its file's name without the ending.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// Its text.
    pub text: &'static str,
}

/// All of them, by name.
pub fn bundled() -> Vec<Bundled> {
    let mut all: Vec<Bundled> = SCENARIOS
        .files()
        .filter(|file| file.path().extension().is_some_and(|ending| ending == "yaml"))
        .filter_map(|file| {
            let text = file.contents_utf8()?;
            let root = yaml::tree(text).ok()?;
            let description = root.get("description").and_then(Node::as_text);
            Some(Bundled {
                name: file.path().file_stem()?.to_str()?.to_owned(),
                description: description.unwrap_or_default().to_owned(),
                text,
            })
        })
        .collect();
    order::sort_by(&mut all, |a, b| a.name.cmp(&b.name));
    all
}
