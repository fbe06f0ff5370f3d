//! Keys of sessions. Values are what stands in place of the workload's other keys.

use super::{CACHING, VLLM_V1};
use crate::{Case, case};

const ALONE: &str = "workload={sessions: {count: 12, arrivals: {constant: {rate: 2}}, shared_prefix: {count: 1, tokens: 320}, first_prompt: {fixed: 300}, turns: {fixed: 4}, new_tokens: {fixed: 60}, output: {fixed: 40}, gap: {fixed: 2s}}}";
/// Sessions whose KV is kept.
const KEPT: &[&str] = &[CACHING, VLLM_V1, ALONE];
const DRAWN: &str =
    "workload.sessions.gap={mixture: [{share: 1, fixed: 1s}, {share: 1, fixed: 9s}]}";
const FULL: &[&str] = &[CACHING, VLLM_V1, ALONE, "engine.max_model_len=800"];

pub(super) const CASES: &[Case] = &[
    case("Workload.sessions", &[], "", ALONE),
    case(
        "Sessions.preset",
        &[ALONE, "workload.sessions.gap=null"],
        "workload.sessions.preset=chat",
        "workload.sessions.preset=agent",
    ),
    case("Sessions.count", KEPT, "workload.sessions.count=10", "workload.sessions.count=11"),
    case(
        "Sessions.duration",
        KEPT,
        "workload.sessions.duration=2s",
        "workload.sessions.duration=4s",
    ),
    case(
        "Sessions.arrivals",
        KEPT,
        "workload.sessions.arrivals={constant: {rate: 2}}",
        "workload.sessions.arrivals=all_at_once",
    ),
    case(
        "Sessions.concurrency",
        &[ALONE, "workload.sessions.arrivals=null"],
        "workload.sessions.concurrency={users: 2}",
        "workload.sessions.concurrency={users: 3}",
    ),
    case(
        "Concurrency.users",
        &[ALONE, "workload.sessions.arrivals=null"],
        "workload.sessions.concurrency={users: 2}",
        "workload.sessions.concurrency={users: 3}",
    ),
    case(
        "Concurrency.think_time",
        &[ALONE, "workload.sessions.arrivals=null"],
        "workload.sessions.concurrency={users: 2, think_time: 1s}",
        "workload.sessions.concurrency={users: 2, think_time: 2s}",
    ),
    case(
        "Sessions.shared_prefix",
        KEPT,
        "workload.sessions.shared_prefix={tokens: 320}",
        "workload.sessions.shared_prefix=null",
    ),
    case(
        "SharedPrefix.count",
        KEPT,
        "workload.sessions.shared_prefix.count=1",
        "workload.sessions.shared_prefix.count=3",
    ),
    case(
        "SharedPrefix.tokens",
        KEPT,
        "workload.sessions.shared_prefix.tokens=320",
        "workload.sessions.shared_prefix.tokens=640",
    ),
    case(
        "Sessions.first_prompt",
        KEPT,
        "workload.sessions.first_prompt={fixed: 300}",
        "workload.sessions.first_prompt={fixed: 600}",
    ),
    case(
        "Sessions.turns",
        KEPT,
        "workload.sessions.turns={fixed: 4}",
        "workload.sessions.turns={fixed: 5}",
    ),
    case(
        "Sessions.new_tokens",
        KEPT,
        "workload.sessions.new_tokens={fixed: 60}",
        "workload.sessions.new_tokens={fixed: 90}",
    ),
    case(
        "Sessions.output",
        KEPT,
        "workload.sessions.output={fixed: 40}",
        "workload.sessions.output={fixed: 50}",
    ),
    case(
        "Sessions.gap",
        KEPT,
        "workload.sessions.gap={fixed: 2s}",
        "workload.sessions.gap={fixed: 3s}",
    ),
    case(
        "Gap.fixed",
        KEPT,
        "workload.sessions.gap={fixed: 2s}",
        "workload.sessions.gap={fixed: 3s}",
    ),
    case(
        "Gap.uniform",
        KEPT,
        "workload.sessions.gap={fixed: 2s}",
        "workload.sessions.gap={uniform: {min: 1s, max: 3s}}",
    ),
    case(
        "GapUniform.min",
        KEPT,
        "workload.sessions.gap={uniform: {min: 1s, max: 3s}}",
        "workload.sessions.gap={uniform: {min: 2s, max: 3s}}",
    ),
    case(
        "GapUniform.max",
        KEPT,
        "workload.sessions.gap={uniform: {min: 1s, max: 3s}}",
        "workload.sessions.gap={uniform: {min: 1s, max: 4s}}",
    ),
    case(
        "Gap.exponential",
        KEPT,
        "workload.sessions.gap={fixed: 2s}",
        "workload.sessions.gap={exponential: {mean: 2s}}",
    ),
    case(
        "GapExponential.mean",
        KEPT,
        "workload.sessions.gap={exponential: {mean: 2s}}",
        "workload.sessions.gap={exponential: {mean: 3s}}",
    ),
    case(
        "Gap.lognormal",
        KEPT,
        "workload.sessions.gap={fixed: 2s}",
        "workload.sessions.gap={lognormal: {mean: 2s, sigma: 0.5}}",
    ),
    case(
        "GapLognormal.mean",
        KEPT,
        "workload.sessions.gap={lognormal: {mean: 2s, sigma: 0.5}}",
        "workload.sessions.gap={lognormal: {mean: 3s, sigma: 0.5}}",
    ),
    case(
        "GapLognormal.sigma",
        KEPT,
        "workload.sessions.gap={lognormal: {mean: 2s, sigma: 0.5}}",
        "workload.sessions.gap={lognormal: {mean: 2s, sigma: 1.5}}",
    ),
    case("Gap.mixture", KEPT, "workload.sessions.gap={fixed: 1s}", DRAWN),
    case(
        "Gap.share",
        KEPT,
        DRAWN,
        "workload.sessions.gap={mixture: [{share: 9, fixed: 1s}, {share: 1, fixed: 9s}]}",
    ),
    case(
        "Gap.kind",
        KEPT,
        "workload.sessions.gap={fixed: 2s, kind: user}",
        "workload.sessions.gap={fixed: 2s, kind: tool}",
    ),
    case(
        "Gap.max",
        KEPT,
        "workload.sessions.gap={exponential: {mean: 2s}, max: 2s}",
        "workload.sessions.gap={exponential: {mean: 2s}, max: 3s}",
    ),
    case(
        "Sessions.keep_reasoning",
        &[CACHING, VLLM_V1, ALONE, "workload.sessions.reasoning=0.5"],
        "workload.sessions.keep_reasoning=true",
        "workload.sessions.keep_reasoning=false",
    ),
    case(
        "Sessions.reasoning",
        &[CACHING, VLLM_V1, ALONE, "workload.sessions.keep_reasoning=false"],
        "workload.sessions.reasoning=0.4",
        "workload.sessions.reasoning=0.6",
    ),
    case(
        "Sessions.max_context",
        FULL,
        "workload.sessions.max_context=end",
        "workload.sessions.max_context=truncate-oldest",
    ),
    case(
        "MaxContext.compact",
        FULL,
        "workload.sessions.max_context=end",
        "workload.sessions.max_context={compact: {to: 400}}",
    ),
    case(
        "Compact.to",
        FULL,
        "workload.sessions.max_context={compact: {to: 400}}",
        "workload.sessions.max_context={compact: {to: 500}}",
    ),
];
