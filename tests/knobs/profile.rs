//! Figures of an engine profile.

use std::collections::BTreeSet;

use metron_sim::catalog;
use serde_json::Value;

use super::{assert_none, result};

/// A profile with every figure on, as JSON (which is YAML).
fn profile() -> Value {
    serde_json::json!({
        "name": "p",
        "description": "every figure on",
        "kernel_factor": 1.1,
        "link_factor": 1.1,
        "host": {"iteration_us": 500.0, "sequence_us": 20.0},
        "step_gap": {"iteration_us": 300.0, "sequence_us": 10.0},
        "front_end": {"before_us": 300_000.0, "after_us": 1000.0, "request_us": 500.0},
        "async_scheduling": false,
        "prefix_caching": false,
        "cuda_graph_sizes": [8, 64],
        "enforce_eager": false,
        "eager_us_per_kernel": 40.0,
        "kv_block_tokens": 16,
        "gpu_memory_utilization": 0.9,
        "overhead_bytes": 3_500_000_000u64,
        "evidence": {"kind": "assumed"},
        "source": "invented",
    })
}

fn tables() -> [(&'static str, Value); 4] {
    let layer = serde_json::json!({"tokens": [1, 64, 4096], "layer_us": [150.0, 160.0, 900.0]});
    let attention = serde_json::json!({
        "decode": {"decodes": [1, 64], "kv_tokens": [16, 4096], "layer_us": [[5.0, 20.0], [10.0, 400.0]]},
    });
    let own = catalog::gpu("h100-sxm").expect("in the catalog").decode_attention;
    let mut slower = serde_json::to_value(own).expect("plain data");
    assert!(slower["launch_us"].is_number());
    slower["launch_us"] = 60.0.into();
    let gpu = serde_json::json!({"decode_attention": slower});
    let law = serde_json::json!({"iteration_us": 9000.0});
    [("layer_table", layer), ("attention_table", attention), ("gpu", gpu), ("step_law", law)]
}

/// Each figure's path and its other value.
fn others() -> Vec<(&'static str, Value)> {
    let mut others = vec![
        ("/kernel_factor", 1.3.into()),
        ("/link_factor", 2.0.into()),
        ("/host/iteration_us", 900.0.into()),
        ("/host/sequence_us", 60.0.into()),
        ("/step_gap/iteration_us", 700.0.into()),
        ("/step_gap/sequence_us", 40.0.into()),
        ("/front_end/before_us", 900_000.0.into()),
        ("/front_end/after_us", 4000.0.into()),
        ("/front_end/request_us", 300_000.0.into()),
        ("/async_scheduling", true.into()),
        ("/prefix_caching", true.into()),
        ("/cuda_graph_sizes", serde_json::json!([16, 64])),
        ("/enforce_eager", true.into()),
        ("/kv_block_tokens", 64.into()),
        ("/gpu_memory_utilization", 0.5.into()),
        ("/overhead_bytes", 30_000_000_000u64.into()),
    ];
    others.extend(tables().map(|(name, table)| match name {
        "layer_table" => ("/layer_table", table),
        "attention_table" => ("/attention_table", table),
        "step_law" => ("/step_law", table),
        _ => ("/gpu", table),
    }));
    others
}

/// Words; and what matters in eager mode alone, `tests/cost/eager.rs`.
const EXEMPT: &[&str] =
    &["/name", "/description", "/source", "/evidence/kind", "/eager_us_per_kernel", "/fitted_on"];

/// Paths of all figures that a profile can carry, from the type itself.
fn known() -> BTreeSet<String> {
    let mut full = profile();
    let members = full.as_object_mut().expect("an object");
    for (name, _) in tables() {
        members.insert(name.to_owned(), Value::Null);
    }
    // Words, too.
    members.insert("fitted_on".to_owned(), Value::Null);
    let schema = schemars::schema_for!(catalog::EngineProfile).to_value();
    let typed = schema["properties"].as_object().expect("a profile has figures");
    assert_eq!(
        typed.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        members.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        "the profile above lacks a figure"
    );
    let paths = members.iter().flat_map(|(key, value)| match value.as_object() {
        Some(inner) => inner.keys().map(|inner| format!("/{key}/{inner}")).collect(),
        None => vec![format!("/{key}")],
    });
    paths.collect()
}

#[test]
fn every_figure_has_a_case() {
    let others = others();
    let cases = others.iter().map(|(path, _)| *path).chain(EXEMPT.iter().copied());
    let tested: BTreeSet<String> = cases.map(str::to_owned).collect();
    assert_eq!(known(), tested);
}

#[test]
fn every_figure_changes_a_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A policy that can plan ahead and finds prompts again, and memory that runs short.
    let run = |profile: &Value, tensor: u32| {
        let file = folder.path().join("p.yaml");
        std::fs::write(file, profile.to_string()).expect("writable");
        let prefixes = "workload.prefix_groups={count: 3, tokens: 320, share: 0.5}";
        // On one GPU nothing goes over a link.
        let spread = format!("parallelism={{tensor: {tensor}}}");
        let sets = ["engine.profile={file: p.yaml}", "schedulers=[vllm-v1]", prefixes, &spread];
        let sets = sets.map(str::to_owned);
        result(folder.path(), &sets).unwrap_or_else(|error| panic!("{error}"))
    };
    let base = run(&profile(), 1);
    let of_two = run(&profile(), 2);
    let mut complaints = Vec::new();
    for (path, value) in others() {
        let mut changed = profile();
        match changed.pointer_mut(path) {
            Some(figure) => *figure = value,
            None => changed[&path[1..]] = value,
        }
        if path == "/step_law" {
            // A law prices whole steps, and captures no sizes.
            changed["cuda_graph_sizes"] = serde_json::json!([]);
        }
        let (base, tensor) = if path == "/link_factor" { (&of_two, 2) } else { (&base, 1) };
        if run(&changed, tensor) == *base {
            complaints.push(format!("{path}: the same result"));
        }
    }
    assert_none(&complaints);
}
