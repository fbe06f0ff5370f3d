//! The `metron-sim` binary: parse arguments, run the command, turn an error into an exit code.

fn main() {}
