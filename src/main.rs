//! The `metron-sim` binary: parse arguments, run the command, turn an error into an exit code.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    use metron_sim::cli::{self, Exit, Library};

    // Without a handler an interrupt still ends the program, but leaves temporary files behind.
    let _ = ctrlc::set_handler(|| {
        metron_sim::report::remove_unfinished();
        std::process::exit(Exit::Interrupted.code().into());
    });
    // A panic is a bug; its message is on stderr already, and it ends as an internal error.
    let ended = std::panic::catch_unwind(|| cli::main(std::env::args_os(), &Library));
    std::process::ExitCode::from(ended.unwrap_or(Exit::Failure).code())
}

/// There is no command line in a browser; the page calls the library.
#[cfg(target_arch = "wasm32")]
fn main() {}
