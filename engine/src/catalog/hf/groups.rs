//! The frame of a model, and its layers put together.

use serde_json::Value;

use super::attention::{self, heads_by_layer};
use super::config::Config;
use super::defaults;
use super::error::HfConfigError;
use super::families::{self, Biases, Family};
use super::layers::{self, Kind, State};
use super::{latent, mlp, recurrent, special};
use crate::catalog::check::InvalidFigure;
use crate::catalog::model::{Attention, LayerGroup, Mixer, Mlp, Model, Reach};

type Result<T> = std::result::Result<T, HfConfigError>;

/// What is outside the layers.
pub(super) struct Frame {
    pub(super) hidden_size: u32,
    pub(super) vocab_size: u32,
    pub(super) max_position_embeddings: u32,
    pub(super) tied_embeddings: bool,
}

/// The family of the config's class.
pub(super) fn family(config: &Config<'_>) -> Result<Family> {
    let kind = config.kind;
    let refuse = |what: String| Err(HfConfigError::Unsupported(what));
    let encoder_decoder = config.optional_flag(&["is_encoder_decoder"])?;
    if encoder_decoder == Some(true) || config.outer().flag("is_encoder_decoder")? == Some(true) {
        return refuse("encoder-decoder models".into());
    }
    if let Some(family) = families::family(kind) {
        return Ok(family);
    }
    if defaults::is_other(kind) {
        // By key, where one says why.
        for key in ["compress_ratios", "compress_rates"] {
            if let Some(value) = config.text.peek(key) {
                let value = super::config::value_shown(value);
                return refuse(format!(
                    "`{key}`: {value}: attention over compressed tokens is not modelled"
                ));
            }
        }
        return refuse(format!("the layers of `model_type: {kind}` are not modelled"));
    }
    for part in ["mamba", "rwkv", "hyena", "retnet", "xlstm", "griffin"] {
        if kind.to_ascii_lowercase().contains(part) {
            return refuse(format!("the layers of `model_type: {kind}` are not modelled"));
        }
    }
    if let Some(class) = config.class().filter(|class| class.ends_with("ForMaskedLM")) {
        return refuse(format!("`{class}` is an encoder: it generates no tokens"));
    }
    if kind.is_empty() {
        config.say("no `model_type`: read as a model like Llama, by its keys");
    } else {
        config.say(format!(
            "model_type `{kind}` is not known: read as a model like Llama, by its keys"
        ));
    }
    // Norms of queries and keys, and biases, only where a key says them.
    Ok(Family { biases: Biases::All(false), ..families::UNKNOWN })
}

/// Reads the frame.
pub(super) fn frame(config: &Config<'_>) -> Result<Frame> {
    const HIDDEN: [&str; 6] = ["hidden_size", "n_embd", "n_embed", "d_model", "emb_dim", "dim"];
    // What is no part of a larger config has these of its own: without them it is no model's config.
    let flat = config.around.is_empty();
    let hidden_size = match config.given_number(&HIDDEN)? {
        Some(size) => size,
        None if flat => return Err(HfConfigError::Missing(HIDDEN[0].into())),
        None => config.number(&HIDDEN)?,
    };
    let layers = layers_in_all(config)?;
    if layers == 0 || layers > 1 << 11 {
        let problem = format!("must lie in 1 to {}, got {layers}", 1 << 11);
        return Err(InvalidFigure::new("num_hidden_layers", problem).into());
    }
    config.layers.set(layers);
    Ok(Frame {
        hidden_size,
        vocab_size: match config.given_number(&["padded_vocab_size"])? {
            Some(padded) => padded,
            None => config.number(&["vocab_size", "n_words", "n_token"])?,
        },
        max_position_embeddings: longest(config)?,
        tied_embeddings: tied(config)?,
    })
}

fn layers_in_all(config: &Config<'_>) -> Result<u32> {
    const LAYERS: [&str; 6] =
        ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_layer"];
    if let Some(layers) = config.given_number(&LAYERS)? {
        return Ok(layers);
    }
    // Nemotron-H's class counts the blocks in its list.
    let listed = config.text.peek("layers_block_type").and_then(Value::as_array).map(Vec::len);
    let letters = match families::reads(config.kind, &layers::OF_LETTERS) {
        true => config.text.peek("hybrid_override_pattern").and_then(Value::as_str),
        false => None,
    };
    let letters = letters.map(|text| text.chars().filter(|letter| *letter != '|').count());
    match listed.or(letters) {
        Some(layers) => Ok(u32::try_from(layers).unwrap_or(u32::MAX)),
        None if config.around.is_empty() => Err(HfConfigError::Missing(LAYERS[0].into())),
        None => config.number(&LAYERS),
    }
}

fn longest(config: &Config<'_>) -> Result<u32> {
    const LONGEST: [&str; 10] = [
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "max_sequence_length",
        "model_max_length",
        "seq_length",
        "n_ctx",
        "context_length",
        "max_seq_length",
        "seq_len",
    ];
    let longest = config.optional(&LONGEST)?;
    config.pass(&LONGEST);
    let otherwise = match config.kind {
        // No table, no rotary embedding: nothing ends them.
        "mamba" | "mamba2" | "falcon_mamba" => 1 << 20,
        "bloom" | "falcon" | "RefinedWeb" | "RefinedWebModel" | "mpt" => 2048,
        _ => return longest.ok_or_else(|| HfConfigError::Missing(LONGEST[0].into())),
    };
    Ok(longest.unwrap_or_else(|| {
        config.say(format!("no `max_position_embeddings`: {otherwise} is taken"));
        otherwise
    }))
}

/// Classes that score or embed, and have no output head over the vocabulary.
const HEADLESS: [&str; 8] = [
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForRewardModel",
    "MistralModel",
    "LlamaModel",
    "Qwen2Model",
    "Qwen3Model",
    "Gemma3TextModel",
];

fn tied(config: &Config<'_>) -> Result<bool> {
    const TIED: [&str; 2] = ["tie_word_embeddings", "tie_embedding"];
    let class = config.architecture().unwrap_or_default();
    if HEADLESS.iter().any(|headless| class.ends_with(headless)) {
        config.optional_flag(&TIED)?;
        config.say(format!(
            "`{class}` has no output head: none is in memory, and tokens are priced as if the \
             embedding were one"
        ));
        return Ok(true);
    }
    if let Some((key, value)) = config.given(&TIED) {
        return super::config::truth(key, value);
    }
    for around in config.around.iter().rev() {
        if let Some(tied) = around.flag(TIED[0])? {
            return Ok(tied);
        }
    }
    if let Some(tied) = config.optional_flag(&TIED)? {
        return Ok(tied);
    }
    // Transformers ties where a class of its own does not say otherwise; those that come with their
    // checkpoint and are like Llama say it.
    let tied = families::family(config.kind).is_none();
    let so = if tied { "the head is taken to be the embedding" } else { "the head is its own" };
    config.say(format!("no `tie_word_embeddings`: {so}"));
    Ok(tied)
}

/// Reads the layers, one by one.
pub(super) fn read(
    config: &Config<'_>,
    family: &Family,
    hidden_size: u32,
) -> Result<Vec<LayerGroup>> {
    let latent = latent::read(config)?;
    let kinds = layers::read(config, family)?;
    let attends = kinds
        .kinds
        .iter()
        .any(|kind| !matches!(kind, Kind::State(_) | Kind::Alone(_) | Kind::Only(Some(_))));
    let heads = match latent {
        None if attends => {
            let has_windows = kinds.kinds.contains(&Kind::Window);
            Some(attention::read(config, family, hidden_size, has_windows)?)
        }
        None => {
            attention::pass(config);
            None
        }
        Some(_) => None,
    };
    if !kinds
        .kinds
        .iter()
        .any(|kind| matches!(kind, Kind::State(_) | Kind::Only(Some(_)) | Kind::Both))
    {
        recurrent::pass(config);
    }
    let networks = mlp::read(config, family, hidden_size)?;
    let by_layer = heads_by_layer(config)?;
    let indexers = latent::indexers(config)?;
    let mut groups = Vec::new();
    for (layer, kind) in (0..).zip(kinds.kinds.iter().copied()) {
        let attend = || -> Result<Mixer> {
            if let Some(mut latent) = latent {
                if let (Some(false), Some(indexer)) =
                    (indexers.get(layer as usize), &mut latent.indexer)
                {
                    (indexer.heads, indexer.dim) = (0, 0);
                }
                return Ok(Mixer::Latent(latent));
            }
            let heads =
                heads.as_ref().ok_or_else(|| HfConfigError::Missing("layer_types".into()))?;
            let own = by_layer.as_ref().and_then(|list| list.get(layer as usize)).copied();
            Ok(Mixer::Attention(with_reach(heads.of(kind), kind, &kinds, own)))
        };
        let alone =
            |mixer: Mixer, mlp: Mlp, norms: u32| LayerGroup { layers: 1, mixer, mlp, norms };
        let state = |state: State| mixer_of(config, state, hidden_size);
        match kind {
            Kind::Full | Kind::Window | Kind::Chunk => {
                groups.push(alone(attend()?, networks.of(layer)?, family.norms));
            }
            Kind::State(own) => groups.push(alone(state(own)?, networks.of(layer)?, family.norms)),
            Kind::Only(Some(own)) => groups.push(alone(state(own)?, Mlp::None, family.norms)),
            Kind::Only(None) => groups.push(alone(attend()?, Mlp::None, family.norms)),
            Kind::Alone(experts) => {
                groups.push(alone(Mixer::None, networks.alone(experts)?, family.norms));
            }
            Kind::Both => {
                config.say("attention and a state side by side in a layer are taken as two layers");
                groups.push(alone(attend()?, Mlp::None, 0));
                groups.push(alone(state(State::Mamba2)?, networks.of(layer)?, family.norms));
            }
        }
    }
    if config.kind == "longcat_flash" {
        groups = special::twice(config, &groups, &networks)?;
    }
    special::share_kv(config, &mut groups)?;
    special::searched_blocks(config, &mut groups)?;
    special::by_layer(config, &mut groups)?;
    Ok(groups)
}

fn with_reach(
    attention: Attention,
    kind: Kind,
    kinds: &layers::Kinds,
    heads: Option<u32>,
) -> Attention {
    let reach = match kind {
        Kind::Window => kinds.window.map(Reach::Window),
        Kind::Chunk => kinds.chunk.map(Reach::Chunk),
        _ => None,
    };
    let gate_columns = match (heads, attention.gate_columns) {
        // One gate a head.
        (Some(heads), gates) if gates == attention.heads => heads,
        (_, gates) => gates,
    };
    Attention {
        reach: reach.unwrap_or(attention.reach),
        heads: heads.unwrap_or(attention.heads),
        gate_columns,
        ..attention
    }
}

fn mixer_of(config: &Config<'_>, state: State, hidden_size: u32) -> Result<Mixer> {
    Ok(Mixer::Recurrent(match state {
        State::Mamba => recurrent::mamba(config, hidden_size)?,
        State::Mamba2 => recurrent::mamba2(config, hidden_size)?,
        State::GatedDelta => recurrent::gated_delta(config)?,
        State::KimiDelta => {
            let nested = config.text.nested("linear_attn_config")?;
            let mixer = recurrent::kimi_delta(config, nested.as_ref())?;
            if let Some(keys) = nested {
                for key in ["full_attn_layers", "kda_layers", "gate_lower_bound"] {
                    keys.get(key);
                }
                config.keep(keys);
            }
            mixer
        }
        State::Lightning => recurrent::lightning(config, hidden_size)?,
        State::Convolution => recurrent::short_convolution(config, hidden_size)?,
    }))
}

/// Equal layers in a row, put together.
pub(super) fn runs(layers: &[LayerGroup]) -> Vec<LayerGroup> {
    let mut groups: Vec<LayerGroup> = Vec::new();
    for layer in layers.iter().copied() {
        match groups.last_mut() {
            Some(last) if (LayerGroup { layers: 1, ..*last }) == layer => last.layers += 1,
            _ => groups.push(layer),
        }
    }
    groups
}

/// Parameters of tables besides the embedding.
pub(super) fn tables(config: &Config<'_>, family: &Family, frame: &Frame) -> Result<u64> {
    let positions = family
        .positions
        .map_or(0, |more| u64::from(frame.max_position_embeddings) + u64::from(more));
    // OPT's smallest embeds in another width; the key is left to be judged there.
    if config.text.peek("word_embed_proj_dim").and_then(Value::as_u64)
        == Some(frame.hidden_size.into())
    {
        config.pass(&["word_embed_proj_dim"]);
    }
    let by_layer = special::per_layer_embeddings(config, frame.hidden_size)?;
    Ok(positions.saturating_mul(frame.hidden_size.into()).saturating_add(by_layer))
}

/// Why a user may not have more layers of this model, or fewer, as read into so many.
pub(super) fn fixed(config: &Config<'_>, read: usize) -> Result<Option<&'static str>> {
    if read != config.layers.get() as usize {
        return Ok(Some("each layer of its config is two here"));
    }
    let by_layer = special::per_layer_embeddings(config, 1)? > 0;
    Ok(by_layer.then_some("its embeddings by layer are those of all its layers"))
}

/// What was read of a config, in a few words.
pub(super) fn described(model: &Model) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (mixer, layers) in model.mixers() {
        let kind = match mixer {
            Mixer::Attention(attention) => match attention.reach {
                Reach::All => "full attention".to_owned(),
                Reach::Window(width) => format!("attention over {width} tokens"),
                Reach::Chunk(width) => format!("attention over chunks of {width}"),
                Reach::Picked(most) => format!("attention over {most} picked tokens"),
            },
            Mixer::Latent(_) => "latent attention".into(),
            Mixer::Recurrent(recurrent) => format!("{:?} states", recurrent.kind),
            Mixer::None => continue,
        };
        parts.push(format!("{layers} layers of {kind}"));
    }
    if let Some(experts) = model.experts() {
        parts.push(format!("{} of {} experts", experts.per_token, experts.count));
    }
    let billions = model.parameters() as f64 / 1e9;
    format!("{}; {billions:.1} billion parameters", parts.join(", "))
}
