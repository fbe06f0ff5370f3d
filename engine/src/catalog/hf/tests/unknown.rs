//! Keys that are not known, and what a user may say of them.

use super::*;

fn with(key: &str, value: &str) -> String {
    LLAMA.replacen('{', &format!("{{\"{key}\": {value}, "), 1)
}

fn refused(text: &str) -> String {
    match Model::from_hf_config(text) {
        Err(HfConfigError::UnknownKey { key, .. }) => key,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_key_that_may_shape_the_model_refuses_it() {
    for (key, value) in [
        ("num_hash_layers", "3"),
        ("compress_ratios", "[1, 4, 4]"),
        ("attn_lora_alpha_ranks", "{\"q\": 4}"),
        ("use_shared_attention", "true"),
        ("loop_count", "2"),
        ("ssm_groups", "0"),
        ("kv_lora_rank", "512.5"),
        // Known in other classes, unread in this one.
        ("mamba_d_state", "16"),
        ("num_kv_shared_layers_by_group", "4"),
        ("index_topk", "2048"),
        ("linear_num_value_heads", "8"),
        ("swiglu_hidden_multiple", "256"),
    ] {
        let error = Model::from_hf_config(&with(key, value)).expect_err(key);
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
    let error =
        Model::from_hf_config(&with("num_hash_layers", "3")).expect_err("unknown").to_string();
    assert!(error.starts_with("`num_hash_layers` is not known, and 3 there may change"), "{error}");
    assert!(error.contains("32 layers of full attention; 8.0 billion parameters"), "{error}");
    assert!(
        error.ends_with("`model: {config: ..., assume: {num_hash_layers: ignored}}`"),
        "{error}"
    );
}

#[test]
fn what_says_nothing_is_passed_over() {
    for value in ["null", "false", "[]", "{}", "\"\""] {
        Model::from_hf_config(&with("num_hash_layers", value)).expect(value);
    }
    for (key, value) in [("pad_token_id", "5"), ("hidden_dropout", "0.1"), ("rope_theta", "1e4")] {
        let model = Model::from_hf_config(&with(key, value)).expect(key);
        assert!(model.assumed.is_empty(), "{:?}", model.assumed);
    }
}

#[test]
fn what_is_not_known_and_shapes_nothing_by_its_name_is_said() {
    let model = Model::from_hf_config(&with("colour", "7")).expect("a model");
    assert_eq!(model.assumed, ["keys not known, taken not to matter: colour"]);
}

#[test]
fn an_unknown_key_lies_also_deeper() {
    let nested =
        format!(r#"{{"model_type": "llava", "text_config": {}}}"#, with("num_hash_layers", "3"));
    assert_eq!(refused(&nested), "text_config.num_hash_layers");
    let vision = r#""x", "vision_config": {"hidden_size": 64, "vision_moe_layers": 3}"#;
    let text = with("colour", vision);
    assert_eq!(refused(&text), "vision_config.vision_moe_layers");
    let quantised = r#""x", "quantization_config": {"quant_method": "fp8", "layer_bits": [4, 8]}"#;
    assert_eq!(refused(&with("colour", quantised)), "quantization_config.layer_bits");
}

#[test]
fn an_assumption_names_what_is_ignored_and_is_said() {
    let ignored = [("num_hash_layers".to_owned(), Assumption::Ignored)];
    let read = |text: &str| {
        Model::from_hf(&HfFiles { config: text, assume: &ignored, ..HfFiles::default() })
    };
    let model = read(&with("num_hash_layers", "3")).expect("ignored");
    assert_eq!(model.assumed, ["`num_hash_layers`: 3 is ignored, as assumed"]);
    let error = read(LLAMA).expect_err("not there").to_string();
    assert_eq!(error, "assume: `num_hash_layers` is not in the config");
    let known = [("hidden_size".to_owned(), Assumption::Ignored)];
    let files = HfFiles { config: LLAMA, assume: &known, ..HfFiles::default() };
    let error = Model::from_hf(&files).expect_err("understood").to_string();
    assert!(error.contains("needs no assumption"), "{error}");
}

#[test]
fn a_class_that_is_not_known_is_read_as_llama_and_said() {
    let text = LLAMA.replace("\"llama\"", "\"newcomer\"");
    let model = Model::from_hf_config(&text).expect("like Llama");
    assert_eq!(model.parameters(), 8_030_261_248);
    assert!(model.assumed[0].contains("`newcomer` is not known"), "{:?}", model.assumed);
}

#[test]
fn known_keys_with_unknown_values_are_named() {
    for (key, value) in [
        ("layer_types", r#"["mystery"]"#.to_owned()),
        ("layer_types", format!("[{}]", vec!["\"mystery\""; 32].join(", "))),
        ("torch_dtype", "\"int3\"".to_owned()),
        ("quantization_config", r#"{"quant_method": "mystery"}"#.to_owned()),
        ("quantization_config", "7".to_owned()),
    ] {
        let text = LLAMA.replace("\"torch_dtype\": \"bfloat16\", ", "");
        let text = text.replacen('{', &format!("{{\"{key}\": {value}, "), 1);
        let error = Model::from_hf_config(&text).expect_err(key);
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn hostile_input_is_an_error() {
    for (from, to) in [
        ("4096", "1e300"),
        ("4096", "-4096"),
        ("4096", "4294967295"),
        ("\"num_hidden_layers\": 32", "\"num_hidden_layers\": 4000000000"),
        ("\"num_attention_heads\": 32", "\"num_attention_heads\": 4294967295"),
        ("14336", "4294967295"),
        ("128256", "0"),
    ] {
        assert!(Model::from_hf_config(&LLAMA.replace(from, to)).is_err(), "{from} to {to}");
    }
    Model::from_hf_config(&LLAMA.replace("4096", "4096.0")).expect("a whole number all the same");
    let deep = with("x", &("[".repeat(5000) + &"]".repeat(5000)));
    assert!(Model::from_hf_config(&deep).is_err());
}
