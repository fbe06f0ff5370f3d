//! Broken scenarios: each must be refused with the field's path, its place and what was expected.
//!
//! A file of `tests/data/broken` has one mistake and says in its head what an error must say:
//! `# path:` the field, `# says:` and `# help:` parts of message and advice, `# at:` line:column.

use std::path::{Path, PathBuf};

use metron_sim::scenario::{Document, Files, Report, ScenarioError};

use crate::cpu::cpu_time;

fn folder() -> PathBuf {
    Path::new("tests").join("data").join("broken")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn refuse(input: &str, overrides: &[&str]) -> ScenarioError {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    let document = Document::read(input).and_then(|document| document.with(&overrides));
    match document.and_then(|document| document.resolve(None)) {
        Ok(_) => panic!("{input} {overrides:?} was accepted"),
        Err(error) => error,
    }
}

fn refuse_bytes(bytes: &[u8]) -> Vec<Report> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    refuse(file.path().to_str().unwrap(), &[]).reports()
}

/// What the head of a broken scenario says of its error.
struct Expected {
    path: String,
    says: String,
    help: Option<String>,
    at: String,
}

impl Expected {
    fn read(text: &str) -> Expected {
        let value = |key: &str| {
            let mut lines = text.lines().take_while(|line| line.starts_with('#'));
            lines
                .find_map(|line| line.strip_prefix(&format!("# {key}:")))
                .map(|v| v.trim().to_owned())
        };
        Expected {
            path: value("path").unwrap(),
            says: value("says").unwrap(),
            help: value("help"),
            at: value("at").unwrap(),
        }
    }

    fn is_met_by(&self, report: &Report) -> bool {
        let at = format!("{}:{}", report.line.unwrap_or(0), report.column.unwrap_or(0));
        let help = report.help.as_deref().unwrap_or_default();
        report.path == self.path
            && at == self.at
            && report.message.contains(&self.says)
            && self.help.as_ref().is_none_or(|h| help.contains(h))
    }
}

#[test]
fn every_broken_scenario_is_refused_at_its_place() {
    let files = files();
    assert!(files.len() >= 130, "the corpus shrank to {}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let expected = Expected::read(&std::fs::read_to_string(&file).unwrap());
        let reports = refuse(file.to_str().unwrap(), &[]).reports();
        if !reports.iter().any(|report| expected.is_met_by(report)) {
            wrong.push(format!("{}: {reports:#?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_mistake_is_one_problem() {
    // Where a mistake really has several sides.
    let several = ["both-trace-and-arrivals", "trace-unknown-format", "workload-empty"];
    for file in files() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let problems = refuse(file.to_str().unwrap(), &[]).problems().len();
        assert!(problems == 1 || several.contains(&name), "{name}: {problems} problems");
    }
}

#[test]
fn errors_read_well() {
    let shown = |name: &str| refuse(&format!("tests/data/broken/{name}.yaml"), &[]).render(false);
    for name in [
        "unknown-key-engine",
        "unknown-arrivals",
        "missing-unit-duration",
        "two-arrivals",
        "doubled-key",
        "class-names-doubled",
        "model-does-not-fit",
        "prompt-too-long",
        "tab-indentation",
        "tensor-not-dividing",
        "quantiles-not-ascending",
    ] {
        insta::assert_snapshot!(name, shown(name));
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let error = refuse("tests/data/many-mistakes.yaml", &[]);
    insta::assert_snapshot!("many-mistakes", error.to_string());
    insta::assert_snapshot!("many-mistakes-rendered", error.render(false));
}

#[test]
fn files_that_are_no_text() {
    let only = |bytes: &[u8]| {
        let reports = refuse_bytes(bytes);
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.into_iter().next().unwrap()
    };
    let empty = only(b"");
    assert!(empty.message.contains("found an empty file"), "{empty:?}");
    assert_eq!((empty.line, empty.column), (Some(1), Some(1)));

    let binary = only(b"name: a\nmodel: \xff\xfe\n");
    assert!(binary.message.contains("expected UTF-8 text"), "{binary:?}");
    assert_eq!((binary.line, binary.column), (Some(2), Some(8)));

    let nul = only(b"name: a\nmodel: b\0c\n");
    assert!(nul.message.contains("found a NUL character"), "{nul:?}");
    assert_eq!((nul.line, nul.column), (Some(2), Some(9)));

    let escape = only(b"name: a\x1b[31m\n");
    assert!(escape.message.contains("U+001B"), "{escape:?}");

    let long = only(&vec![b' '; (1 << 20) + 1]);
    assert!(long.message.contains("longer than 1048576 bytes"), "{long:?}");
}

#[test]
fn files_that_are_not_there() {
    let message = |input: &str| refuse(input, &[]).to_string();
    let missing = message("tests/data/scenarios/chta.yaml");
    assert!(missing.contains("is not there"), "{missing}");
    assert!(missing.contains("did you mean `tests/data/scenarios/chat.yaml`"), "{missing}");
    let folder = message("tests/data/scenarios");
    assert!(folder.contains("is a folder"), "{folder}");
    let nowhere = message("no/such/folder/chat.yaml");
    assert!(nowhere.contains("is not there"), "{nowhere}");
    assert!(nowhere.contains("there is no folder no/such/folder"), "{nowhere}");
}

#[test]
fn a_byte_order_mark_is_not_an_error() {
    let text = std::fs::read_to_string("tests/data/scenarios/chat.yaml").unwrap();
    let marked = format!("\u{feff}{text}");
    let document = Document::from_text("chat.yaml", &marked, Files::any("")).unwrap();
    assert!(document.resolve(None).is_ok());
}

#[test]
fn documents_made_to_exhaust_are_refused_soon() {
    let deep_flow = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_block: String = (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..60 {
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    // Each alias is one level deeper than the one before: no bomb in number, but in depth.
    let mut ladder = String::from("a0: &a0 [x]\n");
    for i in 1..2_000 {
        ladder.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    let keys: String = (0..60_000).map(|i| format!("k{i}: 1\n")).collect();
    let doubled = "k: 1\n".repeat(100_000);
    let entries = format!("schedulers: [{}]", vec!["5"; 60_000].join(", "));
    let merged = format!(
        "a: &a {{{}}}\nb: {{<<: [{}]}}",
        (0..300).map(|i| format!("k{i}: 1")).collect::<Vec<_>>().join(", "),
        vec!["*a"; 300].join(", ")
    );
    let loop_of_itself = "a: &a [*a]\n".to_owned();
    for text in
        [deep_flow, deep_block, bomb, ladder, keys, doubled, entries, merged, loop_of_itself]
    {
        let before = cpu_time();
        let document = Document::from_text("x.yaml", &text, Files::any(""));
        let error = document.and_then(|d| d.resolve(None)).map(|_| ()).unwrap_err();
        assert!(!error.problems().is_empty());
        assert!(!error.render(false).is_empty());
        let head: String = text.chars().take(40).collect();
        let took = cpu_time() - before;
        assert!(took.as_secs() < 20, "{head}: {took:?} of CPU");
    }
}
