//! `docs/scenario.md` is what the schema says, and each of its examples is a scenario that loads.
//!
//! `UPDATE_REFERENCE=1 cargo test --test scenario reference` writes the page anew.

use std::path::Path;

use metron_sim::scenario::{BASE, Document, Example, Files, examples, reference, sections};
use metron_sim::yaml::tree;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

#[test]
fn the_page_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenario.md");
    let page = reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/scenario.md is out of date: UPDATE_REFERENCE=1 cargo test --test scenario reference"
    );
}

#[test]
fn every_key_has_words_and_an_example() {
    let page = reference();
    let mut silent = Vec::new();
    let mut keys = 0;
    for key in sections().iter().flat_map(|section| &section.keys) {
        keys += 1;
        if key.text.trim_matches(['.', ' ']).is_empty() {
            silent.push(format!("{}: no doc comment", key.path));
        }
        let head = format!("- **`{}`** (", key.name);
        let shown = page.split(&head).skip(1).any(|rest| {
            let entry = rest.split("\n- **").next().unwrap_or_default();
            entry.contains("\n      ")
        });
        if !shown || metron_sim::scenario::example_of(&key.path).is_none() {
            silent.push(format!("{}: no example in src/scenario/reference/examples.txt", key.path));
        }
    }
    assert!(keys > 200, "only {keys} keys: is the schema read to its end?");
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Files that examples name.
fn files() -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16",
    });
    let mut unusual = config.clone();
    unusual["num_hash_layers"] = 3.into();
    let loads: Vec<u32> = (1..=128).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/src/catalog/data");
    let catalog = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let texts = [
        ("config.json", config.to_string()),
        ("unusual-config.json", unusual.to_string()),
        ("loads.json", json!(loads).to_string()),
        ("rounds.jsonl", "{\"accepted\": [2, 0, 3]}\n".repeat(1000)),
        ("trace.jsonl", "{\"arrival_s\": 0, \"prompt_tokens\": 9, \"output_tokens\": 5}\n".into()),
        (
            "sessions.jsonl",
            "{\"arrival_s\": 0, \"prompt_tokens\": 9, \"output_tokens\": 5, \"session\": 1}\n\
             {\"prompt_tokens\": 20, \"output_tokens\": 5, \"session\": 1, \"gap_s\": 2}\n"
                .to_owned(),
        ),
        ("trace.csv", "arrival_s,prompt_tokens,output_tokens\n0,9,5\n1.5,7,3\n".to_owned()),
        ("lengths.csv", "prompt_tokens,output_tokens\n9,5\n7,3\n".to_owned()),
        ("rates.csv", "time_s,requests_per_s\n0,1\n60,3\n120,2\n".to_owned()),
        ("my-gpu.yaml", catalog("gpus/h100-sxm.yaml")),
        ("profile.yaml", catalog("profiles/vllm-0.12.yaml")),
    ];
    for (name, text) in texts {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("model.gguf"), gguf()).unwrap();
    folder
}

/// The header of a GGUF file of a small Llama model.
fn gguf() -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, words: &str) {
        bytes.extend((words.len() as u64).to_le_bytes());
        bytes.extend(words.as_bytes());
    }
    fn number(bytes: &mut Vec<u8>, key: &str, value: u32) {
        text(bytes, key);
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    let (width, wide, layers, vocabulary) = (256u64, 512u64, 2u64, 1000u64);
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![width, vocabulary]),
        ("output_norm.weight".to_owned(), vec![width]),
        ("output.weight".to_owned(), vec![width, vocabulary]),
    ];
    for layer in 0..layers {
        let of = |name: &str| format!("blk.{layer}.{name}.weight");
        tensors.extend([
            (of("attn_norm"), vec![width]),
            (of("attn_q"), vec![width, width]),
            (of("attn_k"), vec![width, width / 2]),
            (of("attn_v"), vec![width, width / 2]),
            (of("attn_output"), vec![width, width]),
            (of("ffn_norm"), vec![width]),
            (of("ffn_gate"), vec![width, wide]),
            (of("ffn_up"), vec![width, wide]),
            (of("ffn_down"), vec![wide, width]),
        ]);
    }
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(7u64.to_le_bytes());
    text(&mut bytes, "general.architecture");
    bytes.extend(8u32.to_le_bytes());
    text(&mut bytes, "llama");
    number(&mut bytes, "llama.context_length", 8192);
    number(&mut bytes, "llama.embedding_length", 256);
    number(&mut bytes, "llama.block_count", 2);
    number(&mut bytes, "llama.feed_forward_length", 512);
    number(&mut bytes, "llama.attention.head_count", 4);
    number(&mut bytes, "llama.attention.head_count_kv", 2);
    let mut at = 0u64;
    for (name, shape) in &tensors {
        text(&mut bytes, name);
        bytes.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(at.to_le_bytes());
        at += (2 * shape.iter().product::<u64>()).next_multiple_of(32);
    }
    bytes
}

/// The scenario at the head of the page, with the keys of an example in place of its own.
fn with(example: &Json) -> Json {
    let mut whole = tree(BASE).unwrap().json();
    let keys = whole.as_object_mut().unwrap();
    for (key, value) in example.as_object().unwrap() {
        match (keys.get_mut(key), value) {
            (Some(Json::Object(there)), Json::Object(given)) => put(there, given),
            _ => {
                keys.insert(key.clone(), value.clone());
            }
        }
    }
    if keys.contains_key("pools") {
        keys.remove("gpu");
    }
    whole
}

fn put(there: &mut Map<String, Json>, given: &Map<String, Json>) {
    if given.contains_key("trace") || given.contains_key("sessions") {
        there.clear();
    }
    for (key, value) in given {
        there.insert(key.clone(), value.clone());
    }
}

/// Whether an example has the key at this path.
fn has(value: &Json, path: &str) -> bool {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let key = step.trim_end_matches("[]");
    // `schedulers: [orca]` has `orca`.
    let named = |value: &Json| rest.is_none() && value.as_str() == Some(key);
    // A mixture's parts have the keys of what they are mixed to.
    let mixed = value.get("mixture").and_then(Json::as_array);
    if mixed.is_some_and(|parts| parts.iter().any(|part| has(part, path))) {
        return true;
    }
    let Some(inner) = value.get(key) else { return named(value) };
    match (step.ends_with("[]"), rest) {
        (_, None) => true,
        (false, Some(rest)) => has(inner, rest),
        (true, Some(rest)) => inner.as_array().is_some_and(|all| all.iter().any(|v| has(v, rest))),
    }
}

#[test]
fn every_example_loads_and_shows_its_keys() {
    let folder = files();
    let mut all = examples();
    let written: Vec<String> = all.iter().flat_map(|example| example.paths.clone()).collect();
    let keys: Vec<String> =
        sections().iter().flat_map(|section| &section.keys).map(|key| key.path.clone()).collect();
    for path in keys.iter().filter(|path| !written.contains(path)) {
        let text = metron_sim::scenario::example_of(path);
        all.extend(text.map(|text| Example { paths: vec![path.clone()], text }));
    }
    let mut wrong = Vec::new();
    for Example { paths, text } in all {
        let example = tree(&text).unwrap_or_else(|error| panic!("{paths:?}: {error}")).json();
        for path in &paths {
            if !keys.contains(path) {
                wrong.push(format!("{path}: there is no such key"));
            }
            if !has(&example, path) {
                wrong.push(format!("{path}: its example does not have it: {text}"));
            }
        }
        let scenario = with(&example).to_string();
        let loaded = Document::from_text("example", &scenario, Files::any(folder.path()))
            .and_then(|document| document.resolve(None));
        if let Err(error) = loaded {
            wrong.push(format!("{paths:?}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scenario_at_its_head_loads() {
    let document = Document::from_text("base", BASE, Files::none()).unwrap();
    assert_eq!(document.resolve(None).unwrap().experiment.schedulers.len(), 2);
}
