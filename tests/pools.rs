//! Pools of replicas that differ: exact times, each replica's own price and memory, one promise, and
//! what a scenario may say of them.

use std::fs;

use assert_cmd::Command;
use metron_sim::explain::{Attribution, Blame, Cause, Split};
use metron_sim::runner::{
    Requests, RunInput, RunOptions, SchedulerOutput, Simulator, recording, run_scheduler,
};
use metron_sim::scenario::{Document, Experiment, Files, Resolved};
use metron_sim::time::{Span, Time};
use metron_sim::trace::{Iteration, Status};
use serde_json::{Value, json};

/// An iteration takes 10 ms on one replica, and 40 ms on the other.
const TWO_PACES: &str = "
seed: 7
pools:
  - {name: quick, replicas: 1, engine: {profile: {fixed: {iteration: 10ms}}}}
  - {name: slow, replicas: 1, engine: {profile: {fixed: {iteration: 40ms}}}}
engine: {kv_blocks: 1000, kv_block_tokens: 16, max_model_len: 4096}
schedulers: [sarathi: {chunk_size: 64}]
workload:
  requests: 4
  arrivals: {all_at_once: {}}
  lengths: {prompt: {fixed: 16}, output: {fixed: 3}}
slo: {ttft: {prefill_curve_plus: 5ms}, tbt: 25ms}
";

/// Two GPUs that the catalog prices, with pipelines of different depth.
const TWO_GPUS: &str = "
seed: 3
model: llama-3.1-8b
pools:
  - {name: fast, replicas: 2, gpu: h100-sxm}
  - {name: cheap, replicas: 2, gpu: l40s, parallelism: {pipeline: 2}}
engine: {profile: vllm-0.19, kv_blocks: 900}
schedulers: [vllm-v1]
workload:
  requests: 120
  arrivals: {poisson: {rate: 20}}
  lengths: {prompt: {lognormal: {mean: 700, sigma: 0.9}, max: 4000}, output: {geometric: {mean: 60}}}
  classes: [{name: chat, share: 0.6}, {name: batch, share: 0.4}]
slo: {ttft: 1s, tbt: 25ms}
";

fn document(text: &str, set: &[&str]) -> Document {
    let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
    let document = Document::from_text("s.yaml", text, Files::none());
    document.and_then(|d| d.with(&set)).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn resolved(text: &str, set: &[&str]) -> Resolved {
    document(text, set).resolve(None).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn refused(text: &str, set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|&one| one.to_owned()).collect();
    let document = Document::from_text("s.yaml", text, Files::none());
    let resolved = document.and_then(|d| d.with(&set)).and_then(|d| d.resolve(None));
    resolved.err().expect("it is refused").render(false)
}

fn play(experiment: &Experiment, reference: bool) -> SchedulerOutput {
    let (requests, _) = Requests::of(experiment).unwrap();
    let input = RunInput { experiment, requests: &requests };
    let options =
        RunOptions { reference, keep_log: true, full_metrics: true, ..RunOptions::default() };
    run_scheduler(input, &experiment.schedulers[0], options, &Simulator).unwrap()
}

fn played(text: &str, set: &[&str]) -> SchedulerOutput {
    play(&resolved(text, set).experiment, false)
}

fn token_times_ms(output: &SchedulerOutput, request: usize) -> Vec<f64> {
    let trace = &output.outcome.trace;
    let times = trace.token_times(&trace.requests[request]);
    times.map(|at| at.as_nanos() as f64 / 1e6).collect()
}

fn statuses(output: &SchedulerOutput) -> Vec<(u32, Status)> {
    output.outcome.trace.requests.iter().map(|row| (row.replica, row.status)).collect()
}

#[test]
fn each_replica_has_the_pace_of_its_pool() {
    let output = played(TWO_PACES, &[]);
    // Round-robin: 0 and 2 on the quick one, whose prompts fit one chunk; 1 and 3 on the slow one.
    for request in [0, 2] {
        assert_eq!(token_times_ms(&output, request), [10.0, 20.0, 30.0]);
    }
    for request in [1, 3] {
        assert_eq!(token_times_ms(&output, request), [40.0, 80.0, 120.0]);
    }
    let pools = output.result.pools.as_ref().expect("there are pools");
    let of = |name: &str| (pools[name].first_replica, pools[name].requests, pools[name].completed);
    assert_eq!([of("quick"), of("slow")], [(0, 2, 2), (1, 2, 2)]);
    // 120 ms in all: one busy for a quarter, the other all the time.
    assert!((pools["quick"].gpu_utilization - 0.25).abs() < 1e-12);
    assert!((pools["slow"].gpu_utilization - 1.0).abs() < 1e-12);
    assert_eq!(output.outcome.gpu_busy, Span::from_millis(30 + 120));
}

#[test]
fn two_pools_in_the_other_order_are_the_other_way_round() {
    let pools = "pools=[{replicas: 2, engine: {profile: {fixed: {iteration: 40ms}}}}, \
                 {replicas: 1, engine: {profile: {fixed: {iteration: 10ms}}}}]";
    let output = played(TWO_PACES, &[pools]);
    let firsts: Vec<f64> = (0..4).map(|request| token_times_ms(&output, request)[0]).collect();
    assert_eq!(firsts, [40.0, 40.0, 10.0, 40.0]);
    assert!(output.result.pools.unwrap().keys().eq(["pool-0", "pool-1"]));
    // A name that is taken is nobody else's.
    let profile = "engine: {profile: {fixed: {iteration: 9ms}}}";
    let pools = format!(
        "pools=[{{replicas: 1, {profile}}}, {{replicas: 1, {profile}}}, \
         {{name: pool-0, replicas: 1, {profile}}}]"
    );
    let names = resolved(TWO_PACES, &[&pools]).experiment.pools;
    let names: Vec<&str> = names.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["pool-1", "pool-2", "pool-0"]);
}

#[test]
fn the_promise_is_one_for_all_and_by_the_slowest_pool() {
    for of in ["", ", of: sarathi"] {
        let ttft = format!("slo.ttft={{prefill_curve_plus: 5ms{of}}}");
        let output = played(TWO_PACES, &[&ttft]);
        let deadlines = output.judged_by.deadlines_of(0);
        assert_eq!(deadlines.ttft(16), Span::from_millis(45), "{of}");
        let share = output.result.summary.fluidity.unwrap().fluid_request_share;
        // The slow one keeps the first deadline; its later tokens come every 40 ms, not 25.
        assert_eq!(share, Some(0.5));
    }
}

/// Fast and slow path, replicas played apart and together, to the last iteration.
#[test]
fn every_router_gives_the_same_by_both_paths() {
    let routers = [
        "round-robin",
        "random",
        "least-requests",
        "least-tokens",
        "power-of-two",
        "session-affinity",
        "{class-to-pool: {chat: fast, batch: cheap}, within: least-requests}",
        "{class-to-pool: {chat: fast, batch: [1, 2, 3]}}",
    ];
    for router in routers {
        for more in ["horizon=20s", "horizon=3s", "engine.prefix_caching=true"] {
            let router = format!("router={router}");
            let set = [router.as_str(), more, "workload.prefix_groups={count: 3, tokens: 300}"];
            let experiment = resolved(TWO_GPUS, &set).experiment;
            let (mut fast, mut slow) = (play(&experiment, false), play(&experiment, true));
            for output in [&mut fast, &mut slow] {
                for log in output.outcome.log.iter_mut().flatten() {
                    *log = log.iter().map(|i| Iteration { held: None, head: None, ..i }).collect();
                }
            }
            assert!(fast.outcome == slow.outcome, "{set:?}");
            assert_eq!(json!(fast.result), json!(slow.result), "{set:?}");
            let replicas: Vec<bool> = (0..4)
                .map(|one| fast.outcome.trace.requests.iter().any(|row| row.replica == one))
                .collect();
            assert!(replicas.iter().all(|there| *there), "{set:?}: each replica gets some");
        }
    }
}

#[test]
fn every_gap_is_priced_by_the_model_of_its_own_replica() {
    for pools in [
        // As written: plain and in stages. Then two kinds, both plain.
        "",
        "pools=[{name: fast, replicas: 1, gpu: h100-sxm}, {name: cheap, replicas: 2, gpu: l40s}]",
    ] {
        let mut set = vec!["engine.kv_blocks=500", "router=least-tokens"];
        set.extend((!pools.is_empty()).then_some(pools));
        let experiment = resolved(TWO_GPUS, &set).experiment;
        let output = play(&experiment, false);
        let trace = &output.outcome.trace;
        let attribution =
            Attribution::new(recording(&experiment, &experiment.schedulers[0], &output.outcome));
        let (mut seen, mut own) = (Split::ZERO, [Split::ZERO; 2]);
        for request in attribution.requests() {
            let row = &trace.requests[request as usize];
            let times: Vec<Time> = trace.token_times(row).collect();
            let gaps = attribution.gaps(request);
            assert_eq!(gaps.len(), times.len());
            let mut from = row.arrival;
            for (gap, &to) in gaps.iter().zip(&times) {
                assert_eq!((gap.from, gap.to), (from, to));
                assert_eq!(gap.split.total(), to.since(from), "request {request}: {gap:?}");
                seen += gap.split;
                own[experiment.pool_of(row.replica).unwrap()] += gap.split;
                from = to;
            }
        }
        let mut given = Split::ZERO;
        Blame::new(&attribution).given.iter().for_each(|&one| given += one);
        for cause in [Cause::PrefillInterference, Cause::PrefillOnly] {
            assert_eq!(given[cause], seen[cause], "blame is delay by {}", cause.name());
        }
        assert!(own.iter().all(|pool| pool[Cause::Own] > 0), "both pools decode");
        if pools.is_empty() {
            assert_eq!(own[0][Cause::PipelineBubble], 0, "the first pool has no stages");
            assert!(own[1][Cause::PipelineBubble] > 0, "the second has");
        }
    }
}

#[test]
fn a_lone_request_costs_the_prefill_of_the_gpu_that_it_is_sent_to() {
    let alone = |gpu: &str| {
        let pools = format!("pools=[{{replicas: 1, gpu: {gpu}}}]");
        let set = [
            &pools,
            "workload.requests=1",
            "workload.lengths={prompt: {fixed: 2000}, output: {fixed: 5}}",
        ];
        token_times_ms(&played(TWO_GPUS, &set), 0)
    };
    let both = played(
        TWO_GPUS,
        &[
            "pools=[{replicas: 1, gpu: h100-sxm}, {replicas: 1, gpu: l40s}]",
            "workload.requests=2",
            "workload.arrivals={all_at_once: {}}",
            "workload.lengths={prompt: {fixed: 2000}, output: {fixed: 5}}",
        ],
    );
    let shifted = |times: Vec<f64>| times.iter().map(|at| at - times[0]).collect::<Vec<f64>>();
    for (request, gpu) in [(0, "h100-sxm"), (1, "l40s")] {
        let (own, of_both) = (shifted(alone(gpu)), shifted(token_times_ms(&both, request)));
        assert!(own.iter().zip(&of_both).all(|(a, b)| (a - b).abs() < 1e-6), "{own:?} {of_both:?}");
    }
    assert!(token_times_ms(&both, 1)[0] > 2.0 * token_times_ms(&both, 0)[0]);
}

#[test]
fn what_fits_is_asked_of_the_replica_that_the_router_picked() {
    // 16 + 3 - 1 tokens are 2 blocks; sarathi keeps 1 % free.
    let output = played(TWO_PACES, &["pools.slow.engine.kv_blocks=1"]);
    let (done, away) = (Status::Completed, Status::Rejected);
    assert_eq!(statuses(&output), [(0, done), (1, away), (0, done), (1, away)]);
    let pools = output.result.pools.unwrap();
    assert_eq!((pools["slow"].rejected, pools["quick"].rejected), (2, 0));
    assert_eq!((pools["slow"].kv.blocks, pools["quick"].kv.blocks), (1, 1000));
    // Where no pool can take any, it is a mistake of the scenario.
    let told = refused(TWO_PACES, &["engine.kv_blocks=1"]);
    assert!(told.contains("no request can run under sarathi"), "{told}");
}

#[test]
fn without_a_given_length_all_pools_hold_what_the_smallest_does() {
    let set = ["pools.fast.engine.kv_blocks=20000", "pools.cheap.engine.kv_blocks=300"];
    let one = resolved(TWO_GPUS, &set);
    let lengths: Vec<u32> =
        one.experiment.pools.iter().map(|pool| pool.engine.max_model_len).collect();
    assert_eq!(lengths, [4800, 4800]);
    let from = &one.scenario["derived"]["pools"][0]["max_model_len"];
    assert_eq!(*from, json!({"value": 4800, "from": "the smallest over the pools"}));
    // A length that a pool gives holds for it alone, with a warning.
    let own = resolved(TWO_GPUS, &[set[0], set[1], "pools.fast.engine.max_model_len=9000"]);
    let lengths: Vec<u32> =
        own.experiment.pools.iter().map(|pool| pool.engine.max_model_len).collect();
    assert_eq!((lengths, own.experiment.engine.max_model_len), (vec![9000, 4800], 9000));
    assert!(own.warnings.iter().any(|told| told.contains("fast 9000, cheap 4800")));
}

#[test]
fn a_shorter_context_cuts_the_answers_that_are_sent_to_it() {
    let set = ["pools.slow.engine.max_model_len=18", "workload.lengths.output={fixed: 9}"];
    for reference in [false, true] {
        let output = play(&resolved(TWO_PACES, &set).experiment, reference);
        assert_eq!(token_times_ms(&output, 0).len(), 9);
        assert_eq!(token_times_ms(&output, 1), [40.0, 80.0], "16 + 2 tokens are all there is");
    }
    let set = ["pools.slow.engine.max_model_len=16"];
    let output = played(TWO_PACES, &set);
    assert_eq!(statuses(&output)[1], (1, Status::Rejected), "a prompt leaves no room");
}

#[test]
fn a_class_goes_to_a_pool_by_its_name() {
    let router = "router={class-to-pool: {chat: fast, batch: cheap}}";
    let output = played(TWO_GPUS, &[router]);
    for row in &output.outcome.trace.requests {
        assert_eq!(row.replica < 2, row.class == 0, "replicas 0 and 1 are fast");
    }
    let routes = output.outcome.routes.as_ref().expect("kept");
    assert!(routes.iter().all(|route| route.within_pool));
    // The same by numbers.
    let numbers = played(TWO_GPUS, &["router={class-to-pool: {chat: [0, 1], batch: [2, 3]}}"]);
    assert!(numbers.outcome.trace == output.outcome.trace);
}

#[test]
fn money_and_energy_are_those_of_all_pools_and_unknown_where_one_is() {
    let mut experiment = resolved(TWO_GPUS, &[]).experiment;
    let result = play(&experiment, false).result;
    let (cost, energy) = (result.cost.unwrap(), result.energy.unwrap());
    let prices: Vec<f64> =
        experiment.pools.iter().map(|p| p.hardware.price_usd_per_gpu_hour.unwrap()).collect();
    // Two GPUs of one, four of the other.
    let hours = cost.gpu_hours / 6.0;
    let usd = hours * (2.0 * prices[0] + 4.0 * prices[1]);
    assert!((cost.usd - usd).abs() < 1e-9, "{cost:?}");
    let pools = result.pools.unwrap();
    let power = |place: usize, name: &str| {
        let power = experiment.pools[place].hardware.power.unwrap();
        power.idle_w + (power.max_w - power.idle_w) * pools[name].gpu_utilization
    };
    let watts = 2.0 * power(0, "fast") + 4.0 * power(1, "cheap");
    assert!((energy.mean_power_w - watts).abs() < 1e-6, "{energy:?} {watts}");

    experiment.pools[1].hardware.price_usd_per_gpu_hour = None;
    let result = play(&experiment, false).result;
    assert!(result.cost.is_none() && result.energy.is_some());
    experiment.pools[0].hardware.power = None;
    assert!(play(&experiment, false).result.energy.is_none());
}

#[test]
fn defaults_that_follow_from_the_gpu_are_each_pools_own() {
    let one =
        resolved(TWO_GPUS, &["pools=[{replicas: 1, gpu: h100-sxm}, {replicas: 1, gpu: l40s}]"]);
    let of = |place: usize| {
        let derived = &one.scenario["derived"]["pools"][place]["schedulers"][0]["parameters"];
        [&derived["max_num_batched_tokens"], &derived["max_num_seqs"]].map(Value::as_u64)
    };
    assert_eq!([of(0), of(1)], [[Some(8192), Some(1024)], [Some(2048), Some(256)]]);
    assert_eq!(one.scenario["pools"][1]["name"], "l40s", "a pool goes by its GPU");
    // Where all agree, they stand with the scheduler.
    let alike = resolved(TWO_GPUS, &["pools=[{replicas: 1, gpu: l40s}, {replicas: 1, gpu: a40}]"]);
    assert_eq!(alike.scenario["schedulers"][0]["vllm-v1"]["max_num_batched_tokens"], 2048);
}

#[test]
fn a_resolved_fleet_is_a_scenario_that_gives_the_same() {
    for text in [TWO_PACES, TWO_GPUS] {
        let first = resolved(text, &["router=least-requests"]);
        let again = resolved(&first.scenario.to_string(), &[]);
        let (one, two) = (play(&first.experiment, false), play(&again.experiment, false));
        assert_eq!(json!(one.result), json!(two.result));
        let without = |scenario: &Value| {
            let mut scenario = scenario.clone();
            scenario["derived"] = Value::Null;
            scenario
        };
        assert_eq!(without(&first.scenario), without(&again.scenario));
    }
}

/// Whatever a pool gives goes before what the scenario gives, field by field.
#[test]
fn a_pool_of_one_is_the_scenario_with_its_fields() {
    let fields = [
        ("gpu", "h100-sxm", "a40"),
        ("parallelism.tensor", "1", "2"),
        ("parallelism.pipeline", "1", "2"),
        ("parallelism.data", "1", "2"),
        ("engine.profile", "vllm-0.19", "vllm-0.6"),
        ("engine.dtype", "bf16", "fp16"),
        ("engine.kv_cache_dtype", "bf16", "fp8"),
        ("engine.kv_block_tokens", "16", "32"),
        ("engine.gpu_memory_utilization", "0.9", "0.6"),
        ("engine.reserved_memory", "4GB", "9GB"),
        ("engine.kv_blocks", "900", "1800"),
        ("engine.max_model_len", "9000", "3000"),
        ("engine.prefix_caching", "false", "true"),
        ("engine.async_scheduling", "true", "false"),
    ];
    let text = TWO_GPUS.replace("engine: {profile: vllm-0.19, kv_blocks: 900}\n", "");
    let of_engine: usize = 10;
    let known = serde_json::to_value(metron_sim::scenario::json_schema()).unwrap();
    let keys = known["$defs"]["Engine"]["properties"].as_object().unwrap();
    assert_eq!(keys.len(), of_engine, "a new field of the engine needs a row here");
    for key in keys.keys() {
        assert!(fields.iter().any(|(field, ..)| *field == format!("engine.{key}")), "{key}");
    }
    for (field, common, own) in fields {
        let base = [
            "gpu=h100-sxm",
            "workload.requests=30",
            "workload.prefix_groups={count: 2, tokens: 200}",
        ];
        let [common, own_of_pool, own_of_all] = [
            format!("{field}={common}"),
            format!("pools.only.{field}={own}"),
            format!("{field}={own}"),
        ];
        let mut set = base.to_vec();
        set.extend(["pools=[{name: only, replicas: 1}]", &common, &own_of_pool]);
        let pool = resolved(&text, &set);
        let plain = text.lines().filter(|line| {
            !line.contains("name: fast")
                && !line.contains("name: cheap")
                && !line.starts_with("pools:")
        });
        let plain: String = plain.map(|line| format!("{line}\n")).collect();
        let mut set = base.to_vec();
        set.push(&own_of_all);
        let alike = resolved(&plain, &set);
        assert_eq!(pool.experiment.replicas, alike.experiment.replicas, "{field}");
        assert_eq!(pool.experiment.pools[0].engine, alike.experiment.engine, "{field}");
        assert_eq!(pool.experiment.pools[0].hardware, alike.experiment.hardware, "{field}");
        let (one, two) = (play(&pool.experiment, false), play(&alike.experiment, false));
        assert!(one.outcome == two.outcome, "{field}");
    }
}

#[test]
fn data_parallel_ranks_of_a_pool_are_replicas() {
    let one = resolved(
        TWO_GPUS,
        &["pools.fast.parallelism={data: 3}", "router={class-to-pool: {chat: fast, batch: cheap}}"],
    );
    assert_eq!(one.experiment.replicas, 8);
    let output = play(&one.experiment, false);
    let pools = output.result.pools.unwrap();
    assert_eq!((pools["fast"].replicas, pools["fast"].gpus), (6, 6));
    assert_eq!((pools["cheap"].first_replica, pools["cheap"].gpus), (6, 4));
    assert!(output.outcome.trace.requests.iter().all(|row| (row.replica < 6) == (row.class == 0)));
}

#[test]
fn what_makes_no_sense_is_told_with_its_place() {
    let with =
        |pools: &str| refused(&TWO_PACES.replace("seed: 7", "seed: 7\nreplicas: 2"), &[pools]);
    let told = with("seed=7");
    assert!(
        told.contains("s.yaml:3:") && told.contains("`replicas` cannot stand beside `pools`"),
        "{told}"
    );
    assert!(told.contains("leave it out: the pools have 2 together"), "{told}");

    let pools = |list: &str| refused(TWO_PACES, &[&format!("pools={list}")]);
    for (list, words) in [
        ("[]", "expected a pool at least, found an empty list"),
        ("[{name: a, replicas: 1}, {name: a, replicas: 1}]", "two pools are named `a`"),
        ("[{name: a, replicas: 0}]", "expected at least 1"),
        ("[{name: a}]", "replicas"),
        ("[{name: 3, replicas: 1}]", "expected text"),
        ("[{name: '3', replicas: 1}]", "expected a name, found the number 3"),
        ("[{name: '', replicas: 1}]", "empty text"),
        ("[{name: a, replicas: 1, gpus: 3}]", "unknown key `gpus`"),
        ("[{name: a, replicas: 1, engine: {kv_bloks: 3}}]", "did you mean `kv_blocks`"),
        (
            "[{name: a, replicas: 6000, engine: {profile: {fixed: {iteration: 1ms}}}}, {name: b, replicas: 6000, engine: {profile: {fixed: {iteration: 1ms}}}}]",
            "more than 10000",
        ),
        ("{name: a, replicas: 1}", "pools"),
    ] {
        let told = pools(list);
        assert!(told.contains(words) && told.contains("pools"), "{list}: {told}");
    }
    let file = TWO_GPUS.replace("gpu: l40s", "gpu: l40sx");
    let told = refused(&file, &[]);
    assert!(told.contains("s.yaml:6:") && told.contains("pools.1.gpu"), "{told}");
    assert!(told.contains("unknown GPU `l40sx`") && told.contains("did you mean `l40s`"), "{told}");
    // What pools share is told once.
    let told = refused(&TWO_GPUS.replace("llama-3.1-8b", "lama"), &[]);
    assert_eq!(told.matches("unknown model").count(), 1, "{told}");
    let told = refused(TWO_GPUS, &["pools.cheap.parallelism.tensor=3"]);
    assert!(told.contains("pools.1.parallelism.tensor"), "{told}");
    let told = refused(TWO_GPUS, &["model=llama-3.1-70b", "engine={}"]);
    assert!(told.contains("pools.0.gpu") && told.contains("pools.1.gpu"), "{told}");
    let told = refused(TWO_GPUS, &["router={class-to-pool: {chat: fats}}"]);
    assert!(
        told.contains("there is no pool `fats`") && told.contains("did you mean `fast`"),
        "{told}"
    );
    let told = refused(TWO_GPUS, &["router={class-to-pool: {chat: [4]}}"]);
    assert!(told.contains("there is no replica 4") && told.contains("there are 4"), "{told}");
    let plain = "schedulers: [orca]\nengine: {profile: {fixed: {iteration: 1ms}}, kv_blocks: 9, max_model_len: 99}\n\
                 router: {class-to-pool: {a: fast}}\n\
                 workload: {requests: 1, arrivals: {all_at_once: {}}, classes: [{name: a}], \
                 lengths: {prompt: {fixed: 1}, output: {fixed: 1}}}\n";
    let told = refused(plain, &[]);
    assert!(told.contains("there is no pool `fast`") && told.contains("has no `pools`"), "{told}");
    // A scheduler that cannot be in stages, on the pool that has some.
    let told = refused(TWO_GPUS, &["schedulers=[lightllm]"]);
    assert!(told.contains("pools.1.parallelism.pipeline"), "{told}");
    // Nobody to take a model from.
    let told = refused(TWO_GPUS, &["pools=[{replicas: 1}]"]);
    assert!(told.contains("`gpu` is missing") && told.contains("pools.0"), "{told}");
}

#[test]
fn pools_are_set_by_name_and_by_number() {
    let replicas = |set: &str| resolved(TWO_GPUS, &[set]).experiment.pools[0].replicas;
    assert_eq!([replicas("pools.fast.replicas=5"), replicas("pools.0.replicas=6")], [5, 6]);
    let priced = resolved(TWO_GPUS, &["pools.cheap.gpu.price_usd_per_hour=0.5"]).experiment;
    let hardware = &priced.pools[1].hardware;
    assert_eq!(
        (hardware.gpu.as_deref(), hardware.price_usd_per_gpu_hour),
        (Some("l40s*"), Some(0.5))
    );
    let told = refused(TWO_GPUS, &["pools.chep.replicas=5"]);
    assert!(told.contains("did you mean `cheap`"), "{told}");
}

fn run(folder: &std::path::Path, flags: &[&str]) -> std::process::Output {
    fs::write(folder.join("s.yaml"), TWO_GPUS).unwrap();
    let mut command = Command::cargo_bin("metron-sim").unwrap();
    command.current_dir(folder).args(flags).args(["-q"]).output().unwrap()
}

#[test]
fn commands_know_pools() {
    let folder = tempfile::tempdir().unwrap();
    let text = |flags: &[&str]| {
        let output = run(folder.path(), flags);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!([Some(0), Some(3)].contains(&output.status.code()), "{flags:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();

    let flags =
        ["run", "s.yaml", "--timeline", "t.json", "--report", "r.html", "--requests", "q.csv"];
    let told = text(&flags);
    for words in [
        "2 pools with 4 replicas",
        "pool fast: h100-sxm, 2 replicas",
        "pool cheap: 2 x l40s",
        "GPUs busy",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let timeline: Value = serde_json::from_str(&file("t.json")).unwrap();
    let names: Vec<&str> = timeline["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    for name in [
        "replica 0 of fast",
        "replica 1 of fast",
        "replica 2 of cheap lane 0",
        "replica 3 of cheap lane 1",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(file("r.html").contains("\"pool\":\"cheap\""));

    let told = text(&["explain", "s.yaml"]);
    assert!(told.contains(" (pool cheap) ") || told.contains(" (pool fast) "), "{told}");
    assert!(told.contains("in pool cheap") || told.contains("in pool fast"), "{told}");
    let told = text(&["capacity", "s.yaml", "--seeds", "1", "--precision", "20%"]);
    assert!(told.starts_with("llama-3.1-8b on 2 x h100-sxm + 4 x l40s, vllm-v1: "), "{told}");
    assert!(told.contains(" requests/s in all within "), "{told}");
    let output = run(folder.path(), &["capacity", "s.yaml", "--for-rate", "9"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("--vary pools.fast.replicas=1,2,3"), "{told}");
    let told = text(&[
        "sweep",
        "s.yaml",
        "--vary",
        "pools.fast.replicas=1,2",
        "--vary",
        "pools.1.replicas=1,2",
    ]);
    assert!(
        told.contains("fast.replicas 1 -> 2: ") && told.contains("\n1.replicas 1 -> 2: "),
        "{told}"
    );

    let schema: Value = serde_json::from_str(&text(&["schema", "result"])).unwrap();
    let result: Value =
        serde_json::from_str(&text(&["run", "s.yaml", "--format", "json"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&result).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(result["runs"][0]["pools"]["cheap"]["gpus"], 4);
    let schema: Value = serde_json::from_str(&text(&["schema", "scenario"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&result["scenario"]).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let told = text(&["run", "s.yaml", "--format", "quiet", "--assert", "pools.cheap.rejected<=0"]);
    assert!(told.is_empty(), "{told}");
}
