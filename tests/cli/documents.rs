//! Documents name files that are there, and the index names every document.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The documents with their texts, by path from the root.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/README.md"]
            .map(str::to_owned)
            .into();
    for entry in fs::read_dir(root().join("docs")).expect("a folder") {
        let name = entry.expect("readable").file_name().into_string().expect("a plain name");
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.sort();
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).expect("readable");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What stands between single backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut quoted = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            quoted.extend(line.split('`').skip(1).step_by(2));
        }
    }
    quoted
}

/// Whether this is the path of a file or folder of the repository, from its root.
fn is_path(words: &str) -> bool {
    let folders = [
        "src/",
        "engine/",
        "tests/",
        "web/",
        "docs/",
        "examples/",
        "scenarios/",
        "benches/",
        "wasm/",
    ];
    folders.iter().any(|folder| words.starts_with(folder)) && !words.contains([' ', '*', '<'])
}

#[test]
fn every_file_that_is_named_is_there() {
    let mut missing = Vec::new();
    let mut named = 0;
    for (document, text) in documents() {
        for path in quoted(&text).into_iter().filter(|words| is_path(words)) {
            named += 1;
            if !root().join(path).exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 100, "only {named} files are named: is the pattern right?");
}

#[test]
fn every_link_leads_to_a_file() {
    let mut dead = Vec::new();
    for (document, text) in documents() {
        let folder = Path::new(&document).parent().expect("a file has a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let away = link.starts_with("http://") || link.starts_with("https://");
            if !away && !file.is_empty() && !root().join(folder).join(file).exists() {
                dead.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_index_names_every_document() {
    let index = fs::read_to_string(root().join("docs/README.md")).expect("readable");
    for (document, _) in documents() {
        let Some(name) = document.strip_prefix("docs/") else { continue };
        if name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "docs/README.md does not name {name}");
        }
    }
}

/// Code without what tells nothing: blanks, a comma before a bracket closes, who may see it.
fn bare(code: &str) -> String {
    let code = code.replace("pub(crate) ", "");
    let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//!"));
    let code: String = lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    code.replace(",}", "}").replace(",)", ")")
}

#[test]
fn the_guide_to_writing_a_scheduler_shows_the_examples() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("readable");
    // The guide's program has one policy, the example's two.
    let second =
        bare(r#"register::<LeastSlackParams>("least-slack").expect("a name nobody has");"#);
    let examples = ["policy/mod.rs", "policy/least_slack.rs", "custom_scheduler.rs"];
    let examples =
        examples.map(|name| bare(&read(&format!("examples/{name}"))).replace(&second, ""));
    let guide = read("docs/writing-a-scheduler.md");
    let mut shown = 0;
    for block in guide.split("```rust\n").skip(1) {
        let block = block.split("```").next().expect("a block ends");
        for piece in block.split("\n\n") {
            shown += 1;
            let piece_of = |example: &String| example.contains(&bare(piece));
            assert!(examples.iter().any(piece_of), "{piece}");
        }
    }
    assert!(shown > 8, "only {shown} pieces are shown");
}
