//! Made-up outcomes and results for tests here and in `metron-sim`.

use serde_json::json;

use crate::ids::{ClassId, ColumnId, LaneId};
use crate::metrics::{
    ArrivalRate, Distribution, Fluidity, FluidityIndex, RequestCounts, Summary, Throughput,
    TokenCounts,
};
use crate::promise::{Sense, Slo, Term, TtftDeadline, Verdict};
use crate::request::RequestId;
use crate::result::Energy;
use crate::result::{Cost, IterationResult, KvResult, ResultFile, RunResult};
use crate::sim::{ChunkRecord, Iteration, IterationCounts, KvUse, Log, Outcome, PoolUse};
use crate::time::{Span, Time};
use crate::trace::{Column, NO_RUN, RequestRow, Run, Status, TokenTrace};

/// Two requests on one replica, four iterations of 10 ms: a prefill, a mixed one, two decodes.
pub fn outcome() -> Outcome {
    let ms = |ms: u64| Time::from_nanos(ms * 1_000_000);
    let row = RequestRow {
        arrival: ms(0),
        scheduled: ms(0),
        first_token: ms(10),
        run: Run { column: ColumnId(0), first: 0, len: 3, next: NO_RUN },
        prompt_tokens: 100,
        tokens: 4,
        hit_tokens: 0,
        preemptions: 0,
        lane: LaneId(0),
        class: ClassId(0),
        status: Status::Completed,
    };
    let second = RequestRow {
        arrival: ms(5),
        scheduled: ms(10),
        first_token: ms(20),
        run: Run { column: ColumnId(0), first: 1, len: 2, next: NO_RUN },
        tokens: 3,
        ..row
    };
    let chunk = |id| ChunkRecord {
        request: RequestId(id),
        context: 0,
        tokens: 100,
        blocks: 7,
        samples: true,
    };
    let (one, another) = ([chunk(0)], [chunk(1)]);
    let iteration = |start: u64, decodes: u32, chunks| Iteration {
        start: ms(start),
        end: ms(start + 10),
        free: ms(start + 10),
        decodes,
        decode_kv_tokens: 100 * u64::from(decodes),
        chunks,
        kv_used: 7,
        waiting: 0,
        running: 1,
        ..Iteration::default()
    };
    Outcome {
        held: Vec::new(),
        entered: Vec::new(),
        turns: Vec::new(),
        links: Vec::new(),
        trace: TokenTrace {
            way_back: Span::ZERO,
            columns: vec![Column::own(vec![ms(20), ms(30), ms(40)])],
            requests: vec![row, second],
            lanes: Vec::new(),
            more_runs: Vec::new(),
            end: ms(40),
            to_come: Vec::new(),
            hand_overs: Vec::new(),
            kv_loads: Vec::new(),
        },
        iterations: IterationCounts {
            prefill_only: 1,
            mixed: 1,
            decode_only: 2,
            sequences: 7,
            ..IterationCounts::default()
        },
        kv: KvUse { blocks: 100, peak_used: 14, ..KvUse::default() },
        gpu_busy: Span::from_millis(40),
        pools: vec![PoolUse { replicas: 1, lanes_per_replica: 1, ..PoolUse::default() }],
        log: Some(vec![Log::from_iter([
            iteration(0, 0, &one[..]),
            iteration(10, 1, &another),
            iteration(20, 2, &[]),
            iteration(30, 2, &[]),
        ])]),
        routes: None,
        rejections: Vec::new(),
    }
}

/// The default promise.
pub fn slo() -> Slo {
    Slo {
        ttft: TtftDeadline::Fixed(Span::from_millis(500)),
        tbt: Span::from_millis(25),
        fluid_index: 0.9,
        fluid_share: 0.99,
        first_tokens_promised: false,
        bounds: Vec::new(),
    }
}

/// A distribution around a median, in seconds.
pub fn around(p50: f64, p99: f64) -> Distribution {
    Distribution {
        count: 1000,
        mean: Some(p50 * 1.1),
        min: Some(p50 * 0.5),
        p50: Some(p50),
        p90: Some((p50 + p99) / 2.0),
        p95: Some((p50 + 3.0 * p99) / 4.0),
        p99: Some(p99),
        p999: Some(p99 * 1.2),
        max: Some(p99 * 1.5),
    }
}

/// A run in which all went well: 1,000 requests at 2 a second.
pub fn summary() -> Summary {
    Summary {
        requests: RequestCounts { offered: 1000, completed: 1000, ..RequestCounts::default() },
        duration_s: Some(512.0),
        arrival_rate_per_s: Some(ArrivalRate {
            nominal: Some(2.0),
            realised: Some(1.98),
            users: None,
        }),
        tokens: TokenCounts { prompt: 1_024_000, output: 256_000 },
        throughput: Some(Throughput {
            output_tokens_per_s: Some(500.0),
            requests_per_s: Some(1.953_125),
        }),
        ttft_s: around(0.08, 0.45),
        ttft_in_time_share: Some(0.994),
        ttft_in_time_bounds: None,
        tbt_s: Some(around(0.0112, 0.0235)),
        tpot_s: around(0.0115, 0.0141),
        e2e_s: around(3.1, 8.4),
        normalized_latency_s_per_token: around(0.013, 0.04),
        scheduling_delay_s: Some(around(0.01, 0.05)),
        fluidity: Some(Fluidity {
            index: FluidityIndex {
                mean: Some(0.998),
                p1: Some(0.951),
                p5: Some(0.99),
                p50: Some(1.0),
            },
            fluid_request_share: Some(0.992),
            service_miss_rate: Some(0.0012),
            fluid_tokens_per_s: Some(41.2),
            tpot_tokens_per_s: Some(86.9),
            tbt_tokens_per_s: Some(42.5),
            p99_miss_rate_by_tbt_ms: Some(vec![(1, 1.0), (100, 0.0)]),
            bounds: None,
        }),
        goodput: None,
        latency_bounds: None,
    }
}

/// The promise, judged on the summary's fluid share.
pub fn judged(summary: &Summary) -> Verdict {
    let value = summary.fluidity.as_ref().and_then(|f| f.fluid_request_share);
    let met = value.map(|share| share >= 0.99);
    Verdict {
        met,
        why: None,
        terms: vec![Term {
            class: None,
            pool: None,
            metric: "fluid_request_share".to_owned(),
            stat: None,
            sense: Sense::AtLeast,
            bound: 0.99,
            value,
            lower: None,
            upper: None,
            met,
        }],
    }
}

/// A run in which all went well.
pub fn run(scheduler: &str) -> RunResult {
    let energy = Energy {
        gpu_utilization: 0.5,
        mean_power_w: 400.0,
        busy_power_w: 640.0,
        busy_joules: 163_840.0,
        idle_joules: 40_960.0,
        joules: 204_800.0,
        joules_per_output_token: Some(0.8),
    };
    let cost = Cost {
        usd_per_gpu_hour: 2.5,
        gpu_hours: 512.0 / 3600.0,
        usd: 0.355_6,
        usd_per_million_output_tokens: Some(1.389),
        usd_per_fluid_request: None,
    };
    let summary = summary();
    RunResult {
        scheduler: scheduler.to_owned(),
        label: scheduler.to_owned(),
        slo: judged(&summary),
        summary,
        judged_by: Vec::new(),
        stalls: None,
        iterations: Some(IterationResult {
            count: 40_000,
            prefill_only: 0,
            mixed: 3_000,
            decode_only: 37_000,
            mean_batch: Some(6.4),
        }),
        routing: None,
        pools: None,
        disaggregation: None,
        kv_tiers: None,
        kv: Some(KvResult {
            blocks: 27_000,
            peak_used: 2_100,
            preemptions: 0,
            prefix_hit_tokens: 0,
        }),
        sessions: None,
        classes: None,
        fairness: None,
        energy: Some(energy),
        cost: Some(cost),
        features: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
        inert: Vec::new(),
        unknown: Vec::new(),
        measured: None,
    }
}

/// A run whose decodes stall behind prefills that run alone.
pub fn stalling_run(scheduler: &str) -> RunResult {
    let mut run = run(scheduler);
    run.summary.ttft_s = around(0.07, 0.31);
    run.summary.tbt_s = Some(around(0.0105, 0.412));
    let fluidity = run.summary.fluidity.as_mut().expect("the fixture has it");
    fluidity.fluid_request_share = Some(0.614);
    fluidity.index.p1 = Some(0.42);
    fluidity.service_miss_rate = Some(0.081);
    run.slo = judged(&run.summary);
    run.iterations = Some(IterationResult {
        count: 41_000,
        prefill_only: 12_710,
        mixed: 0,
        decode_only: 28_290,
        mean_batch: Some(6.1),
    });
    run
}

/// A result around these runs.
pub fn result(runs: Vec<RunResult>) -> ResultFile {
    ResultFile::new(
        json!({
            "name": "chat",
            "seed": 42,
            "model": "llama-3.1-8b",
            "gpu": "h100-sxm",
            "parallelism": {"tensor": 1, "pipeline": 1},
            "replicas": 1,
            "engine": {"profile": "vllm-0.19", "dtype": "bf16", "kv_block_tokens": 16},
            "workload": {
                "requests": 1000,
                "arrivals": {"poisson": {"rate": 2.0}},
                "lengths": {
                    "prompt": {"lognormal": {"mean": 1024, "sigma": 0.6}},
                    "output": {"lognormal": {"mean": 256, "sigma": 0.6}}
                }
            },
            "slo": {
                "ttft": {"prefill_curve_plus": "300ms"},
                "tbt": "25ms",
                "fluidity": {"index": 0.9, "share": 0.99}
            }
        }),
        runs,
        Vec::new(),
    )
}
