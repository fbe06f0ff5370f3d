//! The command line: one file a subcommand, no simulation logic.
//!
//! Stdout is the result and nothing else; progress, warnings and wall time go to stderr. Commands
//! return how they ended; [`main`] alone shows errors and picks the exit code.

mod args;
mod asked;
mod backend;
#[cfg(feature = "live")]
mod bench;
mod calibrate;
mod capacity;
mod compare;
mod console;
mod documents;
mod error;
mod evaluate;
mod explain;
mod explanation;
mod figures;
mod host_range;
mod interrupt;
mod iterations;
mod joined;
mod judging;
mod kept;
mod library;
mod list;
#[cfg(feature = "live")]
mod measured_tokens;
mod memory;
mod merge;
#[cfg(feature = "live")]
mod mock;
mod outputs;
mod plan;
mod progress;
mod report_file;
mod run;
mod serve;
mod shard;
mod show;
mod side_files;
mod swarm;
mod sweep;
mod told;
mod validate;

use std::ffi::OsString;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

pub use crate::scenario::{Parameter, SchedulerDetails};
pub use args::{Listed, command};
pub use asked::{Answer, Asked, ask};
pub use backend::{Backend, ListEntry, Loaded, ScenarioRequest};
pub use error::{Error, Exit};
pub use library::Library;
pub use memory::no_memory_left;
pub use told::{Runs, Steering};

use args::Cli;
use console::Console;
use outputs::Outputs;

/// The whole program: does what the process's arguments ask for, and tells the exit code. A program
/// with policies of its own makes them known first ([`register`](crate::scheduler::register)).
pub fn program() -> ExitCode {
    ExitCode::from(program_with(std::env::args_os().collect(), &|| false))
}

/// The same with these arguments, the program's name first, for a program whose own arguments are
/// others: the exit code. An error is not shown where `knows_why` says that whoever calls has a better
/// account of it, as of a policy of theirs that failed.
pub fn program_with(args: Vec<OsString>, knows_why: &dyn Fn() -> bool) -> u8 {
    interrupt::handle();
    // A panic is a bug; its message is on stderr already, and it ends as an internal error.
    let played = AssertUnwindSafe(|| main(args, &Library, knows_why));
    std::panic::catch_unwind(played).unwrap_or(Exit::Failure).code()
}

/// Does what `args` (program name first) ask for, shows errors unless the caller `knows_why` there are
/// some, and tells how it ended.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    backend: &dyn Backend,
    knows_why: &dyn Fn() -> bool,
) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.len() <= 1 {
        // Whoever closed the pipe wants none of it.
        let _ = std::io::stdout().write_all(first_screen().as_bytes());
        return Exit::BadInput;
    }
    let cli = match args::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout, complaints to stderr; either may be closed.
            let _ = error.print();
            let _ = std::io::stdout().flush();
            return if error.use_stderr() { Exit::BadInput } else { Exit::Fine };
        }
    };
    let console = Console::new(&cli.global, Outputs::of(&cli));
    let command = cli.typed.clone();
    match dispatch(cli, &console, backend) {
        Ok(exit) => exit,
        Err(error) => {
            if !knows_why() {
                console.error(&error, command.as_deref());
            }
            error.exit()
        }
    }
}

/// What is said to who types the program's name alone: what to do next.
fn first_screen() -> String {
    format!(
        "metron-sim {}: plays how GPUs serve large language models, and says why a user's text stalled.\n\
         \n  \
         metron-sim run chat               simulate a scenario that comes with it (`list scenarios`)\n  \
         metron-sim show chat -o my.yaml   copy one to change; `schema keys` explains every key\n  \
         metron-sim explain my.yaml        why tokens were late, and what would have helped\n  \
         metron-sim plan --scenario my.yaml --gpus h100-sxm,l40s   which GPU, how many, at what cost\n  \
         metron-sim evaluate result.json   judge a benchmark's own file: vLLM, SGLang, AIPerf, GuideLLM ...\n\
         \n\
         `metron-sim --help` lists all commands, `metron-sim COMMAND --help` the flags of one.\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Whether there is a scenario that `--set` and `--seed` change.
///
/// # Errors
/// When they are given to a command that simulates none.
fn changes_a_scenario(cli: &Cli) -> Result<(), Error> {
    use args::Command::{Completions, Evaluate, List, Man, Merge, Show};
    let none = matches!(
        cli.command,
        Some(Evaluate(_) | List { .. } | Show { .. } | Merge(_) | Completions { .. } | Man { .. })
    );
    let given = [("--set", !cli.global.set.is_empty()), ("--seed", cli.global.seed.is_some())];
    match given.into_iter().find(|(_, given)| *given && none) {
        Some((flag, _)) => Err(Error::Usage(format!(
            "{flag} changes a scenario that is simulated, and this command simulates none: give it to `run`, or \
             write the change into the file"
        ))),
        None => Ok(()),
    }
}

fn dispatch(cli: Cli, console: &Console, backend: &dyn Backend) -> Result<Exit, Error> {
    console.outputs().check(&cli)?;
    changes_a_scenario(&cli)?;
    let Cli { command, scenario, run: run_flags, global, typed: _ } = cli;
    match (command, scenario) {
        (Some(args::Command::Run(args)), _) => {
            run::run(args.scenario, &args.flags, &global, console, backend)
        }
        (None, Some(scenario)) => run::run(scenario, &run_flags, &global, console, backend),
        (Some(args::Command::Evaluate(args)), _) => evaluate::evaluate(&args, &global, console),
        (Some(args::Command::Compare(args)), _) => {
            compare::compare(&args, &global, console, backend)
        }
        (Some(args::Command::Validate(args)), _) => validate::run(&args, &global, console, backend),
        (Some(args::Command::Calibrate(args)), _) => {
            calibrate::run(&args, &global, console, backend)
        }
        (Some(args::Command::Explain(args)), _) => {
            explain::run(args.scenario, &args.flags, &global, console, backend)
        }
        (Some(args::Command::Capacity(args)), _) => capacity::run(&args, &global, console, backend),
        (Some(args::Command::Plan(args)), _) => plan::run(&args, &global, console, backend),
        (Some(args::Command::Sweep(args)), _) => sweep::run(&args, &global, console, backend),
        (Some(args::Command::Merge(args)), _) => merge::run(&args, &global, console),
        #[cfg(feature = "live")]
        (Some(args::Command::Bench(args)), _) => bench::run(&args, &global, console, backend),
        #[cfg(feature = "live")]
        (Some(args::Command::Mock(args)), _) => mock::run(&args, &global, console, backend),
        (Some(args::Command::Serve(args)), _) => serve::run(&args, &global, console),
        (Some(args::Command::Swarm(args)), _) => swarm::run(&args, &global, console),
        (Some(args::Command::List { what }), _) => list::run(what, &global, console, backend),
        (Some(args::Command::Show { name }), _) => show::run(&name, &global, console),
        (Some(args::Command::Schema { what }), _) => {
            documents::schema(what, &global, console, backend)
        }
        (Some(args::Command::Completions { shell }), _) => {
            documents::completions(shell, &global, console)
        }
        (Some(args::Command::Man { of }), _) => documents::man(of.as_deref(), &global, console),
        (None, None) => Err(Error::Usage("a command or --scenario FILE is needed".to_owned())),
    }
}
