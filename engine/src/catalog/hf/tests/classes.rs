//! What classes do that their configs do not say.

use super::*;
use crate::catalog::{Mixer, Mlp, QkNorm, Reach};

fn small(kind: &str, more: &str) -> Model {
    let text = format!(
        r#"{{"model_type": "{kind}", "hidden_size": 64, "num_hidden_layers": 8,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000,
        "intermediate_size": 256, "max_position_embeddings": 4096, "tie_word_embeddings": false{more}}}"#
    );
    Model::from_hf_config(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn windows(model: &Model) -> Vec<(u32, Option<Reach>)> {
    model.groups.iter().map(|group| (group.layers, group.mixer.reach())).collect()
}

#[test]
fn windows_are_by_class() {
    let w = Some(Reach::Window(512));
    let all = Some(Reach::All);
    let with = r#", "sliding_window": 512"#;
    assert_eq!(windows(&small("mistral", with)), [(8, w)]);
    assert_eq!(windows(&small("gemma2", with))[..3], [(1, w), (1, all), (1, w)]);
    assert_eq!(windows(&small("gemma3_text", with)), [(5, w), (1, all), (2, w)]);
    assert_eq!(windows(&small("gpt_oss", with))[..2], [(1, w), (1, all)]);
    assert_eq!(windows(&small("cohere2", with)), [(3, w), (1, all), (3, w), (1, all)]);
    // Llama's class does not read the key; Qwen's only where another says so.
    let llama = small("llama", with);
    assert_eq!(windows(&llama), [(8, all)]);
    assert!(llama.assumed[0].contains("the class `llama` does not read it"));
    assert_eq!(windows(&small("qwen2", with)), [(8, all)]);
    let used = r#", "sliding_window": 512, "use_sliding_window": true, "max_window_layers": 6"#;
    assert_eq!(windows(&small("qwen2", used)), [(6, all), (2, w)]);
    let listed = r#", "sliding_window": 512, "layer_types": ["full_attention", "sliding_attention",
        "sliding_attention", "full_attention", "full_attention", "full_attention",
        "full_attention", "full_attention"]"#;
    assert_eq!(windows(&small("llama", listed)), [(1, all), (2, w), (5, all)]);
}

#[test]
fn biases_norms_and_matrices_are_by_class() {
    let attention = |model: &Model| match model.groups[0].mixer {
        Mixer::Attention(attention) => attention,
        _ => panic!("attention"),
    };
    let dense = |model: &Model| match model.groups[0].mlp {
        Mlp::Dense(dense) => dense,
        _ => panic!("dense"),
    };
    assert!(attention(&small("qwen2", "")).qkv_bias && !attention(&small("qwen2", "")).output_bias);
    assert_eq!(attention(&small("qwen3", "")).qk_norm, QkNorm::PerHead);
    assert_eq!(attention(&small("olmo2", "")).qk_norm, QkNorm::Whole);
    assert!(!dense(&small("nemotron", "")).gated && !dense(&small("arcee", "")).gated);
    assert!(dense(&small("starcoder2", "")).bias && !dense(&small("starcoder2", "")).gated);
    assert!(attention(&small("llama", r#", "attention_bias": true"#)).output_bias);
}

#[test]
fn which_layers_have_experts() {
    let sparse = |kind: &str, more: &str| -> Vec<u32> {
        let model = small(
            kind,
            &format!(r#", "num_experts_per_tok": 2, "moe_intermediate_size": 32{more}"#),
        );
        let mut layers = Vec::new();
        let mut layer = 0;
        for group in &model.groups {
            for _ in 0..group.layers {
                if matches!(group.mlp, Mlp::Experts(_)) {
                    layers.push(layer);
                }
                layer += 1;
            }
        }
        layers
    };
    let all: Vec<u32> = (0..8).collect();
    assert_eq!(sparse("qwen3_moe", r#", "num_experts": 8"#), all);
    assert_eq!(
        sparse("qwen3_moe", r#", "num_experts": 8, "decoder_sparse_step": 2"#),
        [1, 3, 5, 7]
    );
    let only = r#", "num_experts": 8, "mlp_only_layers": [0, 3]"#;
    assert_eq!(sparse("qwen3_moe", only), [1, 2, 4, 5, 6, 7]);
    assert_eq!(
        sparse("glm4_moe", r#", "n_routed_experts": 8, "first_k_dense_replace": 5"#),
        [5, 6, 7]
    );
    assert_eq!(
        sparse("llama4_text", r#", "num_local_experts": 8, "interleave_moe_layer_step": 4"#),
        [3, 7]
    );
    assert_eq!(
        sparse("step3p5", r#", "moe_num_experts": 8, "moe_layers_enum": "4,5,7""#),
        [4, 5, 7]
    );
    let jamba = r#", "num_experts": 8, "expert_layer_period": 4, "expert_layer_offset": 1,
        "attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_state": 4, "mamba_d_conv": 4,
        "mamba_expand": 2, "mamba_dt_rank": 4"#;
    assert_eq!(sparse("jamba", jamba), [1, 5]);
}

#[test]
fn lists_must_be_as_long_as_the_layers() {
    let error =
        Model::from_hf_config(&LLAMA.replacen('{', r#"{"layer_types": ["full_attention"], "#, 1));
    assert!(error.is_err_and(|e| e.to_string().contains("1 entries for 32 layers")));
}

#[test]
fn searched_blocks_have_widths_of_their_own() {
    let block =
        |attention: &str, ffn: &str| format!(r#"{{"attention": {attention}, "ffn": {ffn}}}"#);
    let keep = r#"{"n_heads_in_group": 4, "no_op": false}"#;
    let none = r#"{"no_op": true, "n_heads_in_group": null}"#;
    // 2/3 of 3 x 384 is 768; of 1.3 x 384, 332, rounded up to 512.
    let blocks = [block(keep, r#"{"ffn_mult": 3}"#), block(none, r#"{"ffn_mult": 1.3}"#)];
    let text = format!(
        r#"{{"model_type": "nemotron-nas", "hidden_size": 384, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": null, "intermediate_size": null,
        "vocab_size": 1000, "max_position_embeddings": 4096, "tie_word_embeddings": false,
        "block_configs": [{}]}}"#,
        blocks.join(",")
    );
    let model = Model::from_hf_config(&text).expect("a model");
    assert!(matches!(model.groups[0].mixer, Mixer::Attention(a) if a.kv_heads == 2));
    assert!(matches!(model.groups[0].mlp, Mlp::Dense(d) if d.width == 768));
    assert_eq!((model.groups[1].mixer, model.groups[1].norms), (Mixer::None, 1));
    assert!(matches!(model.groups[1].mlp, Mlp::Dense(d) if d.width == 512));
}

#[test]
fn kimis_layers_are_counted_from_one() {
    let text = r#"{"model_type": "kimi_linear", "hidden_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 32, "q_lora_rank": null,
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "vocab_size": 1000,
        "intermediate_size": 256, "model_max_length": 4096, "tie_word_embeddings": false,
        "linear_attn_config": {"full_attn_layers": [4], "kda_layers": [1, 2, 3], "num_heads": 4,
        "head_dim": 16, "short_conv_kernel_size": 4}}"#;
    let model = Model::from_hf_config(text).expect("a model");
    assert!(matches!(model.groups[0].mixer, Mixer::Recurrent(_)) && model.groups[0].layers == 3);
    assert!(matches!(model.groups[1].mixer, Mixer::Latent(_)));
    // Three states of 4 x 16 x 16 numbers of 4 bytes, three convolutions' 3 tokens of 64 numbers.
    assert_eq!(model.state_bytes_per_request(), 3 * (4 * 4 * 16 * 16 + 2 * 3 * 3 * 64));
}

#[test]
fn layers_for_multi_token_prediction_are_apart() {
    let plain = small(
        "glm4_moe",
        r#", "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32"#,
    );
    let more = r#", "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "num_nextn_predict_layers": 2"#;
    let model = small("glm4_moe", more);
    assert_eq!(model.parameters(), plain.parameters());
    let layer = model.groups.last().expect("layers").parameters(64);
    assert_eq!(model.draft_parameters, 2 * (layer + 2 * 64 * 64 + 3 * 64));
}
