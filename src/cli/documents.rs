//! `schema`, `completions` and `man`: documents made from the program's own definitions.

use crate::cli::args::{Described, GlobalFlags, command};
use crate::cli::backend::Backend;
use crate::cli::console::Console;
use crate::cli::error::{Error, Exit};
use crate::report::json_schema;

/// `metron-sim schema`.
///
/// # Errors
/// When it cannot be written.
pub fn schema(
    what: Described,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let schema = match what {
        Described::Scenario => backend.scenario_schema(),
        Described::Result => json_schema().to_value(),
        Described::Comparison => crate::report::pair::json_schema().to_value(),
        Described::Capacity => crate::search::capacity_schema().to_value(),
        Described::Sweep => crate::search::sweep::sweep_schema().to_value(),
        Described::Explanation => crate::cli::explain::json_schema().to_value(),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    write(global, console, format!("{text}\n").as_bytes())
}

/// `metron-sim completions`.
///
/// # Errors
/// When they cannot be written.
pub fn completions(
    shell: clap_complete::Shell,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "metron-sim", &mut script);
    write(global, console, &script)
}

/// `metron-sim man`.
///
/// # Errors
/// When it cannot be written.
pub fn man(global: &GlobalFlags, console: &Console) -> Result<Exit, Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page).expect("writing to memory cannot fail");
    write(global, console, &page)
}

fn write(global: &GlobalFlags, console: &Console, document: &[u8]) -> Result<Exit, Error> {
    console.open_result(global.output.as_ref())?.finish(document)?;
    Ok(Exit::Fine)
}
