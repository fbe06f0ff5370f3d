//! The paths of numbers that a run's result can have, told from a result in which all is there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::full::full_summary;
use crate::explain::{ByCause, Cause};
use crate::ids::ReplicaId;
use crate::metrics::Distribution;
use crate::promise::{Sense, Term, Verdict};
use crate::result::{
    ColocatedResult, Cost, Decider, DisaggregationResult, Energy, Fairness, GapBounds,
    IterationResult, KvResult, KvTiersResult, MeasuredDeadlines, MeasuredResult, PoolResult,
    PoolServed, RoutedToCaches, RoutingResult, RunResult, SessionsResult, SideResult, StallsResult,
    TakenTime, TierResult, TtftStages, TurnsResult,
};
use crate::suggest::nearest;
use crate::workload::GapKind;

/// A run in which every figure is there, as JSON.
static FULL: LazyLock<Value> = LazyLock::new(|| {
    let mut run = serde_json::to_value(full_run()).expect("a run is plain data");
    // A figure that only some runs have stands here as a number too.
    fill(&mut run);
    run
});

/// Whether a document has a number at the path, where `full` is one in which all is there.
pub fn known_in(full: &Value, path: &str) -> bool {
    leads(full, &path.split('.').collect::<Vec<_>>())
}

/// The nearest path to a number of such a document.
pub fn near_in(full: &Value, path: &str) -> Option<String> {
    let mut paths = Vec::new();
    collect("", full, &mut paths);
    nearest(path, paths.iter().map(String::as_str)).map(str::to_owned)
}

/// Whether a result can have a number there. Names of classes, of pools and of figures that a client
/// reported are anybody's.
pub(super) fn known(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        // A class's name may hold dots.
        ["classes", name, tail @ ..] if !name.is_empty() => {
            (0..tail.len()).any(|from| in_class(&tail[from..]))
        }
        ["pools", name, tail @ ..] if !name.is_empty() => {
            let pool = &FULL["pools"][ANY_POOL];
            (0..tail.len()).any(|from| leads(pool, &tail[from..]))
        }
        ["measured", "reported", _, ..] => true,
        parts => leads(&FULL, parts),
    }
}

fn in_class(parts: &[&str]) -> bool {
    let own = |part: &&str| full_summary_members().contains(part) || **part == *"slo";
    parts.first().is_some_and(own) && leads(&FULL, parts)
}

fn full_summary_members() -> Vec<&'static str> {
    static SUMMARY: LazyLock<Value> =
        LazyLock::new(|| serde_json::to_value(full_summary()).expect("plain data"));
    SUMMARY
        .as_object()
        .map(|members| members.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// Whether the path ends at a number; any item of a list may be meant.
fn leads(value: &Value, parts: &[&str]) -> bool {
    match (value, parts) {
        (Value::Number(_) | Value::Bool(_), []) => true,
        (Value::Array(items), [index, rest @ ..]) => {
            index.parse::<usize>().is_ok() && items.iter().any(|item| leads(item, rest))
        }
        (Value::Object(members), [name, rest @ ..]) => {
            members.get(*name).is_some_and(|member| leads(member, rest))
        }
        _ => false,
    }
}

/// The nearest path.
pub(super) fn near(path: &str) -> Option<String> {
    by_words(path).or_else(|| near_in(&FULL, path))
}

/// A latency and a statistic in other words or another order: `p99_ttft`, `itl.p99`, `median ttft`.
fn by_words(path: &str) -> Option<String> {
    const LATENCIES: &[(&str, &str)] = &[
        ("ttft", "ttft_s"),
        ("tbt", "tbt_s"),
        ("itl", "tbt_s"),
        ("tpot", "tpot_s"),
        ("e2e", "e2e_s"),
        ("e2el", "e2e_s"),
        ("latency", "e2e_s"),
    ];
    const STATISTICS: &[(&str, &str)] = &[
        ("mean", "mean"),
        ("avg", "mean"),
        ("average", "mean"),
        ("median", "p50"),
        ("p50", "p50"),
        ("p90", "p90"),
        ("p95", "p95"),
        ("p99", "p99"),
        ("p999", "p999"),
        ("min", "min"),
        ("max", "max"),
    ];
    let lower = path.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(word, _)| words.contains(word)).map(|(_, name)| *name)
    };
    // A class or a pool in front of it is more than these words say.
    let known = |word: &&str| {
        let all = LATENCIES.iter().chain(STATISTICS).map(|(name, _)| *name);
        all.chain(["s", "ms", "", "time", "request"]).any(|name| name == *word)
    };
    if !words.iter().all(known) {
        return None;
    }
    let latency = named(LATENCIES)?;
    Some(format!("{latency}.{}", named(STATISTICS).unwrap_or("p99")))
}

fn collect(path: &str, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, member, paths);
            }
        }
        Value::Number(_) | Value::Bool(_) => paths.push(path.to_owned()),
        _ => {}
    }
}

/// Puts a number where a figure may be missing.
pub fn fill(value: &mut Value) {
    match value {
        Value::Null => *value = Value::from(0),
        Value::Object(members) => members.values_mut().for_each(fill),
        Value::Array(items) => items.iter_mut().for_each(fill),
        _ => {}
    }
}

fn every_cause() -> ByCause {
    Cause::ALL.iter().map(|&cause| (cause, 0)).collect()
}

/// Stands for the name of a pool.
const ANY_POOL: &str = "NAME";

fn pool() -> PoolResult {
    PoolResult {
        gpu: None,
        first_replica: ReplicaId(0),
        replicas: 0,
        gpus: 0,
        requests: 0,
        completed: 0,
        rejected: 0,
        output_tokens: 0,
        gpu_utilization: 0.0,
        kv: KvResult { blocks: 0, peak_used: 0, preemptions: 0, prefix_hit_tokens: 0 },
        usd_per_gpu_hour: None,
        served: Some(PoolServed::default()),
        slo: None,
    }
}

fn sessions() -> SessionsResult {
    let turns = TurnsResult::default();
    let after = |kind: GapKind| (kind.name().to_owned(), turns.clone());
    SessionsResult {
        by_turn: vec![turns.clone()],
        by_gap: GapKind::ALL.into_iter().map(after).collect(),
        ..SessionsResult::default()
    }
}

fn tiers(distribution: Distribution) -> KvTiersResult {
    KvTiersResult {
        loads: 0,
        tokens: 0,
        prompt_tokens: 0,
        from_below_tokens: 0,
        load_s: distribution,
        computing_s: 0.0,
        loading_s: 0.0,
        steps_longer_s: 0.0,
        break_even_bytes_per_s: Some(0.0),
        tiers: vec![TierResult {
            name: String::new(),
            read_bytes: 0,
            written_bytes: 0,
            read_busy: 0.0,
            write_busy: 0.0,
        }],
    }
}

/// What a run says with prefill and decode apart.
fn apart(of: Distribution) -> DisaggregationResult {
    let side = SideResult::default();
    DisaggregationResult {
        handed_over: 0,
        prefilled_where_answered: 0,
        ttft: TtftStages {
            queue_s: of,
            prefill_s: of,
            memory_s: of,
            transfer_s: of,
            first_step_s: of,
        },
        bytes: 0,
        tokens: 0,
        busiest_link: 0.0,
        lost: 0,
        prefill: side,
        decode: side,
        colocated: Some(ColocatedResult {
            router: String::new(),
            ttft_s: of,
            tbt_s: Some(of),
            tpot_s: of,
            e2e_s: of,
            output_tokens_per_s: None,
            slo_met: None,
            decided_by: Decider::Link,
            taken_s: TakenTime::default(),
        }),
    }
}

fn full_run() -> RunResult {
    let summary = full_summary();
    let index = summary.fluidity.as_ref().map(|fluidity| fluidity.index).unwrap_or_default();
    let distribution: Distribution = summary.ttft_s;
    RunResult {
        scheduler: String::new(),
        label: String::new(),
        slo: Verdict {
            met: Some(true),
            why: None,
            terms: vec![Term {
                class: Some(String::new()),
                pool: None,
                metric: String::new(),
                stat: Some(String::new()),
                sense: Sense::AtMost,
                bound: 0.0,
                value: None,
                lower: Some(0.0),
                upper: Some(0.0),
                met: Some(true),
            }],
        },
        summary,
        judged_by: Vec::new(),
        stalls: Some(StallsResult {
            first_token_ns: every_cause(),
            between_tokens_ns: every_cause(),
            missed: 0,
            misses: every_cause(),
        }),
        iterations: Some(IterationResult {
            count: 0,
            prefill_only: 0,
            mixed: 0,
            decode_only: 0,
            mean_batch: None,
        }),
        routing: Some(RoutingResult {
            cached: Some(RoutedToCaches::default()),
            ..RoutingResult::default()
        }),
        pools: Some(BTreeMap::from([(ANY_POOL.to_owned(), pool())])),
        disaggregation: Some(apart(distribution)),
        kv_tiers: Some(tiers(distribution)),
        kv: Some(KvResult { blocks: 0, peak_used: 0, preemptions: 0, prefix_hit_tokens: 0 }),
        sessions: Some(Box::new(sessions())),
        classes: Some(BTreeMap::new()),
        fairness: Some(Fairness { jain_index: None }),
        energy: Some(Energy {
            gpu_utilization: 0.0,
            mean_power_w: 0.0,
            busy_power_w: 0.0,
            busy_joules: 0.0,
            idle_joules: 0.0,
            joules: 0.0,
            joules_per_output_token: None,
        }),
        cost: Some(Cost {
            usd_per_gpu_hour: 0.0,
            gpu_hours: 0.0,
            usd: 0.0,
            usd_per_million_output_tokens: None,
            usd_per_fluid_request: None,
        }),
        features: BTreeMap::new(),
        warnings: Vec::new(),
        inert: Vec::new(),
        unknown: Vec::new(),
        measured: Some(MeasuredResult {
            deadlines: MeasuredDeadlines { ttft: Some(String::new()), ..Default::default() },
            client_queue_s: Some(distribution),
            first_answer_s: Some(distribution),
            fluidity_bounds: Some(GapBounds {
                index_at_least: index,
                index_at_most: index,
                ..GapBounds::default()
            }),
            ..MeasuredResult::default()
        }),
    }
}
