//! How requests go from replicas that prefill to replicas that decode.

use crate::catalog::{FirstToken, HandOverOrder};
use crate::replica::Failure;
use crate::time::Span;

use super::router::RouterKind;

/// The way of a request whose prompt one replica computes and another answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Disaggregation {
    /// Which of the two begins.
    pub order: HandOverOrder,
    /// Tokens that each request which decodes, or is to, may still take: destination first they are left free
    /// when blocks are taken for a prompt (SGLang's `--num-reserved-decode-tokens`).
    pub reserved_decode_tokens: u32,
    /// Where the first token of its answer comes from.
    pub first_token: FirstToken,
    /// Which prompts are computed by replicas that prefill.
    pub decider: PrefillDecider,
    /// Which of the replicas that decode gets a request; that of the fleet chooses among those that
    /// prefill.
    pub decode_router: RouterKind,
    /// What a transfer takes.
    pub transfer: TransferSetup,
    /// The longest that blocks are held for a transfer that has not begun; for ever where there is none.
    pub kv_lease: Option<Span>,
    /// What becomes of a request whose KV is gone.
    pub on_failure: Failure,
    /// By pool: what joins its replicas to the others.
    pub ports: Vec<Port>,
}

/// Which prompts are computed by replicas that prefill; the others are computed where they are answered, on
/// a replica that decodes and is chosen before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PrefillDecider {
    /// All of them (vLLM's proxy, SGLang).
    #[default]
    Always,
    /// Those of which much is new to the replica that decodes (Dynamo's `IslBounding`, dynamo-kv-router 1.6.1
    /// `conditional_disagg.rs`): not where fewer than `min_new_tokens` are, and they are a smaller part of the
    /// prompt than `min_new_ratio`.
    Conditional {
        /// Tokens.
        min_new_tokens: u32,
        /// A share, 0 to 1.
        min_new_ratio: f64,
    },
    /// Prompts of `prompt_tokens` or more of which `non_cached_tokens` or more are new to the replica that
    /// decodes; none where that is 0 (llm-d's `prefix-based-pd-decider`).
    PrefixBased {
        /// Tokens.
        non_cached_tokens: u32,
        /// Tokens.
        prompt_tokens: u32,
    },
}

impl PrefillDecider {
    /// Whether it looks at prompts at all.
    pub fn looks(self) -> bool {
        self != PrefillDecider::Always
    }

    /// Whether no prompt goes to a replica that prefills, whatever it is.
    pub fn is_never_elsewhere(self) -> bool {
        matches!(self, PrefillDecider::PrefixBased { non_cached_tokens: 0, .. })
    }

    /// Whether a prompt goes to a replica that prefills, where the one that decodes holds its first `held`
    /// tokens.
    pub(crate) fn is_elsewhere(self, prompt: u32, held: u32) -> bool {
        let new = prompt.saturating_sub(held);
        match self {
            PrefillDecider::Always => true,
            PrefillDecider::Conditional { min_new_tokens, min_new_ratio } => {
                new >= min_new_tokens || f64::from(new) >= min_new_ratio * f64::from(prompt)
            }
            PrefillDecider::PrefixBased { non_cached_tokens, prompt_tokens } => {
                !self.is_never_elsewhere() && prompt >= prompt_tokens && new >= non_cached_tokens
            }
        }
    }
}

/// What a transfer takes beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferSetup {
    /// Before the first byte moves: the connector's own time and the link's latency.
    pub setup: Span,
    /// For each KV block that goes over, before the first byte moves.
    pub per_block: Span,
    /// Whether only those blocks go over that the replica which decodes does not have.
    pub missing_only: bool,
    /// Bytes a second of one link that all transfers share, in place of the replicas' ports.
    pub shared_bytes_per_s: Option<f64>,
}

/// What joins a replica to the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Port {
    /// Bytes a second, one way.
    pub bytes_per_s: f64,
    /// Bytes of a KV block on all GPUs of a replica.
    pub block_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_which_little_is_new_stay_where_they_are_answered() {
        let dynamo = PrefillDecider::Conditional { min_new_tokens: 2048, min_new_ratio: 0.7 };
        let elsewhere = |prompt, held| dynamo.is_elsewhere(prompt, held);
        assert!(elsewhere(1000, 0), "all of it is new");
        assert!(!elsewhere(1000, 400), "600 are new, less than .7");
        assert!(elsewhere(1000, 300), "700 are, which is .7");
        assert!(elsewhere(9000, 6952) && !elsewhere(9000, 6953));
        let llm_d = PrefillDecider::PrefixBased { non_cached_tokens: 16, prompt_tokens: 500 };
        assert!(llm_d.is_elsewhere(500, 484) && !llm_d.is_elsewhere(500, 485));
        assert!(!llm_d.is_elsewhere(499, 0), "a short prompt");
        let off = PrefillDecider::PrefixBased { non_cached_tokens: 0, prompt_tokens: 0 };
        assert!(!off.is_elsewhere(9000, 0) && PrefillDecider::Always.is_elsewhere(1, 1));
    }
}
