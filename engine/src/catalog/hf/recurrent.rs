//! Mixers that carry a state: Mamba, gated delta rule, linear attention, short convolution.
//!
//! The states' formats are vLLM's: that of the model, unless the config names another
//! (`mamba_ssm_cache_dtype`, `mamba_ssm_dtype`); Kimi's in 32 bits (`MambaStateDtypeCalculator`).

use super::attention::HEADS;
use super::config::{Config, Keys};
use super::error::HfConfigError;
use crate::catalog::model::{Recurrent, RecurrentKind};

type Result<T> = std::result::Result<T, HfConfigError>;

/// Far beyond any figure, and small enough that a sum of some of them does not overflow.
const LARGEST: u64 = 1 << 56;

/// Products of figures that are not checked yet.
fn product(factors: &[u32]) -> u64 {
    let product =
        factors.iter().fold(1_u64, |product, &factor| product.saturating_mul(factor.into()));
    product.min(LARGEST)
}

fn narrow(key: &str, value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| HfConfigError::wrong(key, "a smaller number", value))
}

/// Bits of a state's numbers.
fn state_bits(config: &Config<'_>, otherwise: u32) -> Result<u32> {
    let keys = ["mamba_ssm_cache_dtype", "mamba_ssm_dtype", "mamba_cache_dtype", "ssm_cache_dtype"];
    match config.given(&keys) {
        None => Ok(otherwise),
        Some((key, value)) => match value.as_str() {
            Some("float32") => Ok(32),
            Some("bfloat16" | "float16" | "auto") => Ok(16),
            _ => Err(HfConfigError::unknown(key, value, "float32, bfloat16, float16")),
        },
    }
}

/// Mamba's first version: Jamba, Falcon Mamba, Mamba itself.
pub(super) fn mamba(config: &Config<'_>, hidden_size: u32) -> Result<Recurrent> {
    let expand = config.optional(&["mamba_expand", "expand"])?.unwrap_or(2);
    let given = match config.kind {
        "mamba" | "falcon_mamba" => config.given_number(&["intermediate_size", "d_inner"])?,
        _ => None,
    };
    let inner = given.unwrap_or(narrow("mamba_expand", product(&[expand, hidden_size]))?);
    let state = config.number(&["mamba_d_state", "state_size", "d_state"])?;
    let conv = config.number(&["mamba_d_conv", "conv_kernel", "d_conv"])?;
    let rank = match config.find(&["mamba_dt_rank", "time_step_rank"]) {
        Some((_, value)) if value.is_string() => hidden_size.div_ceil(16),
        Some((key, value)) => super::config::whole(key, value)?,
        None => hidden_size.div_ceil(16),
    };
    config.pass(&["use_conv_bias", "mamba_conv_bias", "mamba_proj_bias", "mamba_inner_layernorms"]);
    config.pass(&["mixer_rms_eps", "d_model", "n_layer", "ssm_cfg"]);
    let inside = product(&[inner, conv.saturating_add(1)])
        + product(&[inner, rank.saturating_add(state.saturating_mul(2))])
        + product(&[inner, rank.saturating_add(1)])
        + product(&[inner, state.saturating_add(1)]);
    Ok(Recurrent {
        kind: RecurrentKind::Mamba,
        heads: inner,
        input_columns: narrow("mamba_expand", product(&[2, inner]))?,
        output_rows: inner,
        other_parameters: inside,
        state_numbers: product(&[inner, state]),
        state_bits: state_bits(config, 16)?,
        conv_numbers: product(&[inner, conv.saturating_sub(1)]),
    })
}

/// Mamba 2: Nemotron-H, Bamba, Granite 4, Falcon-H1.
pub(super) fn mamba2(config: &Config<'_>, hidden_size: u32) -> Result<Recurrent> {
    let head_keys: &[&str] = match config.kind {
        "mamba2" => &["num_heads"],
        _ => &["mamba_num_heads", "mamba_n_heads", "n_mamba_heads"],
    };
    let heads = config.number(head_keys)?;
    let expand = config.optional(&["mamba_expand", "expand"])?.unwrap_or(2);
    let dim_keys: &[&str] = match config.kind {
        "mamba2" => &["head_dim"],
        _ => &["mamba_head_dim", "mamba_d_head", "mamba_headdim"],
    };
    let dim = match config.find(dim_keys) {
        Some((key, value)) if !value.is_string() => super::config::whole(key, value)?,
        _ if heads == 0 => return Err(HfConfigError::wrong(head_keys[0], "above 0", heads)),
        _ => expand.saturating_mul(hidden_size) / heads,
    };
    // The class refuses other figures too; its own default of 128 heads fits few widths.
    if config.kind == "mamba2" && product(&[heads, dim]) != product(&[expand, hidden_size]) {
        return Err(HfConfigError::wrong("num_heads", "expand x hidden_size / head_dim", heads));
    }
    let groups = config.number(&["n_groups", "mamba_n_groups", "mamba_ngroups"])?;
    let state =
        config.number(&["ssm_state_size", "mamba_d_state", "state_size", "mamba_state_dim"])?;
    let conv = config.number(&["conv_kernel", "mamba_d_conv", "mamba_d_conv_kernel"])?;
    let conv_bias = config.flag(&["use_conv_bias", "mamba_conv_bias"], true)?;
    let normed = config.flag(&["mamba_rms_norm"], true)?;
    config.pass(&[
        "mamba_use_mlp",
        "mamba_proj_bias",
        "use_bias",
        "mamba_d_ssm",
        "time_step_rank",
        "mamba_d_inner",
    ]);
    let inner = narrow("mamba_num_heads", product(&[heads, dim]))?;
    let conv_dim = narrow("n_groups", u64::from(inner) + product(&[2, groups, state]))?;
    Ok(Recurrent {
        kind: RecurrentKind::Mamba2,
        heads,
        input_columns: narrow(
            "mamba_num_heads",
            u64::from(inner) + u64::from(conv_dim) + u64::from(heads),
        )?,
        output_rows: inner,
        other_parameters: product(&[conv_dim, conv.saturating_add(conv_bias.into())])
            + product(&[3, heads])
            + if normed { u64::from(inner) } else { 0 },
        state_numbers: product(&[heads, dim, state]),
        state_bits: state_bits(config, if config.kind == "nemotron_h" { 32 } else { 16 })?,
        conv_numbers: product(&[conv_dim, conv.saturating_sub(1)]),
    })
}

/// The gated delta rule: Qwen3-Next, Qwen3.5, OLMo Hybrid.
pub(super) fn gated_delta(config: &Config<'_>) -> Result<Recurrent> {
    let key_heads = config.number(&["linear_num_key_heads"])?;
    let value_heads = config.number(&["linear_num_value_heads"])?;
    let key_dim = config.number(&["linear_key_head_dim"])?;
    let value_dim = config.number(&["linear_value_head_dim"])?;
    let conv = config.number(&["linear_conv_kernel_dim"])?;
    let keys = product(&[key_heads, key_dim]);
    let values = product(&[value_heads, value_dim]);
    let columns = 2 * keys + 2 * values + product(&[2, value_heads]);
    let conv_dim = narrow("linear_num_value_heads", 2 * keys + values)?;
    Ok(Recurrent {
        kind: RecurrentKind::GatedDelta,
        heads: value_heads,
        input_columns: narrow("linear_num_value_heads", columns)?,
        output_rows: narrow("linear_num_value_heads", values)?,
        other_parameters: product(&[conv_dim, conv])
            + product(&[2, value_heads])
            + u64::from(value_dim),
        state_numbers: product(&[value_heads, key_dim, value_dim]),
        state_bits: state_bits(config, 16)?,
        conv_numbers: product(&[conv_dim, conv.saturating_sub(1)]),
    })
}

/// Kimi delta attention, whose figures lie in a map of their own or, in transformers' class, beside
/// the others.
pub(super) fn kimi_delta(config: &Config<'_>, nested: Option<&Keys<'_>>) -> Result<Recurrent> {
    let missing = |key: &str| HfConfigError::Missing(key.to_owned());
    let (heads, dim, conv, full_gate) = match nested {
        Some(keys) => (
            keys.number("num_heads")?.ok_or_else(|| missing("linear_attn_config.num_heads"))?,
            keys.number("head_dim")?.ok_or_else(|| missing("linear_attn_config.head_dim"))?,
            keys.number("short_conv_kernel_size")?.unwrap_or(4),
            keys.flag("use_full_rank_gate")?.unwrap_or(false),
        ),
        None => (
            config.optional(&["linear_num_heads"])?.map_or_else(|| config.number(&HEADS), Ok)?,
            config.number(&["linear_head_dim"])?,
            config.optional(&["linear_conv_kernel_dim", "short_conv_kernel_size"])?.unwrap_or(4),
            false,
        ),
    };
    let inner = narrow("linear_attn_config.num_heads", product(&[heads, dim]))?;
    let wide = u64::from(inner);
    // The gate of the decay, and that of the output, each through a width of one head unless the
    // latter is of full rank: both are projections of the hidden state.
    let (gates, low) = match (config.kind, full_gate) {
        // Ling 3's are both of full rank.
        ("bailing_hybrid", _) => (2 * wide, 0),
        (_, true) => (u64::from(dim) + wide, 1),
        (_, false) => (2 * u64::from(dim), 2),
    };
    let columns = 3 * wide + gates + u64::from(heads);
    Ok(Recurrent {
        kind: RecurrentKind::KimiDelta,
        heads,
        input_columns: narrow("linear_attn_config.num_heads", columns)?,
        output_rows: inner,
        other_parameters: low * product(&[dim, inner])
            + product(&[3, inner, conv])
            + wide
            + u64::from(heads)
            + u64::from(dim),
        state_numbers: product(&[inner, dim]),
        state_bits: 32,
        conv_numbers: product(&[3, inner, conv.saturating_sub(1)]),
    })
}

/// Lightning attention: MiniMax-01 and M1, Ling and Ring with linear layers.
pub(super) fn lightning(config: &Config<'_>, hidden_size: u32) -> Result<Recurrent> {
    let heads = config.number(&HEADS)?;
    let dim = match config.optional(&["head_dim"])? {
        Some(dim) => dim,
        None if heads == 0 => return Err(HfConfigError::wrong(HEADS[0], "above 0", heads)),
        None => hidden_size / heads,
    };
    config.pass(&[
        "block_size",
        "group_norm_size",
        "linear_silu",
        "use_linear_silu",
        "linear_attn_norm_group_size",
    ]);
    let inner = narrow(HEADS[0], product(&[heads, dim]))?;
    Ok(Recurrent {
        kind: RecurrentKind::Lightning,
        heads,
        input_columns: narrow(HEADS[0], product(&[4, inner]))?,
        output_rows: inner,
        other_parameters: u64::from(inner),
        state_numbers: product(&[inner, dim]),
        state_bits: state_bits(config, 32)?,
        conv_numbers: 0,
    })
}

/// A gated short convolution: LFM2.
pub(super) fn short_convolution(config: &Config<'_>, hidden_size: u32) -> Result<Recurrent> {
    let kernel = config.number(&["conv_L_cache", "conv_l_cache"])?;
    config.pass(&["conv_bias", "conv_dim", "conv_dim_out", "conv_use_xavier_init", "block_dim"]);
    Ok(Recurrent {
        kind: RecurrentKind::ShortConvolution,
        heads: 1,
        input_columns: narrow("hidden_size", product(&[3, hidden_size]))?,
        output_rows: hidden_size,
        other_parameters: product(&[hidden_size, kernel]),
        state_numbers: 0,
        state_bits: 16,
        conv_numbers: product(&[hidden_size, kernel.saturating_sub(1)]),
    })
}

/// Counts the keys of a class's states as looked at in a model none of whose layers has one.
pub(super) fn pass(config: &Config<'_>) {
    match config.kind {
        "lfm2" | "lfm2_moe" => {
            config.pass(&["conv_L_cache", "conv_bias", "conv_dim", "conv_dim_out"])
        }
        "granitemoehybrid" | "bamba" => config.pass(&[
            "mamba_n_heads",
            "mamba_n_groups",
            "mamba_d_state",
            "mamba_d_head",
            "mamba_d_conv",
            "mamba_expand",
            "mamba_conv_bias",
            "mamba_proj_bias",
        ]),
        _ => {}
    }
}
