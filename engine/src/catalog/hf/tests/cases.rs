//! Small configs, one difficulty each, with values worked out by hand.

use super::*;
use crate::catalog::{KvSource, Mixer, Mlp, Reach};

fn read(text: &str) -> Model {
    Model::from_hf_config(text).unwrap_or_else(|error| panic!("{error}"))
}

fn mib(model: &Model) -> f64 {
    model.checkpoint_bytes() as f64 / f64::from(1 << 20)
}

/// Bytes of KV for 16 tokens, all in 16 bits where the config says nothing else.
fn kv_block(model: &Model) -> u64 {
    16 * model.kv_bytes_per_token(model.formats.kv_bits_1024ths.unwrap_or(16 * 1024))
}

fn assert_near(given: f64, right: f64) {
    assert!((given - right).abs() < 0.06, "{given} is not {right}");
}

#[test]
fn quantised_weights_and_kv() {
    // 121.6 M of 187.2 M weights are in matrices of the layers; 125 MiB of embedding and head.
    let plain = read(include_str!("../cases/q0_bf16.json"));
    assert_near(mib(&plain), 357.1);
    // 4 bits, 16 of scale and 4 of zero point for each 128: 4.15625.
    assert_near(mib(&read(include_str!("../cases/q1_awq.json"))), 185.3);
    // Experts in 4.25 bits, attention, router and tables in 16.
    // 573 MiB, and 2 of biases: of 8 layers x 32 experts, 3 x 1,024 and the router's.
    let experts = read(include_str!("../cases/q3_mxfp4_moe.json"));
    assert!((mib(&experts) - 575.1).abs() < 0.1, "{}", mib(&experts));
    // 4.5 bits; KV in 8.
    let both = read(include_str!("../cases/q4_kvfp8.json"));
    assert!((mib(&both) - 190.0).abs() < 0.5, "{}", mib(&both));
    assert_eq!((kv_block(&both), kv_block(&plain)), (64 << 10, 128 << 10));
}

#[test]
fn an_indexer_keeps_a_key_a_token() {
    let model = read(include_str!("../cases/a1_dsa.json"));
    // 8 layers, 16 tokens: 576 numbers of 2 bytes, and 128 + 4 bytes.
    assert_eq!(kv_block(&model), 8 * 16 * (2 * 576 + 132));
    assert_eq!(model.reaches()[0], Reach::Picked(2048));
}

#[test]
fn layers_without_attention_keep_no_kv() {
    // One attention layer of 8: 2 heads, 2 x 128 numbers of 2 bytes, 16 tokens.
    let nemotron = read(include_str!("../cases/h1_nemotron_h.json"));
    assert_eq!(kv_block(&nemotron), 16 << 10);
    assert_eq!(nemotron.layers(), 8);
    let mambas = nemotron.groups.iter().filter(|g| matches!(g.mixer, Mixer::Recurrent(_)));
    assert_eq!(mambas.map(|g| g.layers).sum::<u32>(), 4);
    let experts = nemotron.experts().expect("E layers");
    assert_eq!((experts.gated, experts.width, experts.shared_width), (false, 512, 1024));
    assert_eq!(kv_block(&read(include_str!("../cases/h2_lfm2.json"))), 32 << 10);
    assert_eq!(kv_block(&read(include_str!("../cases/h4_minimax_text01.json"))), 16 << 10);
}

#[test]
fn windows_may_have_heads_of_their_own() {
    let model = read(include_str!("../cases/k1_mimo.json"));
    let kv = |reach: Reach| {
        let of = |group: &&crate::catalog::LayerGroup| group.mixer.reach() == Some(reach);
        let groups: Vec<_> = model.groups.iter().filter(of).copied().collect();
        Model { groups, ..model.clone() }.kv_bytes_per_token(16 * 1024)
    };
    assert_eq!((kv(Reach::All), kv(Reach::Window(128))), (2560, 15_360));
}

#[test]
fn llama_4_has_a_shared_expert_that_no_key_names() {
    let model = read(include_str!("../cases/s1_llama4.json"));
    assert_eq!(model.experts().map(|experts| experts.shared_width), Some(2048));
    let mut without = model.clone();
    for group in &mut without.groups {
        if let Mlp::Experts(experts) = &mut group.mlp {
            experts.shared_width = 0;
        }
    }
    assert_near(mib(&model) - mib(&without), 96.0);
    assert_eq!(model.reaches()[0], Reach::Chunk(8192));
    // Every fourth layer looks at all tokens.
    let full = model.groups.iter().filter(|g| g.mixer.reach() == Some(Reach::All));
    assert_eq!(full.map(|g| g.layers).sum::<u32>(), 2);
}

#[test]
fn which_layers_are_dense_may_be_a_list() {
    let model = read(include_str!("../cases/d1_moe_layer_freq_list.json"));
    let mlps: Vec<(u32, bool)> =
        model.groups.iter().map(|g| (g.layers, matches!(g.mlp, Mlp::Experts(_)))).collect();
    assert_eq!(mlps, [(3, false), (5, true)]);
    assert!(matches!(model.groups[0].mlp, Mlp::Dense(dense) if dense.width == 4096));
    assert!(
        matches!(model.groups[1].mlp, Mlp::Experts(e) if e.width == 512 && e.shared_width == 512)
    );
}

#[test]
fn falcon_has_one_kv_head() {
    let model = read(include_str!("../cases/m1_falcon.json"));
    assert!(
        matches!(model.groups[0].mixer, Mixer::Attention(a) if a.kv_heads == 1 && a.key_dim == 64)
    );
}

#[test]
fn python_writes_infinity_and_classes_have_defaults() {
    read(include_str!("../cases/r1_infinity.json"));
    let gemma = read(include_str!("../cases/r2_gemma3_hub.json"));
    assert_eq!((gemma.vocab_size, gemma.max_position_embeddings), (262_208, 131_072));
    let attention = |group: &crate::catalog::LayerGroup| match group.mixer {
        Mixer::Attention(a) => (a.heads, a.kv_heads, a.key_dim, a.kv == KvSource::Own),
        _ => panic!("attention"),
    };
    assert_eq!(attention(&gemma.groups[0]), (8, 4, 256, true));
    assert!(gemma.tied_embeddings);
    assert!(gemma.assumed[0].contains("head_dim 256"), "{:?}", gemma.assumed);
    // 29 of 34 layers have the window.
    let windows = gemma.groups.iter().filter(|g| g.mixer.reach() == Some(Reach::Window(1024)));
    assert_eq!(windows.map(|g| g.layers).sum::<u32>(), 29);
}
