//! Formats of tensors from what configs say of their quantisation.

use super::*;
use crate::catalog::{Format, FormatName, Formats};

pub(super) fn llama_with(quantization: &str) -> Result<Model, HfConfigError> {
    let key = format!("{{\"quantization_config\": {quantization}, ");
    Model::from_hf_config(&LLAMA.replacen('{', &key, 1))
}

pub(super) fn formats(quantization: &str) -> Formats {
    llama_with(quantization).unwrap_or_else(|error| panic!("{quantization}: {error}")).formats
}

#[test]
fn methods_and_their_bits() {
    for (quantization, name, bits) in [
        (r#"{"quant_method": "fp8"}"#, FormatName::Fp8, 8.0),
        (r#"{"quant_method": "fp8", "weight_block_size": [128, 128]}"#, FormatName::Fp8, 8.002),
        (r#"{"quant_method": "awq", "bits": 4, "group_size": 64}"#, FormatName::Int4, 4.3125),
        (
            r#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": true, "sym": true}"#,
            FormatName::Int4,
            4.15625,
        ),
        (r#"{"quant_method": "gptq", "bits": 8, "group_size": -1}"#, FormatName::Int8Weights, 8.0),
        (r#"{"quant_method": "gptq", "bits": 3, "group_size": 128}"#, FormatName::Int4, 3.148),
        (r#"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#, FormatName::Int4, 4.5),
        (r#"{"quant_method": "bitsandbytes", "load_in_8bit": true}"#, FormatName::Int8Weights, 8.0),
        (r#"{"quant_method": "modelopt", "quant_algo": "FP8"}"#, FormatName::Fp8, 8.0),
        (r#"{"quant_method": "modelopt", "quant_algo": "NVFP4"}"#, FormatName::Nvfp4, 4.5),
        (
            r#"{"quant_method": "modelopt", "quant_algo": "W4A8_AWQ", "group_size": 128}"#,
            FormatName::Int4Fp8,
            4.125,
        ),
        (
            r#"{"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": true}"#,
            FormatName::Int4,
            4.125,
        ),
        (
            r#"{"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}, "input_tensors": {"dtype": "fp8_e4m3"}}}"#,
            FormatName::Fp8,
            8.0,
        ),
        (
            r#"{"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}, "input_activations": {"num_bits": 8, "type": "int", "strategy": "token"}}}, "ignore": ["lm_head"]}"#,
            FormatName::Int8,
            8.008,
        ),
        (
            r#"{"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": true}}}, "ignore": ["lm_head"]}"#,
            FormatName::Int4,
            4.125,
        ),
        (
            r#"{"quant_method": "compressed-tensors", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}, "input_activations": {"num_bits": 4, "type": "float", "group_size": 16}}}}"#,
            FormatName::Nvfp4,
            4.5,
        ),
        (r#"{"bits": 4, "group_size": 64}"#, FormatName::Int4, 4.5),
    ] {
        let formats = formats(quantization);
        assert_eq!(formats.mlp.name, name, "{quantization}");
        let given = f64::from(formats.mlp.bits_1024ths) / 1024.0;
        assert!((given - bits).abs() < 0.002, "{quantization}: {given}");
        assert_eq!(formats.attention, formats.mlp, "{quantization}");
        // MLX quantises embedding and head as well.
        let tables = quantization.starts_with("{\"bits\"");
        assert_eq!(formats.head.is_16_bit(), !tables, "{quantization}");
    }
}

#[test]
fn modules_that_are_left_out_keep_16_bits() {
    let out = |list: &str| {
        let q = format!(r#"{{"quant_method": "fp8", "modules_to_not_convert": {list}}}"#);
        formats(&q)
    };
    assert_eq!(out(r#"["self_attn"]"#).attention, Format::BF16);
    assert_eq!(out(r#"["self_attn"]"#).mlp, Format::FP8);
    assert_eq!(out(r#"["model.layers.*.mlp", "lm_head"]"#).mlp, Format::BF16);
    assert_eq!(out(r#"["gate", "lm_head", "visual"]"#).mlp, Format::FP8);
    // One layer of 32 in 16 bits: 8.25 bits in the mean, and said.
    let one = out(r#"["model.layers.5.mlp"]"#);
    assert_eq!((one.mlp.name, one.mlp.bits_1024ths), (FormatName::Fp8, 8 * 1024 + 256));
    let q = r#"{"quant_method": "fp8", "ignored_layers": ["model.layers.5.mlp"]}"#;
    let model = llama_with(q).expect("a model");
    assert!(model.assumed[0].contains("of dense layers, "), "{:?}", model.assumed);
}

#[test]
fn what_lies_beside_the_config_counts() {
    let beside = r#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}}"#;
    let files = HfFiles { config: LLAMA, quant_config: Some(beside), ..HfFiles::default() };
    let formats = Model::from_hf(&files).expect("a model").formats;
    assert_eq!((formats.mlp, formats.kv_bits_1024ths), (Format::NVFP4, Some(8192)));
    let files = HfFiles { generation_config: Some("["), ..files };
    assert!(
        Model::from_hf(&files).is_err_and(|e| e.to_string().contains("generation_config.json"))
    );
}

#[test]
fn formats_may_be_said_module_by_module() {
    let layers: Vec<String> = (0..32)
        .map(|layer| {
            format!(
                r#""model.layers.{layer}.self_attn.q_proj": {{"quant_algo": "FP8"}},
                "model.layers.{layer}.self_attn.k_proj": {{"quant_algo": "FP8"}},
                "model.layers.{layer}.self_attn.v_proj": {{"quant_algo": "FP8"}},
                "model.layers.{layer}.self_attn.o_proj": {{"quant_algo": "FP8"}},
                "model.layers.{layer}.mlp.gate_proj": {{"quant_algo": "NVFP4", "group_size": 16}},
                "model.layers.{layer}.mlp.up_proj": {{"quant_algo": "NVFP4", "group_size": 16}}"#
            )
        })
        .collect();
    let q = format!(
        r#"{{"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {{{}}}}}"#,
        layers.join(",")
    );
    let formats = formats(&q);
    assert_eq!(formats.attention, Format::FP8);
    // Two matrices of three in 4.5 bits, one in 16.
    assert_eq!(formats.mlp.name, FormatName::Nvfp4);
    assert_eq!(formats.mlp.bits_1024ths, (2 * (4 * 1024 + 512) + 16 * 1024) / 3);
}

#[test]
fn checkpoints_have_the_published_sizes() {
    let gib = |name: &str| {
        let model = catalog::model(name).expect("in the catalog");
        let tables = 4 * u64::from(model.vocab_size) * u64::from(model.hidden_size);
        let without = model.checkpoint_bytes() as f64 / f64::from(1 << 30);
        (without, (model.draft_bytes() + tables) as f64 / f64::from(1 << 30))
    };
    assert!((gib("gpt-oss-120b").0 / 60.8 - 1.0).abs() < 0.002);
    let (without, draft) = gib("deepseek-r1");
    assert!((without / 626.9 - 1.0).abs() < 0.001, "{without}");
    assert!(((without + draft) / 641.3 - 1.0).abs() < 0.002, "{draft}");
    assert!((gib("kimi-k2.5").0 / 554.3 - 1.0).abs() < 0.002, "{}", gib("kimi-k2.5").0);
}
