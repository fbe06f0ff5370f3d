//! The `metron-sim` binary.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    metron_sim::program()
}

/// There is no command line in a browser; the page calls the library.
#[cfg(target_arch = "wasm32")]
fn main() {}
