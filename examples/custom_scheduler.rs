//! `metron-sim` with one more policy, `shortest-prompt-first`, known to every command:
//!
//!     cargo run --release --example custom_scheduler -- run examples/custom_scheduler.yaml

mod policy;

use metron_sim::policy::register;
use policy::ShortestPromptFirstParams;

fn main() -> std::process::ExitCode {
    register::<ShortestPromptFirstParams>("shortest-prompt-first").expect("a name nobody has");
    metron_sim::program()
}
