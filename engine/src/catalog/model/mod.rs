//! A model: the architecture figures that decide its work and its memory.

mod check;
mod formats;
mod gguf_mixes;
mod mixer;
mod mlp;
mod overrides;
mod predicting;
mod size;
mod words;

pub use formats::{Format, FormatName, Formats};
pub use mixer::{
    Attention, Indexer, KvSource, Latent, Mixer, QkNorm, Reach, Recurrent, RecurrentKind,
};
pub use mlp::{Dense, Experts, Mlp, MlpParameters};
pub use overrides::ModelOverrides;
pub(super) use predicting::{predicting_layers, predicting_parameters};
pub use size::WeightBytes;

use serde::Serialize;

/// A decoder-only model: what its `config.json` says, layer by layer and tensor class by tensor
/// class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Catalog name, such as `llama-3.1-8b`.
    pub name: String,
    /// One line for `metron-sim list models`.
    pub description: String,
    /// Width of the residual stream (`hidden_size`).
    pub hidden_size: u32,
    /// Vocabulary (`vocab_size`).
    pub vocab_size: u32,
    /// Longest sequence (`max_position_embeddings`).
    pub max_position_embeddings: u32,
    /// Whether the output head is the embedding (`tie_word_embeddings`).
    pub tied_embeddings: bool,
    /// The layers, first to last: runs of equal ones.
    pub groups: Vec<LayerGroup>,
    /// The number formats that its checkpoint has.
    pub formats: Formats,
    /// Parameters of the language model that are in no layer and no head, in 16 bits on every rank:
    /// tables of positions, embeddings by layer and what mixes them in.
    pub other_parameters: u64,
    /// Parameters of encoders of images or sound, in 16 bits on every rank.
    pub encoder_parameters: u64,
    /// Parameters of its layers for multi-token prediction: in memory only where they draft.
    pub draft_parameters: u64,
    /// Why its layers can be no more and no fewer, where figures read with them hang on their number.
    #[serde(skip)]
    pub layers_fixed: Option<&'static str>,
    /// What its makers publish, to check the figures against.
    pub published: Published,
    /// What was taken for granted when its config was read, a sentence each, for the output to say.
    pub assumed: Vec<String>,
    /// Where the figures come from.
    pub source: String,
}

/// Equal layers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LayerGroup {
    /// How many.
    pub layers: u32,
    /// What mixes their tokens.
    pub mixer: Mixer,
    /// Their feed-forward network.
    pub mlp: Mlp,
    /// Norms of width `hidden_size` in a layer.
    pub norms: u32,
}

/// Figures that a model's makers publish; `None` where they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    /// All parameters, without layers for multi-token prediction and without encoders.
    pub parameters: Option<u64>,
    /// Parameters that a token goes through.
    pub active_parameters: Option<u64>,
    /// Bytes of the checkpoint's tensors: `metadata.total_size` of its index, or the sum of its files.
    pub checkpoint_bytes: Option<u64>,
    /// Bytes of K and V a token in all layers, at 16 bits, below every window.
    pub kv_bytes_per_token: Option<u64>,
}

/// Most distinct reaches besides all tokens that a model may have: what a batch sums up.
pub const REACHES_MAX: usize = 2;

/// The reaches of a model besides all tokens, in order; [`Reach::All`] where it has no more.
pub type Reaches = [Reach; REACHES_MAX];

impl Model {
    /// Layers in all.
    pub fn layers(&self) -> u32 {
        self.groups.iter().map(|group| group.layers).sum()
    }

    /// The kinds of layers, each once, by first appearance: `layers` counts all of a kind.
    pub fn kinds(&self) -> Vec<LayerGroup> {
        let mut kinds: Vec<LayerGroup> = Vec::new();
        for group in &self.groups {
            let same =
                |kind: &&mut LayerGroup| LayerGroup { layers: group.layers, ..**kind } == *group;
            match kinds.iter_mut().find(same) {
                Some(kind) => kind.layers += group.layers,
                None => kinds.push(*group),
            }
        }
        kinds
    }

    /// Its mixers, each once, with their layers, by first appearance.
    pub fn mixers(&self) -> Vec<(Mixer, u32)> {
        let mut mixers: Vec<(Mixer, u32)> = Vec::new();
        for group in self.groups.iter().filter(|group| group.mixer != Mixer::None) {
            match mixers.iter_mut().find(|(mixer, _)| *mixer == group.mixer) {
                Some((_, layers)) => *layers += group.layers,
                None => mixers.push((group.mixer, group.layers)),
            }
        }
        mixers
    }

    /// The distinct reaches of its attention besides all tokens, by first appearance: what a batch
    /// sums KV entries by. Of more than [`REACHES_MAX`], which no valid model has, the first.
    pub fn reaches(&self) -> Reaches {
        let mut reaches = [Reach::All; REACHES_MAX];
        for (row, reach) in reaches.iter_mut().zip(self.all_reaches()) {
            *row = reach;
        }
        reaches
    }

    fn all_reaches(&self) -> Vec<Reach> {
        let mut reaches = Vec::new();
        for reach in self.groups.iter().filter_map(|group| group.mixer.reach()) {
            if reach != Reach::All && !reaches.contains(&reach) {
                reaches.push(reach);
            }
        }
        reaches
    }

    /// The experts of its first layer that has some.
    pub fn experts(&self) -> Option<Experts> {
        self.groups.iter().find_map(|group| match group.mlp {
            Mlp::Experts(experts) => Some(experts),
            _ => None,
        })
    }

    /// The part of the model that layers `from..to` are.
    ///
    /// # Panics
    /// When there are not so many layers.
    #[must_use]
    pub fn layers_between(&self, from: u32, to: u32) -> Model {
        assert!(from <= to && to <= self.layers(), "a part lies in the model");
        let mut groups = Vec::new();
        let mut first = 0;
        for group in &self.groups {
            let [low, high] = [from.max(first), to.min(first + group.layers)];
            if low < high {
                groups.push(LayerGroup { layers: high - low, ..*group });
            }
            first += group.layers;
        }
        Model { groups, ..self.clone() }
    }

    /// What pricing this model leaves out or takes for granted, a sentence each, for the output to
    /// say.
    pub fn approximations(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.assumed.iter().map(|note| format!("{}: {note}", self.name)).collect();
        if self.groups.iter().any(|group| matches!(group.mixer, Mixer::Recurrent(_))) {
            notes.push(format!(
                "{}: layers that carry a state are priced by their bytes and operations, not fitted \
                 to measurements",
                self.name
            ));
        }
        notes
    }
}
