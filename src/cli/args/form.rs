//! The form of a result that its file's name asks for: `-o result.json`.

use std::path::PathBuf;

use super::{Cli, Command, Format};

/// Sets the form that the file of `-o` is named after, where `--format` was not `asked` for.
///
/// # Errors
/// When the two differ, or the command has no result in that form.
pub(super) fn of_the_output(cli: &mut Cli, asked: bool) -> Result<(), String> {
    let documents = matches!(
        cli.command,
        Some(
            Command::Schema { .. }
                | Command::Show { .. }
                | Command::Completions { .. }
                | Command::Man { .. }
                | Command::Calibrate(_)
        )
    );
    let Some(path) = cli.global.output.clone().filter(|_| !documents) else { return Ok(()) };
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let (form, name) = match ending.to_lowercase().as_str() {
        "json" => (Format::Json, "json"),
        "jsonl" | "ndjson" => (Format::Json, "json"),
        "csv" => (Format::Csv, "csv"),
        "txt" => (Format::Text, "text"),
        "html" | "htm" => return page(cli, path, asked),
        _ => return Ok(()),
    };
    if asked && cli.global.format != form {
        let shown = path.display();
        let given = cli.global.format.name();
        return Err(format!(
            "`-o {shown}` asks for {name} and `--format` for {given}: leave `--format` out, or name \
             another file"
        ));
    }
    cli.global.format = form;
    cli.global.json_lines = matches!(ending.to_lowercase().as_str(), "jsonl" | "ndjson");
    Ok(())
}

/// `-o page.html` is `--report page.html`, with the text on stdout as without.
fn page(cli: &mut Cli, path: PathBuf, asked: bool) -> Result<(), String> {
    let shown = path.display().to_string();
    let report = match &mut cli.command {
        None => &mut cli.run.report,
        Some(Command::Run(args)) => &mut args.flags.report,
        Some(Command::Evaluate(args)) => &mut args.report,
        #[cfg(feature = "live")]
        Some(Command::Bench(args)) => &mut args.report,
        Some(Command::Explain(args)) => &mut args.flags.report,
        Some(Command::Capacity(args)) => &mut args.report,
        Some(Command::Sweep(args)) => &mut args.report,
        Some(Command::Merge(args)) => &mut args.report,
        Some(_) => {
            return Err(format!(
                "`-o {shown}`: this command writes no page; name a .json, .csv or .txt file"
            ));
        }
    };
    if asked {
        let format = cli.global.format.name();
        return Err(format!(
            "`-o {shown}` asks for a page and `--format` for {format}: write `--report {shown}` for the \
             page, and -o with another file for the {format}"
        ));
    }
    if let Some(other) = report {
        return Err(format!(
            "`-o {shown}` and `--report {}` both ask for the page: leave one out",
            other.display()
        ));
    }
    *report = Some(path);
    cli.global.output = None;
    Ok(())
}
