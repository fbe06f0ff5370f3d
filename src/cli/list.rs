//! `metron-sim list`: what is known by name.

use crate::cli::args::{Format, GlobalFlags, Listed};
use crate::cli::backend::{Backend, ListEntry};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::report::table::{WIDTH, wrap};

/// Runs the command.
///
/// # Errors
/// When the list cannot be written.
pub fn run(
    what: Listed,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let sink = console.open_result(global.output.as_ref())?;
    let entries = backend.list(what);
    let text = match global.format {
        Format::Text => table(&entries),
        Format::Json => {
            let json = serde_json::to_string_pretty(&entries);
            format!("{}\n", json.expect("names and descriptions are plain text"))
        }
        Format::Csv => rows(&entries),
        Format::Quiet => String::new(),
    };
    sink.finish(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// Names, and descriptions beside them; a long one goes on below itself.
fn table(entries: &[ListEntry]) -> String {
    let names = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let indent = " ".repeat(names + 2);
    let room = WIDTH.saturating_sub(indent.len()).max(20);
    let mut text = String::new();
    for entry in entries {
        let lines = wrap(&entry.description, room, "").replace('\n', &format!("\n{indent}"));
        let line = format!("{:<names$}  {lines}", entry.name);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn rows(entries: &[ListEntry]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = entries
        .iter()
        .try_fold((), |(), entry| writer.serialize(entry))
        .map_err(|error| error.to_string())
        .and_then(|()| writer.into_inner().map_err(|error| error.to_string()));
    String::from_utf8(written.expect("writing to memory cannot fail")).expect("text in, text out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_descriptions_go_on_below_themselves() {
        let entries = [
            ListEntry { name: "short".to_owned(), description: "one line".to_owned() },
            ListEntry { name: "longer-name".to_owned(), description: "word ".repeat(30) },
        ];
        let text = table(&entries);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "short        one line");
        assert!(lines[2].starts_with("             word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(rows(&entries).starts_with("name,description\nshort,one line\n"));
    }
}
