//! What was meant by a flag or a command that is not known: other tools have it under another name.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::scenario::{Document, Fix, bundled, fix};
use crate::suggest::nearest;
use crate::yaml::{Node, Path, Span, Value};

/// Flags under other names, and what to type for them; `{}` is the value.
const FLAGS: &[(&[&str], &str)] = &[
    (&["json", "as-json"], "--format json"),
    (&["csv"], "--format csv"),
    (&["text", "txt", "table"], "--format text"),
    (
        &["out", "outfile", "out-file", "output-file", "save", "result", "results", "output-path"],
        "-o {}",
    ),
    (&["html", "page", "plot", "plots"], "--report {}"),
    (&["silent", "no-progress"], "--quiet"),
    (&["debug"], "--verbose"),
    (&["no-color", "no-colour"], "--color never"),
    (&["colour"], "--color {}"),
    (&["threads", "parallel", "num-threads", "cpus", "workers", "j"], "--jobs {}"),
    (&["config", "file", "input", "yaml"], "{}"),
    (&["override", "param", "overrides", "option"], "--set {}"),
    (&["random-seed", "rng-seed"], "--seed {}"),
    (&["vary-by", "grid", "param-grid", "sweep"], "--vary {}"),
    (&["perfetto", "chrome-trace"], "--timeline {}"),
    (&["measured", "real", "observation"], "--observed {}"),
    (&["fail", "strict", "exit-code"], "--check"),
];

/// Commands under other names.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["simulate", "sim", "start", "exec", "play", "execute"], "run SCENARIO"),
    (&["analyze", "analyse", "why", "diagnose", "debug", "blame", "stalls"], "explain SCENARIO"),
    (
        &["eval", "metrics", "measure", "read", "import", "load", "parse", "stats", "score"],
        "evaluate FILE",
    ),
    (&["diff", "cmp", "vs"], "compare A B"),
    #[cfg(feature = "live")]
    (&["benchmark", "loadtest", "load-test", "client"], "bench SCENARIO --url URL"),
    (
        &[
            "optimize",
            "optimise",
            "search",
            "max",
            "throughput",
            "size",
            "sizing",
            "limit",
            "replicas",
        ],
        "capacity SCENARIO",
    ),
    (&["grid", "tune", "scan", "matrix"], "sweep SCENARIO --vary PATH=A,B"),
    (&["ui", "gui", "web", "playground", "dashboard", "server", "app"], "serve"),
    (&["ls", "catalog", "catalogue", "names"], "list scenarios"),
    (&["gpu", "gpus"], "list gpus"),
    (&["model", "models"], "list models"),
    (&["scheduler", "schedulers", "policies"], "list schedulers"),
    (&["scenario", "scenarios", "examples", "example", "samples"], "list scenarios"),
    (&["profile", "profiles"], "list profiles"),
    (&["cat", "print", "get", "describe", "info", "view", "copy", "init", "new"], "show chat"),
    (&["docs", "doc", "keys", "reference", "manual"], "schema keys"),
    (&["fit", "calibration"], "calibrate SCENARIO --observed FILE"),
    (&["verify", "check-run", "validation"], "validate SCENARIO --observed FILE"),
    (&["fuzz", "random", "selftest"], "swarm"),
    (&["join", "combine"], "merge SHARD..."),
    (&["version"], "--version"),
];

/// What to say in place of clap's own words; `words` are what was typed, the program first.
pub(super) fn instead(error: &clap::Error, words: &[String]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let flag = text(ContextKind::InvalidArg)?;
            let bare = flag.trim_start_matches('-').split('=').next().unwrap_or_default();
            let value = value_of(flag, words);
            let fix = flag_fix(bare, value.as_deref(), words)?;
            Some(format!("there is no flag `--{bare}` here: write `{fix}`"))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand)?;
            let command = command_for(word)?;
            Some(format!("there is no command `{word}`: try `metron-sim {command}`"))
        }
        ErrorKind::MissingRequiredArgument => {
            let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            let command = words.iter().skip(1).find(|word| !word.starts_with('-'))?;
            match missing.first()?.as_str() {
                "<SCENARIO>" => Some(format!(
                    "`{command}` needs a scenario: a file (YAML), or a name such as `metron-sim {command} \
                     chat`; `metron-sim list scenarios` shows them"
                )),
                "<WHAT>" => Some(format!(
                    "`{command}` of what? Such as `metron-sim {command} {}`",
                    if command == "list" { "scenarios" } else { "scenario" }
                )),
                "<NAME>" => Some(format!(
                    "`{command}` needs a name, such as `metron-sim {command} chat`; `metron-sim list \
                     scenarios` (or gpus, models, profiles) shows them"
                )),
                _ => None,
            }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let flag = text(ContextKind::InvalidArg)?;
            if text(ContextKind::InvalidValue) != Some("") {
                return None;
            }
            let name = flag.split([' ', '=']).next().unwrap_or(flag);
            let example = EXAMPLES.iter().find(|(known, _)| *known == name)?.1;
            Some(format!("`{name}` has no value: write one, such as `{name} {example}`"))
        }
        _ => None,
    }
}

/// A value for each flag that may be typed without one.
const EXAMPLES: &[(&str, &str)] = &[
    ("--seed", "42"),
    ("--jobs", "2"),
    ("--format", "json"),
    ("--color", "never"),
    ("--seeds", "3"),
    ("--for-rate", "40"),
    ("--for-users", "200"),
    ("--port", "8080"),
    ("--request", "17"),
    ("--runs", "100"),
    ("--metrics", "full"),
];

/// The command that a word stands for.
fn command_for(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let scenarios = bundled();
    if scenarios.iter().any(|one| one.name == lower) {
        return Some(format!("run {lower}"));
    }
    if let Some((_, command)) = COMMANDS.iter().find(|(words, _)| words.contains(&&*lower)) {
        return Some((*command).to_owned());
    }
    // A name that is spelt like a scenario's, and like no command's.
    let commands = super::command();
    let names = commands.get_subcommands().map(clap::Command::get_name);
    if nearest(&lower, names).is_some() {
        return None;
    }
    nearest(&lower, scenarios.iter().map(|one| one.name.as_str())).map(|name| format!("run {name}"))
}

/// What was typed as the value of a flag: behind a `=`, or the next word.
fn value_of(flag: &str, words: &[String]) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    let at = words.iter().position(|word| word.split('=').next() == Some(name))?;
    if let Some((_, value)) = words[at].split_once('=') {
        return Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    words.get(at + 1).filter(|next| !next.starts_with('-')).cloned()
}

/// What to type in place of a flag.
fn flag_fix(flag: &str, value: Option<&str>, words: &[String]) -> Option<String> {
    let plain = flag.replace('_', "-").to_lowercase();
    if let Some((_, write)) = FLAGS.iter().find(|(names, _)| names.contains(&plain.as_str())) {
        return Some(write.replace("{}", value.unwrap_or("FILE")));
    }
    // The scenario that was named, if any, knows which arrivals and schedulers it has.
    let document = words.iter().skip(1).find_map(|word| {
        let there = !word.starts_with('-') && word != "-" && Some(word.as_str()) != value;
        Document::read(word).ok().filter(|_| there)
    });
    let nothing = Node { span: Span { source: 0, start: 0, end: 0 }, value: Value::Null };
    let root = document.as_ref().map_or(&nothing, Document::root);
    let key = flag.replace('-', "_");
    let fix = fix(root, &key, value, &Path::root()).or_else(|| known_key(root, &key, value))?;
    Some(fix.set())
}

/// A key of the scenario by its own name: `--replicas 2`.
fn known_key(root: &Node, key: &str, value: Option<&str>) -> Option<Fix> {
    let keys = ["replicas", "router", "model", "gpu", "horizon", "seed", "name"];
    let known = keys.contains(&key) || root.get(key).is_some();
    let value = value?.to_owned();
    known.then(|| Fix { path: key.to_owned(), value })
}
