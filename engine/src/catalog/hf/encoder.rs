//! Encoders of images and sound: parameters in memory, whose time is not priced.

use super::config::{Config, Keys};
use super::error::HfConfigError;

type Result<T> = std::result::Result<T, HfConfigError>;

const VISION: [&str; 5] =
    ["vision_config", "visual", "vit_config", "vision_tower_config", "image_encoder_config"];
const AUDIO: [&str; 4] =
    ["audio_config", "speech_config", "encoder_config", "audio_encoder_config"];
/// Parts that a server of text leaves out, or that hold figures of the encoders' ends.
const LEFT_OUT: [&str; 3] = ["talker_config", "token2wav_config", "code2wav_config"];

/// Keys of encoders that shape nothing that is counted here.
const HARMLESS: &str = include_str!("harmless_encoder.txt");

/// Parameters of the encoders.
pub(super) fn parameters(config: &Config<'_>, hidden_size: u32) -> Result<u64> {
    let mut sum = 0;
    for keys in config.around.iter().chain(std::iter::once(&config.text)) {
        for name in VISION {
            if let Some(vision) = nested_map(keys, name) {
                let parameters = vision_parameters(&vision, config.kind, hidden_size)?;
                say(config, "images", parameters);
                sum += parameters;
                finish(config, vision);
            }
        }
        for name in AUDIO {
            if let Some(audio) = nested_map(keys, name) {
                let parameters = audio_parameters(&audio, hidden_size)?;
                say(config, "sound", parameters);
                sum += parameters;
                finish(config, audio);
            }
        }
        for name in LEFT_OUT {
            if nested_map(keys, name).is_some() {
                config.say(format!("`{name}`: what speaks is not in memory, only what thinks"));
            }
        }
        for name in ["mm_vision_tower", "vision_tower", "audio_tower", "embd_layer"] {
            if keys.get(name).is_some_and(|value| value.is_string() || value.is_object()) {
                config.say(format!("`{name}`: an encoder of a size not said here is left out"));
            }
        }
    }
    Ok(sum)
}

/// A map at `name`, if it is one with anything in it.
fn nested_map<'a>(keys: &Keys<'a>, name: &str) -> Option<Keys<'a>> {
    let map = keys.peek(name)?.as_object().filter(|map| !map.is_empty())?;
    keys.get(name);
    Some(Keys::new(map, &format!("{}.", keys.path_of(name))))
}

fn say(config: &Config<'_>, of: &str, parameters: u64) {
    let millions = parameters / 1_000_000;
    config.say(format!(
        "its encoder of {of}, about {millions} million parameters, is in memory; its time is not priced"
    ));
}

fn finish<'a>(config: &Config<'a>, keys: Keys<'a>) {
    for name in HARMLESS.lines() {
        keys.get(name);
    }
    config.keep(keys);
}

fn first(keys: &Keys<'_>, names: &[&str]) -> Result<Option<u64>> {
    for name in names {
        if keys.peek(name).is_some_and(serde_json::Value::is_number) {
            return Ok(keys.number(name)?.map(u64::from));
        }
    }
    Ok(None)
}

const DEPTH: [&str; 6] =
    ["num_hidden_layers", "depth", "layers", "vt_num_hidden_layers", "n_layers", "encoder_layers"];
const WIDTH: [&str; 6] = ["embed_dim", "hidden_size", "width", "vt_hidden_size", "d_model", "dim"];
const INNER: [&str; 4] =
    ["intermediate_size", "vt_intermediate_size", "encoder_ffn_dim", "ffn_hidden_size"];

/// An image encoder as transformers has them: patches, layers, and two matrices to the text's width.
fn vision_parameters(keys: &Keys<'_>, around: &str, hidden_size: u32) -> Result<u64> {
    let kind = keys.string("model_type")?.unwrap_or(around);
    let width = match kind {
        // Qwen2.5-VL's own: `hidden_size` is the encoder's, Qwen2-VL's that of the text.
        "qwen2_5_vl" | "qwen3_vl" => first(keys, &["hidden_size"])?,
        _ => first(keys, &WIDTH)?,
    }
    .unwrap_or(1152);
    let depth = first(keys, &DEPTH)?.unwrap_or(27);
    let ratio = keys.get("mlp_ratio").and_then(serde_json::Value::as_f64).unwrap_or(4.0);
    let inner = first(keys, &INNER)?.unwrap_or((width as f64 * ratio.clamp(0.0, 64.0)) as u64);
    let patch = first(keys, &["patch_size", "spatial_patch_size"])?.unwrap_or(14).min(1 << 12);
    let frames = first(keys, &["temporal_patch_size"])?.unwrap_or(1).min(1 << 12);
    let channels = first(keys, &["num_channels", "in_channels", "in_chans"])?.unwrap_or(3);
    let positions = match first(keys, &["num_position_embeddings", "position_embedding_size"])? {
        Some(positions) => positions,
        None => {
            let side = first(keys, &["image_size"])?.unwrap_or(0).min(1 << 20) / patch.max(1);
            if kind == "pixtral" { 0 } else { side.saturating_mul(side) }
        }
    };
    let gated =
        ["pixtral", "qwen2_5_vl", "glm4v", "glm4v_moe", "gemma4_vision", "aimv2", "glm_ocr"];
    // GLM's blocks are as wide inside as the text; `intermediate_size` is the merger's.
    let is_glm = kind.starts_with("glm4v");
    let matrices = if gated.iter().any(|name| kind.starts_with(name)) { 3 } else { 2 };
    let text = first(keys, &["out_hidden_size", "text_hidden_size"])?;
    let text = text.unwrap_or_else(|| u64::from(hidden_size));
    let (inner, in_merger) = if is_glm { (text, inner) } else { (inner, 0) };
    let merge = first(keys, &["spatial_merge_size"])?.unwrap_or(1).min(64);
    let merged = width.saturating_mul(merge * merge);
    let ends = match merge {
        // Patches come together in a convolution; then one matrix, and a gated network.
        _ if is_glm => merged
            .saturating_mul(text)
            .saturating_add(text.saturating_mul(text.saturating_add(3 * in_merger))),
        1 => merged.saturating_mul(text).saturating_add(text.saturating_mul(text)),
        _ => merged.saturating_mul(merged.saturating_add(text)),
    };
    let deep = keys.get("deepstack_visual_indexes").and_then(serde_json::Value::as_array);
    let mergers = 1 + deep.map_or(0, Vec::len) as u64;
    let layer = width.saturating_mul(4 * width + matrices * inner + 9);
    let patches = patch * patch * frames * channels * width;
    Ok(depth
        .saturating_mul(layer)
        .saturating_add(patches)
        .saturating_add(positions.saturating_mul(width))
        .saturating_add(mergers.saturating_mul(ends))
        .min(1 << 44))
}

/// A sound encoder: layers like Whisper's, or a conformer's with a second network and a convolution.
fn audio_parameters(keys: &Keys<'_>, hidden_size: u32) -> Result<u64> {
    let kind = keys.string("model_type")?.unwrap_or("");
    let width = first(keys, &["d_model", "hidden_size", "attention_dim"])?.unwrap_or(1280);
    let depth = first(
        keys,
        &[
            "encoder_layers",
            "num_hidden_layers",
            "num_layers",
            "num_blocks",
            "conf_num_hidden_layers",
        ],
    )?;
    let inner = first(keys, &["encoder_ffn_dim", "intermediate_size", "linear_units"])?;
    let inner = inner.unwrap_or(4 * width);
    let layer = match kind {
        "gemma3n_audio" | "gemma4_audio" | "conformer" => {
            width.saturating_mul(7 * width + 4 * inner)
        }
        _ => width.saturating_mul(4 * width + 2 * inner),
    };
    let out = first(keys, &["output_dim", "output_proj_dims"])?;
    let out = out.unwrap_or_else(|| u64::from(hidden_size));
    Ok(depth
        .unwrap_or(32)
        .saturating_mul(layer)
        .saturating_add(width.saturating_mul(out))
        .min(1 << 44))
}
