use std::io::Cursor;

use super::*;
use crate::catalog::{FormatName, Mixer, Mlp, Reach};

const F32: u32 = 0;
const F16: u32 = 1;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const Q6_K: u32 = 14;

#[derive(Clone, Copy)]
enum Meta<'a> {
    Flag(bool),
    Text(&'a str),
    Number(u32),
    Numbers(&'a [u32]),
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The header of a GGUF file, version 3.
fn file(metadata: &[(&str, Meta<'_>)], tensors: &[(String, Vec<u64>, u32)]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut out, key);
        match value {
            Meta::Text(value) => {
                out.extend(8_u32.to_le_bytes());
                text(&mut out, value);
            }
            Meta::Flag(value) => {
                out.extend(7_u32.to_le_bytes());
                out.push(u8::from(*value));
            }
            Meta::Number(value) => {
                out.extend(4_u32.to_le_bytes());
                out.extend(value.to_le_bytes());
            }
            Meta::Numbers(values) => {
                out.extend(9_u32.to_le_bytes());
                out.extend(4_u32.to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
        }
    }
    for (name, dims, kind) in tensors {
        text(&mut out, name);
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out
}

fn llama_keys<'a>() -> Vec<(&'a str, Meta<'a>)> {
    vec![
        ("general.architecture", Meta::Text("llama")),
        ("general.name", Meta::Text("Small Llama")),
        ("llama.block_count", Meta::Number(2)),
        ("llama.context_length", Meta::Number(4096)),
        ("llama.embedding_length", Meta::Number(256)),
        ("llama.feed_forward_length", Meta::Number(1024)),
        ("llama.attention.head_count", Meta::Number(4)),
        ("llama.attention.head_count_kv", Meta::Number(2)),
        ("llama.rope.dimension_count", Meta::Number(64)),
    ]
}

fn llama_tensors() -> Vec<(String, Vec<u64>, u32)> {
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![256, 1000], Q4_K),
        ("output.weight".to_owned(), vec![256, 1000], Q6_K),
        ("output_norm.weight".to_owned(), vec![256], F32),
    ];
    for layer in 0..2 {
        for (name, dims, kind) in [
            ("attn_q", vec![256, 256], Q4_K),
            ("attn_k", vec![256, 128], Q4_K),
            ("attn_v", vec![256, 128], Q8_0),
            ("attn_output", vec![256, 256], Q4_K),
            ("ffn_gate", vec![256, 1024], Q4_K),
            ("ffn_up", vec![256, 1024], Q4_K),
            ("ffn_down", vec![1024, 256], Q6_K),
            ("attn_norm", vec![256], F32),
            ("ffn_norm", vec![256], F32),
        ] {
            tensors.push((format!("blk.{layer}.{name}.weight"), dims, kind));
        }
    }
    tensors
}

fn read(bytes: &[u8]) -> Result<Model, HfConfigError> {
    Model::from_gguf(Cursor::new(bytes), "x.gguf", &[])
}

#[test]
fn figures_and_formats_are_the_files_own() {
    let model = read(&file(&llama_keys(), &llama_tensors())).expect("a model");
    assert_eq!((model.name.as_str(), model.layers(), model.vocab_size), ("small-llama", 2, 1000));
    assert!(!model.tied_embeddings);
    // Q4_K has 144 bytes for 256 weights, Q6_K 210, Q8_0 34 for 32.
    let bits = |format: crate::catalog::Format| f64::from(format.bits_1024ths) / 1024.0;
    assert_eq!(model.formats.embedding.name, FormatName::Gguf);
    assert_eq!((bits(model.formats.embedding), bits(model.formats.head)), (4.5, 6.5625));
    // One of six parts in 8.5 bits, five in 4.5; one of three in 6.5625.
    assert!((bits(model.formats.attention) - (5.0 * 4.5 + 8.5) / 6.0).abs() < 0.001);
    assert!((bits(model.formats.mlp) - (2.0 * 4.5 + 6.5625) / 3.0).abs() < 0.001);
    let tensors = 2 * (6 * 256 * 128 + 3 * 256 * 1024 + 2 * 256) + 2 * 256_000 + 256;
    assert_eq!(model.parameters(), tensors);
}

#[test]
fn tensors_that_are_others_than_the_keys_say_refuse_the_file() {
    let mut tensors = llama_tensors();
    tensors.push(("blk.1.attn_gate.weight".into(), vec![256, 256], F16));
    let error = read(&file(&llama_keys(), &tensors)).expect_err("more weights").to_string();
    assert!(error.contains("its tensors hold"), "{error}");
    tensors.pop();
    tensors.retain(|(name, ..)| name != "output.weight");
    assert!(read(&file(&llama_keys(), &tensors)).expect("tied").tied_embeddings);
}

#[test]
fn keys_may_be_lists_and_unknown_ones_refuse_the_file() {
    let mut keys = llama_keys();
    keys.retain(|(key, _)| *key != "llama.attention.head_count_kv");
    keys.push(("llama.attention.head_count_kv", Meta::Numbers(&[2, 1])));
    let mut tensors = llama_tensors();
    for (name, dims, _) in &mut tensors {
        if name == "blk.1.attn_k.weight" || name == "blk.1.attn_v.weight" {
            dims[1] = 64;
        }
    }
    let model = read(&file(&keys, &tensors)).expect("a model");
    let kv: Vec<u32> = model
        .groups
        .iter()
        .map(|group| match group.mixer {
            Mixer::Attention(attention) => attention.kv_heads,
            _ => 0,
        })
        .collect();
    assert_eq!(kv, [2, 1]);
    let mut keys = llama_keys();
    keys.push(("llama.attention.mystery_rank", Meta::Number(8)));
    let error = read(&file(&keys, &llama_tensors())).expect_err("unknown").to_string();
    assert!(error.starts_with("`llama.attention.mystery_rank` is not known"), "{error}");
}

/// The keys of a Llama, with another architecture's name.
fn read_as(architecture: &str, more: Vec<(&str, Meta<'_>)>) -> Result<Model, HfConfigError> {
    let more = more.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value));
    let keys: Vec<(String, Meta<'_>)> = llama_keys()
        .into_iter()
        .map(|(key, value)| match value {
            Meta::Text("llama") => (key.to_owned(), Meta::Text(architecture)),
            value => (key.replace("llama.", &format!("{architecture}.")), value),
        })
        .chain(more)
        .collect();
    let keys: Vec<(&str, Meta<'_>)> = keys.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    read(&file(&keys, &llama_tensors()))
}

#[test]
fn an_architecture_that_is_not_known_is_said() {
    let model = read_as("newcomer", Vec::new()).expect("like Llama");
    assert!(model.assumed[0].contains("newcomer"), "{:?}", model.assumed);
}

#[test]
fn what_would_pass_for_a_llama_is_refused_by_name() {
    let refused = |architecture: &str, more| match read_as(architecture, more) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{architecture} is read"),
    };
    for architecture in ["bert", "t5encoder", "modern-bert", "gemma-embedding", "clip", "dream"] {
        let error = refused(architecture, Vec::new());
        assert!(error.contains(&format!("`{architecture}`")), "{error}");
    }
    let error = refused("llama", vec![("attention.causal", Meta::Flag(false))]);
    assert!(error.contains("attention.causal"), "{error}");
    read_as("llama", vec![("attention.causal", Meta::Flag(true))]).expect("causal");
    // Mamba-2's states have the keys of gated delta's here.
    let error = refused("granitehybrid", vec![("ssm.state_size", Meta::Number(128))]);
    assert!(error.contains("`granitehybrid`") && error.contains("ssm."), "{error}");
    let error = refused("llama", vec![("mystery_rank", Meta::Number(8))]);
    assert!(error.contains("model: {gguf: ..., assume:"), "{error}");
}

#[test]
fn version_2_is_read_like_version_3_and_version_1_is_not() {
    let mut bytes = file(&llama_keys(), &llama_tensors());
    bytes[4] = 2;
    assert_eq!(read(&bytes).expect("version 2").layers(), 2);
    bytes[4] = 1;
    let error = read(&bytes).expect_err("version 1").to_string();
    assert!(error.contains("version 1: convert it"), "{error}");
    bytes[4] = 4;
    assert!(read(&bytes).is_err());
}

#[test]
fn experts_and_windows_are_read() {
    let keys = [
        ("general.architecture", Meta::Text("gpt-oss")),
        ("gpt-oss.block_count", Meta::Number(2)),
        ("gpt-oss.context_length", Meta::Number(4096)),
        ("gpt-oss.embedding_length", Meta::Number(256)),
        ("gpt-oss.feed_forward_length", Meta::Number(256)),
        ("gpt-oss.expert_count", Meta::Number(4)),
        ("gpt-oss.expert_used_count", Meta::Number(2)),
        ("gpt-oss.expert_feed_forward_length", Meta::Number(256)),
        ("gpt-oss.attention.head_count", Meta::Number(4)),
        ("gpt-oss.attention.head_count_kv", Meta::Number(2)),
        ("gpt-oss.attention.key_length", Meta::Number(64)),
        ("gpt-oss.attention.value_length", Meta::Number(64)),
        ("gpt-oss.attention.sliding_window", Meta::Number(128)),
        ("split.count", Meta::Number(2)),
    ];
    let tensors = [
        ("token_embd.weight".to_owned(), vec![256, 1000], F16),
        ("output.weight".to_owned(), vec![256, 1000], F16),
        ("blk.0.ffn_gate_exps.weight".to_owned(), vec![256, 256, 4], 39),
    ];
    let model = read(&file(&keys, &tensors)).expect("a model");
    assert_eq!(model.groups[0].mixer.reach(), Some(Reach::Window(128)));
    assert_eq!(model.groups[1].mixer.reach(), Some(Reach::All));
    assert!(matches!(model.groups[0].mlp, Mlp::Experts(e) if e.count == 4 && e.width == 256));
    // MXFP4: 17 bytes for 32 weights.
    assert_eq!(model.formats.experts.bits_1024ths, 4 * 1024 + 256);
    assert!(model.assumed.iter().any(|note| note.contains("one of 2 parts")));
}

#[test]
fn what_is_no_gguf_file_is_an_error() {
    let whole = file(&llama_keys(), &llama_tensors());
    assert!(matches!(read(b""), Err(HfConfigError::Gguf(_))));
    assert!(matches!(read(b"GGUF"), Err(HfConfigError::Gguf(_))));
    assert!(read(&whole[..whole.len() / 2]).is_err());
    let mut many = whole.clone();
    many[8..16].fill(0xff);
    assert!(read(&many).is_err());
}
