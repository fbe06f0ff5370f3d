use super::*;
use crate::catalog;

mod cases;
mod classes;
mod encoders;
mod formats;
mod quantization;
mod strict;
mod unknown;

/// Reads `json` and compares with the catalog's entry, names aside.
fn assert_reads_as(json: &str, name: &str) {
    let read = Model::from_hf_config(json).unwrap();
    let mut expected = catalog::model(name).unwrap();
    expected.name.clone_from(&read.name);
    expected.description.clone_from(&read.description);
    expected.source.clone_from(&read.source);
    expected.published = crate::catalog::Published::default();
    expected.assumed.clone_from(&read.assumed);
    assert_eq!(read, expected, "{name}");
}

const LLAMA: &str = r#"{
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "hidden_act": "silu",
  "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
  "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
  "num_key_value_heads": 8, "rope_scaling": {"factor": 8.0}, "tie_word_embeddings": false,
  "torch_dtype": "bfloat16", "vocab_size": 128256
}"#;

#[test]
fn a_model_is_named_by_itself_by_its_file_or_by_its_kind() {
    let text = |own: &str| {
        format!(
            r#"{{"_name_or_path": "{own}", "model_type": "llama", "hidden_size": 64,
            "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256}}"#
        )
    };
    let name =
        |own: &str, place: &str| Model::from_hf_config_at(&text(own), place).expect("a model").name;
    assert_eq!(name("meta-llama/Llama-3.1-8B", "x/config.json"), "llama-3.1-8b");
    assert_eq!(name("/models/mine/", "x/config.json"), "mine");
    assert_eq!(name("", "models/Qwen3-32B/config.json"), "qwen3-32b");
    assert_eq!(name("./", "../q1_awq.json"), "q1_awq");
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let cached = format!("hub/models--Qwen--Qwen2.5-7B/snapshots/{hash}/config.json");
    assert_eq!(name("", &cached), "qwen2.5-7b");
    assert_eq!(name("", "config.json"), "llama");
    assert_eq!(name("", "../config.json"), "llama");
}

#[test]
fn llama() {
    assert_reads_as(LLAMA, "llama-3.1-8b");
}

#[test]
fn mixtral_with_no_window() {
    assert_reads_as(
        r#"{"hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mixtral", "num_attention_heads": 32, "num_experts_per_tok": 2,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8,
        "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32000}"#,
        "mixtral-8x7b",
    );
}

#[test]
fn qwen2_has_biases_and_an_unused_window() {
    assert_reads_as(
        r#"{"hidden_size": 5120, "intermediate_size": 27648, "max_position_embeddings": 32768,
        "max_window_layers": 70, "model_type": "qwen2", "num_attention_heads": 40,
        "num_hidden_layers": 64, "num_key_value_heads": 8, "sliding_window": 131072,
        "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 152064}"#,
        "qwen2.5-32b",
    );
}

#[test]
fn qwen3_moe_has_its_own_head_size_and_norms() {
    assert_reads_as(
        r#"{"attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128,
        "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960,
        "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 768,
        "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "sliding_window": null,
        "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936}"#,
        "qwen3-30b-a3b",
    );
}

#[test]
fn gemma_2_ties_its_embeddings_without_saying_so() {
    assert_reads_as(
        r#"{"attention_bias": false, "head_dim": 256, "hidden_size": 3584,
        "intermediate_size": 14336, "max_position_embeddings": 8192, "model_type": "gemma2",
        "num_attention_heads": 16, "num_hidden_layers": 42, "num_key_value_heads": 8,
        "sliding_window": 4096, "vocab_size": 256000}"#,
        "gemma-2-9b",
    );
}

#[test]
fn phi_3() {
    assert_reads_as(
        r#"{"attention_bias": false, "hidden_size": 3072, "intermediate_size": 8192,
        "max_position_embeddings": 4096, "model_type": "phi3", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "sliding_window": 2047,
        "tie_word_embeddings": false, "vocab_size": 32064}"#,
        "phi-3-mini",
    );
}

#[test]
fn a_multimodal_config_gives_its_language_model() {
    let json = format!(
        r#"{{"model_type": "mllama", "hidden_size": 1, "vision_config": {{}}, "text_config": {LLAMA}}}"#
    );
    assert_reads_as(&json, "llama-3.1-8b");
}

#[test]
fn deepseek_16b_has_shared_experts_and_a_dense_layer() {
    let model = Model::from_hf_config(
        r#"{"model_type": "deepseek", "first_k_dense_replace": 1, "hidden_size": 2048,
        "intermediate_size": 10944, "max_position_embeddings": 4096,
        "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_routed_experts": 64,
        "n_shared_experts": 2, "num_attention_heads": 16, "num_experts_per_tok": 6,
        "num_hidden_layers": 28, "num_key_value_heads": 16, "tie_word_embeddings": false,
        "vocab_size": 102400}"#,
    )
    .unwrap();
    let experts = model.experts().unwrap();
    assert_eq!((experts.shared_width, model.groups[0].layers), (2816, 1));
    // Published as 16.4 B.
    assert!((model.parameters() as f64 / 16.4e9 - 1.0).abs() < 0.005, "{}", model.parameters());
}

#[test]
fn deepseek_v2_lite_and_v3_have_latent_attention() {
    assert_reads_as(
        r#"{"model_type": "deepseek_v2", "first_k_dense_replace": 1, "hidden_size": 2048,
        "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
        "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_routed_experts": 64,
        "n_shared_experts": 2, "num_attention_heads": 16, "num_experts_per_tok": 6,
        "num_hidden_layers": 27, "num_key_value_heads": 16, "q_lora_rank": null,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "tie_word_embeddings": false, "vocab_size": 102400}"#,
        "deepseek-v2-lite",
    );
    assert_reads_as(
        r#"{"model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168,
        "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
        "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_attention_heads": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 61, "num_key_value_heads": 128, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "num_nextn_predict_layers": 1, "tie_word_embeddings": false, "vocab_size": 129280,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}"#,
        "deepseek-v3",
    );
    let error = Model::from_hf_config(
        r#"{"model_type": "deepseek_v3", "hidden_size": 64, "num_attention_heads": 4,
        "num_hidden_layers": 2, "kv_lora_rank": 512, "qk_rope_head_dim": null}"#,
    )
    .unwrap_err();
    assert_eq!(error, HfConfigError::Missing("qk_rope_head_dim".into()));
}

#[test]
fn a_missing_key_is_named() {
    let unknown = LLAMA.replace("\"model_type\": \"llama\"", "\"model_type\": \"foo\"");
    for key in ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"] {
        let renamed = unknown.replace(&format!("\"{key}\""), "\"other\"");
        let error = Model::from_hf_config(&renamed).unwrap_err();
        assert_eq!(error, HfConfigError::Missing(key.into()));
        assert_eq!(error.to_string(), format!("the key `{key}` is missing"));
    }
}

#[test]
fn wrong_values_are_named() {
    let words = LLAMA.replace("128256", "\"many\"");
    let error = Model::from_hf_config(&words).unwrap_err();
    assert_eq!(error.to_string(), "`vocab_size` must be a whole number, found \"many\"");
    let zero = LLAMA.replace("\"num_attention_heads\": 32", "\"num_attention_heads\": 0");
    assert!(matches!(Model::from_hf_config(&zero), Err(HfConfigError::Figure(_))));
    let negative = LLAMA.replace("14336", "-1");
    assert!(matches!(Model::from_hf_config(&negative), Err(HfConfigError::WrongType { .. })));
}

#[test]
fn other_architectures_are_refused() {
    for (json, what) in [
        (r#"{"model_type": "rwkv", "hidden_size": 128}"#, "`model_type: rwkv` are not modelled"),
        (r#"{"model_type": "t5", "is_encoder_decoder": true}"#, "encoder-decoder"),
    ] {
        let error = Model::from_hf_config(json).unwrap_err();
        assert!(matches!(error, HfConfigError::Unsupported(_)));
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn not_json_is_an_error() {
    assert!(matches!(Model::from_hf_config("nope"), Err(HfConfigError::NotAnObject(_))));
    assert!(matches!(Model::from_hf_config("[]"), Err(HfConfigError::NotAnObject(_))));
}

/// Models that score have no head over the vocabulary: 128,256 x 4,096 parameters fewer.
#[test]
fn a_class_without_a_head_has_none() {
    let scoring = LLAMA.replace("LlamaForCausalLM", "LlamaForSequenceClassification");
    let [with, without] = [LLAMA, &scoring].map(|json| Model::from_hf_config(json).unwrap());
    assert_eq!(with.parameters() - without.parameters(), 128_256 * 4096);
    assert!(without.assumed.iter().any(|note| note.contains("has no output head")));
}
