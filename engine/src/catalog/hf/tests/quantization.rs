//! Words of quantisation that are deeper: groups, formats of single modules, what is not known.

use super::formats::{formats, llama_with};
use super::*;
use crate::catalog::{Format, FormatName};

fn refused(quantization: &str) -> String {
    match llama_with(quantization) {
        Err(error) => error.to_string(),
        Ok(model) => panic!("{quantization}: {:?}", model.formats),
    }
}

fn compressed(targets: &str, more: &str) -> String {
    format!(
        r#"{{"quant_method": "compressed-tensors", "config_groups": {{"group_0": {{
        "targets": {targets}, "weights": {{"num_bits": 8, "type": "float"{more}}},
        "input_activations": {{"num_bits": 8, "type": "float"}}}}}}}}"#
    )
}

#[test]
fn groups_are_of_matrices_that_are_there() {
    let mlp = formats(&compressed(r#"["re:.*mlp.*"]"#, ""));
    assert_eq!((mlp.mlp, mlp.attention), (Format::FP8, Format::BF16));
    // What lies outside the language model, and experts besides the first, say nothing here.
    formats(&compressed(
        r#"["Linear", "re:.*vision_tower.*", "model.layers.0.mlp.experts.7"]"#,
        "",
    ));
    for (targets, what) in [
        (r#"["LlamaMLP"]"#, "LlamaMLP"),
        (r#"["Linear", "LlamaDecoderLayer"]"#, "LlamaDecoderLayer"),
        (r#"["re:.*mlpx.*"]"#, "re:.*mlpx.*"),
        (r#"["model.layers.32.mlp"]"#, "layers.32"),
        ("[3]", "a list of names"),
        (r#""Linear""#, "a list"),
    ] {
        let error = refused(&compressed(targets, ""));
        assert!(error.contains("group_0.targets") && error.contains(what), "{error}");
    }
}

#[test]
fn torchao_has_groups_and_one_format() {
    let bits = |q: &str| f64::from(formats(q).mlp.bits_1024ths) / 1024.0;
    let of = |more: &str| {
        format!(
            r#"{{"quant_method": "torchao", "quant_type": {{"default": {{
            "_type": "Int4WeightOnlyConfig", "_version": 1, "_data": {{"group_size": 32}}}}{more}}}}}"#
        )
    };
    // 4 bits, and 16 of scale and 16 of zero point a group.
    assert!((bits(&of("")) - 5.0).abs() < 1e-9);
    let named = r#"{"quant_method": "torchao", "quant_type": "int4_weight_only""#;
    assert!((bits(&format!("{named}}}")) - 4.25).abs() < 1e-9);
    let kwargs = r#""quant_type_kwargs": {"group_size": 64}"#;
    assert!((bits(&format!("{named}, {kwargs}}}")) - 4.5).abs() < 1e-9);
    let error = refused(&of(r#", "model.layers.0": {"_type": "Int8WeightOnlyConfig"}"#));
    assert!(error.contains("model.layers.0"), "{error}");
}

#[test]
fn quark_says_the_format_of_kv_by_what_projections_put_out() {
    let fp8 = r#"{"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": false}"#;
    let of = |more: &str, all: &str| {
        format!(
            r#"{{"quant_method": "quark", "global_quant_config": {{"weight": {fp8},
            "input_tensors": {fp8}, "bias": null{all}}}{more}}}"#
        )
    };
    let kv = |more: &str| formats(&of(more, "")).kv_bits_1024ths;
    let one = format!(r#"{{"weight": {fp8}, "input_tensors": {fp8}, "output_tensors": {fp8}}}"#);
    assert_eq!(kv(""), None);
    assert_eq!(
        kv(&format!(r#", "kv_cache_quant_config": {{"*k_proj": {one}, "*v_proj": {one}}}"#)),
        Some(8192)
    );
    assert_eq!(
        kv(&format!(r#", "layer_quant_config": {{"*k_proj": {one}, "*v_proj": {one}}}"#)),
        Some(8192)
    );
    for (more, all, what) in [
        (
            format!(r#", "layer_quant_config": {{"*o_proj": {one}}}"#),
            String::new(),
            "output_tensors",
        ),
        (String::new(), format!(r#", "output_tensors": {fp8}"#), "output_tensors"),
        (
            r#", "layer_type_quant_config": {"Linear": {}}"#.into(),
            String::new(),
            "layer_type_quant_config",
        ),
        (String::new(), r#", "mystery_bits": 3"#.into(), "global_quant_config.mystery_bits"),
    ] {
        let error = refused(&of(&more, &all));
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn keys_that_are_not_known_are_found_at_every_depth() {
    let nested = |key: &str, value: &str| {
        format!(r#"{{"quant_method": "compressed-tensors", "{key}": {value}}}"#)
    };
    for (quantization, path) in [
        (compressed(r#"["Linear"]"#, r#", "mystery_bits": 3"#), "group_0.weights.mystery_bits"),
        (nested("kv_cache_scheme", r#"{"num_bits": 8, "mystery_size": 3}"#), "kv_cache_scheme.mystery_size"),
        (
            r#"{"quant_method": "modelopt", "quant_algo": "FP8", "config_groups": {"group_0": {
            "weights": {"num_bits": 8, "type": "float", "mystery_bits": 3}}}}"#.into(),
            "group_0.weights.mystery_bits",
        ),
        (
            r#"{"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {
            "model.layers.0.mlp": {"quant_algo": "FP8", "mystery_bits": 3}}}"#.into(),
            "quantized_layers.model.layers.0.mlp.mystery_bits",
        ),
        (
            r#"{"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4,
            "mystery_size": 3}}}"#.into(),
            "weight_quant_params.mystery_size",
        ),
        (
            r#"{"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*down.*": {"mystery_bits": 3}}}"#.into(),
            "mystery_bits",
        ),
        (
            r#"{"quant_method": "auto-round", "bits": 4, "extra_config": {"lm_head":
            {"bits": 16, "mystery_bits": 3}}}"#.into(),
            "extra_config.lm_head.mystery_bits",
        ),
        (r#"{"bits": 4, "model.layers.0.mlp": {"bits": 8, "mystery_size": 3}}"#.into(), "mystery_size"),
    ] {
        let error = refused(&quantization);
        assert!(error.contains(path) && error.contains("is not known"), "{error}");
    }
}

#[test]
fn formats_beside_the_config_are_read_with_and_without_their_name() {
    let read = |beside: &str| {
        let files = HfFiles { config: LLAMA, quant_config: Some(beside), ..HfFiles::default() };
        Model::from_hf(&files).map(|model| model.formats)
    };
    assert_eq!(read(r#"{"quant_algo": "FP8"}"#).expect("read").mlp, Format::FP8);
    for (beside, what) in [
        ("{}", "quantization` is missing"),
        (r#"{"quantization": {"quant_algo": "FP8", "mystery_bits": 3}}"#, "mystery_bits"),
        (r#"{"quantization": {"quant_algo": "FP8"}, "mystery_bits": 3}"#, "mystery_bits"),
    ] {
        let error = read(beside).expect_err(beside).to_string();
        assert!(error.contains("hf_quant_config.json: ") && error.contains(what), "{error}");
    }
}

#[test]
fn modules_may_have_groups_of_their_own() {
    let q = r#"{"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": true,
        "extra_config": {"re:.*mlp.*": {"group_size": 32}, "re:.*self_attn.*": {"bits": 16,
        "data_type": "float"}}}"#;
    let formats = formats(q);
    assert_eq!((formats.mlp.name, formats.attention), (FormatName::Int4, Format::BF16));
    assert_eq!(formats.mlp.bits_1024ths, 4 * 1024 + 512);
}

#[test]
fn long_lists_take_no_time_to_speak_of() {
    let start = std::time::Instant::now();
    // 4,000 modules of two formats in turn, and a thousand expressions.
    let own: Vec<String> = (0..4000)
        .map(|at| {
            let (layer, bits) = (at % 32, if at % 2 == 0 { 8 } else { 16 });
            format!(r#""model.layers.{layer}.mlp.x{at}": {{"bits": {bits}}}"#)
        })
        .collect();
    let own = own.join(", ");
    formats(&format!(r#"{{"quant_method": "auto-round", "bits": 4, "extra_config": {{{own}}}}}"#));
    let list = |count: usize| {
        let all: Vec<String> =
            (0..count).map(|at| format!(r#""re:.*(a|b)*layers.*{at}x.*""#)).collect();
        format!(r#"{{"quant_method": "fp8", "ignore": [{}]}}"#, all.join(", "))
    };
    formats(&list(1000));
    assert!(refused(&list(4000)).contains("at most 1024"));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
