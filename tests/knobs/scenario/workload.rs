//! Keys of what is asked: arrivals, lengths, traces, classes, shared prefixes.

use super::{BURST, CACHING, PREFIXES, VLLM_V1};
use crate::{Case, case};

const SIZED: &str = "workload.lengths={prompt: {uniform: {min: 100, max: 1500}}, output: {uniform: {min: 5, max: 120}}}";
const ONE_LENGTH: &str = "workload.lengths={prompt: {fixed: 500}, output: {fixed: 20}}";
const PRIORITY: &str = "schedulers=[{vllm-v1: {policy: priority, max_num_seqs: 4}}]";
const TRACE: &str = "workload={trace: {file: plain.csv}}";
const LOGNORMAL: &str = "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5}}";
const ZIPF: &str = "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.5}}";
const UNIFORM: &str = "workload.lengths.output={uniform: {min: 1, max: 80}}";
const GEOMETRIC: &str = "workload.lengths.output={geometric: {mean: 40}}";
const STAND_IN: &str = "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}";
const GAMMA: &str = "workload.arrivals={gamma: {rate: 8, cv: 2}}";
const PIECEWISE: &str = "workload.arrivals={piecewise: [{for: 2s, rate: 8}, {for: 9s, rate: 4}]}";
const DAY: &str = "workload.arrivals={day: {peak: 9, trough: 3}}";
const CLOSED_LOOP: &str = "workload.arrivals={closed_loop: {users: 8, think_time: 1s}}";
/// Prompts that share blocks are found again.
const CACHED: &[&str] = &[CACHING, VLLM_V1];
/// Answers of unknown length compete for memory.
const TENSORRT_LLM_FULL: &[&str] = &[
    "schedulers=[tensorrt-llm]",
    BURST,
    "engine.kv_blocks=400",
    "engine.max_model_len=4096",
    SIZED,
];

pub(super) const CASES: &[Case] = &[
    case(
        "Scenario.workload",
        &[],
        "",
        "workload={requests: 5, arrivals: all_at_once, lengths: {table: chat}}",
    ),
    case("Workload.requests", &[], "workload.requests=20", "workload.requests=40"),
    case("Workload.duration", &[], "workload.duration=2s", "workload.duration=4s"),
    case("Workload.arrivals", &[], "", BURST),
    case("Workload.lengths", &[], "", ONE_LENGTH),
    case("Workload.trace", &[], "", TRACE),
    case(
        "Workload.max_tokens",
        TENSORRT_LLM_FULL,
        "workload.max_tokens=exact",
        "workload.max_tokens=model",
    ),
    case(
        "Workload.classes",
        &[],
        "",
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, lengths: {prompt: {fixed: 50}, output: {fixed: 9}}}]",
    ),
    case("Workload.prefix_groups", CACHED, "", PREFIXES),
    case("Arrivals.poisson", &[], "", "workload.arrivals={poisson: {rate: 4}}"),
    case("Arrivals.gamma", &[], "", GAMMA),
    case("Arrivals.weibull", &[], GAMMA, "workload.arrivals={weibull: {rate: 8, cv: 2}}"),
    case("Arrivals.constant", &[], "", "workload.arrivals={constant: {rate: 8}}"),
    case("Arrivals.piecewise", &[], "", PIECEWISE),
    case("Arrivals.closed_loop", &[], "", CLOSED_LOOP),
    case(
        "Rate.rate",
        &[],
        "workload.arrivals={constant: {rate: 8}}",
        "workload.arrivals={constant: {rate: 7}}",
    ),
    case("RateAndCv.rate", &[], GAMMA, "workload.arrivals={gamma: {rate: 7, cv: 2}}"),
    case(
        "RateAndCv.cv",
        &[],
        "workload.arrivals={weibull: {rate: 8, cv: 2}}",
        "workload.arrivals={weibull: {rate: 8, cv: 3}}",
    ),
    case(
        "Piece.for",
        &[],
        PIECEWISE,
        "workload.arrivals={piecewise: [{for: 3s, rate: 8}, {for: 9s, rate: 4}]}",
    ),
    case(
        "Piece.rate",
        &[],
        PIECEWISE,
        "workload.arrivals={piecewise: [{for: 2s, rate: 9}, {for: 9s, rate: 4}]}",
    ),
    case(
        "Piece.ramp_to",
        &[],
        "workload.arrivals={piecewise: [{for: 9s, rate: 8, ramp_to: 1}]}",
        "workload.arrivals={piecewise: [{for: 9s, rate: 8, ramp_to: 16}]}",
    ),
    case("Arrivals.day", &[], "", DAY),
    case("Day.peak", &[], DAY, "workload.arrivals={day: {peak: 12, trough: 3}}"),
    case("Day.trough", &[], DAY, "workload.arrivals={day: {peak: 9, trough: 5}}"),
    case("Day.shape", &[], DAY, "workload.arrivals={day: {peak: 9, trough: 3, shape: office}}"),
    case(
        "Day.file",
        &[],
        "workload.arrivals={day: {file: day-a.csv}}",
        "workload.arrivals={day: {file: day-b.csv}}",
    ),
    case(
        "ClosedLoop.users",
        &[],
        CLOSED_LOOP,
        "workload.arrivals={closed_loop: {users: 9, think_time: 1s}}",
    ),
    case(
        "ClosedLoop.think_time",
        &[],
        CLOSED_LOOP,
        "workload.arrivals={closed_loop: {users: 8, think_time: 2s}}",
    ),
    case("Lengths.prompt", &[], "", "workload.lengths.prompt={fixed: 300}"),
    case("Lengths.output", &[], "", "workload.lengths.output={fixed: 30}"),
    case("Lengths.table", &[], "workload.lengths={table: chat}", "workload.lengths={table: code}"),
    case("Lengths.file", &[], "workload.lengths={file: a.csv}", "workload.lengths={file: b.csv}"),
    case(
        "Dist.fixed",
        &[],
        "workload.lengths.output={fixed: 30}",
        "workload.lengths.output={fixed: 31}",
    ),
    case("Dist.uniform", &[], "", UNIFORM),
    case("Dist.lognormal", &[], "", LOGNORMAL),
    case("Dist.geometric", &[], "", "workload.lengths.prompt={geometric: {mean: 800}}"),
    case("Dist.zipf", &[], "", ZIPF),
    case(
        "Dist.quantiles",
        &[],
        "workload.lengths.output={quantiles: {0.1: 5, 0.9: 80}}",
        "workload.lengths.output={quantiles: {0.1: 5, 0.9: 90}}",
    ),
    case("Dist.min", &[], "", "workload.lengths.output={geometric: {mean: 40}, min: 20}"),
    case("Dist.max", &[], "", "workload.lengths.output={geometric: {mean: 40}, max: 20}"),
    case("Uniform.min", &[], UNIFORM, "workload.lengths.output={uniform: {min: 20, max: 80}}"),
    case("Uniform.max", &[], UNIFORM, "workload.lengths.output={uniform: {min: 1, max: 90}}"),
    case(
        "Lognormal.mean",
        &[],
        LOGNORMAL,
        "workload.lengths.output={lognormal: {mean: 50, sigma: 0.5}}",
    ),
    case(
        "Lognormal.sigma",
        &[],
        LOGNORMAL,
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.6}}",
    ),
    case(
        "Lognormal.min",
        &[],
        LOGNORMAL,
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5, min: 30}}",
    ),
    case(
        "Lognormal.max",
        &[],
        LOGNORMAL,
        "workload.lengths.output={lognormal: {mean: 40, sigma: 0.5, max: 40}}",
    ),
    case("Geometric.mean", &[], GEOMETRIC, "workload.lengths.output={geometric: {mean: 50}}"),
    case(
        "Geometric.min",
        &[],
        GEOMETRIC,
        "workload.lengths.output={geometric: {mean: 40, min: 20}}",
    ),
    case(
        "Geometric.max",
        &[],
        GEOMETRIC,
        "workload.lengths.output={geometric: {mean: 40, max: 20}}",
    ),
    case("Zipf.min", &[], ZIPF, "workload.lengths.output={zipf: {min: 20, max: 80, theta: 0.5}}"),
    case("Zipf.max", &[], ZIPF, "workload.lengths.output={zipf: {min: 1, max: 99, theta: 0.5}}"),
    case("Zipf.theta", &[], ZIPF, "workload.lengths.output={zipf: {min: 1, max: 80, theta: 0.9}}"),
    case("Trace.file", &[], TRACE, "workload={trace: {file: other.csv}}"),
    case(
        "Trace.time_scale",
        &[TRACE],
        "workload.trace.time_scale=1",
        "workload.trace.time_scale=2",
    ),
    case(
        "Trace.arrivals",
        &[TRACE],
        "workload.trace={file: a.csv, arrivals: {constant: {rate: 1}}}",
        "workload.trace={file: a.csv, arrivals: all_at_once}",
    ),
    case(
        "Trace.gaps",
        &["workload={trace: {file: talks.jsonl}}"],
        "workload.trace.gaps=trace",
        "workload.trace.gaps=arrivals",
    ),
    case(
        "Trace.gaps",
        &["workload={trace: {file: logs.csv}}"],
        "workload.trace.gaps=trace",
        "workload.trace.gaps=answers",
    ),
    case(
        "Trace.gap_cap",
        &["workload={trace: {file: talks.jsonl}}"],
        "workload.trace.gap_cap=1s",
        "workload.trace.gap_cap=2s",
    ),
    case(
        "Trace.stand_in",
        &[TRACE],
        STAND_IN,
        "workload.trace={file: plain.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.requests",
        &[TRACE],
        STAND_IN,
        "workload.trace={file: none.csv, stand_in: {requests: 8, arrivals: all_at_once, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.arrivals",
        &[TRACE],
        STAND_IN,
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: {constant: {rate: 1}}, lengths: {table: chat}}}",
    ),
    case(
        "StandIn.lengths",
        &[TRACE],
        STAND_IN,
        "workload.trace={file: none.csv, stand_in: {requests: 9, arrivals: all_at_once, lengths: {table: code}}}",
    ),
    case(
        "MaxTokens.fixed",
        &[],
        "workload.max_tokens={fixed: 10}",
        "workload.max_tokens={fixed: 20}",
    ),
    case(
        "MaxTokens.factor",
        TENSORRT_LLM_FULL,
        "workload.max_tokens={factor: 1}",
        "workload.max_tokens={factor: 4}",
    ),
    case(
        "Class.share",
        &[PRIORITY],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, priority: 9}]",
        "workload.classes=[{name: a, share: 3}, {name: b, share: 1, priority: 9}]",
    ),
    case(
        "Class.priority",
        &[PRIORITY, BURST],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1}]",
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1, priority: 9}]",
    ),
    case(
        "Class.lengths",
        &[],
        "workload.classes=[{name: a, share: 1}]",
        "workload.classes=[{name: a, share: 1, lengths: {prompt: {fixed: 50}, output: {fixed: 9}}}]",
    ),
    case(
        "Class.slo",
        &[],
        "workload.classes=[{name: a, share: 1}]",
        "workload.classes=[{name: a, share: 1, slo: {ttft: 10ms, tbt: 5ms}}]",
    ),
    case(
        "Class.name",
        &[],
        "workload.classes=[{name: a, share: 1}, {name: b, share: 1}]",
        "workload.classes=[{name: a, share: 1}, {name: c, share: 1}]",
    ),
    case(
        "PrefixGroups.count",
        CACHED,
        PREFIXES,
        "workload.prefix_groups={count: 9, tokens: 320, share: 0.5}",
    ),
    case(
        "PrefixGroups.tokens",
        CACHED,
        PREFIXES,
        "workload.prefix_groups={count: 3, tokens: 640, share: 0.5}",
    ),
    case(
        "PrefixGroups.share",
        CACHED,
        PREFIXES,
        "workload.prefix_groups={count: 3, tokens: 320, share: 0.9}",
    ),
];
