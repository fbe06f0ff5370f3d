//! Layers for multi-token prediction.

use super::config::Config;
use super::error::HfConfigError;
use crate::catalog::model::{LayerGroup, predicting_layers, predicting_parameters};

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
    let one = predicting_parameters(&predicting_layers(groups), hidden_size);
    Ok(u64::from(layers).saturating_mul(one))
}
