//! Feed-forward networks: dense ones and experts, and which layers have which.

use serde_json::Value;

use super::config::{Config, whole};
use super::error::HfConfigError;
use super::families::{Family, reads};
use crate::catalog::model::{Dense, Experts, Mlp};

type Result<T> = std::result::Result<T, HfConfigError>;

const WIDTH: [&str; 11] = [
    "intermediate_size",
    "n_inner",
    "ffn_hidden_size",
    "ffn_dim",
    "dff",
    "dim_ff",
    "d_ff",
    "decoder_ffn_dim",
    "block_ff_dim",
    "feed_forward_size",
    "ff_intermediate_size",
];

/// The networks of a model's layers.
pub(super) struct Networks {
    /// Of dense layers; `None` where the config has no width for them.
    pub(super) dense: Option<Dense>,
    /// Of layers with experts.
    pub(super) experts: Option<Experts>,
    /// Which layers have experts.
    has_experts: Vec<bool>,
}

impl Networks {
    /// The network of a layer.
    pub(super) fn of(&self, layer: u32) -> Result<Mlp> {
        let sparse = self.has_experts.get(layer as usize).copied().unwrap_or(false);
        match (self.experts, self.dense) {
            (Some(experts), _) if sparse => Ok(Mlp::Experts(experts)),
            (_, Some(dense)) => Ok(Mlp::Dense(dense)),
            _ => Err(HfConfigError::Missing("intermediate_size".into())),
        }
    }
}

impl Networks {
    /// The network of a layer that is nothing else.
    pub(super) fn alone(&self, experts: bool) -> Result<Mlp> {
        match (experts, self.experts, self.dense) {
            (true, Some(experts), _) => Ok(Mlp::Experts(experts)),
            (true, None, _) => Err(HfConfigError::Missing("n_routed_experts".into())),
            (false, _, Some(dense)) => Ok(Mlp::Dense(dense)),
            (false, _, None) => Err(HfConfigError::Missing("intermediate_size".into())),
        }
    }
}

/// Reads the networks.
pub(super) fn read(config: &Config<'_>, family: &Family, hidden_size: u32) -> Result<Networks> {
    let experts = experts(config, family)?;
    let has_experts = match experts {
        Some(_) => layers_with_experts(config)?,
        None => {
            pass_keys_of_experts(config);
            vec![false; config.layers.get() as usize]
        }
    };
    let dense = dense(config, family, hidden_size)?;
    Ok(Networks { dense, experts, has_experts })
}

/// Whether the network has three matrices: where the config says it, else as in the class.
fn gated(config: &Config<'_>, family: &Family) -> Result<bool> {
    let said =
        config.optional_flag(&["gated_mlp", "use_gated_mlp", "use_glu", "mlp_gated", "glu_mlp"])?;
    let not = config.optional_flag(&["use_gelu_mlp"])?;
    Ok(said.or(not.map(|not| !not)).unwrap_or(family.gated))
}

fn dense(config: &Config<'_>, family: &Family, hidden_size: u32) -> Result<Option<Dense>> {
    let nested = config.text.nested("ffn_config")?;
    let given = config.optional(&[
        "dense_intermediate_size",
        "intermediate_size_mlp",
        "dense_ffn_hidden_size",
        "prefix_dense_intermediate_size",
    ])?;
    let width = match (given, config.find(&WIDTH)) {
        (Some(width), _) => Some(width),
        (None, Some((key, Value::Array(list)))) => Some(one_of_all(key, list)?),
        (None, Some((key, value))) => Some(whole(&config.text.path_of(key), value)?),
        (None, None) => default_width(config, hidden_size)?,
    };
    if let Some(keys) = nested {
        super::special::ffn_config(config, keys)?;
    }
    // Widths that are said layer by layer replace this one.
    let width = width.or(config.text.holds("block_configs").then_some(1));
    let Some(width) = width else { return Ok(None) };
    let width = match config.kind {
        "qwen" => width / 2,
        "lfm2" => super::special::lfm2_width(config, width)?,
        _ => width,
    };
    let bias = config.flag(&["mlp_bias", "use_mlp_bias", "ffn_bias"], family.mlp_bias)?;
    Ok(Some(Dense { width, gated: gated(config, family)?, bias }))
}

/// The one width of all layers in a list.
fn one_of_all(key: &str, list: &[Value]) -> Result<u32> {
    let first = list.first().ok_or_else(|| HfConfigError::Missing(key.to_owned()))?;
    if list.iter().any(|other| other != first) {
        return Err(HfConfigError::Unsupported(format!("`{key}` of several widths")));
    }
    whole(key, first)
}

/// Classes whose width follows from that of the hidden state.
fn default_width(config: &Config<'_>, hidden_size: u32) -> Result<Option<u32>> {
    Ok(match config.kind {
        "gpt2"
        | "gpt-sw3"
        | "gpt_bigcode"
        | "gptj"
        | "gpt_neo"
        | "codegen"
        | "bloom"
        | "falcon"
        | "phi-msft"
        | "mixformer-sequential"
        | "RefinedWeb"
        | "RefinedWebModel"
        | "jais" => Some(hidden_size.saturating_mul(4)),
        "mpt" => {
            Some(config.optional(&["expansion_ratio"])?.unwrap_or(4).saturating_mul(hidden_size))
        }
        _ => None,
    })
}

pub(super) const COUNT: [&str; 5] =
    ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "moe_n_experts"];
const PER_TOKEN: [&str; 9] = [
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "experts_per_tok",
    "num_selected_experts",
    "moe_top_k",
    "moe_topk",
    "moe_k",
    "top_k_experts",
];
const EXPERT_WIDTH: [&str; 6] = [
    "moe_intermediate_size",
    "expert_ffn_hidden_size",
    "moe_ffn_hidden_size",
    "expert_intermediate_size",
    "moe_hidden_dim",
    "expert_dim",
];

/// The first entry where a key has a number for each modality or layer.
fn number_or_first(config: &Config<'_>, names: &[&str]) -> Result<Option<u32>> {
    match config.find(names) {
        None => Ok(None),
        Some((key, Value::Array(list))) if list.len() == config.layers.get() as usize => {
            one_of_all(key, list).map(Some)
        }
        Some((key, Value::Array(list))) => {
            let first = list.first().ok_or_else(|| HfConfigError::Missing(key.to_owned()))?;
            if list.iter().any(|other| other != first) {
                config.say(format!("`{key}`: the first of its figures, that of text, is taken"));
            }
            whole(key, first).map(Some)
        }
        Some((key, value)) => whole(&config.text.path_of(key), value).map(Some),
    }
}

fn experts(config: &Config<'_>, family: &Family) -> Result<Option<Experts>> {
    if let Some(experts) = super::special::dbrx_experts(config)? {
        return Ok(Some(experts));
    }
    if let Some((_, Value::Bool(false))) = config.given(&["enable_moe_block", "is_moe"]) {
        return Ok(None);
    }
    if config.around.is_empty() && !speaks_of_experts(config) {
        return Ok(None);
    }
    let Some(count) = number_or_first(config, &COUNT)? else { return Ok(None) };
    if count <= 1 {
        return Ok(None);
    }
    let width = match number_or_first(config, &EXPERT_WIDTH)? {
        Some(width) => width,
        None => match number_or_first(config, &WIDTH)? {
            Some(width) => width,
            None => return Err(HfConfigError::Missing("moe_intermediate_size".into())),
        },
    };
    let mut per_token = number_or_first(config, &PER_TOKEN)?
        .ok_or_else(|| HfConfigError::Missing("num_experts_per_tok".into()))?;
    let latent = match reads(config.kind, &["nemotron_h", "kimi"]) {
        true => config.optional(&["moe_latent_size", "routed_expert_hidden_size"])?.unwrap_or(0),
        false => 0,
    };
    let zero = match reads(config.kind, &["longcat"]) {
        true => config.optional(&["zero_expert_num"])?,
        false => None,
    };
    if let Some(zero) = zero.filter(|&zero| zero > 0) {
        let real = f64::from(per_token) * f64::from(count) / (f64::from(count) + f64::from(zero));
        per_token = (real.round() as u32).max(1);
        config.say(format!(
            "{zero} experts compute nothing: each token is taken to go to {per_token} of the others, \
             the mean where all are as likely"
        ));
        config.pass(&["zero_expert_type"]);
    }
    Ok(Some(Experts {
        count,
        per_token,
        width,
        shared_width: shared_width(config, width)?,
        gated: gated(config, family)?,
        bias: config.kind == "gpt_oss",
        latent,
    }))
}

/// Whether the config itself has a key of experts. One that has none is of a dense model, whatever its
/// class has by default.
fn speaks_of_experts(config: &Config<'_>) -> bool {
    let speaks = COUNT.iter().chain(&PER_TOKEN).chain(&EXPERT_WIDTH);
    let speaks = speaks.into_iter().any(|name| config.text.peek(name).is_some());
    if !speaks && COUNT.iter().any(|name| config.class_has(name)) {
        config.say("no key of experts: read as dense, though its class has experts by default");
    }
    speaks
}

fn shared_width(config: &Config<'_>, width: u32) -> Result<u32> {
    const SHARED: [&str; 7] = [
        "n_shared_experts",
        "num_shared_experts",
        "num_shared_expert",
        "moe_num_shared_experts",
        "moe_n_shared_experts",
        "num_experts_shared",
        "n_share_expert",
    ];
    const SHARED_WIDTH: [&str; 6] = [
        "shared_expert_intermediate_size",
        "shared_experts_intermediate_size",
        "shared_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
        "moe_share_expert_dim",
    ];
    // Llama 4 has one shared expert a layer, and no key for it; Gemma 4's dense network lies beside
    // its experts.
    match config.kind {
        "llama4_text" | "llama4" => return Ok(width),
        "gemma4_text" | "gemma4" => return config.number(&["intermediate_size"]),
        "hunyuan_v1_moe" | "hunyuan" if !config.flag(&["use_mixed_mlp_moe"], true)? => {
            return Ok(0);
        }
        _ => {}
    }
    let number = number_or_first(config, &SHARED)?;
    let wide = number_or_first(config, &SHARED_WIDTH)?;
    match (number, wide) {
        (Some(0), None) | (None, None) => Ok(0),
        // Nemotron-H's and Bailing's keys: the width of all shared experts, and of one.
        (Some(number), Some(wide)) if config.kind.starts_with("bailing") => {
            Ok(number.saturating_mul(wide))
        }
        (Some(number), Some(wide)) if number > 1 => {
            config.say(format!("{number} shared experts: {wide} is taken as the width of all"));
            Ok(wide)
        }
        (_, Some(wide)) => Ok(wide),
        (Some(number), None) => Ok(number.saturating_mul(width)),
    }
}

/// Which layers have experts, by any of the ways to say it.
fn layers_with_experts(config: &Config<'_>) -> Result<Vec<bool>> {
    let layers = config.layers.get();
    if let Some((key, list)) = config.by_layer(&["mlp_layer_types"])? {
        config.pass(&["first_k_dense_replace", "moe_layer_freq", "num_dense_layers"]);
        return list
            .iter()
            .map(|value| match value.as_str() {
                Some("sparse" | "moe") => Ok(true),
                Some("dense" | "mlp") => Ok(false),
                _ => Err(HfConfigError::unknown(&key, value, "dense, sparse")),
            })
            .collect();
    }
    if let Some(numbers) = listed(config)? {
        return Ok((0..layers).map(|layer| numbers.contains(&layer)).collect());
    }
    const FIRST: [&str; 5] = [
        "first_k_dense_replace",
        "num_dense_layers",
        "first_k_dense",
        "moe_layer_start_index",
        "n_dense_layers",
    ];
    let first = number_or_first(config, &FIRST)?.unwrap_or(0);
    let end = match config.given(&["moe_layer_end_index"]) {
        // Ernie's -1 is the last layer.
        Some((_, Value::Number(number))) if number.as_i64() == Some(-1) => u32::MAX,
        Some((_, Value::Array(list))) => {
            list.first().map_or(Ok(u32::MAX), |value| whole("moe_layer_end_index", value))?
        }
        _ => config.optional(&["moe_layer_end_index"])?.unwrap_or(u32::MAX),
    };
    let mut sparse: Vec<bool> = (0..layers).map(|layer| layer >= first && layer <= end).collect();
    if let Some((_, value)) = config.find(&["moe_layer_freq", "moe_layer_interval"]) {
        match value {
            Value::Array(_) => {
                let (key, list) = config.by_layer(&["moe_layer_freq"])?.unwrap_or_default();
                for (has, value) in sparse.iter_mut().zip(list) {
                    let listed = super::config::truth(&key, value)?;
                    if listed && !*has {
                        let known = "a list with none of the first dense layers";
                        return Err(HfConfigError::wrong(&key, known, first));
                    }
                    *has = listed;
                }
            }
            _ => {
                let step = config.number(&["moe_layer_freq", "moe_layer_interval"])?.max(1);
                let offset = if config.kind.starts_with("ernie") { 1 } else { 0 };
                for (layer, has) in (0..layers).zip(&mut sparse) {
                    *has &= (layer + offset).is_multiple_of(step);
                }
            }
        }
    }
    let step = config
        .optional(&["decoder_sparse_step", "interleave_moe_layer_step", "moe_every_n_layers"])?
        .unwrap_or(1);
    let (period, offset) = match reads(config.kind, &["jamba"]) {
        true => (
            config.optional(&["expert_layer_period"])?.unwrap_or(1).max(1),
            config.optional(&["expert_layer_offset"])?.unwrap_or(0),
        ),
        false => (1, 0),
    };
    let only = config.layer_numbers(&["mlp_only_layers"])?.unwrap_or_default();
    for (layer, has) in (0..layers).zip(&mut sparse) {
        *has &= step > 0 && (layer + 1).is_multiple_of(step);
        *has &= period == 1 || layer % period == offset;
        *has &= !only.contains(&layer);
    }
    Ok(sparse)
}

/// Layers with experts as a list or a string of their numbers.
fn listed(config: &Config<'_>) -> Result<Option<Vec<u32>>> {
    if let Some((key, value)) = config.given(&["moe_layers_enum"]) {
        let text = value.as_str().ok_or_else(|| HfConfigError::wrong(key, "numbers", value))?;
        let numbers = text.split(',').map(|n| n.trim().parse::<u32>());
        return numbers
            .collect::<std::result::Result<Vec<u32>, _>>()
            .map(Some)
            .map_err(|_| HfConfigError::wrong(key, "numbers with commas between", value));
    }
    let moe_layers = config.layer_numbers(&["moe_layers", "moe_layer_indices"])?;
    let moe_layers = moe_layers.filter(|list| !list.is_empty());
    if moe_layers.is_some() {
        config.pass(&["interleave_moe_layer_step"]);
    }
    Ok(moe_layers)
}

/// Keys of experts that dense models of a class keep, where a key says that there are none.
fn pass_keys_of_experts(config: &Config<'_>) {
    if !COUNT.iter().any(|name| config.text.holds(name)) {
        return;
    }
    config.pass(&PER_TOKEN);
    config.pass(&EXPERT_WIDTH);
    config.pass(&[
        "decoder_sparse_step",
        "mlp_only_layers",
        "moe_layer_freq",
        "expert_layer_period",
    ]);
    config.pass(&["expert_layer_offset", "first_k_dense_replace", "mlp_layer_types"]);
}
