//! How far a slider may go: to what the page still plays, as far as the last run tells.

use super::bounds::{seats, token_budget};
use super::limits::{ITERATIONS_MAX, REQUESTS_MAX, TOKENS_MAX};
use super::loaded::Loaded;
use crate::request::Request;
use crate::runner::Requests;

/// Of what is allowed, what a slider may come to: what is drawn differs from its means.
const SHARE: f64 = 0.9;
/// How much sooner an iteration may be over where fewer requests share it.
const FASTER: f64 = 3.0;

/// What was asked for and what it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    requests: f64,
    prompts: f64,
    outputs: f64,
    /// Of the scheduler that took the most.
    iterations: f64,
    /// The least token budget of a scheduler.
    budget: f64,
    seats: f64,
}

impl Reach {
    /// `iterations`: those of the scheduler that took the most.
    pub(super) fn of(loaded: &Loaded, iterations: u64) -> Reach {
        let (requests, prompts, outputs) = match &loaded.requests {
            Requests::Open(workload) => {
                let sum = |of: fn(&Request) -> u32| -> f64 {
                    workload.requests.iter().map(|request| f64::from(of(request))).sum()
                };
                let count = workload.requests.len() as f64;
                (count, sum(|r| r.prompt_tokens), sum(|r| r.output_tokens))
            }
            // Who asks when, and how much, is known as it goes.
            Requests::Closed(source) => (f64::from(source.requests_max()), 0.0, iterations as f64),
        };
        let experiment = &loaded.experiment;
        let least = |of: &dyn Fn(usize) -> Option<u64>| {
            let each = (0..experiment.schedulers.len()).filter_map(of);
            each.min().map_or(f64::INFINITY, |least| least as f64)
        };
        let info = |place: usize| experiment.engine_info(&experiment.schedulers[place].config);
        let config = |place: usize| &experiment.schedulers[place].config;
        let budget = least(&|place| token_budget(config(place), &info(place)).map(|of| of.1));
        let seats = least(&|place| seats(config(place), &info(place)).map(|of| of.1));
        Reach { requests, prompts, outputs, iterations: iterations as f64, budget, seats }
    }

    /// Iterations, one token each and one prompt after the other.
    fn worst(&self) -> f64 {
        self.outputs + self.prompts / self.budget + self.requests
    }

    /// How many times as many iterations are allowed.
    fn longer(&self) -> f64 {
        let all = SHARE * ITERATIONS_MAX as f64;
        (all / self.iterations.max(1.0)).max(all / self.worst().max(1.0))
    }

    /// How many times as many requests.
    pub(super) fn more_requests(&self) -> f64 {
        let tokens = SHARE * TOKENS_MAX as f64 / (self.prompts + self.outputs).max(1.0);
        (REQUESTS_MAX as f64 / self.requests.max(1.0)).min(tokens).min(self.longer())
    }

    /// How many times as long prompts.
    pub(super) fn longer_prompts(&self) -> f64 {
        let tokens = (SHARE * TOKENS_MAX as f64 - self.outputs) / self.prompts.max(1.0);
        tokens.min(1.0 + self.left() * self.budget / self.prompts.max(1.0))
    }

    /// How many times as long outputs.
    pub(super) fn longer_outputs(&self) -> f64 {
        let tokens = (SHARE * TOKENS_MAX as f64 - self.prompts) / self.outputs.max(1.0);
        tokens.min(self.longer())
    }

    /// The least part of the rate.
    pub(super) fn lower_rate(&self) -> f64 {
        if self.worst() <= SHARE * ITERATIONS_MAX as f64 {
            return 0.0;
        }
        (FASTER / self.longer()).min(1.0)
    }

    /// How many times as many replicas.
    pub(super) fn more_replicas(&self) -> f64 {
        self.longer()
    }

    /// The least token budget.
    pub(super) fn least_budget(&self) -> f64 {
        ((self.prompts + self.outputs) / self.left()).min(self.budget)
    }

    /// The fewest seats.
    pub(super) fn fewest_seats(&self) -> f64 {
        (self.outputs / self.left()).min(self.seats)
    }

    /// The fewest KV blocks of so many tokens: with less fewer requests share an iteration.
    pub(super) fn fewest_blocks(&self, block_tokens: u32) -> f64 {
        let each = (self.prompts + self.outputs) / self.requests.max(1.0);
        // What is preempted is computed again.
        2.0 * self.outputs / self.left() * each / f64::from(block_tokens.max(1))
    }

    /// Iterations that are still allowed.
    fn left(&self) -> f64 {
        (SHARE * ITERATIONS_MAX as f64 - self.iterations).max(1.0)
    }
}
