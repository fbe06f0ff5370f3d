//! `metron-sim list`: what is known by name.

use serde_json::{Map, Value};

use crate::cli::args::{Format, GlobalFlags, Listed};
use crate::cli::backend::{Backend, ListEntry};
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::cli::figures::Figures;
use crate::report::csv_text::CsvText;
use crate::report::table::{width, wrap};
use crate::scenario::{CELLS, Parameter, SchedulerDetails, proof_table_text};

/// Runs the command.
///
/// # Errors
/// When the list cannot be written.
pub(super) fn run(
    what: Listed,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let sink = console.open_result(global.output.as_ref())?;
    let entries = backend.list(what);
    let text = match global.format {
        Format::Text => table(&entries, global.verbose) + &proofs(&entries) + how(what),
        Format::Json => crate::json::indented(&entries),
        Format::Csv => rows(&entries),
        Format::Quiet => String::new(),
    };
    sink.finish(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// Names, what their figures rest on, and descriptions beside them; a long one goes on below itself.
/// `verbose` puts the figures below.
fn table(entries: &[ListEntry], verbose: bool) -> String {
    let names = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let evidence = |entry: &ListEntry| entry.figures.as_ref().map(|f| f.evidence.kind.name());
    let kinds = entries.iter().filter_map(evidence).map(|kind| kind.len() + 2).max().unwrap_or(0);
    let mut text = String::new();
    for (index, entry) in entries.iter().enumerate() {
        let figures = entry.figures.as_ref().filter(|_| verbose);
        if index > 0 && (entry.scheduler.is_some() || figures.is_some()) {
            text.push('\n');
        }
        let kind = evidence(entry).unwrap_or_default();
        let head = format!("{:<names$}  {kind:<kinds$}", entry.name);
        text.push_str(&beside(&head, &entry.description));
        for line in figures.map(Figures::lines).unwrap_or_default() {
            text.push_str(&beside("    ", &line));
        }
        if let Some(scheduler) = &entry.scheduler {
            text.push_str(&details(scheduler));
        }
    }
    text
}

/// How to use what was listed, below the list.
fn how(what: Listed) -> &'static str {
    match what {
        Listed::Scenarios => {
            "\nrun one by its name   metron-sim run chat\n\
             read it               metron-sim show chat\n\
             copy and change it    metron-sim show chat -o my.yaml, then metron-sim run my.yaml\n\
             change one key        metron-sim run chat --set workload.arrivals.poisson.rate=6\n"
        }
        _ => "",
    }
}

/// What of the schedulers is proven, below their list.
fn proofs(entries: &[ListEntry]) -> String {
    if entries.iter().all(|entry| entry.scheduler.is_none()) {
        return String::new();
    }
    format!("\nWhat is proven:\n{}{}\n", proof_table_text(), wrap(CELLS, width(), ""))
}

/// Where a scheduler's rules come from, then a line a parameter: name, default, meaning.
fn details(scheduler: &SchedulerDetails) -> String {
    let source = format!(
        "{}; {}: {}",
        scheduler.system,
        scheduler.evidence.name(),
        scheduler.evidence.meaning()
    );
    let mut text = beside("    ", &source);
    let parameters = &scheduler.parameters;
    let names = parameters.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let defaults: Vec<String> = parameters.iter().map(default_text).collect();
    let values = defaults.iter().map(|value| value.chars().count()).max().unwrap_or(0);
    for (parameter, default) in parameters.iter().zip(&defaults) {
        let head = format!("    {:<names$}  {default:<values$}  ", parameter.name);
        let mut meaning = parameter.description.clone();
        if !parameter.choices.is_empty() {
            let choices: Vec<String> = parameter.choices.iter().map(value_text).collect();
            meaning.push_str(&format!(" One of {}.", choices.join(", ")));
        }
        if !parameter.aliases.is_empty() {
            meaning.push_str(&format!(" Also: {}.", parameter.aliases.join(", ")));
        }
        text.push_str(&beside(&head, &meaning));
    }
    text
}

/// A default; what depends on the system is said in the parameter's meaning.
fn default_text(parameter: &Parameter) -> String {
    if parameter.default.is_null() { "auto".to_owned() } else { value_text(&parameter.default) }
}

fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `words` beside `head`; what is too long goes on below itself.
fn beside(head: &str, words: &str) -> String {
    let indent = " ".repeat(head.chars().count());
    let room = width().saturating_sub(indent.len()).max(20);
    let lines = wrap(words, room, "").replace('\n', &format!("\n{indent}"));
    format!("{}\n", format!("{head}{lines}").trim_end())
}

/// A row a name; schedulers have more columns, their parameters as a JSON object of defaults.
fn rows(entries: &[ListEntry]) -> String {
    let schedulers = entries.iter().any(|entry| entry.scheduler.is_some());
    let figures = entries.iter().any(|entry| entry.figures.is_some());
    let more: &[&str] = match (schedulers, figures) {
        (true, _) => &["system", "evidence", "parameters"],
        (false, true) => &["evidence", "from", "expected_error"],
        (false, false) => &[],
    };
    let mut csv = CsvText::new(["name", "description"].iter().chain(more));
    for entry in entries {
        let mut record = vec![entry.name.clone(), entry.description.clone()];
        if let Some(scheduler) = &entry.scheduler {
            let parameters = scheduler.parameters.iter();
            let defaults: Map<String, Value> =
                parameters.map(|p| (p.name.clone(), p.default.clone())).collect();
            record.push(scheduler.system.to_owned());
            record.push(scheduler.evidence.name().to_owned());
            record.push(Value::Object(defaults).to_string());
        }
        if let Some(Figures { evidence, .. }) = &entry.figures {
            record.push(evidence.kind.name().to_owned());
            record.push(evidence.from.clone());
            record.push(evidence.expected_error.clone().unwrap_or_default());
        }
        csv.row(record);
    }
    csv.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, description: String) -> ListEntry {
        ListEntry { name: name.to_owned(), description, scheduler: None, figures: None }
    }

    #[test]
    fn long_descriptions_go_on_below_themselves() {
        let entries =
            [entry("short", "one line".to_owned()), entry("longer-name", "word ".repeat(30))];
        let text = table(&entries, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "short        one line");
        assert!(lines[2].starts_with("             word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= width()), "{text}");
        assert!(rows(&entries).starts_with("name,description\nshort,one line\n"));
    }

    #[test]
    fn a_gpu_has_its_evidence_beside_it_and_its_figures_below_when_asked() {
        let gpu = |name: &str| ListEntry {
            figures: Figures::of(crate::catalog::Kind::Gpu, name),
            ..entry(name, "a GPU".to_owned())
        };
        let entries = [gpu("h20"), gpu("h100-sxm")];
        assert_eq!(table(&entries, false), "h20       derived  a GPU\nh100-sxm  fitted   a GPU\n");
        let text = table(&entries, true);
        assert!(
            text.contains("\n    derived from h100-sxm; expected error: 10 to 20 %\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= width()), "{text}");
        let csv = rows(&entries);
        assert!(csv.starts_with("name,description,evidence,from,expected_error\n"), "{csv}");
        assert!(csv.contains("h20,a GPU,derived,h100-sxm,10 to 20 %\n"), "{csv}");
    }

    #[test]
    fn a_scheduler_is_one_line_then_its_system_and_its_parameters() {
        let config = crate::scheduler::SchedulerConfig::by_name("vllm-v1").expect("registered");
        let entries = [ListEntry {
            scheduler: Some(SchedulerDetails::of(&config)),
            ..entry("vllm-v1", config.summary().to_owned())
        }];
        let text = table(&entries, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("vllm-v1  {}", config.summary()));
        assert!(lines[1].starts_with("    vLLM 0.33.0"), "{text}");
        assert!(lines[1].contains("; proven: "), "{text}");
        let line = |name: &str| {
            let head = format!("    {name} ");
            *lines.iter().find(|line| line.starts_with(&head)).expect("a line a parameter")
        };
        assert!(line("max_num_seqs").contains(" auto  "), "{text}");
        assert!(line("policy").contains(" fcfs  "), "{text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.join(" ").contains("One of fcfs, priority."), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= width()), "{text}");
        let rows = rows(&entries);
        assert!(rows.starts_with("name,description,system,evidence,parameters\n"), "{rows}");
        assert!(rows.contains("\"\"policy\"\":\"\"fcfs\"\""), "{rows}");
    }
}
