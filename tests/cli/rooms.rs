//! Rooms use what is below them: the one direction of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and those that it must not use.
const APART: [(&str, &[&str]); 5] = [
    ("metrics", &["sim", "promise", "scenario", "runner", "result", "report", "explain"]),
    ("promise", &["sim", "scenario", "interop", "runner", "result", "search", "report", "explain"]),
    ("explain", &["sim", "scenario", "runner", "result", "report"]),
    ("result", &["runner", "inert", "interop", "search", "report", "view", "playground", "cli"]),
    ("runner", &["interop", "search", "report", "view", "playground", "cli"]),
];

/// A room's folder, in one crate or the other.
fn folder(room: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["engine/src", "src"].map(|source| root.join(source).join(room));
    found.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| panic!("no room {room}"))
}

/// The files of a folder, all the way down.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file's code: no comments, and nothing from its tests on.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("readable");
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The rooms that stand behind a `crate::` in a file's code.
fn rooms_used(code: &str) -> BTreeSet<&str> {
    let name = |rest: &'_ str| rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let after = code.split("crate::").skip(1);
    after.map(|rest| &rest[..name(rest).unwrap_or(rest.len())]).collect()
}

#[test]
fn no_room_uses_one_that_it_must_not() {
    let mut wrong = Vec::new();
    for (room, others) in APART {
        let files = files(&folder(room));
        assert!(files.len() > 2, "{room} has files");
        for file in files {
            let code = code(&file);
            let used = rooms_used(&code);
            assert!(!used.contains(""), "{}: one room a `use`", file.display());
            let bad = others.iter().filter(|room| used.contains(**room));
            wrong.extend(bad.map(|room| format!("{}: {room}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Rooms whose files know each other one way only.
const WITHOUT_CIRCLES: [&str; 3] = ["explain", "playground", "cli"];

/// The files of a room's folder, each with those beside it that it uses.
fn uses(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = folder(room);
    let mut uses = BTreeMap::new();
    for file in files(&folder).iter().filter(|file| file.parent() == Some(folder.as_path())) {
        let name = file.file_stem().expect("a file").to_string_lossy().into_owned();
        let code = code(file);
        let place = format!("crate::{room}::");
        let used = code.split("super::").skip(1).chain(code.split(&place).skip(1));
        let end = |rest: &str| if rest.starts_with('{') { '}' } else { ':' };
        let words = |rest: &str| -> Vec<String> {
            let rest = rest.split([end(rest), ';']).next().unwrap_or_default();
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect()
        };
        uses.insert(name, used.flat_map(words).collect());
    }
    uses.remove("mod");
    uses
}

#[test]
fn no_files_of_these_rooms_use_each_other_in_a_circle() {
    for room in WITHOUT_CIRCLES {
        let mut left = uses(room);
        // Whoever uses none of those left is on no circle.
        loop {
            let names: BTreeSet<String> = left.keys().cloned().collect();
            left.retain(|name, used| {
                used.iter().any(|other| other != name && names.contains(other))
            });
            if left.len() == names.len() {
                break;
            }
        }
        assert!(left.is_empty(), "{room}: {:?}", left.keys());
    }
}
