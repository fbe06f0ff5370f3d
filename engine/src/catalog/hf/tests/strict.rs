//! What refuses a config, and what must not.

use super::*;

fn with(more: &str) -> String {
    LLAMA.replacen('{', &format!("{{{more}, "), 1)
}

fn error(text: &str) -> String {
    match Model::from_hf_config(text) {
        Err(error) => error.to_string(),
        Ok(model) => panic!("{text}: read, {:?}", model.assumed),
    }
}

fn notes(text: &str) -> Vec<String> {
    Model::from_hf_config(text).unwrap_or_else(|error| panic!("{text}: {error}")).assumed
}

#[test]
fn keys_of_other_classes_are_not_swallowed() {
    for (key, value) in [
        ("hybrid_override_pattern", "\"M-M-\"".to_owned()),
        ("hybrid_override_pattern", format!("\"{}\"", "*".repeat(32))),
        ("full_attention_interval", "4".into()),
        ("use_double_wide_mlp", "true".into()),
        ("add_cross_attention", "true".into()),
        ("cross_attention_hidden_size", "1024".into()),
        ("quantization_bit", "4".into()),
        // Python's words for floats that are not finite are figures.
        ("foo_layers", "Infinity".into()),
        ("foo_layers", "NaN".into()),
    ] {
        let more = format!("\"{key}\": {value}");
        let text = with(&more);
        assert!(error(&text).contains(key), "{}", error(&text));
    }
    let unknown = with("\"use_double_wide_mlp\": true").replace("\"llama\"", "\"newcomer\"");
    assert!(error(&unknown).contains("use_double_wide_mlp"));
}

#[test]
fn what_says_nothing_of_a_llama_is_no_reason_to_refuse_it() {
    for more in [
        r#""use_backbone_lora": 0, "use_llm_lora": 0"#,
        r#""position_id_per_seconds": 25, "train_foo": 3, "version_id": 2"#,
        r#""add_cross_attention": false, "cross_attention_hidden_size": null"#,
        r#""quantization_bit": 0"#,
        r#""norm_before_gate": true"#,
    ] {
        notes(&with(more));
    }
    assert!(error(&with(r#""use_llm_lora": 8"#)).contains("use_llm_lora"));
    let small = |kind: &str, more: &str| {
        format!(
            r#"{{"model_type": "{kind}", "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 100, "max_position_embeddings": 256, {more}}}"#
        )
    };
    let bloom = Model::from_hf_config(&small("bloom", r#""n_embed": 64"#)).expect("BLOOM");
    assert_eq!(bloom.hidden_size, 64);
    notes(&small(
        "chatglm",
        r#""hidden_size": 64, "ffn_hidden_size": 128, "post_layer_norm": true, "quantization_bit": 0"#,
    ));
    notes(&small(
        "bailing_moe_v2",
        r#""hidden_size": 64, "intermediate_size": 128, "num_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "num_key_value_heads": 2, "first_k_dense_replace": 1,
        "max_window_layers": 20"#,
    ));
    let phi = r#""hidden_size": 64, "ff_intermediate_size": 128"#;
    notes(&small("phi3small", phi));
    let sparse = format!(r#"{phi}, "blocksparse_block_size": 64"#);
    assert!(error(&small("phi3small", &sparse)).contains("`blocksparse_block_size`"));
}

#[test]
fn what_lies_around_the_language_model_is_compared_with_it() {
    let around = |more: &str, text: &str| {
        format!(r#"{{"model_type": "llava", {more}, "text_config": {text}}}"#)
    };
    // The same once more is nothing to say; another figure is.
    assert!(notes(&around(r#""num_hidden_layers": 32"#, LLAMA)).is_empty());
    let said = notes(&around(r#""num_hidden_layers": 7"#, LLAMA));
    let other = "`num_hidden_layers`: 7 is not read: the language model's own is 32";
    assert_eq!(said, [other]);
    let null = with(r#""foo_layers": null"#);
    assert!(error(&around(r#""foo_layers": 7"#, &null)).contains("`foo_layers`"));
}

#[test]
fn parts_of_another_type_are_named() {
    for (text, what) in [
        (with(r#""text_config": "x""#), "`text_config` must be a map"),
        (with(r#""llm_config": [1]"#), "`llm_config` must be a map"),
        (LLAMA.replace("\"llama\"", "3"), "`model_type` must be a string"),
        (
            format!(r#"{{"text_config": {}}}"#, LLAMA.replace("\"llama\"", "[]")),
            "`text_config.model_type` must be a string",
        ),
    ] {
        assert!(error(&text).contains(what), "{}", error(&text));
    }
}

#[test]
fn a_class_by_its_name_alone() {
    let of = |class: &str| {
        LLAMA.replace("\"model_type\": \"llama\", ", "").replace("LlamaForCausalLM", class)
    };
    assert_eq!(
        notes(&of("LlamaForCausalLM")),
        ["no `model_type`: that of its class `LlamaForCausalLM` is taken"]
    );
    for (class, what) in [
        ("RobertaForMaskedLM", "`model_type: roberta` are not modelled"),
        ("NewcomerForMaskedLM", "`NewcomerForMaskedLM` is an encoder"),
    ] {
        assert!(error(&of(class)).contains(what), "{}", error(&of(class)));
    }
    assert!(notes(&of("NewcomerForCausalLM"))[0].contains("no `model_type`: read as a model like"));
}

#[test]
fn what_a_screen_would_obey_is_escaped_and_long_keys_are_cut() {
    for key in ["foo\u{1b}[31m_layers", "foo\n_layers", "\u{202e}_layers", "colour\u{7f}"] {
        let mut map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(LLAMA).expect("an object");
        map.insert(key.to_owned(), 3.into());
        let text = serde_json::Value::Object(map).to_string();
        let said = match Model::from_hf_config(&text) {
            Err(error) => error.to_string(),
            Ok(model) => model.assumed.join(" "),
        };
        assert!(said.contains("layers") || said.contains("colour"), "{said}");
        assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
    }
    let long = format!("\"{}\": 3", "layers".repeat(2000));
    assert!(error(&with(&long)).len() < 1000);
}
