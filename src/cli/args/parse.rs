//! How what was typed becomes a command, and what is said when it makes no sense.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches};

use super::{Cli, RunFlags, form, meant};

/// The command line's definition, with the flags that `--scenario` shares with `run` hidden from
/// the top level's help.
pub fn command() -> clap::Command {
    run_flag_ids()
        .iter()
        .fold(Cli::command(), |command, id| command.mut_arg(id, |arg| arg.hide(true)))
}

/// Parses what was typed.
///
/// # Errors
/// When it makes no sense, and for `--help` and `--version`.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let args = tokens_of_answers(args.into_iter().collect());
    let matches = command.try_get_matches_from_mut(&args).map_err(|error| {
        let words: Vec<String> =
            args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        match file_as_command(&error).or_else(|| meant::instead(&error, &words)) {
            Some(message) => {
                let known = |word: &&String| command.find_subcommand(word.as_str()).is_some();
                let typed = words.iter().skip(1).find(known).cloned();
                typed_command(&mut command, typed.as_deref()).error(error.kind(), message)
            }
            None => error,
        }
    })?;
    let typed = matches.subcommand_name();
    let mut cli = Cli::from_arg_matches(&matches)
        .map_err(|error| error.format(typed_command(&mut command, typed)))?;
    cli.typed = typed.map(str::to_owned);
    let asked = typed_anywhere(&matches, "format");
    if let Err(message) = form::of_the_output(&mut cli, asked) {
        let conflict = clap::error::ErrorKind::ArgumentConflict;
        return Err(typed_command(&mut command, typed).error(conflict, message));
    }
    let conflict = |message: &str| {
        Err(command.clone().error(clap::error::ErrorKind::ArgumentConflict, message))
    };
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let run_flag = run_flag_ids().into_iter().find(|id| typed(id));
    match (&cli.command, &cli.scenario, run_flag) {
        (Some(_), Some(_), _) => conflict(
            "--scenario FILE stands alone, in place of a command; `run` takes the file as its \
             argument",
        ),
        (Some(_), None, Some(id)) => {
            conflict(&format!("--{} belongs behind the command", id.replace('_', "-")))
        }
        (None, None, _) => Err(command.error(
            clap::error::ErrorKind::MissingSubcommand,
            "a command or --scenario FILE is needed",
        )),
        _ => Ok(cli),
    }
}

/// The command whose usage an error shows: the one that was typed, or the whole program.
fn typed_command<'c>(command: &'c mut clap::Command, name: Option<&str>) -> &'c mut clap::Command {
    command.build();
    match name.filter(|name| command.find_subcommand(name).is_some()) {
        Some(name) => command.find_subcommand_mut(name).expect("it was found"),
        None => command,
    }
}

/// In `plan`, `--output 400` are the tokens of an answer: a number is no file for the result.
fn tokens_of_answers(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|command| command != "plan") {
        return args;
    }
    let number = |arg: &OsString| {
        arg.to_str()
            .is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
    };
    for place in 2..args.len() {
        let joined = args[place].to_str().and_then(|text| text.strip_prefix("--output="));
        let joined = joined.map(OsString::from).filter(number);
        if let Some(tokens) = joined {
            let mut whole = OsString::from("--output-tokens=");
            whole.push(tokens);
            args[place] = whole;
        } else if args[place] == "--output" && args.get(place + 1).is_some_and(number) {
            args[place] = "--output-tokens".into();
        }
    }
    args
}

/// Whether a flag of every command was typed, before or behind the command.
fn typed_anywhere(matches: &clap::ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
        || matches.subcommand().is_some_and(|(_, inner)| typed_anywhere(inner, id))
}

/// What to say when a file stands where a command was expected.
fn file_as_command(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let path = std::path::Path::new(word);
    let scenario = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let (is, command) = match scenario {
        true => ("a scenario", "run"),
        false if path.is_file() => ("a file", "evaluate"),
        false => return None,
    };
    Some(format!("`{word}` is {is}, not a command: try `metron-sim {command} {word}`"))
}

fn run_flag_ids() -> Vec<String> {
    let flags = RunFlags::augment_args(clap::Command::new("run"));
    flags.get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Format;
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_behind_the_command() {
        for line in ["m --format json run x.yaml", "m run x.yaml --format json"] {
            let cli = parsed(line).expect(line);
            assert_eq!(cli.global.format, Format::Json, "{line}");
        }
    }

    #[test]
    fn the_short_form_takes_the_flags_of_run() {
        let cli = parsed("m --scenario x.yaml --check --requests r.csv").expect("fine");
        assert!(cli.run.check);
        assert_eq!(cli.run.requests, Some(PathBuf::from("r.csv")));
        assert!(cli.command.is_none());
    }

    #[test]
    fn a_file_in_place_of_a_command_is_told_what_to_do() {
        let error = parsed("m chat.yaml --check").expect_err("not a command");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("metron-sim run chat.yaml"), "{error}");
        let error = parsed("m Cargo.toml").expect_err("not a command");
        assert!(error.to_string().contains("metron-sim evaluate Cargo.toml"), "{error}");
        let error = parsed("m rum").expect_err("not a command");
        assert!(error.to_string().contains("run"), "{error}");
        assert!(!error.to_string().contains("metron-sim run rum"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "m --format json",
            "m --check run x.yaml",
            "m --scenario x.yaml run y.yaml",
            "m run",
            "m run x.yaml --jobs 0",
            "m run x.yaml --seed -1",
            "m run x.yaml -q -v",
            "m list planets",
            "m explain",
            "m explain x.yaml --token 3",
        ] {
            let error = parsed(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
