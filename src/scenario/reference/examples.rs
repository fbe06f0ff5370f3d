//! The examples of keys.

use serde_json::Value;

use super::super::SchedulerDetails;
use crate::scheduler::SchedulerConfig;

static EXAMPLES: &str = include_str!("examples.txt");

/// A piece of a scenario that shows a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The keys that it is for, each by its path.
    pub paths: Vec<String>,
    /// YAML, to stand in the scenario in place of its keys there.
    pub text: String,
}

/// Those that are written down; the rest are made from defaults.
pub fn examples() -> Vec<Example> {
    let mut all: Vec<Example> = Vec::new();
    for line in EXAMPLES.lines().filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix("    "), all.last_mut()) {
            (Some(yaml), Some(last)) => {
                last.text.push_str(yaml);
                last.text.push('\n');
            }
            (None, Some(last)) if last.text.is_empty() => last.paths.push(line.to_owned()),
            _ => all.push(Example { paths: vec![line.to_owned()], text: String::new() }),
        }
    }
    all
}

/// The example of the key at this path: the one that is written down, else another value of a
/// scheduler's parameter.
pub fn example_of(path: &str) -> Option<String> {
    let written = examples().into_iter().find(|one| one.paths.iter().any(|p| p == path));
    written.map(|one| one.text).or_else(|| of_parameter(path))
}

/// A parameter at another value than its default, where another is plain.
fn of_parameter(path: &str) -> Option<String> {
    let rest = path.strip_prefix("schedulers[].")?;
    let Some((name, parameter)) = rest.split_once('.') else {
        SchedulerConfig::by_name(rest)?;
        return Some(format!("schedulers: [{rest}]\n"));
    };
    let details = SchedulerDetails::of(&SchedulerConfig::by_name(name)?);
    let parameter = details.parameters.into_iter().find(|known| known.name == parameter)?;
    let other = match (&parameter.default, parameter.choices.as_slice()) {
        (Value::Null, []) => return None,
        (Value::Bool(on), _) => Value::Bool(!on),
        (default, choices) => {
            choices.iter().find(|choice| *choice != default).unwrap_or(default).clone()
        }
    };
    let value = match &other {
        Value::String(text) if text.parse::<f64>().is_err() => text.clone(),
        other => other.to_string(),
    };
    Some(format!("schedulers: [{{{name}: {{{}: {value}}}}}]\n", parameter.name))
}
