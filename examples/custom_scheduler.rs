//! `metron-sim` with one more policy, `shortest-prompt-first`, known to every command:
//!
//!     cargo run --release --example custom_scheduler -- run examples/custom_scheduler.yaml

mod policy;

use metron_sim::scheduler::*;
use policy::ShortestPromptFirst;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a scenario may give: `shortest-prompt-first: {token_budget: 512, seats: 128}`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ShortestPromptFirstParams {
    /// Tokens of a step, decodes included.
    token_budget: u32,
    /// Most requests that hold a seat at once.
    seats: u32,
}

impl Default for ShortestPromptFirstParams {
    fn default() -> Self {
        ShortestPromptFirstParams { token_budget: 512, seats: 128 }
    }
}

impl Parameters for ShortestPromptFirstParams {
    const SUMMARY: &'static str = "the shortest prompt first, in chunks beside decodes";

    fn problems(&self, _: &EngineInfo) -> Vec<Problem> {
        Problem::when(self.token_budget == 0, "token_budget", "at least 1").into_iter().collect()
    }

    fn build(&self, _: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(ShortestPromptFirst { token_budget: self.token_budget, seats: self.seats })
    }

    fn facts(&self, _: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "token_budget", most: Some(self.token_budget) };
        Facts {
            seats: Seats::held("seats", self.seats),
            budget: Some(StepBudget::strict(budget, Bounds::Step)),
            cuts_prompts: true,
            takes: Takes::MaxTokens,
            ..Facts::default()
        }
    }
}

fn main() -> std::process::ExitCode {
    register::<ShortestPromptFirstParams>("shortest-prompt-first").expect("a name nobody has");
    metron_sim::cli::program()
}
