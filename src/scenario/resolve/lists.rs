//! How long the lists of a scenario may be, asked of the document before any entry is read: what
//! comes after looks at entries one by one, and at some of them in pairs.

use crate::yaml::{Node, Path, Problem, Value};

/// Most entries of a list, or of a map, that has no bound of its own.
const ENTRIES_MAX: usize = 10_000;

/// Bounds by the name of the key.
const OWN: [(&str, usize); 4] =
    [("classes", 1000), ("pools", 256), ("schedulers", 256), ("quantiles", 1000)];

/// The lists that are too long, each at its place.
pub(super) fn too_long(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(root, &Path::root(), ENTRIES_MAX, &mut problems);
    problems
}

fn walk(node: &Node, path: &Path, most: usize, problems: &mut Vec<Problem>) {
    let found = match &node.value {
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => return,
    };
    if found > most {
        let name = path.to_string();
        let name = name.rsplit('.').next().filter(|name| !name.is_empty()).unwrap_or("entries");
        let message = format!("expected at most {most} {name}, found {found}");
        problems.push(Problem::new(path.to_string(), Some(node.span), message));
        return;
    }
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| is_nested(item)) {
                walk(item, &path.index(index), ENTRIES_MAX, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries.iter().filter(|entry| is_nested(&entry.value)) {
                let own = OWN.iter().find(|(name, _)| *name == entry.key);
                let most = own.map_or(ENTRIES_MAX, |(_, most)| *most);
                walk(&entry.value, &path.key(&entry.key), most, problems);
            }
        }
        _ => {}
    }
}

fn is_nested(node: &Node) -> bool {
    matches!(node.value, Value::List(_) | Value::Map(_))
}
