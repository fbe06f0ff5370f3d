//! A model's layers for multi-token prediction.

use super::{LayerGroup, Mixer, Mlp, Model};

/// What one module for multi-token prediction among these layers is: a layer like the last. Where a
/// layer is one mixer or one network, it is a mixer and a network with experts; and it has attention
/// where the last layer carries a state.
pub(in crate::catalog) fn predicting_layers(groups: &[LayerGroup]) -> Vec<LayerGroup> {
    let one = |group: &LayerGroup| LayerGroup { layers: 1, ..*group };
    let attention = groups.iter().rev().find(|group| matches!(group.mixer, Mixer::Attention(_)));
    let experts = groups.iter().rev().find(|group| matches!(group.mlp, Mlp::Experts(_)));
    let apart = groups.iter().any(|group| matches!(group.mixer, Mixer::None));
    match (apart, attention, experts) {
        (true, Some(attention), Some(experts)) => vec![one(attention), one(experts)],
        // Gated delta layers are never last in what predicts: attention is.
        (_, Some(attention), _) if !matches!(groups.last(), Some(l) if l.mixer.stores_kv()) => {
            vec![one(attention)]
        }
        _ => groups.last().map(one).into_iter().collect(),
    }
}

/// Parameters of one module: its layers, and a projection of two hidden states to one with the norms
/// around it.
pub(in crate::catalog) fn predicting_parameters(layers: &[LayerGroup], hidden_size: u32) -> u64 {
    let h = u64::from(hidden_size);
    let layers: u64 = layers.iter().map(|group| group.parameters(hidden_size)).sum();
    layers.saturating_add(2 * h * h + 3 * h)
}

impl Model {
    /// The layers of one of its modules for multi-token prediction; none where it has no module.
    pub fn predicting_layers(&self) -> Vec<LayerGroup> {
        if self.draft_parameters == 0 { Vec::new() } else { predicting_layers(&self.groups) }
    }

    /// How many modules for multi-token prediction it has.
    pub fn predicting_modules(&self) -> u32 {
        let layers = self.predicting_layers();
        if layers.is_empty() {
            return 0;
        }
        let one = predicting_parameters(&layers, self.hidden_size);
        u32::try_from((self.draft_parameters + one / 2) / one).unwrap_or(u32::MAX).max(1)
    }
}
