//! Classes whose figures lie in maps of their own or follow from others.

use serde_json::Value;

use super::config::{Config, Keys, whole};
use super::error::HfConfigError;
use super::families::reads;
use crate::catalog::model::{Dense, Experts, KvSource, LayerGroup, Mixer, Mlp};

type Result<T> = std::result::Result<T, HfConfigError>;

/// Keys of `ffn_config` that shape nothing besides what [`dbrx_experts`] reads.
pub(super) fn ffn_config<'a>(config: &Config<'a>, keys: Keys<'a>) -> Result<()> {
    for key in [
        "ffn_hidden_size",
        "moe_num_experts",
        "moe_top_k",
        "ffn_act_fn",
        "ffn_type",
        "fc_type",
        "moe_jitter_eps",
        "moe_loss_weight",
        "moe_normalize_expert_weights",
        "uniform_expert_assignment",
    ] {
        keys.get(key);
    }
    config.keep(keys);
    Ok(())
}

/// DBRX's experts.
pub(super) fn dbrx_experts(config: &Config<'_>) -> Result<Option<Experts>> {
    let Some(keys) = config.text.nested("ffn_config")? else { return Ok(None) };
    let Some(count) = keys.number("moe_num_experts")? else { return Ok(None) };
    let need = |key: &str| HfConfigError::Missing(keys.path_of(key));
    Ok(Some(Experts {
        count,
        per_token: keys.number("moe_top_k")?.ok_or_else(|| need("moe_top_k"))?,
        width: keys.number("ffn_hidden_size")?.ok_or_else(|| need("ffn_hidden_size"))?,
        shared_width: 0,
        gated: true,
        bias: false,
        latent: 0,
    }))
}

/// LFM2's width: two thirds of what the key says, times a factor, rounded up, unless it says not to.
pub(super) fn lfm2_width(config: &Config<'_>, width: u32) -> Result<u32> {
    let multiple = config.optional(&["block_multiple_of"])?.unwrap_or(256).max(1);
    let factor = match config.given(&["block_ffn_dim_multiplier"]) {
        None => 1.0,
        Some((key, value)) => value
            .as_f64()
            .filter(|factor| (0.0..=1024.0).contains(factor))
            .ok_or_else(|| HfConfigError::wrong(key, "a number", value))?,
    };
    config.pass(&[
        "block_mlp_init_scale",
        "block_out_init_scale",
        "block_use_swiglu",
        "block_use_xavier_init",
        "block_norm_eps",
    ]);
    if !config.flag(&["block_auto_adjust_ff_dim"], true)? {
        return Ok(width);
    }
    let less = f64::from((u64::from(width) * 2 / 3) as u32);
    let scaled = (less * factor) as u64;
    let rounded = scaled.div_ceil(multiple.into()).saturating_mul(multiple.into());
    u32::try_from(rounded).map_err(|_| HfConfigError::wrong("intermediate_size", "smaller", width))
}

/// The last layers take K and V of earlier ones (Gemma 3n and 4).
pub(super) fn share_kv(config: &Config<'_>, groups: &mut [LayerGroup]) -> Result<()> {
    if !reads(config.kind, &["gemma3n", "gemma4"]) {
        return Ok(());
    }
    let shared = config.optional(&["num_kv_shared_layers"])?.unwrap_or(0);
    // Of a class that is not known, it may speak of other layers.
    if shared == 0 && !config.kind.starts_with("gemma") {
        return Ok(());
    }
    let wide = config.flag(&["use_double_wide_mlp"], false)?;
    let layers = groups.len();
    let first = layers.saturating_sub(shared as usize);
    let weights = config.kind.starts_with("gemma3n");
    for group in &mut groups[first..] {
        if let Mixer::Attention(attention) = &mut group.mixer {
            attention.kv = if weights { KvSource::SharedWithWeights } else { KvSource::Shared };
        }
        if let (Mlp::Dense(dense), true) = (&mut group.mlp, wide) {
            dense.width = dense.width.saturating_mul(2);
        }
    }
    Ok(())
}

/// Parameters of embeddings by layer and of what mixes them in (Gemma 3n and 4), which are in no
/// layer's matrices here.
pub(super) fn per_layer_embeddings(config: &Config<'_>, hidden_size: u32) -> Result<u64> {
    if !reads(config.kind, &["gemma3n", "gemma4"]) {
        return Ok(0);
    }
    let width = config.optional(&["hidden_size_per_layer_input"])?.unwrap_or(0);
    let vocabulary = config.optional(&["vocab_size_per_layer_input"])?.unwrap_or(0);
    let layers = u128::from(config.layers.get());
    let (h, width) = (u128::from(hidden_size), u128::from(width));
    let mut sum = 0_u128;
    if width > 0 {
        let all = layers * width;
        sum += u128::from(vocabulary) * all + h * all + width + layers * (2 * h * width + h);
        config.say(
            "embeddings by layer, and what mixes them in, are in memory; their time is not priced",
        );
    }
    if let Some(rank) = config.optional(&["laurel_rank"])? {
        sum += layers * (2 * h * u128::from(rank) + h);
    }
    if let Some(inputs) = config.optional(&["altup_num_inputs"])? {
        config.pass(&["altup_active_idx", "altup_coef_clip", "altup_correct_scale"]);
        config.pass(&["altup_lr_multiplier", "activation_sparsity_pattern"]);
        let n = u128::from(inputs);
        sum += 2 * n.saturating_sub(1) * h * h;
        sum += layers * (2 * h + h * n + n * n * n + n * n);
        config
            .say("streams beside the hidden state (`altup_num_inputs`): their time is not priced");
    }
    Ok(u64::try_from(sum).unwrap_or(u64::MAX))
}

/// Layers of a network that a search has thinned out (`block_configs` of Nemotron's), one by one.
pub(super) fn searched_blocks(config: &Config<'_>, groups: &mut [LayerGroup]) -> Result<()> {
    if !reads(config.kind, &["nemotron-nas", "deci"]) {
        return Ok(());
    }
    let Some((key, list)) = config.by_layer(&["block_configs"])? else { return Ok(()) };
    for (layer, (value, group)) in list.iter().zip(groups).enumerate() {
        let path = format!("{key}.{layer}");
        let Some(map) = value.as_object() else {
            return Err(HfConfigError::wrong(&path, "a map", value));
        };
        let block = Keys::new(map, &format!("{path}."));
        if let Some(attention) = block.nested("attention")? {
            searched_attention(&attention, group)?;
            config.keep(attention);
        }
        if let Some(ffn) = block.nested("ffn")? {
            searched_network(config, &ffn, group)?;
            config.keep(ffn);
        }
        block.get("parallel_blocks");
        config.keep(block);
    }
    Ok(())
}

fn linear_in_place(keys: &Keys<'_>) -> Result<()> {
    if keys.flag("replace_with_linear")? == Some(true) {
        let path = keys.path_of("replace_with_linear");
        return Err(HfConfigError::unknown(&path, "true", "false"));
    }
    Ok(())
}

fn searched_attention(keys: &Keys<'_>, group: &mut LayerGroup) -> Result<()> {
    linear_in_place(keys)?;
    let none = keys.flag("no_op")? == Some(true);
    let share = keys.number("n_heads_in_group")?;
    let kv_heads = keys.number("num_key_value_heads")?;
    keys.get("use_prefill_window_in_sink_attention");
    if none {
        (group.mixer, group.norms) = (Mixer::None, group.norms.saturating_sub(1));
        return Ok(());
    }
    if let Mixer::Attention(attention) = &mut group.mixer {
        let shared = share.filter(|&share| share > 0).map(|share| attention.heads / share);
        if let Some(heads) = kv_heads.or(shared) {
            attention.kv_heads = heads;
        }
    }
    Ok(())
}

fn searched_network(config: &Config<'_>, keys: &Keys<'_>, group: &mut LayerGroup) -> Result<()> {
    linear_in_place(keys)?;
    keys.get("hidden_act");
    let none = keys.flag("no_op")? == Some(true);
    let width = match (keys.number("intermediate_size")?, keys.get("ffn_mult")) {
        (Some(width), _) => Some(width),
        (None, None) => None,
        (None, Some(value)) => {
            let path = keys.path_of("ffn_mult");
            let factor = value
                .as_f64()
                .filter(|factor| (0.0..=1024.0).contains(factor))
                .ok_or_else(|| HfConfigError::wrong(&path, "a number", value))?;
            let hidden = f64::from(config.number(&["hidden_size"])?);
            // As the class rounds it: two thirds, then up to a multiple of 256.
            let width = ((2.0 * factor * hidden / 3.0) as u64).div_ceil(256) * 256;
            Some(whole(&path, &Value::from(width))?)
        }
    };
    if none {
        (group.mlp, group.norms) = (Mlp::None, group.norms.saturating_sub(1));
        return Ok(());
    }
    let width = width.ok_or_else(|| HfConfigError::Missing(keys.path_of("intermediate_size")))?;
    group.mlp = match group.mlp {
        Mlp::Dense(dense) => Mlp::Dense(Dense { width, ..dense }),
        other => other,
    };
    Ok(())
}

/// LongCat-Flash's layers: attention and a dense network twice, and experts once beside them.
pub(super) fn twice(
    config: &Config<'_>,
    groups: &[LayerGroup],
    networks: &super::mlp::Networks,
) -> Result<Vec<LayerGroup>> {
    let (Some(experts), Some(dense)) = (networks.experts, networks.dense) else {
        return Err(HfConfigError::Missing("ffn_hidden_size".into()));
    };
    config.say("each layer's two attentions and two dense networks are taken as two layers");
    let both = |group: &LayerGroup| {
        let shared = Experts { shared_width: dense.width, ..experts };
        [
            LayerGroup { mlp: Mlp::Experts(shared), ..*group },
            LayerGroup { mlp: Mlp::Dense(dense), ..*group },
        ]
    };
    Ok(groups.iter().flat_map(both).collect())
}

/// Figures of single layers (`per_layer_config` of transformers 5), by the layer's number.
pub(super) fn by_layer(config: &Config<'_>, groups: &mut [LayerGroup]) -> Result<()> {
    let Some(keys) = config.text.nested("per_layer_config")? else { return Ok(()) };
    for (name, value) in keys.unused() {
        let path = keys.path_of(name);
        let layer = name.parse::<usize>().ok().and_then(|layer| groups.get_mut(layer));
        let Some(group) = layer else {
            return Err(HfConfigError::unknown(&path, name, "numbers of layers"));
        };
        let map = value.as_object().ok_or_else(|| HfConfigError::wrong(&path, "a map", value))?;
        let own = Keys::new(map, &format!("{path}."));
        if let Mixer::Attention(attention) = &mut group.mixer {
            if let Some(dim) = own.number("head_dim")? {
                (attention.key_dim, attention.value_dim) = (dim, dim);
            }
            if let Some(heads) = own.number("num_attention_heads")? {
                attention.heads = heads;
            }
            if let Some(heads) = own.number("num_key_value_heads")? {
                attention.kv_heads = heads;
            }
        }
        if let (Mlp::Dense(dense), Some(width)) = (&mut group.mlp, own.number("intermediate_size")?)
        {
            dense.width = width;
        }
        config.keep(own);
    }
    keys.use_all();
    Ok(())
}
