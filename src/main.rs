//! The `metron-sim` binary: parse arguments, run the command, turn an error into an exit code.

use std::process::ExitCode;

use metron_sim::cli::{self, Exit, Library};
use metron_sim::report::remove_unfinished;

/// Exit code of an interrupted run, as shells report one.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    // Without a handler an interrupt still ends the program, but leaves temporary files behind.
    let _ = ctrlc::set_handler(|| {
        remove_unfinished();
        std::process::exit(INTERRUPTED);
    });
    // A panic is a bug; its message is on stderr already, and it ends as an internal error.
    let ended = std::panic::catch_unwind(|| cli::main(std::env::args_os(), &Library));
    ExitCode::from(ended.unwrap_or(Exit::Failure).code())
}
