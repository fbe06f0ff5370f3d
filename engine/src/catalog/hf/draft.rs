//! Layers for multi-token prediction.

use super::config::Config;
use super::error::HfConfigError;
use crate::catalog::model::{LayerGroup, Mixer, Mlp};

/// Their parameters: each is a layer like the last, and a projection of two hidden states to one. The
/// embedding and the head are the model's own.
pub(super) fn parameters(
    config: &Config<'_>,
    groups: &[LayerGroup],
    hidden_size: u32,
) -> Result<u64, HfConfigError> {
    const LAYERS: [&str; 6] = [
        "num_nextn_predict_layers",
        "mtp_num_hidden_layers",
        "num_mtp_layers",
        "num_mtp_modules",
        "n_mtp_layers",
        "mtp_num_layers",
    ];
    const SILENT: [&str; 12] = [
        "use_mtp",
        "mtp_transformer_layers",
        "mtp_use_dedicated_embeddings",
        "mtp_hidden_states_first",
        "mtp_layer_types",
        "mtp_mlp_layer_types",
        "mtp_hybrid_override_pattern",
        "mtp_layers_block_type",
        "mtp_use_repeated_layer",
        "mtp_share_embeddings",
        "keep_mtp_spec_layers",
        "num_mtp_modules",
    ];
    let Some(layers) = config.given_number(&LAYERS)? else { return Ok(0) };
    config.pass(&LAYERS);
    config.pass(&SILENT);
    if layers == 0 {
        return Ok(0);
    }
    let h = u64::from(hidden_size);
    // Where a layer is one mixer or one network, a predicting one is a mixer with experts.
    let attention = groups.iter().rev().find(|group| matches!(group.mixer, Mixer::Attention(_)));
    let experts = groups.iter().rev().find(|group| matches!(group.mlp, Mlp::Experts(_)));
    let last = groups.last().map_or(0, |group| group.parameters(hidden_size));
    let apart = groups.iter().any(|group| matches!(group.mixer, Mixer::None));
    let one = match (apart, attention, experts) {
        (true, Some(attention), Some(experts)) => {
            attention.parameters(hidden_size) + experts.parameters(hidden_size)
        }
        // Gated delta layers are never last in what predicts: attention is.
        (_, Some(attention), _) if !matches!(groups.last(), Some(l) if l.mixer.stores_kv()) => {
            attention.parameters(hidden_size)
        }
        _ => last,
    };
    Ok(u64::from(layers).saturating_mul(one.saturating_add(2 * h * h + 3 * h)))
}
