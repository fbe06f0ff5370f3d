//! Keys of a scenario, named by the schema's type and key: `Rate.rate`, `Engine.kv_blocks`.

mod disaggregation;
mod drafts;
mod judging;
mod sessions;
mod system;
mod tiers;
mod workload;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{assert_none, copy, covered, dead};

const BURST: &str = "workload.arrivals=all_at_once";
const PREFIXES: &str = "workload.prefix_groups={count: 3, tokens: 320, share: 0.5}";
const CACHING: &str = "engine.prefix_caching=true";
const VLLM_V1: &str = "schedulers=[vllm-v1]";

/// Files that cases name.
pub(crate) fn write_files(folder: &Path) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("writable");
    let config = |layers: u32| {
        format!(
            "{{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 4096, \
             \"intermediate_size\": 14336, \"num_hidden_layers\": {layers}, \"num_attention_heads\": 32, \
             \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"max_position_embeddings\": 8192, \
             \"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": false}}"
        )
    };
    write("deep.json", &config(32));
    write("shallow.json", &config(16));
    for (name, layers) in [("deep.gguf", 32), ("shallow.gguf", 16)] {
        fs::write(folder.join(name), gguf(layers)).expect("writable");
    }
    write("even.json", "[1, 1, 1, 1, 1, 1, 1, 1]");
    write("skewed.json", "[9, 1, 1, 1, 1, 1, 1, 1]");
    write("rounds.jsonl", "{\"accepted\": [2, 0, 3]}\n{\"accepted\": [1]}\n");
    write("other-rounds.jsonl", "{\"accepted\": [0, 1]}\n");
    write(
        "talks.jsonl",
        "{\"arrival_s\": 0, \"prompt_tokens\": 500, \"output_tokens\": 30, \"session\": 1}\n\
         {\"arrival_s\": 1, \"prompt_tokens\": 600, \"output_tokens\": 30, \"session\": 1, \"gap_s\": 2}\n",
    );
    write(
        "logs.csv",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens\n0,a,3,m,500,30\n\
         4,a,1,m,600,30\n",
    );
    write("a.csv", "prompt_tokens,output_tokens\n500,20\n900,30\n");
    write("b.csv", "prompt_tokens,output_tokens\n400,20\n1900,30\n");
    write("day-a.csv", "hour,requests_per_s\n0,4\n12,9\n24,4\n");
    write("day-b.csv", "hour,requests_per_s\n0,5\n12,9\n24,4\n");
    write("plain.csv", "arrival_s,input_tokens,output_tokens\n0,500,50\n0.02,800,60\n0.5,600,70\n");
    write("other.csv", "arrival_s,input_tokens,output_tokens\n0,900,50\n0.02,800,60\n0.5,600,70\n");
    copy("engine/src/catalog/data/gpus/h100-sxm.yaml", &folder.join("h100.yaml"));
    copy("engine/src/catalog/data/gpus/a40.yaml", &folder.join("a40.yaml"));
    copy("engine/src/catalog/data/profiles/vllm-0.12.yaml", &folder.join("p12.yaml"));
    copy("engine/src/catalog/data/profiles/vllm-0.4.yaml", &folder.join("p4.yaml"));
}

/// The first of two parts of a GGUF file: its keys, and the embedding among its tensors.
fn gguf(layers: u32) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let numbers = [
        ("split.count", 2),
        ("llama.block_count", layers),
        ("llama.context_length", 8192),
        ("llama.embedding_length", 4096),
        ("llama.feed_forward_length", 14336),
        ("llama.attention.head_count", 32),
        ("llama.attention.head_count_kv", 8),
    ];
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend((numbers.len() as u64 + 1).to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, "llama");
    for (key, number) in numbers {
        text(&mut out, key);
        out.extend(4_u32.to_le_bytes());
        out.extend(number.to_le_bytes());
    }
    text(&mut out, "token_embd.weight");
    out.extend(2_u32.to_le_bytes());
    out.extend(4096_u64.to_le_bytes());
    out.extend(128_256_u64.to_le_bytes());
    // 16-bit floats, at the beginning of the tensors.
    out.extend(1_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out
}

const EXEMPT: &[(&str, &str)] = &[
    ("Scenario.name", "words for people"),
    ("ModelFigures.assume", "takes a refusal away; the key that it names changes nothing"),
    ("Scenario.description", "words for people"),
    ("Scenario.derived", "written into results, so that a result's scenario runs again; not read"),
    ("SchedulerEntry.label", "words for people"),
    ("Arrivals.all_at_once", "a word that stands alone; Workload.arrivals turns it on"),
    ("Trace.format", "says what a file is; a wrong one is refused, and telling it changes nothing"),
    ("Trace.download", "words for people, said when the file is not there"),
];

/// Every key of the schema as `Type.key`. Schedulers and their parameters have their own table.
pub(crate) fn known() -> BTreeSet<String> {
    fn walk(name: &str, schema: &Value, out: &mut BTreeSet<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            out.insert(format!("{name}.{key}"));
            walk(name, inner, out);
        }
        for word in ["anyOf", "oneOf", "allOf"] {
            for inner in schema[word].as_array().into_iter().flatten() {
                walk(name, inner, out);
            }
        }
    }
    let schema = metron_sim::scenario::json_schema();
    let mut out = BTreeSet::new();
    walk("Scenario", &schema, &mut out);
    for (name, inner) in schema["$defs"].as_object().expect("types") {
        walk(name, inner, &mut out);
    }
    out.retain(|key| {
        let (name, key) = key.split_once('.').expect("Type.key");
        !name.ends_with("Params") && (name != "SchedulerEntry" || key == "label")
    });
    out
}

#[test]
fn every_key_has_a_case() {
    let cases = [
        system::CASES,
        disaggregation::CASES,
        tiers::CASES,
        drafts::CASES,
        workload::CASES,
        sessions::CASES,
        judging::CASES,
    ]
    .concat();
    assert_none(&covered(&known(), &cases, EXEMPT));
}

#[test]
fn every_key_changes_a_result() {
    for cases in [
        system::CASES,
        disaggregation::CASES,
        tiers::CASES,
        drafts::CASES,
        workload::CASES,
        sessions::CASES,
        judging::CASES,
    ] {
        assert_none(&dead(cases));
    }
}
