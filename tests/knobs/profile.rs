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
        "kernels": {
            "attention": "newest", "attention_apart": false, "all_reduce": "vllm", "gemm": 1.0,
            "experts": 1.0, "narrow_experts_compute": 1.0, "attention_time": 1.0, "communication": 1.0,
            "narrow_knee": 1.0, "narrow_launch_us": 9.0, "layer_us": 0.0,
        },
        "host_range": [0.5, 2.0],
        "link_factor": 1.1,
        "host": {"iteration_us": 500.0, "sequence_us": 20.0},
        "step_gap": {"iteration_us": 300.0, "sequence_us": 10.0},
        "front_end": {"before_us": 300_000.0, "after_us": 1000.0, "request_us": 500.0},
        "async_scheduling": false,
        "async_with_host_drafts": false,
        "prefix_caching": false,
        "hand_over": {"order": "destination-first", "first_token": "carried"},
        "cuda_graph_sizes": [8, 64],
        "enforce_eager": false,
        "eager_us_per_kernel": 40.0,
        "prefill_us_per_kernel": 30.0,
        "prefill_us_per_expert_layer": 0.0,
        "chunk_graph_tokens": 0,
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
        ("/kernels/attention", "flash-attention-2".into()),
        ("/kernels/attention_apart", true.into()),
        ("/kernels/all_reduce", "custom-then-nccl".into()),
        ("/kernels/gemm", 1.2.into()),
        ("/kernels/experts", 1.2.into()),
        ("/kernels/narrow_experts_compute", 2.0.into()),
        ("/kernels/attention_time", 1.2.into()),
        ("/kernels/communication", 1.2.into()),
        ("/kernels/narrow_knee", 4.0.into()),
        ("/kernels/narrow_launch_us", 1.0.into()),
        ("/kernels/layer_us", 5.0.into()),
        ("/link_factor", 2.0.into()),
        ("/host/iteration_us", 900.0.into()),
        ("/host/sequence_us", 60.0.into()),
        ("/step_gap/iteration_us", 700.0.into()),
        ("/step_gap/sequence_us", 40.0.into()),
        ("/front_end/before_us", 900_000.0.into()),
        ("/front_end/after_us", 4000.0.into()),
        ("/front_end/request_us", 300_000.0.into()),
        ("/async_scheduling", true.into()),
        ("/async_with_host_drafts", true.into()),
        ("/prefix_caching", true.into()),
        ("/hand_over/order", "source-first".into()),
        ("/hand_over/first_token", "recomputed".into()),
        ("/cuda_graph_sizes", serde_json::json!([16, 64])),
        ("/enforce_eager", true.into()),
        ("/prefill_us_per_kernel", 100.0.into()),
        ("/prefill_us_per_expert_layer", 9000.0.into()),
        ("/chunk_graph_tokens", 4096.into()),
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

/// Words; what matters in eager mode alone, `tests/cost/eager.rs`; and what is said of other machines.
const EXEMPT: &[&str] = &[
    "/name",
    "/description",
    "/source",
    "/evidence/kind",
    "/eager_us_per_kernel",
    "/host_range",
    "/fitted_on",
];

/// A mixture of experts in 8 bits on eight ranks with decodes beside chunks, for constants of an engine's
/// kernels that a dense model on one GPU does not meet.
const WIDE: &[&str] =
    &["model=qwen3-30b-a3b", "gpu=h100-sxm", "parallelism={tensor: 4}", "engine.dtype=fp8"];

/// Prefill and decode apart.
const APART: &[&str] = &[
    "pools=[{name: p, role: prefill, replicas: 1}, {name: d, role: decode, replicas: 1}]",
    "disaggregation={transfer: {link: tcp-100g}}",
];

/// Drafts of the host, which matter where somebody would plan ahead.
const DRAFTED: &[&str] =
    &["engine.speculative={method: ngram, num_speculative_tokens: 3, acceptance: {length: 2}}"];

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
    let run = |profile: &Value, more: &[&str]| {
        let file = folder.path().join("p.yaml");
        std::fs::write(file, profile.to_string()).expect("writable");
        let prefixes = "workload.prefix_groups={count: 3, tokens: 320, share: 0.5}";
        let sets = ["engine.profile={file: p.yaml}", "schedulers=[vllm-v1]", prefixes];
        let sets: Vec<String> = sets.iter().chain(more).map(|&set| set.to_owned()).collect();
        result(folder.path(), &sets).unwrap_or_else(|error| panic!("{error}"))
    };
    // On one GPU nothing goes over a link.
    const ON_TWO: &[&str] = &["parallelism={tensor: 2}"];
    // FlashAttention-3 has chunks and decodes of a batch one after the other as it is.
    let mut second = profile();
    second["kernels"]["attention"] = "flash-attention-2".into();
    let cases = [
        (profile(), &[][..]),
        (profile(), ON_TWO),
        (profile(), WIDE),
        (second, WIDE),
        (profile(), APART),
        (profile(), DRAFTED),
    ];
    let [alone, on_two, wide, older, apart, drafted] =
        cases.map(|(base, more)| (run(&base, more), base, more));
    let mut complaints = Vec::new();
    for (path, value) in others() {
        let (result, base, more) = match path {
            "/link_factor" => &on_two,
            "/async_with_host_drafts" => &drafted,
            "/kernels/attention_apart" => &older,
            "/prefill_us_per_expert_layer" => &wide,
            _ if path.starts_with("/kernels/") => &wide,
            _ if path.starts_with("/hand_over/") => &apart,
            _ => &alone,
        };
        let mut changed = base.clone();
        match changed.pointer_mut(path) {
            Some(figure) => *figure = value,
            None => changed[&path[1..]] = value,
        }
        if path == "/step_law" {
            // A law prices whole steps, captures no sizes and launches nothing.
            changed["cuda_graph_sizes"] = serde_json::json!([]);
            changed["prefill_us_per_kernel"] = 0.0.into();
        }
        if run(&changed, more) == *result {
            complaints.push(format!("{path}: the same result"));
        }
    }
    assert_none(&complaints);
}
