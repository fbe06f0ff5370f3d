//! The README's example is what the program prints, and its commands are the ones that work.
//!
//! `UPDATE_README=1 cargo test --test cli readme` writes the example anew.

use std::path::PathBuf;

use assert_cmd::Command;

const BEGIN: &str = "<!-- example: metron-sim run scenarios/chat.yaml -->\n```text\n";
const END: &str = "```\n<!-- end of example -->";

#[test]
fn the_example_is_what_the_program_prints() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let output = Command::cargo_bin("metron-sim")
        .unwrap()
        .current_dir(&root)
        .args(["run", "scenarios/chat.yaml", "--color", "never", "-q"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has an example");
    let (example, after) = rest.split_once(END).expect("the example ends");
    if std::env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{BEGIN}{printed}{END}{after}");
        std::fs::write(root.join("README.md"), text).unwrap();
        return;
    }
    assert_eq!(example, printed, "the README's example is out of date");
}

#[test]
fn there_are_exactly_two_set_up_commands() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Set up\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let commands: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let expected =
        ["cargo run --release -- --scenario scenarios/chat.yaml", "cargo test --workspace"];
    assert_eq!(commands, expected);
}
