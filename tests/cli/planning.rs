//! The worked examples of docs/planning.md, docs/plan.md and docs/speculative.md print what the documents say.
//!
//! `UPDATE_PLANNING=1 cargo test --test cli planning` writes them anew.

use std::path::Path;
use std::process::Command;

use crate::shared::{say, shared};

const BEGIN: &str = "```console\n$ ";
const END: &str = "\n```\n";
const MOONCAKE: &str = "data/traces/mooncake_conversation_trace.jsonl";

/// What a reader's shell prints.
fn printed(command: &str, more: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_metron-sim"));
    let mut path = program.parent().expect("in a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{command} -q {more}")]).env("PATH", path).env("NO_COLOR", "1");
    let output = shell.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_example_prints_what_the_document_says() {
    check("docs/planning.md", 6);
}

#[test]
fn a_sweep_shows_where_drafts_stop_paying() {
    check("docs/speculative.md", 1);
}

#[test]
fn a_plan_answers_in_its_first_line() {
    check("docs/plan.md", 1);
}

fn check(file: &str, count: usize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&file).expect("the document");
    let mut parts = text.split(BEGIN);
    let mut anew = parts.next().expect("a beginning").to_owned();
    let mut examples = 0;
    for part in parts {
        let (example, after) = part.split_once(END).expect("an example ends");
        // A command goes on over lines that end in a backslash.
        let mut end = 0;
        for line in example.split_inclusive('\n') {
            end += line.len();
            if !line.ends_with("\\\n") {
                break;
            }
        }
        let (command, said) = example.split_at(end.min(example.len()));
        let command = command.trim_end();
        examples += 1;
        let more = match command.contains("mooncake") {
            false => Some(String::new()),
            true => shared(MOONCAKE).map(|trace| {
                let trace = trace.canonicalize().expect("it is there");
                format!("--set workload.trace.file={}", trace.display())
            }),
        };
        let found = match more {
            Some(more) => printed(command, &more),
            None => {
                say(&format!("SKIPPED: {command}"));
                said.to_owned()
            }
        };
        let update = std::env::var_os("UPDATE_PLANNING").is_some();
        assert!(update || found.trim_end() == said.trim_end(), "{command} prints\n{found}");
        anew += &format!("{BEGIN}{command}\n{}{END}{after}", found.trim_end());
    }
    assert_eq!(examples, count);
    if anew != text {
        std::fs::write(&file, anew).expect("writable");
    }
}
