//! Scenarios that are right: what they resolve to, overrides, and the JSON Schema.

use std::path::Path;

use metron_sim::cost::{ExpertChoice, ExpertExchange};
use metron_sim::metrics::{Latency, Statistic};
use metron_sim::promise::TtftDeadline;
use metron_sim::scenario::{Document, Files, Resolved, ScenarioError, json_schema};
use metron_sim::scheduler::{Feature, SchedulerConfig};
use metron_sim::time::Span;
use metron_sim::workload::{Arrivals, Dist, Lengths, MaxTokens, Shape, Source};
use serde_json::{Value as Json, json};

const CHAT: &str = "tests/data/scenarios/chat.yaml";

fn files() -> Vec<String> {
    let folder = std::fs::read_dir("tests/data/scenarios").unwrap();
    let names = folder.map(|e| e.unwrap().path().to_str().unwrap().to_owned());
    let mut files: Vec<String> = names.filter(|n| n.ends_with(".yaml")).collect();
    files.sort();
    assert!(files.len() >= 6);
    files
}

fn loaded(input: &str, overrides: &[&str]) -> Resolved {
    tried(input, overrides).unwrap_or_else(|e| panic!("{input} {overrides:?}:\n{e}"))
}

fn tried(input: &str, overrides: &[&str]) -> Result<Resolved, ScenarioError> {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    Document::read(input)?.with(&overrides)?.resolve(None)
}

fn refused(overrides: &[&str]) -> String {
    tried(CHAT, overrides).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_example_of_the_documentation() {
    let Resolved { experiment: e, scenario, warnings, .. } = loaded(CHAT, &[]);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((e.name.as_str(), e.seed, e.replicas), ("chat", 42, 1));
    assert_eq!(e.engine.max_model_len, 8192);
    assert_eq!(e.engine.kv_block_tokens, 16);
    assert!(e.engine.kv_blocks > 20_000, "{:?}", e.engine);
    let labels: Vec<&str> = e.schedulers.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(labels, ["vllm-v0", "sarathi(chunk_size=512)"]);
    assert_eq!(e.promises.common.tbt, Span::from_millis(25));
    let of_curve = TtftDeadline::PrefillCurvePlus { slack: Span::from_millis(300), of: None };
    assert_eq!(e.promises.common.ttft, of_curve);
    assert_eq!(e.workload.amount.requests, Some(1000));
    assert_eq!(e.workload.max_tokens, MaxTokens::Exact);
    let Source::Synthetic { arrivals, lengths } = &e.workload.source else { panic!("a trace") };
    assert_eq!(*arrivals, Arrivals::Poisson { rate: 2.0 });
    let lognormal =
        |mean| Dist { shape: Shape::Lognormal { mean, sigma: 0.6 }, min: None, max: None };
    let expected = Lengths::Independent { prompt: lognormal(1024.0), output: lognormal(256.0) };
    assert_eq!(*lengths, expected);
    let scenario = scenario.to_json();
    assert_eq!(scenario["engine"]["kv_blocks"], e.engine.kv_blocks);
    assert_eq!(scenario["derived"]["kv_blocks"]["from"], "memory");
    assert_eq!(scenario["derived"]["model"]["layers"], 32);
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let text = "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi]\n\
                workload: {requests: 5, arrivals: all_at_once, lengths: {table: chat}}\n";
    let document = Document::from_text("mine.yaml", text, Files::any("")).unwrap();
    let Resolved { experiment: e, scenario, .. } = document.resolve(None).unwrap();
    let chat = loaded(CHAT, &[]).experiment;
    assert_eq!(e.promises.common, chat.promises.common);
    assert_eq!((e.promises.common.fluid_index, e.promises.common.fluid_share), (0.9, 0.99));
    assert_eq!((e.name.as_str(), e.seed, e.replicas), ("mine", 0, 1));
    // The model's context is longer than anything the example asks for, and fits the cache.
    assert_eq!(e.engine.max_model_len, 131_072);
    let scenario = scenario.to_json();
    assert_eq!(scenario["derived"]["max_model_len"]["from"], "the model's max_position_embeddings");
    assert_eq!(e.engine.kv_blocks, chat.engine.kv_blocks);
    assert_eq!((e.engine.prefix_caching, e.engine.async_scheduling), (None, None));
    assert!(e.horizon.is_none());
    assert_eq!(document.resolve(Some(9)).unwrap().experiment.seed, 9);
    assert_eq!(document.resolve(Some(9)).unwrap().scenario.to_json()["seed"], 9);
    // A cache too small for the model's context bounds it.
    let small = document.with(&["engine.kv_blocks=100".to_owned()]).unwrap();
    let small = small.resolve(None).unwrap();
    assert_eq!(small.experiment.engine.max_model_len, 1600);
    assert_eq!(
        small.scenario.to_json()["derived"]["max_model_len"]["from"],
        "the KV cache's tokens"
    );
}

#[test]
fn every_key_arrives() {
    let Resolved { experiment: e, .. } = loaded("tests/data/scenarios/everything.yaml", &[]);
    assert_eq!(e.replicas, 3);
    assert_eq!(e.engine.kv_block_tokens, 32);
    assert_eq!(e.engine.max_model_len, 16_384);
    assert_eq!((e.engine.prefix_caching, e.engine.async_scheduling), (Some(true), Some(false)));
    let labels: Vec<&str> = e.schedulers.iter().map(|s| s.label.as_str()).collect();
    let expected = ["vllm-v1", "small budget", "sarathi(chunk_tokens=256)", "vllm-v0", "orca"];
    assert_eq!(labels, expected);
    assert_eq!(e.schedulers[1].name, "vllm-v1");
    assert_eq!(e.schedulers[2].config.parameters()["chunk_size"], 256);
    assert_eq!(e.workload.max_tokens, MaxTokens::Factor(1.5));
    assert_eq!(e.workload.classes.len(), 2);
    assert_eq!(e.workload.classes[1].priority, 10);
    assert!(e.workload.classes[1].lengths.is_some());
    assert_eq!(e.promises.of_classes.len(), 2);
    let (_, promise) = &e.promises.of_classes[1];
    assert_eq!(promise.ttft, TtftDeadline::Fixed(Span::from_millis(5000)));
    assert_eq!(promise.tbt, Span::from_millis(100));
    assert_eq!((promise.fluid_index, promise.fluid_share), (0.8, 0.9));
    assert!(promise.first_tokens_promised && !e.promises.common.first_tokens_promised);
    let (name, slo) = &e.promises.of_classes[0];
    assert_eq!(name, "chat");
    assert_eq!(slo.ttft, TtftDeadline::Fixed(Span::from_millis(500)));
    assert_eq!(slo.tbt, Span::from_millis(20));
    // What a class does not say, the scenario says.
    assert_eq!(slo.fluid_share, 0.95);
    assert_eq!(e.promises.common.bounds.len(), 5);
    assert!(e.promises.common.bounds.iter().any(|b| {
        b.latency == Latency::Tbt
            && b.stat == Statistic::P999
            && b.at_most == Span::from_millis(500)
    }));
    assert_eq!(e.horizon, Some(Span::from_millis(3_600_000)));
    assert_eq!(e.measure.skip_last, Span::from_millis(30_000));
    assert_eq!(e.hardware.gpus_per_replica, 2);
    assert_eq!(e.hardware.price_usd_per_gpu_hour, Some(2.5));
    assert!(e.hardware.large_gpu);
    assert_eq!(e.workload.prefix_groups.unwrap().count, 10);
}

#[test]
fn a_constant_time_needs_no_model() {
    let Resolved { experiment: e, .. } = loaded("tests/data/scenarios/constant-time.yaml", &[]);
    let shape = metron_sim::cost::BatchShape::decodes_alone(3, 10);
    assert_eq!(e.cost.time(&shape).gpu, Span::from_millis(5));
    assert_eq!(e.hardware.model, None);
    assert_eq!(e.horizon, Some(Span::from_millis(10_000)));
    assert_eq!(e.name, "constant-time");
}

#[test]
fn what_does_nothing_here_is_warned_of() {
    const APART: &[&str] = &[
        "schedulers=[vllm-v1]",
        "replicas=null",
        "pools=[{name: p, role: prefill, replicas: 1}, {name: d, role: decode, replicas: 2}]",
        "disaggregation={transfer: {link: ib-400g}}",
    ];
    const TIERS: &[&str] = &[
        "schedulers=[vllm-v1]",
        "engine={prefix_caching: true, max_model_len: 4096, \
         kv_tiers: [{capacity: 64GiB, read_bandwidth: 50GB/s}]}",
    ];
    let drafts =
        "pools.p.engine={speculative: {method: ngram, tokens: 3, acceptance: {rate: 0.3}}}";
    for (shared, set, said) in [
        (APART, "disaggregation.decider={prefix-based: {}}", "those replicas stand idle"),
        (APART, "router=random", "one replica prefills, and it has no choice"),
        (APART, drafts, "pools.0.engine.speculative: no draft is ever used"),
        (TIERS, "engine.kv_load.chunk_blocks=1000", "a chunk is 16000 tokens"),
        (TIERS, "engine.kv_load.min_tokens=5000", "it is 5000 tokens"),
    ] {
        let warnings = |more: &[&str]| loaded(CHAT, &[shared, more].concat()).warnings;
        let found = |all: &[String]| all.iter().any(|one| one.contains(said));
        assert!(!found(&warnings(&[])) && found(&warnings(&[set])), "{set}");
    }
}

/// The scenario's share is one of all requests: a class's laxer one does not lower it.
#[test]
fn a_laxer_share_of_a_class_is_warned_of() {
    let warned = |share: &str| {
        let fluidity = format!("{{fluidity: {{index: 0.9, share: {share}}}}}");
        let classes = format!("workload.classes=[{{name: a, slo: {fluidity}}}, {{name: b}}]");
        let warnings = loaded(CHAT, &["slo.fluidity.share=0.9", &classes]).warnings;
        warnings.iter().any(|one| one.contains("50.0 % of class a are to be fluid"))
    };
    assert!(warned("0.5") && !warned("0.9"));
}

/// Experts on ranks of a model that has none: its weights fit, and are not what is wrong.
#[test]
fn given_blocks_are_doubted_for_the_reason_that_there_is() {
    let set = [
        "schedulers=[vllm-v1]",
        "parallelism={data: 2, expert: true}",
        "engine={profile: {fixed: {iteration: 5ms}}, kv_blocks: 4000, max_model_len: 4096}",
    ];
    let warnings = loaded(CHAT, &set).warnings;
    let about: Vec<&String> =
        warnings.iter().filter(|one| one.contains("taken as given")).collect();
    assert!(about.len() == 1 && about[0].contains("dense"), "{warnings:?}");
}

#[test]
fn a_trace_that_is_not_there_has_a_stand_in() {
    let Resolved { experiment: e, scenario, warnings, .. } =
        loaded("tests/data/scenarios/trace-or-stand-in.yaml", &[]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("download it from https://github.com/Azure"), "{}", warnings[0]);
    assert!(matches!(e.workload.source, Source::Synthetic { .. }));
    assert_eq!(e.workload.amount.requests, Some(200));
    assert!(scenario.to_json()["workload"].get("trace").is_none());
    // Without one it is an error that says where it was looked for.
    let missing = Document::from_text(
        "x.yaml",
        "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi]\n\
         workload: {trace: {file: nowhere.csv, download: https://example.org}}\n",
        Files::any("tests/data"),
    );
    let error = missing.unwrap().resolve(None).map(|_| ()).unwrap_err().to_string();
    let looked_for = Path::new("tests").join("data").join("nowhere.csv");
    assert!(error.contains(looked_for.to_str().unwrap()), "{error}");
    assert!(error.contains("download it from https://example.org"), "{error}");
}

#[test]
fn paths_are_relative_to_the_scenario() {
    let Resolved { experiment: e, .. } = loaded("tests/data/scenarios/trace.yaml", &[]);
    let Source::Trace(trace) = &e.workload.source else { panic!("no trace") };
    assert!(trace.file.exists(), "{}", trace.file.display());
    assert!(matches!(trace.arrivals, Some(Arrivals::Weibull { .. })));
}

#[test]
fn a_resolved_scenario_is_a_scenario_that_resolves_to_itself() {
    for file in files() {
        let first = loaded(&file, &[]);
        let base = Files::any("tests/data/scenarios");
        let text = serde_json::to_string(&first.scenario).unwrap();
        let again = Document::from_text(&file, &text, base)
            .and_then(|d| d.resolve(None))
            .unwrap_or_else(|e| panic!("{file}:\n{e}"));
        let without_derived = |mut scenario: Json| {
            scenario.as_object_mut().unwrap().remove("derived");
            scenario
        };
        assert_eq!(
            without_derived(again.scenario.to_json()),
            without_derived(first.scenario.to_json()),
            "{file}"
        );
        let (a, b) = (&again.experiment, &first.experiment);
        assert_eq!(a.workload, b.workload, "{file}");
        // Switches that were left to the schedulers' versions are written out.
        let switched = |e: &metron_sim::scenario::EngineLimits| {
            let on = |config: &SchedulerConfig| {
                let caches = config.has(Feature::PrefixCaching) && e.prefix_caching(config);
                [caches, config.has(Feature::AsyncScheduling) && e.async_scheduling(config)]
            };
            b.schedulers.iter().map(|run| on(&run.config)).collect::<Vec<_>>()
        };
        assert_eq!(switched(&a.engine), switched(&b.engine), "{file}");
        let without = |e: &metron_sim::scenario::EngineLimits| {
            let (prefix_caching, async_scheduling) = (None, None);
            metron_sim::scenario::EngineLimits { prefix_caching, async_scheduling, ..e.clone() }
        };
        assert_eq!(without(&a.engine), without(&b.engine), "{file}");
        assert_eq!(a.promises, b.promises, "{file}");
        let runs = |e: &metron_sim::scenario::Experiment| format!("{:?}", e.schedulers);
        assert_eq!(runs(a), runs(b), "{file}");
    }
}

#[test]
fn overrides_reach_every_kind_of_field() {
    let e = loaded(CHAT, &["schedulers.sarathi.chunk_size=1024"]).experiment;
    assert_eq!(e.schedulers[1].config.parameters()["chunk_size"], 1024);
    assert_eq!(e.schedulers[1].label, "sarathi(chunk_size=1024)");
    let e = loaded(CHAT, &["schedulers.1.sarathi.chunk_size=64"]).experiment;
    assert_eq!(e.schedulers[1].config.parameters()["chunk_size"], 64);
    let e = loaded(CHAT, &["schedulers.vllm-v0.max_num_seqs=7"]).experiment;
    assert_eq!(e.schedulers[0].config.parameters()["max_num_seqs"], 7);
    let e = loaded(CHAT, &["schedulers=[orca]", "schedulers.orca.max_num_seqs=3"]).experiment;
    assert_eq!(e.schedulers[0].config.parameters()["max_num_seqs"], 3);
    let e = loaded(CHAT, &["workload.arrivals.poisson.rate=3"]).experiment;
    let Source::Synthetic { arrivals, .. } = &e.workload.source else { panic!("a trace") };
    assert_eq!(*arrivals, Arrivals::Poisson { rate: 3.0 });
    let e = loaded(CHAT, &["workload.arrivals={constant: {rate: 1}}"]).experiment;
    let Source::Synthetic { arrivals, .. } = &e.workload.source else { panic!("a trace") };
    assert_eq!(*arrivals, Arrivals::Constant { rate: 1.0 });
    // The last one holds.
    assert_eq!(loaded(CHAT, &["seed=1", "seed=2"]).experiment.seed, 2);
    // A name becomes a map with that name as its base.
    let e = loaded(CHAT, &["gpu.memory=40GiB"]).experiment;
    assert!(e.engine.kv_blocks < 10_000, "{:?}", e.engine);
    assert_eq!(e.hardware.gpu.as_deref(), Some("h100-sxm*"));
    // Fields that the file does not have.
    let e = loaded(CHAT, &["horizon=1h", "slo.bounds.tbt.p99=50ms"]).experiment;
    assert_eq!(e.horizon, Some(Span::from_millis(3_600_000)));
    assert_eq!(e.promises.common.bounds.len(), 1);
    let everything = "tests/data/scenarios/everything.yaml";
    let e = loaded(everything, &["workload.classes.batch.share=5"]).experiment;
    assert_eq!(e.workload.classes[1].share, 5.0);
    let e = loaded(everything, &["schedulers.small budget.max_num_seqs=5"]).experiment;
    assert_eq!(e.schedulers[1].config.parameters()["max_num_seqs"], 5);
    let set = "workload.lengths.prompt.quantiles.\"0.5\"=900";
    let e = loaded(everything, &[set]).experiment;
    let Source::Synthetic { lengths: Lengths::Independent { prompt, .. }, .. } = &e.workload.source
    else {
        panic!("not drawn")
    };
    assert_eq!(prompt.shape, Shape::Quantiles(vec![(0.1, 100.0), (0.5, 900.0), (0.99, 6000.0)]));
}

#[test]
fn overrides_that_are_wrong_name_the_flag_and_the_path() {
    for (set, expected) in [
        ("seed", "--set:1:1: expected path=value"),
        ("=3", "--set:1:1: expected a field's path"),
        ("a..b=3", "--set:1:3: expected a field's path"),
        ("sede=3", "--set:1:1: sede: unknown key `sede` (did you mean `seed`?"),
        (
            "workload.arrivals.poisson.rat=3",
            "--set:1:27: workload.arrivals.poisson.rat: unknown key `rat` (did you mean `rate`?",
        ),
        (
            "workload.arrivals.poisson.rate=-3",
            "--set:1:32: workload.arrivals.poisson.rate: expected a number above 0",
        ),
        ("workload.arrivals.poisson.rate=fast", "found the text `fast`"),
        ("workload.arrivals={poisson: {rate: 3}", "--set:1:19: not YAML"),
        ("workload.arrivals.gamma.rate=3", "found both `poisson` and `gamma`"),
        ("schedulers.orca.max_num_seqs=1", "no element of this list is named `orca`"),
        ("schedulers.2.sarathi.chunk_size=1", "no element 2 in a list of 2"),
        ("schedulers.sarathi.chunk_sze=1", "did you mean `chunk_size`?"),
        ("slo.tbt=25", "--set:1:9: slo.tbt: expected a length of time with a unit"),
        ("engine.profile.fixed.iteration=5", "bare number 5"),
    ] {
        let error = refused(&[set]);
        assert!(error.contains(expected), "{set}: {error}");
    }
    let twice =
        ["schedulers=[sarathi, {sarathi: {chunk_size: 9}}]", "schedulers.sarathi.chunk_size=1"];
    let error = refused(&twice);
    assert!(error.contains("2 elements of this list are named `sarathi`"), "{error}");
    assert!(error.contains("`schedulers.0.sarathi` or `schedulers.1.sarathi`"), "{error}");
}

#[test]
fn the_same_scheduler_twice_gets_two_labels() {
    let e = loaded(CHAT, &["schedulers=[sarathi, sarathi]"]).experiment;
    let labels: Vec<&str> = e.schedulers.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(labels, ["sarathi", "sarathi #2"]);
}

#[test]
fn anchors_and_merges_can_be_used() {
    let text = "model: llama-3.1-8b\ngpu: h100-sxm\nschedulers: [sarathi]\n\
                workload:\n  requests: 5\n  arrivals: all_at_once\n\
                \x20 lengths:\n    prompt: &d {lognormal: {mean: 100, sigma: 0.5}, max: 200}\n\
                \x20   output: {<<: *d, max: 50}\n";
    let document = Document::from_text("x.yaml", text, Files::any("")).unwrap();
    let e = document.resolve(None).unwrap().experiment;
    let Source::Synthetic { lengths: Lengths::Independent { prompt, output }, .. } =
        &e.workload.source
    else {
        panic!("not drawn")
    };
    assert_eq!((prompt.max, output.max), (Some(200), Some(50)));
    assert_eq!(prompt.shape, output.shape);
}

#[test]
fn the_json_schema_accepts_what_is_accepted() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let mut checked = 0;
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let written: Json = serde_saphyr::from_str(&text).unwrap();
        for instance in [written, loaded(&file, &[]).scenario.to_json()] {
            let errors: Vec<String> = validator
                .iter_errors(&instance)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{file}: {errors:?}");
            checked += 1;
        }
    }
    assert!(checked >= 12);
}

#[test]
fn the_json_schema_refuses_what_types_refuse() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let chat: Json = serde_saphyr::from_str(&std::fs::read_to_string(CHAT).unwrap()).unwrap();
    assert!(validator.is_valid(&chat));
    for (pointer, wrong) in [
        ("/seed", json!("x")),
        ("/slo/tbt", json!(25)),
        ("/slo/tbt", json!("25 parsecs")),
        ("/workload/arrivals", json!({"poison": {"rate": 1}})),
        ("/schedulers", json!([{"sarathy": {}}])),
        ("/schedulers", json!([{"sarathi": {"chunksize": 1}}])),
        ("/engine", json!({"dtypes": "bf16"})),
        ("/workload/max_tokens", json!("exactly")),
    ] {
        let mut instance = chat.clone();
        *instance.pointer_mut(pointer).unwrap() = wrong.clone();
        assert!(!validator.is_valid(&instance), "{pointer} = {wrong} was accepted");
    }
}

#[test]
fn the_json_schema_describes_every_key() {
    let schema = json_schema();
    let properties = schema["properties"].as_object().unwrap();
    for (key, property) in properties {
        assert!(property.get("description").is_some(), "`{key}` has no description");
    }
    assert!(properties.contains_key("workload"));
}

#[test]
fn what_is_accepted_can_be_drawn() {
    let pause = "workload.arrivals={piecewise: [{for: 10s, rate: 1}, {for: 10s, rate: 0}]}";
    let slow = "workload.arrivals={piecewise: [{for: 10s, rate: 1}, {for: 10s, rate: 0.000001}]}";
    for sets in [
        vec![],
        vec![pause],
        vec![slow],
        vec!["workload.arrivals={constant: {rate: 0.00001}}"],
        vec!["workload.arrivals={gamma: {rate: 2, cv: 100}}"],
        vec!["workload.arrivals={weibull: {rate: 2, cv: 0.01}}"],
        vec!["workload.lengths={table: code}"],
    ] {
        let e = loaded(CHAT, &sets).experiment;
        let limits = metron_sim::workload::Limits {
            max_model_len: e.engine.max_model_len,
            kv_block_tokens: e.engine.kv_block_tokens,
        };
        let drawn = metron_sim::workload::draw(&e.workload, e.seed, limits);
        assert!(drawn.is_ok(), "{sets:?}: {:?}", drawn.err());
    }
}

#[test]
fn a_scenario_from_elsewhere_names_no_file() {
    let named = [
        "model: {config: /etc/hostname}",
        "gpu: {file: /etc/hostname}",
        "engine: {profile: {file: /etc/hostname}}",
        "workload: {trace: {file: /etc/hostname}}",
        "workload: {lengths: {file: /etc/hostname}, requests: 1, arrivals: {all_at_once: {}}}",
    ];
    for part in named {
        let key = part.split(':').next().expect("a key");
        let rest = ["model: llama-3.1-8b", "gpu: h100-sxm", "schedulers: [sarathi]"];
        let rest = rest.iter().filter(|line| !line.starts_with(key));
        let workload =
            "workload: {requests: 1, arrivals: {all_at_once: {}}, lengths: {table: chat}}";
        let mut text: Vec<&str> = rest.copied().chain([part]).collect();
        if key != "workload" {
            text.push(workload);
        }
        let error = Document::from_text("x.yaml", &text.join("\n"), Files::none())
            .and_then(|document| document.resolve(None).map(|_| ()))
            .expect_err(part)
            .to_string();
        assert!(error.contains("`/etc/hostname` may not be read"), "{part}: {error}");
        assert!(!error.contains("looked for"), "{error}");
    }
}

/// Prefill and decode commonly exchange tokens by different kernels; what a pool leaves out is the scenario's.
#[test]
fn a_pool_has_a_way_to_experts_of_its_own() {
    let of = |experts: &str| {
        let text = format!(
            "model: qwen3-30b-a3b\ngpu: h100-sxm\nparallelism: {{data: 2, expert: true}}\n\
             experts: {{exchange: all_to_all, imbalance: 1.5}}\nschedulers: [vllm-v1]\n\
             pools: [{{replicas: 1, experts: {experts}}}, {{replicas: 1}}]\n\
             workload: {{requests: 1, arrivals: all_at_once, lengths: {{table: chat}}}}\n"
        );
        Document::from_text("s.yaml", &text, Files::any(Path::new(".")))
            .and_then(|d| d.resolve(None))
    };
    let resolved = of("{exchange: deepep_low_latency}").unwrap_or_else(|e| panic!("{e}"));
    let load = |pool: usize| {
        resolved.experiment.pools[pool].hardware.pricing.as_ref().expect("priced").experts.clone()
    };
    let ways = [0, 1].map(|pool| load(pool).exchange);
    assert_eq!(ways, [ExpertExchange::DeepepLowLatency, ExpertExchange::AllToAll]);
    assert_eq!([0, 1].map(|pool| load(pool).choice), [1.5, 1.5].map(ExpertChoice::Imbalance));
    let error = of("{imbalance: 0.5}").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("pools.0.experts.imbalance"), "{error}");
}
