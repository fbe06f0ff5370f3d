//! Keys of speculative decoding: how many tokens are drafted, when, and how many are accepted.

use super::{BURST, VLLM_V1};
use crate::{Case, case};

const CLASSES: &str = "workload.classes=[{name: chat, share: 0.5}, {name: code, share: 0.5}]";

/// Three drafts of an EAGLE head with this acceptance.
macro_rules! accepting {
    ($acceptance:literal) => {
        concat!("engine.speculative={method: eagle, tokens: 3, acceptance: ", $acceptance, "}")
    };
}

pub(super) const CASES: &[Case] = &[
    case(
        "Speculative.num_speculative_tokens",
        &[VLLM_V1],
        "engine.speculative={method: eagle, num_speculative_tokens: 2}",
        "engine.speculative={method: eagle, num_speculative_tokens: 4}",
    ),
    case(
        "Speculative.tokens",
        &[VLLM_V1],
        "engine.speculative={method: eagle, tokens: 2}",
        "engine.speculative={method: eagle, tokens: 4}",
    ),
    case(
        "Speculative.off_above_running",
        &[VLLM_V1, BURST],
        "engine.speculative={method: eagle, tokens: 3, off_above_running: 4}",
        "engine.speculative={method: eagle, tokens: 3, off_above_running: 40}",
    ),
    case(
        "Speculative.num_speculative_tokens_per_batch_size",
        &[VLLM_V1, BURST],
        "engine.speculative={method: eagle, tokens: 3, \
         num_speculative_tokens_per_batch_size: {\"1-16\": 3, \"17-256\": 1}}",
        "engine.speculative={method: eagle, tokens: 3, \
         num_speculative_tokens_per_batch_size: {\"1-16\": 3, \"17-256\": 0}}",
    ),
    case(
        "Speculative.acceptance",
        &[VLLM_V1],
        "engine.speculative={method: eagle, tokens: 3}",
        accepting!("{rate: 0.2}"),
    ),
    case("DraftAcceptance.rate", &[VLLM_V1], accepting!("{rate: 0.5}"), accepting!("{rate: 0.6}")),
    case(
        "DraftAcceptance.by_position",
        &[VLLM_V1],
        accepting!("{by_position: [0.9, 0.7, 0.5]}"),
        accepting!("{by_position: [0.9, 0.7, 0.1]}"),
    ),
    case(
        "DraftAcceptance.length",
        &[VLLM_V1],
        accepting!("{length: 2.2}"),
        accepting!("{length: 2.4}"),
    ),
    case(
        "DraftAcceptance.by_class",
        &[VLLM_V1, CLASSES],
        accepting!("{by_class: {chat: {rate: 0.3}, code: {rate: 0.9}}}"),
        accepting!("{by_class: {chat: {rate: 0.9}, code: {rate: 0.3}}}"),
    ),
    case(
        "DraftAcceptance.trace",
        &[VLLM_V1],
        accepting!("{trace: rounds.jsonl}"),
        accepting!("{trace: other-rounds.jsonl}"),
    ),
    case(
        "DraftAcceptance.preset",
        &[VLLM_V1],
        accepting!("{preset: llama-3.1-8b-eagle-sharegpt}"),
        accepting!("{preset: llama-3.1-8b-eagle-gsm8k}"),
    ),
];
