//! Keys of how it is judged: the promise, the horizon, what is measured.

use super::BURST;
use crate::{Case, case};

const NO_SLO: &str = "slo=null";
const CURVE: &str = "slo.ttft={prefill_curve_plus: 20ms}";

pub(super) const CASES: &[Case] = &[
    case("Scenario.slo", &[], "", "slo={ttft: 10ms, tbt: 25ms}"),
    case("Scenario.promise", &[NO_SLO], "", "promise={ttft: 10ms, tokens_per_s: 40}"),
    case(
        "Promise.ttft",
        &[NO_SLO, BURST],
        "promise={ttft: 100ms, tokens_per_s: 40}",
        "promise={ttft: 900ms, tokens_per_s: 40}",
    ),
    case(
        "Promise.tokens_per_s",
        &[NO_SLO, BURST],
        "promise={ttft: 30ms, tokens_per_s: 5}",
        "promise={ttft: 30ms, tokens_per_s: 90}",
    ),
    case(
        "Promise.share",
        &[NO_SLO],
        "promise={ttft: 2s, tokens_per_s: 40, share: 0.9}",
        "promise={ttft: 2s, tokens_per_s: 40, share: 0.95}",
    ),
    case(
        "Promise.index",
        &[NO_SLO, BURST],
        "promise={ttft: 30ms, tokens_per_s: 90, index: 0.01}",
        "promise={ttft: 30ms, tokens_per_s: 90, index: 1}",
    ),
    case(
        "Pool.promise",
        &[],
        "pools=[{name: a, replicas: 1}]",
        "pools=[{name: a, replicas: 1, promise: {ttft: 10ms, tokens_per_s: 90}}]",
    ),
    case(
        "Class.promise",
        &["workload.classes=[{name: a}, {name: b}]"],
        "",
        "workload.classes.0.promise={ttft: 10ms, tokens_per_s: 90}",
    ),
    case("Scenario.horizon", &[], "horizon=2s", "horizon=4s"),
    case("Scenario.measure", &[], "measure={skip_first: 1s}", "measure={skip_first: 3s}"),
    case("Workload.horizon", &[], "workload.horizon=2s", "workload.horizon=4s"),
    case(
        "Workload.measure",
        &[],
        "workload.measure={skip_last: 1s}",
        "workload.measure={skip_last: 3s}",
    ),
    case("Slo.ttft", &[], "slo.ttft=30ms", "slo.ttft=200ms"),
    case("Slo.tbt", &[], "slo.tbt=8ms", "slo.tbt=15ms"),
    case(
        "Slo.fluidity",
        &[BURST],
        "slo.fluidity={index: 0.2, share: 0.9}",
        "slo.fluidity={index: 0.99, share: 0.9}",
    ),
    case("Slo.bounds", &[], "", "slo.bounds={ttft: {p99: 200ms}}"),
    case("PrefillCurve.prefill_curve_plus", &[], CURVE, "slo.ttft={prefill_curve_plus: 5ms}"),
    case(
        "PrefillCurve.of",
        &["schedulers=[vllm-v0, sarathi: {chunk_size: 64}]"],
        CURVE,
        "slo.ttft={prefill_curve_plus: 20ms, of: sarathi}",
    ),
    case(
        "Fluidity.index",
        &[BURST],
        "slo={ttft: 30ms, tbt: 15ms, fluidity: {index: 0.5, share: 0.9}}",
        "slo={ttft: 30ms, tbt: 15ms, fluidity: {index: 0.95, share: 0.9}}",
    ),
    case("Fluidity.share", &[], "slo.fluidity.share=0.9", "slo.fluidity.share=0.95"),
    case("Bounds.ttft", &[], "slo.bounds={ttft: {p99: 200ms}}", "slo.bounds={ttft: {p99: 300ms}}"),
    case("Bounds.tbt", &[], "slo.bounds={tbt: {p99: 200ms}}", "slo.bounds={tbt: {p99: 300ms}}"),
    case("Bounds.tpot", &[], "slo.bounds={tpot: {p99: 200ms}}", "slo.bounds={tpot: {p99: 300ms}}"),
    case("Bounds.e2e", &[], "slo.bounds={e2e: {p99: 200ms}}", "slo.bounds={e2e: {p99: 300ms}}"),
    case(
        "StatBounds.mean",
        &[],
        "slo.bounds={ttft: {mean: 20ms}}",
        "slo.bounds={ttft: {mean: 300ms}}",
    ),
    case(
        "StatBounds.min",
        &[],
        "slo.bounds={ttft: {min: 20ms}}",
        "slo.bounds={ttft: {min: 300ms}}",
    ),
    case(
        "StatBounds.p50",
        &[],
        "slo.bounds={ttft: {p50: 20ms}}",
        "slo.bounds={ttft: {p50: 300ms}}",
    ),
    case(
        "StatBounds.p90",
        &[],
        "slo.bounds={ttft: {p90: 20ms}}",
        "slo.bounds={ttft: {p90: 300ms}}",
    ),
    case(
        "StatBounds.p95",
        &[],
        "slo.bounds={ttft: {p95: 20ms}}",
        "slo.bounds={ttft: {p95: 300ms}}",
    ),
    case(
        "StatBounds.p99",
        &[],
        "slo.bounds={ttft: {p99: 20ms}}",
        "slo.bounds={ttft: {p99: 300ms}}",
    ),
    case(
        "StatBounds.p999",
        &[],
        "slo.bounds={ttft: {p999: 20ms}}",
        "slo.bounds={ttft: {p999: 300ms}}",
    ),
    case(
        "StatBounds.max",
        &[],
        "slo.bounds={ttft: {max: 20ms}}",
        "slo.bounds={ttft: {max: 300ms}}",
    ),
    case("Measure.skip_first", &[], "measure={skip_first: 1s}", "measure={skip_first: 2s}"),
    case("Measure.skip_last", &[], "measure={skip_last: 1s}", "measure={skip_last: 2s}"),
];
