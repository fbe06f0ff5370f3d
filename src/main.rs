//! The `metron-sim` binary: parse arguments, run the command, turn an error into an exit code.

use std::process::ExitCode;

use metron_sim::cli::{self, Exit, Library};

fn main() -> ExitCode {
    // A panic is a bug; its message is on stderr already, and it ends as an internal error.
    let ended = std::panic::catch_unwind(|| cli::main(std::env::args_os(), &Library));
    ExitCode::from(ended.unwrap_or(Exit::Failure).code())
}
