//! Which layer is of which kind, by any of the ways to say it.

use serde_json::Value;

use super::config::{Config, Keys, truth, whole};
use super::error::HfConfigError;
use super::families::{self, Family, Windows};
use super::windows;

type Result<T> = std::result::Result<T, HfConfigError>;

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Attention over all tokens.
    Full,
    /// Attention over a window.
    Window,
    /// Attention over chunks.
    Chunk,
    /// A recurrent mixer.
    State(State),
    /// A recurrent mixer and attention side by side.
    Both,
    /// A feed-forward network alone; for experts if `true`.
    Alone(bool),
    /// A mixer alone, without a feed-forward network: attention, or the class's state.
    Only(Option<State>),
}

/// Which recurrent mixer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Mamba,
    Mamba2,
    GatedDelta,
    KimiDelta,
    Lightning,
    Convolution,
}

/// Kinds of layers, first to last, and the width of their windows.
pub(super) struct Kinds {
    pub(super) kinds: Vec<Kind>,
    pub(super) window: Option<u32>,
    pub(super) chunk: Option<u32>,
}

/// The recurrent mixer that a class's layers without attention have.
fn state_of(config: &Config<'_>) -> Option<State> {
    Some(match config.kind {
        "jamba" | "mamba" | "falcon_mamba" => State::Mamba,
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe"
        | "olmo_hybrid" => State::GatedDelta,
        "kimi_linear" | "bailing_hybrid" => State::KimiDelta,
        "minimax" | "minimax_text_01" | "minimax_m1" | "MiniMaxText01" | "MiniMaxM1"
        | "bailing_moe_linear" | "bailing_moe_v2_5" => State::Lightning,
        "lfm2" | "lfm2_moe" => State::Convolution,
        "nemotron_h" | "bamba" | "granitemoehybrid" | "falcon_h1" | "mamba2" => State::Mamba2,
        kind if families::family(kind).is_some() => return None,
        // A class that is not known: by the keys that only one of them has.
        _ => {
            let has = |key: &str| config.text.peek(key).is_some();
            if has("linear_num_value_heads") {
                State::GatedDelta
            } else if has("linear_attn_config") {
                State::KimiDelta
            } else if has("mamba_num_heads") || has("mamba_n_heads") {
                State::Mamba2
            } else if has("mamba_d_state") {
                State::Mamba
            } else if has("conv_L_cache") {
                State::Convolution
            } else if has("attn_type_list") {
                State::Lightning
            } else {
                return None;
            }
        }
    })
}

/// Reads the kind of each layer.
pub(super) fn read(config: &Config<'_>, family: &Family) -> Result<Kinds> {
    let layers = config.layers.get();
    let window = windows::width(config, family)?;
    let chunk = config.optional(&["attention_chunk_size"])?;
    let kinds = match listed(config)? {
        Some(kinds) => kinds,
        None => by_rule(config, family, layers, window, chunk)?,
    };
    for (kind, figure, key) in
        [(Kind::Window, window, "sliding_window"), (Kind::Chunk, chunk, "attention_chunk_size")]
    {
        if kinds.contains(&kind) && figure.is_none() {
            return Err(HfConfigError::Missing(key.into()));
        }
    }
    if window.is_some()
        && config.text.peek("sliding_window").is_some()
        && !kinds.contains(&Kind::Window)
    {
        config.say("`sliding_window` is for none of its layers");
    }
    if chunk.is_some()
        && config.text.peek("attention_chunk_size").is_some()
        && !kinds.contains(&Kind::Chunk)
    {
        config.say("`attention_chunk_size` is for none of its layers");
    }
    Ok(Kinds { kinds, window, chunk })
}

/// Classes whose layers are letters of a string.
pub(super) const OF_LETTERS: [&str; 1] = ["nemotron_h"];

/// Kinds where a list or a string has them layer by layer.
fn listed(config: &Config<'_>) -> Result<Option<Vec<Kind>>> {
    let letters_read = match families::reads(config.kind, &OF_LETTERS) {
        true => config.given(&["hybrid_override_pattern"]),
        false => None,
    };
    if let Some((key, value)) = letters_read {
        let text = value.as_str().ok_or_else(|| HfConfigError::wrong(key, "a string", value))?;
        config.pass(&["layers_block_type", "layer_types"]);
        return letters(config, key, text).map(Some);
    }
    let names = ["layer_types", "layers_block_type", "block_types"];
    if let Some((key, list)) = config.by_layer(&names)? {
        config.pass(&PATTERNS);
        if state_of(config).is_some() {
            config.pass(&["full_attention_interval"]);
        }
        // Other ways to say the same, where the class has them.
        config.pass_own(&["attn_layer_period", "attn_layer_offset", "attn_layer_indices"]);
        config.pass_own(&["prefix_dense_sliding_window_pattern", "max_window_layers"]);
        match config.kind {
            "lfm2" | "lfm2_moe" => config.pass(&["full_attn_idxs"]),
            "zamba2" => config.pass(&["hybrid_layer_ids"]),
            kind if kind.starts_with("bailing") => config.pass(&["layer_group_size"]),
            "bamba" | "granitemoehybrid" => config.pass(&["attn_layer_indices"]),
            kind if kind.starts_with("qwen") => config.pass(&["max_window_layers"]),
            _ => {}
        }
        if let Some(keys) = config.text.nested("linear_attn_config")? {
            keys.get("full_attn_layers");
            keys.get("kda_layers");
            config.keep(keys);
        }
        return list
            .iter()
            .map(|value| named(config, &key, value))
            .collect::<Result<_>>()
            .map(Some);
    }
    if let Some((key, list)) = config.by_layer(&["hybrid_layer_pattern"])? {
        let kind = |value| Ok(if truth(&key, value)? { Kind::Window } else { Kind::Full });
        return list.iter().map(kind).collect::<Result<_>>().map(Some);
    }
    if let Some((key, list)) = config.by_layer(&["attn_type_list"])? {
        let kind = |value| match whole(&key, value)? {
            1 => Ok(Kind::Full),
            0 => Ok(Kind::State(State::Lightning)),
            _ => Err(HfConfigError::unknown(&key, value, "0 for lightning, 1 for full")),
        };
        return list.iter().map(kind).collect::<Result<_>>().map(Some);
    }
    Ok(None)
}

fn letters(config: &Config<'_>, key: &str, text: &str) -> Result<Vec<Kind>> {
    let layers = config.layers.get() as usize;
    // A bar only marks where a pipeline may be cut.
    let letters: Vec<char> = text.chars().filter(|letter| *letter != '|').collect();
    if letters.len() != layers {
        let found = format!("{} letters for {layers} layers", letters.len());
        return Err(HfConfigError::wrong(key, "a letter for each of num_hidden_layers", found));
    }
    letters
        .into_iter()
        .map(|letter| match letter {
            'M' => Ok(Kind::Only(Some(State::Mamba2))),
            '*' => Ok(Kind::Only(None)),
            '-' => Ok(Kind::Alone(false)),
            'E' => Ok(Kind::Alone(true)),
            other => Err(HfConfigError::unknown(key, other, "M, *, -, E")),
        })
        .collect()
}

pub(super) fn named(config: &Config<'_>, key: &str, value: &Value) -> Result<Kind> {
    let state = || {
        state_of(config)
            .map(Kind::State)
            .ok_or_else(|| HfConfigError::unknown(key, value, "full_attention, sliding_attention"))
    };
    // A layer of Nemotron-H is one mixer or one network.
    let alone = config.kind == "nemotron_h";
    match value.as_str() {
        Some("attention" | "full_attention") if alone => Ok(Kind::Only(None)),
        Some("mamba" | "mamba2" | "linear_attention") if alone => {
            Ok(Kind::Only(Some(State::Mamba2)))
        }
        Some("mlp") if alone => Ok(Kind::Alone(false)),
        Some("moe") if alone => Ok(Kind::Alone(true)),
        Some("full_attention" | "attention" | "global" | "full") => Ok(Kind::Full),
        Some("sliding_attention" | "sliding_window_attention" | "local" | "swa" | "sliding") => {
            Ok(Kind::Window)
        }
        Some("chunked_attention") => Ok(Kind::Chunk),
        Some("linear_attention" | "mamba" | "mamba2" | "conv" | "linear" | "kda" | "gdn") => {
            state()
        }
        Some("hybrid") => Ok(Kind::Both),
        Some("indexed_attention" | "deepseek_sparse_attention") if config.kind != "deepseek_v4" => {
            Ok(Kind::Full)
        }
        Some("minimax_m3_sparse") => Ok(Kind::Full),
        _ => Err(HfConfigError::unknown(
            key,
            value,
            "full_attention, sliding_attention, chunked_attention, linear_attention, mamba, conv",
        )),
    }
}

const PATTERNS: [&str; 4] = [
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "global_attn_every_n_layers",
    "full_attn_every_n_layers",
];

/// Kinds by a number or the class's rule.
fn by_rule(
    config: &Config<'_>,
    family: &Family,
    layers: u32,
    window: Option<u32>,
    chunk: Option<u32>,
) -> Result<Vec<Kind>> {
    let each = |kind: &dyn Fn(u32) -> Kind| Ok((0..layers).map(kind).collect());
    match config.kind {
        "mamba" | "falcon_mamba" => return each(&|_| Kind::Only(Some(State::Mamba))),
        "mamba2" => return each(&|_| Kind::Only(Some(State::Mamba2))),
        "falcon_h1" => return each(&|_| Kind::Both),
        "llama4_text" | "llama4" => {
            let full = windows::no_rope(config)?;
            return each(&|layer| match chunk {
                Some(_) if !full.contains(&layer) => Kind::Chunk,
                _ => Kind::Full,
            });
        }
        _ => {}
    }
    if let Some(state) = state_of(config) {
        let full = full_among_states(config, layers)?;
        return each(&|layer| {
            if full.contains(&layer) { Kind::Full } else { Kind::State(state) }
        });
    }
    if config.kind == "gpt_neo" {
        return windows::gpt_neo(config);
    }
    let Some(_) = window else {
        config.pass(&PATTERNS);
        return each(&|_| Kind::Full);
    };
    let found = match families::family(config.kind) {
        None => config.find(&["full_attention_interval"]),
        Some(_) => None,
    };
    match found.or_else(|| config.find(&PATTERNS)) {
        None => {}
        Some((key, Value::String(text))) => return windows::cycle(config, key, text),
        Some((key, Value::Array(list))) => {
            let kind = |value| Ok(if truth(key, value)? { Kind::Window } else { Kind::Full });
            return list.iter().take(layers as usize).map(kind).collect();
        }
        Some((key, value)) => {
            let step = whole(key, value)?;
            return each(&|layer| {
                if step > 0 && (layer + 1).is_multiple_of(step) { Kind::Full } else { Kind::Window }
            });
        }
    }
    match family.windows {
        Windows::Unread => each(&|_| Kind::Full),
        Windows::All => each(&|_| Kind::Window),
        Windows::ButEach(step) => {
            let last_too = config.kind.starts_with("gemma4");
            each(&|layer| {
                let full = (layer + 1).is_multiple_of(step) || (last_too && layer + 1 == layers);
                if full { Kind::Full } else { Kind::Window }
            })
        }
        Windows::First => {
            each(&|layer| if layer.is_multiple_of(2) { Kind::Window } else { Kind::Full })
        }
        Windows::Qwen => {
            let first = config.optional(&["max_window_layers"])?.unwrap_or(0);
            each(&|layer| if layer >= first { Kind::Window } else { Kind::Full })
        }
    }
}

/// Layers with attention in a model of states, from 0.
fn full_among_states(config: &Config<'_>, layers: u32) -> Result<Vec<u32>> {
    if let Some(keys) = config.text.nested("linear_attn_config")? {
        let full = numbers_from_one(&keys, "full_attn_layers")?;
        let states = numbers_from_one(&keys, "kda_layers")?;
        config.keep(keys);
        let all = full.len() + states.len() == layers as usize;
        if !all || full.iter().chain(&states).any(|&layer| layer >= layers) {
            return Err(HfConfigError::wrong(
                "linear_attn_config.full_attn_layers",
                "with kda_layers all layers, from 1",
                format!("{} and {} of {layers}", full.len(), states.len()),
            ));
        }
        return Ok(full);
    }
    let indices = ["attn_layer_indices", "full_attn_idxs", "hybrid_layer_ids"];
    if let Some(numbers) = config.layer_numbers(&indices)? {
        return Ok(numbers);
    }
    if matches!(config.kind, "bamba" | "granitemoehybrid") {
        config.say("no list of its layers with attention: none has it, as in its class");
        return Ok(Vec::new());
    }
    let period = config.optional(&["attn_layer_period"])?.unwrap_or(0);
    if period > 0 {
        let offset = config.optional(&["attn_layer_offset"])?.unwrap_or(0);
        return Ok((0..layers).filter(|layer| layer % period == offset).collect());
    }
    if let Some(group) = config.optional(&["layer_group_size"])?.filter(|&group| group > 0) {
        // Ling and Ring: the last of each group, and all after the last whole group.
        let whole = layers / group * group;
        let full = |layer: &u32| (layer + 1).is_multiple_of(group) || *layer >= whole;
        return Ok((0..layers).filter(full).collect());
    }
    let default = match config.kind {
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe" => 4,
        "olmo_hybrid" => 4,
        "minimax" => 2,
        _ => return Err(HfConfigError::Missing("layer_types".into())),
    };
    let step = config.optional(&["full_attention_interval"])?.unwrap_or(default);
    Ok((0..layers).filter(|layer| step > 0 && (layer + 1).is_multiple_of(step)).collect())
}

fn numbers_from_one(keys: &Keys<'_>, key: &str) -> Result<Vec<u32>> {
    let path = keys.path_of(key);
    let Some(value) = keys.get(key) else { return Err(HfConfigError::Missing(path)) };
    let list = value.as_array().ok_or_else(|| HfConfigError::wrong(&path, "a list", value))?;
    list.iter()
        .map(|value| match whole(&path, value)? {
            0 => Err(HfConfigError::wrong(&path, "layers from 1", value)),
            layer => Ok(layer - 1),
        })
        .collect()
}
