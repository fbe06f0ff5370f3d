//! The public face of the library: few names, and nobody outside uses anything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that a `use` brings, from what stands behind the word: `a::{B, c}` brings `B` and `c`.
fn brought(path: &str) -> Vec<String> {
    let last = match path.split_once('{') {
        Some((_, list)) => list.trim_end_matches('}'),
        None => path.rsplit("::").next().unwrap_or(path),
    };
    last.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// What `src/lib.rs` offers: the names at its root, its modules among them, and those in the modules.
fn face() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = read("src/lib.rs");
    let (_, text) = text.split_once("\nmod rooms {").expect("the rooms");
    let (mut root, mut inner) = (BTreeSet::new(), BTreeSet::new());
    for statement in text.split("pub use ").skip(1) {
        let path = statement.split(';').next().unwrap_or_default();
        let before = &text[..statement.as_ptr() as usize - text.as_ptr() as usize];
        let names = if before.ends_with("\npub use ") { &mut root } else { &mut inner };
        names.extend(brought(path).into_iter().filter(|name| name != "rooms" && name != "*"));
    }
    let modules = text.split("\npub mod ").skip(1).filter_map(|rest| rest.split(' ').next());
    root.extend(modules.map(str::to_owned));
    (root, inner)
}

#[test]
fn the_face_is_small() {
    let (root, inner) = face();
    for name in ["prepare", "run_experiment", "program", "answer", "policy", "token_times"] {
        assert!(root.contains(name), "{name} is not found: is the pattern right?");
    }
    assert!(inner.contains("Scheduler") && inner.contains("evaluate"), "{inner:?}");
    assert!(root.len() <= 40, "{} names at the root: {root:?}", root.len());
    assert!(inner.len() <= 75, "{} names in modules: {inner:?}", inner.len());
}

/// Files of a folder that end like this.
fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder);
        for entry in fs::read_dir(there).expect("a folder") {
            let entry = entry.expect("readable");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("known").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == end) {
                found.push(path.to_str().expect("a plain name").to_owned());
            }
        }
    }
    found
}

/// The Python package has the library's version, and is compiled as the library is.
#[test]
fn the_python_package_goes_with_the_library() {
    let (cargo, python) = (read("Cargo.toml"), read("python/Cargo.toml"));
    let version = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("version = ")).expect("a version");
        line.to_owned()
    };
    assert_eq!(version(&python), version(&cargo));
    assert!(python.contains(&format!("path = \"..\", {}", version(&cargo))));
    assert!(!read("python/pyproject.toml").contains("\nversion ="), "that of Cargo.toml is taken");
    // Each package brings the licence, as registries want it.
    assert_eq!(read("python/LICENSE.txt"), read("LICENSE"));
    assert_eq!(read("engine/LICENSE"), read("LICENSE"));
    assert!(cargo.contains(&format!("path = \"engine\", {}", version(&cargo))));
}

/// The command in CONTRIBUTING.md changes the version wherever it stands.
#[cfg(target_os = "linux")]
#[test]
fn one_command_changes_the_version() {
    let guide = read("CONTRIBUTING.md");
    let line = guide.lines().find(|line| line.trim_start().starts_with("sed -i -E ")).expect("it");
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("python")).expect("a folder");
    for file in ["Cargo.toml", "python/Cargo.toml"] {
        fs::write(folder.path().join(file), read(file)).expect("written");
    }
    let command = format!("version=99.98.97\n{line}");
    let done = Command::new("sh").args(["-ec", &command]).current_dir(&folder).status();
    assert!(done.expect("sh runs").success(), "{line}");
    let old = env!("CARGO_PKG_VERSION");
    for (file, times) in [("Cargo.toml", 2), ("python/Cargo.toml", 2)] {
        let text = fs::read_to_string(folder.path().join(file)).expect("there");
        assert_eq!(text, read(file).replace(&format!("\"{old}\""), "\"99.98.97\""), "{file}");
        assert_eq!(text.matches("version = \"99.98.97\"").count(), times, "{file}");
    }
}

/// Tests and benches alone see the rooms; whoever else names the library names its face.
#[test]
fn nobody_outside_uses_anything_else() {
    let (root, _) = face();
    let mut outside = files("examples", "rs");
    outside.extend(files("wasm", "rs"));
    outside.extend(files("python/src", "rs"));
    outside.extend(files("docs", "md"));
    outside.extend(["README.md", "src/main.rs", "src/lib.rs"].map(str::to_owned));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in outside {
        let text = read(&file).replace("//!", "").replace("///", "");
        for rest in text.split("metron_sim::").skip(1) {
            let path = rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next();
            let names = match rest.strip_prefix('{') {
                Some(list) => brought(&format!("{{{}", list.split('}').next().unwrap_or_default())),
                None => vec![path.unwrap_or_default().to_owned()],
            };
            seen += names.len();
            let unknown = names.into_iter().filter(|name| !root.contains(name));
            wrong.extend(unknown.map(|name| format!("{file}: metron_sim::{name}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 20, "only {seen} names are used: is the pattern right?");
}
