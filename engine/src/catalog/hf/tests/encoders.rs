//! Parameters of encoders.

use super::*;

#[test]
fn blocks_of_glms_encoder_are_as_wide_as_the_text() {
    // GLM-4.1V-9B, whose parts make the 10.29 billion published: 24 blocks of 4 x 1,536^2 and
    // 3 x 1,536 x 4,096; a convolution of 4 x 1,536 x 4,096; a merger of 4,096^2 and
    // 3 x 4,096 x 13,696; 892 million with patches and positions.
    let vision = r#"{"model_type": "glm4v_vision", "hidden_size": 1536, "depth": 24, "num_heads": 12,
        "patch_size": 14, "out_hidden_size": 4096, "intermediate_size": 13696, "image_size": 336,
        "spatial_merge_size": 2, "temporal_patch_size": 2}"#;
    let text = LLAMA.replace("\"llama\"", "\"glm4v_text\"");
    let text =
        format!(r#"{{"model_type": "glm4v", "vision_config": {vision}, "text_config": {text}}}"#);
    let model = Model::from_hf_config(&text).unwrap_or_else(|error| panic!("{error}"));
    let millions = model.encoder_parameters as f64 / 1e6;
    assert!((millions - 892.4).abs() < 1.0, "{millions}");
}
