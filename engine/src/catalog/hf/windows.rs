//! Windows: how wide, and which layers have one where a class has its own words for it.

use serde_json::Value;

use super::config::{Config, truth};
use super::error::HfConfigError;
use super::families::{Family, Windows};
use super::layers::{Kind, named};

type Result<T> = std::result::Result<T, HfConfigError>;

/// The width of windows, where they are used at all.
pub(super) fn width(config: &Config<'_>, family: &Family) -> Result<Option<u32>> {
    const WINDOW: [&str; 6] = [
        "sliding_window",
        "sliding_window_size",
        "attention_window_size",
        "window_size",
        "swa_window_size",
        "local_window_size",
    ];
    let used = config.optional_flag(&["use_sliding_window"])?;
    if config.kind.starts_with("bailing") {
        // Left from Qwen's: Ling's class has no windows.
        config.pass(&["max_window_layers"]);
    }
    // Phi's remote class: each so many-th layer looks at all tokens; 1 says nothing.
    if config.text.peek("full_attn_mod").and_then(Value::as_u64) == Some(1) {
        config.pass(&["full_attn_mod"]);
    }
    let given = config.given_number(&WINDOW)?.filter(|&window| window > 0);
    let listed = config.text.holds("layer_types") || config.text.holds("hybrid_layer_pattern");
    if used == Some(false) {
        config.pass(&["max_window_layers", "sliding_window_pattern"]);
        return Ok(None);
    }
    if family.windows == Windows::Qwen && used != Some(true) && !listed {
        config.pass(&["max_window_layers"]);
        if given.is_some() {
            config.say("`sliding_window` is not used: `use_sliding_window` is not there");
        }
        return Ok(None);
    }
    if family.windows == Windows::Unread && !listed {
        if given.is_some() {
            let kind = config.kind;
            config
                .say(format!("`sliding_window` is not used: the class `{kind}` does not read it"));
        }
        return Ok(None);
    }
    Ok(config.optional(&WINDOW)?.filter(|&window| window > 0))
}

/// Layers by a cycle of letters: L is a window, G looks at all (EXAONE 4).
pub(super) fn cycle(config: &Config<'_>, key: &str, text: &str) -> Result<Vec<Kind>> {
    let layers = config.layers.get();
    let letters: Vec<Kind> = text
        .chars()
        .map(|letter| match letter {
            'L' => Ok(Kind::Window),
            'G' => Ok(Kind::Full),
            other => Err(HfConfigError::unknown(key, other, "L, G")),
        })
        .collect::<Result<_>>()?;
    if letters.is_empty() {
        return Err(HfConfigError::Missing(key.into()));
    }
    let mut kinds: Vec<Kind> =
        (0..layers as usize).map(|layer| letters[layer % letters.len()]).collect();
    // EXAONE 4's last layer always looks at all tokens.
    if let (Some(last), true) = (kinds.last_mut(), config.kind.starts_with("exaone")) {
        *last = Kind::Full;
    }
    Ok(kinds)
}

/// GPT-Neo's layers, in its own words.
pub(super) fn gpt_neo(config: &Config<'_>) -> Result<Vec<Kind>> {
    config.pass(&["attention_types"]);
    match config.by_layer(&["attention_layers"])? {
        Some((key, list)) => list.iter().map(|value| named(config, &key, value)).collect(),
        None => {
            let layers = 0..config.layers.get();
            let kind = |layer: u32| if layer % 2 == 1 { Kind::Window } else { Kind::Full };
            Ok(layers.map(kind).collect())
        }
    }
}

/// Llama 4's layers without rotary embedding, which look at all tokens.
pub(super) fn no_rope(config: &Config<'_>) -> Result<Vec<u32>> {
    let layers = config.layers.get();
    if let Some((key, list)) = config.by_layer(&["no_rope_layers"])? {
        let mut full = Vec::new();
        for (layer, value) in (0..layers).zip(list) {
            // 0 says that there is no rotary embedding.
            if !truth(&key, value)? {
                full.push(layer);
            }
        }
        return Ok(full);
    }
    let step = config.optional(&["no_rope_layer_interval"])?.unwrap_or(4);
    Ok((0..layers).filter(|layer| step > 0 && (layer + 1).is_multiple_of(step)).collect())
}
