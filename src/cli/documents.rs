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
pub(super) fn schema(
    what: Described,
    global: &GlobalFlags,
    console: &Console,
    backend: &dyn Backend,
) -> Result<Exit, Error> {
    let schema = match what {
        Described::Keys => {
            return write(global, console, crate::scenario::reference().as_bytes());
        }
        Described::Scenario => backend.scenario_schema(),
        Described::Result => json_schema().to_value(),
        Described::Comparison => crate::report::pair::json_schema().to_value(),
        Described::Capacity => crate::search::capacity_schema().to_value(),
        Described::Plan => crate::search::plan_schema().to_value(),
        Described::Sweep => crate::search::sweep::sweep_schema().to_value(),
        Described::Explanation => crate::cli::explanation::json_schema().to_value(),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    write(global, console, format!("{text}\n").as_bytes())
}

/// `metron-sim completions`.
///
/// # Errors
/// When they cannot be written.
pub(super) fn completions(
    shell: clap_complete::Shell,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "metron-sim", &mut script);
    write(global, console, &script)
}

/// `metron-sim man`: one page on all commands, or the page of one.
///
/// # Errors
/// When there is no such command, or the page cannot be written.
pub(super) fn man(
    of: Option<&str>,
    global: &GlobalFlags,
    console: &Console,
) -> Result<Exit, Error> {
    let mut all = command();
    all.build();
    let page = match of {
        Some(name) => page_of(&all, name)?,
        None => whole_page(&all),
    };
    write(global, console, &page)
}

fn page_of(all: &clap::Command, name: &str) -> Result<Vec<u8>, Error> {
    let Some(one) = all.find_subcommand(name) else {
        let names: Vec<&str> = commands(all).map(clap::Command::get_name).collect();
        return Err(Error::Usage(format!(
            "there is no command `{name}`; commands: {}",
            names.join(", ")
        )));
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(one.clone()).render(&mut page).expect(IN_MEMORY);
    Ok(page)
}

/// The program's page, with a section a command. Flags of every command stand at its head only.
fn whole_page(all: &clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(all.clone()).render(&mut page).expect(IN_MEMORY);
    let everywhere: Vec<&str> = all
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .map(|arg| arg.get_id().as_str())
        .collect();
    for one in commands(all) {
        let own = everywhere
            .iter()
            .filter(|id| one.get_arguments().any(|arg| arg.get_id() == **id))
            .fold(one.clone(), |one, id| one.mut_arg(id, |arg| arg.hide(true)));
        let man = clap_mangen::Man::new(own);
        let mut section = Vec::new();
        man.render_description_section(&mut section).expect(IN_MEMORY);
        man.render_synopsis_section(&mut section).expect(IN_MEMORY);
        man.render_options_section(&mut section).expect(IN_MEMORY);
        let section = String::from_utf8(section).expect("help is UTF-8");
        let heading = format!(".SH \"METRON-SIM {}\"\n", one.get_name().to_uppercase());
        page.extend(heading.bytes());
        page.extend(section.replace("\n.SH ", "\n.SS ").bytes());
    }
    page
}

fn commands(all: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    all.get_subcommands().filter(|one| one.get_name() != "help" && !one.is_hide_set())
}

const IN_MEMORY: &str = "writing to memory cannot fail";

fn write(global: &GlobalFlags, console: &Console, document: &[u8]) -> Result<Exit, Error> {
    console.open_result(global.output.as_ref())?.finish(document)?;
    Ok(Exit::Fine)
}
