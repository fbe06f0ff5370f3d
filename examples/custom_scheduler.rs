//! `metron-sim` with two more policies, `shortest-prompt-first` and `least-slack`, known to every command:
//!
//!     cargo run --release --example custom_scheduler -- run examples/custom_scheduler.yaml

#[path = "policy/least_slack.rs"]
mod least_slack;
mod policy;

use least_slack::LeastSlackParams;
use metron_sim::policy::register;
use policy::ShortestPromptFirstParams;

fn main() -> std::process::ExitCode {
    register::<ShortestPromptFirstParams>("shortest-prompt-first").expect("a name nobody has");
    register::<LeastSlackParams>("least-slack").expect("a name nobody has");
    metron_sim::program()
}
