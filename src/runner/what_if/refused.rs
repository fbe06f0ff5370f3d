//! What a run turned away: requests that are never served break a promise whatever the stalls.

use crate::order;
use crate::runner::{Patient, Requests};
use crate::scheduler::EngineInfo;
use crate::sim::{Outcome, Rejection};

/// The rejected requests of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why, each reason once, the most frequent first.
    pub why: Vec<Rejection>,
    /// The longest prompt among them, tokens.
    pub longest_prompt: u32,
    /// The longest answer of any request, as far as the context leaves it whole.
    pub longest_answer: u32,
    /// The longest of them, prompt and the most that the answer may have, tokens; of a closed loop
    /// the prompt alone is known.
    pub longest_request: u32,
}

impl Refused {
    pub(super) fn of(requests: &Requests, outcome: &Outcome) -> Refused {
        let mut refused = Refused::default();
        if let Requests::Open(workload) = requests {
            let answers = workload.requests.iter().map(|one| one.max_tokens);
            refused.longest_answer = answers.max().unwrap_or(0);
        }
        let mut counts: Vec<(usize, Rejection)> = Vec::new();
        for &(id, why) in &outcome.rejections {
            match counts.iter_mut().find(|(_, known)| *known == why) {
                Some((count, _)) => *count += 1,
                None => counts.push((1, why)),
            }
            let prompt = outcome.trace.requests[id.index()].prompt_tokens;
            let answer = match requests {
                Requests::Open(workload) => workload.requests[id.index()].max_tokens,
                Requests::Closed(_) => 0,
            };
            refused.longest_prompt = refused.longest_prompt.max(prompt);
            refused.longest_request = refused.longest_request.max(prompt.saturating_add(answer));
        }
        order::sort_by_key(&mut counts, |&(count, _)| std::cmp::Reverse(count));
        refused.why = counts.into_iter().map(|(_, why)| why).collect();
        refused
    }

    /// Tokens of a context that holds the longest prompt with the longest answer.
    pub(super) fn longest_in_context(&self) -> u32 {
        self.longest_prompt.saturating_add(self.longest_answer).saturating_add(1)
    }

    /// KV blocks of the longest, where memory is what refuses.
    pub(super) fn blocks(&self, info: &EngineInfo) -> u64 {
        let memory =
            |why: &Rejection| matches!(why, Rejection::NeverFits | Rejection::OverLimit(_));
        let refuses = self.why.iter().any(memory);
        let blocks =
            || info.kv_groups.blocks_for(self.longest_request.into(), info.kv_block_tokens);
        if refuses { blocks() } else { 0 }
    }

    /// Whether nothing else is to be cured: the stall is in time, and no latency breaks the promise.
    pub(super) fn breaks_alone(&self, patient: &Patient<'_>) -> bool {
        let slo = &patient.output.result.slo;
        let late = slo.terms.iter().any(|term| term.stat.is_some() && term.met != Some(true));
        !self.why.is_empty() && slo.met != Some(true) && !late && patient.stall_is_in_time()
    }
}
