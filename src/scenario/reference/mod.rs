//! `docs/scenario.md`: every key of a scenario file with its meaning and an example, written from the
//! JSON Schema. Texts are the doc comments of `scenario::raw`; examples stand in `examples.txt`.

mod examples;
mod kind;
mod sections;

use std::fmt::Write;

use super::SchedulerDetails;
use crate::scheduler::SchedulerConfig;
pub use examples::example_of;
pub use examples::{Example, examples};
pub use sections::sections;
pub(crate) use sections::{Key, Section};

/// The scenario that every example goes into, in place of the keys that it has.
pub const BASE: &str = "\
model: llama-3.1-8b
gpu: h100-sxm
schedulers:
  - vllm-v0
  - sarathi: {chunk_size: 512}
workload:
  requests: 1000
  arrivals: {poisson: {rate: 4}}
  lengths: {table: chat}
";

const HEAD: &str = "\
# Scenario files

Every key of a scenario, with an example each. `metron-sim schema keys` prints this page, `metron-sim
schema scenario` the JSON Schema that editors take. The page is written from that schema, and a test loads
every example.

The shortest scenario says who serves, and what is asked:

```yaml
";

const NOTES: &str = "\
```

Each example below goes into this one, its keys in place of those that are there.

- Run it: `metron-sim run FILE`. Scenarios that come with the program go by their names: `metron-sim run
  chat`; `metron-sim list scenarios` says which there are, and how to get a copy to change.
- Set one key without editing: `--set workload.arrivals.poisson.rate=8`. Steps of a path have dots between
  them; an element of a list goes by its name or its number: `--set schedulers.sarathi.chunk_size=256`,
  `--set pools.0.replicas=3`. In the paths below, `[]` is any element.
- Times, sizes and bandwidths have units: `25ms`, `1.5s`, `10min`; `80GiB`, `16GB`; `900GB/s`. A bare number
  where a unit is due is an error that says so. Rates are a second. Shares are from 0 to 1.
- Names of files are relative to the scenario's file.
- A key that is not known, or is given twice, is an error that names the nearest one.
";

/// The whole page.
pub fn reference() -> String {
    let sections = sections();
    let mut page = format!("{HEAD}{BASE}{NOTES}\n## Contents\n\n");
    for section in &sections {
        let title = section.title();
        let indent = "  ".repeat(section.depth().saturating_sub(1));
        writeln!(page, "{indent}- [{title}](#{})", anchor(&title)).expect(IN_MEMORY);
    }
    for section in &sections {
        write_section(&mut page, section);
    }
    page
}

const IN_MEMORY: &str = "writing to memory cannot fail";

/// GitHub's anchor of a heading.
fn anchor(title: &str) -> String {
    let lower = title.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

fn write_section(page: &mut String, section: &Section) {
    let hashes = if section.depth() <= 1 { "##" } else { "###" };
    write!(page, "\n{hashes} {}\n", section.title()).expect(IN_MEMORY);
    if let [_, others @ ..] = section.paths.as_slice()
        && !others.is_empty()
    {
        let others: Vec<String> = others.iter().map(|path| format!("`{path}`")).collect();
        write!(page, "\nThe same keys stand at {}.\n", others.join(", ")).expect(IN_MEMORY);
    }
    if !section.text.is_empty() {
        write!(page, "\n{}\n", section.text).expect(IN_MEMORY);
    }
    for key in &section.keys {
        write_key(page, key);
    }
}

fn write_key(page: &mut String, key: &Key) {
    let needed = if key.required { ", needed" } else { "" };
    write!(page, "\n- **`{}`** ({}{needed}). {}\n", key.name, key.kind, key.text).expect(IN_MEMORY);
    if let Some(example) = example_of(&key.path) {
        page.push('\n');
        for line in example.lines() {
            writeln!(page, "      {line}").expect(IN_MEMORY);
        }
    }
}

/// The parameters of a scheduler as keys at `path`.
fn parameters(path: &str, config: &SchedulerConfig) -> Vec<Key> {
    let details = SchedulerDetails::of(config);
    let keys = details.parameters.into_iter().map(|parameter| {
        let mut text = parameter.description.replace('\n', " ");
        if !parameter.choices.is_empty() {
            let names: Vec<String> = parameter.choices.iter().map(kind::code).collect();
            text.push_str(&format!(" One of {}.", names.join(", ")));
        }
        if !parameter.default.is_null() {
            text.push_str(&format!(" {} unless given.", kind::code(&parameter.default)));
        }
        if !parameter.aliases.is_empty() {
            let names: Vec<String> =
                parameter.aliases.iter().map(|name| format!("`{name}`")).collect();
            text.push_str(&format!(" Also: {}.", names.join(", ")));
        }
        let kind = kind::of_value(&parameter.default);
        Key {
            path: format!("{path}.{}", parameter.name),
            name: parameter.name,
            kind,
            text,
            required: false,
        }
    });
    keys.collect()
}
