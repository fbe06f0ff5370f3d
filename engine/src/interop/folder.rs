//! A client's folder of results: the files in it that have a row a request.

use std::path::{Path, PathBuf};

/// Files that are looked for in each folder, the first that is there; a `*` stands for anything.
const NAMES: &[&str] = &[
    "profile_export.jsonl",
    "profile_export.json",
    "profile_export_raw.jsonl",
    "per_request_lifecycle_metrics.json",
    "request_level_metrics.json",
    "benchmarks.json",
    "*_individual_responses.json",
];

/// Deepest folder that is looked into, and most files that are taken.
const DEPTH_MAX: usize = 3;
const FILES_MAX: usize = 1_000;

/// The result files in a folder and those below it, each with the folder's path from there, in order.
///
/// # Errors
/// In words, when there is none, or a folder cannot be read.
pub(super) fn results(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    walk(folder, "", 0, &mut found)?;
    if found.is_empty() {
        return Err(format!(
            "there is no result in this folder; these are looked for: {}",
            NAMES.join(", ")
        ));
    }
    Ok(found)
}

fn walk(
    folder: &Path,
    name: &str,
    depth: usize,
    found: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot be read: {error}"))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let fits = |wanted: &str, name: &str| match wanted.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == wanted,
    };
    let file = NAMES.iter().find_map(|wanted| {
        names.iter().find(|name| fits(wanted, name) && folder.join(name).is_file())
    });
    if let Some(file) = file {
        found.push((name.to_owned(), folder.join(file)));
    }
    if found.len() > FILES_MAX {
        return Err(format!("more than {FILES_MAX} results are below this folder"));
    }
    if depth < DEPTH_MAX {
        for inner in names.iter().filter(|name| folder.join(name).is_dir()) {
            let name = if name.is_empty() { inner.clone() } else { format!("{name}/{inner}") };
            walk(&folder.join(inner), &name, depth + 1, found)?;
        }
    }
    Ok(())
}
