//! LightLLM: prefills alone in their step, at most every `router_max_wait_tokens` decode steps, and
//! only if the memory at the predicted peak suffices.
//!
//! Rules from LightLLM's router of 2023 (`server/router/manager.py`, `req_queue.py`) and from
//! Vidur's port of it (`lightllm_replica_scheduler.py`), whose constants are the defaults; later
//! versions look at their queue every 6 decode steps, the latest after each. The peak counts a
//! request's declared `max_tokens`, where Vidur's port used its true length. LightLLM's KV blocks
//! are single tokens; with larger blocks the same peak is counted in whole blocks.
//!
//! Not modelled: `router_token_ratio` (estimates shorter than `max_tokens`) and the pausing of
//! requests that it makes necessary, chunked prefill, the prompt cache, routing among data-parallel
//! ranks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::facts::{Bounds, Facts, Limit, Prefills, Seats, StepBudget, Takes};
use super::orca::decode_reserved;
use super::parameters::{Evidence, Feature, Parameters, Problem};
use super::{EngineInfo, Held, Hit, Needs, RequestView, Scheduler, Step};

/// Parameters of `lightllm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LightLlmParams {
    /// Most prompt tokens in a prefill step. Vidur's value; LightLLM derives its own from the
    /// size of its KV memory.
    #[serde(alias = "max_num_batched_tokens")]
    pub batch_max_tokens: u32,
    /// Most requests that run at once.
    #[serde(alias = "max_num_seqs")]
    pub running_max_req_size: u32,
    /// Decode steps between two looks at the queue while anyone runs.
    #[serde(alias = "max_waiting_iters")]
    pub router_max_wait_tokens: u32,
}

impl Default for LightLlmParams {
    fn default() -> Self {
        LightLlmParams {
            batch_max_tokens: 4096,
            running_max_req_size: 1000,
            router_max_wait_tokens: 10,
        }
    }
}

impl Parameters for LightLlmParams {
    const SYSTEM: &'static str = "LightLLM (2023), as in Vidur";
    const SUMMARY: &'static str = "prefills alone every few decodes, admitted by predicted peak";
    const EVIDENCE: Evidence = Evidence::Modelled;
    const FEATURES: &'static [Feature] = &[Feature::DeclaredLengths];

    fn problems(&self, _engine: &EngineInfo) -> Vec<Problem> {
        [
            Problem::when(self.batch_max_tokens == 0, "batch_max_tokens", "at least 1"),
            Problem::when(self.running_max_req_size == 0, "running_max_req_size", "at least 1"),
            Problem::when(self.router_max_wait_tokens == 0, "router_max_wait_tokens", "at least 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn draw(draws: &mut Draws<'_>) -> Self {
        let short = draws.one_of(&[true, false, false, false]);
        LightLlmParams {
            batch_max_tokens: draws.budget(short),
            running_max_req_size: draws.seats(),
            router_max_wait_tokens: draws.count(12).max(1),
        }
    }

    fn build(&self, _engine: &EngineInfo) -> Box<dyn Scheduler> {
        Box::new(LightLlm {
            budget: self.batch_max_tokens,
            seats: self.running_max_req_size,
            wait: self.router_max_wait_tokens,
            counted_from: 0,
        })
    }

    fn facts(&self, _engine: &EngineInfo) -> Facts {
        let budget = Limit { parameter: "batch_max_tokens", most: Some(self.batch_max_tokens) };
        Facts {
            seats: Seats::held("running_max_req_size", self.running_max_req_size),
            budget: Some(StepBudget::loose(budget, Bounds::WholePrompts)),
            decodes_between: Limit::of("router_max_wait_tokens", self.router_max_wait_tokens),
            prefills: Prefills::Between,
            takes: Takes::MaxTokens,
            ..Facts::default()
        }
    }
}

struct LightLlm {
    budget: u32,
    seats: u32,
    wait: u32,
    /// The decode step from which decode steps are counted.
    counted_from: u32,
}

impl Scheduler for LightLlm {
    fn needs(&self) -> Needs {
        // The peak of memory is that of all running requests.
        let prompt_tokens_max = Some(self.budget);
        Needs { prompt_tokens_max, one_lane: true, ..Needs::default() }
    }

    fn reserves(&self, request: &RequestView, block_tokens: u32) -> u32 {
        let (has_run, left) = at_admission(request);
        // The peak must lie below the capacity.
        has_run.saturating_add(left).div_ceil(block_tokens) + 1
    }

    fn schedule(&mut self, step: &mut Step<'_>) {
        if step.running_len() == 0 {
            self.admit(step);
            self.counted_from = step.decode_steps();
            return;
        }
        if self.looks_at_queue(step.decode_steps()) {
            self.admit(step);
            if !step.is_empty() {
                return;
            }
        } else {
            step.hold(Held::Deferred);
        }
        decode_reserved(step);
        // Whether the head fits depends on how far the others are, so only an empty queue repeats.
        if step.waiting_len() == 0 {
            step.repeats(0);
        }
    }
}

impl LightLlm {
    /// Whether `wait` decode steps have passed; if so they are counted anew. Looks at an empty
    /// queue, which the simulator may have skipped, count anew too.
    fn looks_at_queue(&mut self, decode_steps: u32) -> bool {
        let waited = decode_steps - self.counted_from;
        self.counted_from += waited.saturating_sub(1) / self.wait * self.wait;
        let due = decode_steps - self.counted_from == self.wait;
        if due {
            self.counted_from = decode_steps;
        }
        due
    }

    fn admit(&self, step: &mut Step<'_>) {
        if step.waiting_len() == 0 {
            return;
        }
        let mut peak = Peak::of(step);
        let mut budget = self.budget;
        while let Some(request) = step.waiting_at(0) {
            let view = step.view(request);
            if step.seats_used() >= self.seats {
                return step.hold(Held::NoSeat);
            }
            if view.tokens > budget {
                return step.hold(Held::NoTokenBudget);
            }
            if !peak.takes(at_admission(&view)) {
                return step.hold(Held::NoKvBlocks);
            }
            let admitted = step.admit(request, view.tokens, 0, Hit::default());
            assert!(admitted, "what is held now is less than the peak");
            budget -= view.tokens;
        }
    }
}

/// Tokens that a waiting request will hold after its prefill, and the most that it adds to them.
fn at_admission(view: &RequestView) -> (u32, u32) {
    (view.tokens.saturating_add(1), view.max_tokens.saturating_sub(2))
}

/// The most memory that a set of requests can need at once, if each runs to its `max_tokens`.
struct Peak {
    block_tokens: u64,
    /// Groups of layers whose tables grow, and those with a state for each request.
    growing: u64,
    states: u64,
    total_blocks: u64,
    /// `(tokens held, tokens to come)`, those with the most to come first.
    requests: Vec<(u32, u32)>,
}

impl Peak {
    fn of(step: &Step<'_>) -> Peak {
        let running = step.running().map(|request| {
            let view = step.view(request);
            (view.tokens, view.max_tokens.saturating_sub(view.generated() + 1))
        });
        let mut requests: Vec<(u32, u32)> = running.collect();
        requests.sort_by_key(|&(_, left)| std::cmp::Reverse(left));
        Peak {
            block_tokens: u64::from(step.block_tokens()),
            growing: u64::from(step.groups().growing()),
            states: u64::from(step.groups().states()),
            total_blocks: u64::from(step.total_blocks()),
            requests,
        }
    }

    /// Adds a request if the peak with it stays below the memory there is.
    fn takes(&mut self, request: (u32, u32)) -> bool {
        let place = self.requests.partition_point(|&(_, left)| left >= request.1);
        self.requests.insert(place, request);
        let fits = self.fits();
        if !fits {
            self.requests.remove(place);
        }
        fits
    }

    /// Memory peaks whenever a request is about to end: it and all with more to come then hold what
    /// they hold now and as many tokens more as it still gets.
    fn fits(&self) -> bool {
        let (mut held, total) = (0, self.total_blocks);
        let groups = |tables: u64, n: u64| tables * self.growing + n * self.states;
        self.requests.iter().enumerate().all(|(i, &(has_run, left))| {
            held += u64::from(has_run);
            let n = i as u64 + 1;
            let tokens = held + n * u64::from(left);
            // Each request's last block may be partly empty; count exactly only where it matters.
            let at_most = (tokens + n * (self.block_tokens - 1)) / self.block_tokens;
            let blocks = if groups(at_most, n) < total {
                at_most
            } else if groups(tokens.div_ceil(self.block_tokens), n) >= total {
                return false;
            } else {
                let blocks = |&(has_run, _): &(u32, u32)| {
                    (u64::from(has_run) + u64::from(left)).div_ceil(self.block_tokens)
                };
                self.requests[..=i].iter().map(blocks).sum()
            };
            groups(blocks, n) < total
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(block_tokens: u64, total_blocks: u64, requests: &[(u32, u32)]) -> Peak {
        let requests = requests.to_vec();
        Peak { block_tokens, growing: 1, states: 0, total_blocks, requests }
    }

    #[test]
    fn the_peak_is_the_largest_over_all_endings() {
        // Sorted by tokens to come: (10, 20), (30, 5). As the second ends: 10 + 30 + 2 * 5 = 50; as
        // the first ends, alone: 10 + 20 = 30. So 51 tokens are enough and 50 are not.
        assert!(peak(1, 51, &[(10, 20), (30, 5)]).fits());
        assert!(!peak(1, 50, &[(10, 20), (30, 5)]).fits());
    }

    #[test]
    fn blocks_are_counted_whole() {
        // As the second ends, both in blocks of 4: ceil(15 / 4) + ceil(35 / 4) = 4 + 9 = 13.
        assert!(peak(4, 14, &[(10, 20), (30, 5)]).fits());
        assert!(!peak(4, 13, &[(10, 20), (30, 5)]).fits());
    }

    #[test]
    fn a_skipped_look_at_an_empty_queue_counts_anew() {
        let mut policy = LightLlm { budget: 1, seats: 1, wait: 10, counted_from: 100 };
        assert!(!policy.looks_at_queue(109));
        // Looks fell on decode steps 110, 120 and 130, so the next is due at 140.
        assert!(!policy.looks_at_queue(137));
        assert!(policy.looks_at_queue(140));
        assert!(!policy.looks_at_queue(140));
    }
}
