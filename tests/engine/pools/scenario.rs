//! What a scenario may say of pools, and what it becomes.

use serde_json::{Value, json};

use crate::pools::support::*;

#[test]
fn a_resolved_fleet_is_a_scenario_that_gives_the_same() {
    for text in [TWO_PACES, TWO_GPUS] {
        let first = resolved(text, &["router=least-requests"]);
        let again = resolved(&first.scenario.to_json().to_string(), &[]);
        let (one, two) = (play(&first.experiment, false), play(&again.experiment, false));
        assert_eq!(json!(one.result), json!(two.result));
        let without = |scenario: &Value| {
            let mut scenario = scenario.clone();
            scenario["derived"] = Value::Null;
            scenario
        };
        assert_eq!(without(&first.scenario.to_json()), without(&again.scenario.to_json()));
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
        ("engine.enforce_eager", "false", "true"),
        ("engine.front_end", "{before: 3ms, request: 1ms}", "{before: 9ms, after: 2ms}"),
        ("engine.predictor", "{bias: -0.2}", "{bias: 0.3}"),
        (
            "engine.speculative",
            "{method: ngram, tokens: 3, acceptance: {rate: 0.2}}",
            "{method: eagle, tokens: 2, acceptance: {rate: 0.8}}",
        ),
        (
            "engine.kv_tiers",
            "[{capacity: 8GiB, read_bandwidth: 25GB/s}]",
            "[{capacity: 1GiB, read_bandwidth: 50GB/s}]",
        ),
        ("engine.kv_load", "{min_tokens: 16}", "{min_tokens: 4000}"),
    ];
    let text = TWO_GPUS.replace("engine: {profile: vllm-0.19, kv_blocks: 900}\n", "");
    let of_engine: usize = 16;
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
        // What is brought is brought from somewhere.
        let tiers = "engine.kv_tiers=[{capacity: 8GiB, read_bandwidth: 25GB/s}]";
        let tiers = (field == "engine.kv_load").then_some(tiers);
        let mut set = base.to_vec();
        set.extend(tiers);
        set.extend(["pools=[{name: only, replicas: 1}]", &common, &own_of_pool]);
        let pool = resolved(&text, &set);
        let plain = text.lines().filter(|line| {
            !line.contains("name: fast")
                && !line.contains("name: cheap")
                && !line.starts_with("pools:")
        });
        let plain: String = plain.map(|line| format!("{line}\n")).collect();
        let mut set = base.to_vec();
        set.extend(tiers);
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
fn defaults_that_follow_from_the_gpu_are_each_pools_own() {
    let one =
        resolved(TWO_GPUS, &["pools=[{replicas: 1, gpu: h100-sxm}, {replicas: 1, gpu: l40s}]"]);
    let of = |place: usize| {
        let derived =
            &one.scenario.to_json()["derived"]["pools"][place]["schedulers"][0]["parameters"];
        [&derived["max_num_batched_tokens"], &derived["max_num_seqs"]].map(Value::as_u64)
    };
    assert_eq!([of(0), of(1)], [[Some(8192), Some(1024)], [Some(2048), Some(256)]]);
    assert_eq!(one.scenario.to_json()["pools"][1]["name"], "l40s", "a pool goes by its GPU");
    // Where all agree, they stand with the scheduler.
    let alike = resolved(TWO_GPUS, &["pools=[{replicas: 1, gpu: l40s}, {replicas: 1, gpu: a40}]"]);
    assert_eq!(
        alike.scenario.to_json()["schedulers"][0]["vllm-v1"]["max_num_batched_tokens"],
        2048
    );
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
