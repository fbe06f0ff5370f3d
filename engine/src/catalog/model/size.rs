//! How many parameters a model has, and how many bytes its weights and its KV take.

use super::{Format, Formats, LayerGroup, Mixer, MlpParameters, Model};

/// Bytes of a model's weights, by how ranks hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// Dealt out to tensor-parallel ranks.
    pub split: u64,
    /// Held whole by every rank.
    pub whole: u64,
    /// Routed experts.
    pub routed: u64,
}

impl WeightBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.split + self.whole + self.routed
    }
}

impl LayerGroup {
    fn mlp_parameters(&self, hidden_size: u32) -> MlpParameters {
        self.mlp.parameters(hidden_size)
    }

    /// Parameters of one layer that no format quantises: norms, biases, routers, convolutions.
    fn small_parameters(&self, hidden_size: u32) -> u64 {
        self.mixer.small_parameters(hidden_size)
            + self.mlp_parameters(hidden_size).small
            + u64::from(self.norms) * u64::from(hidden_size)
    }

    /// Parameters of one layer.
    pub fn parameters(&self, hidden_size: u32) -> u64 {
        let mlp = self.mlp_parameters(hidden_size);
        self.mixer.matrix_parameters(hidden_size)
            + mlp.dense
            + mlp.shared
            + mlp.routed
            + self.small_parameters(hidden_size)
    }
}

impl Model {
    /// Parameters of the embedding, and as many again of the head unless they are tied.
    pub fn embedding_parameters(&self) -> u64 {
        u64::from(self.vocab_size) * u64::from(self.hidden_size)
    }

    /// Parameters of the layers: matrices, norms, biases, routers.
    pub fn layer_parameters(&self) -> u64 {
        let of = |group: &LayerGroup| u64::from(group.layers) * group.parameters(self.hidden_size);
        self.groups.iter().map(of).sum()
    }

    /// Parameters of the layers' matrices: projections, feed-forward networks, experts. They are
    /// what a quantised checkpoint quantises.
    pub fn matrix_parameters(&self) -> u64 {
        let of = |group: &LayerGroup| {
            let mlp = group.mlp_parameters(self.hidden_size);
            let mixer = group.mixer.matrix_parameters(self.hidden_size);
            u64::from(group.layers) * (mixer + mlp.dense + mlp.shared + mlp.routed)
        };
        self.groups.iter().map(of).sum()
    }

    /// Parameters of the routed experts of all layers; 0 for a dense model.
    pub fn routed_parameters(&self) -> u64 {
        let of = |group: &LayerGroup| {
            u64::from(group.layers) * group.mlp_parameters(self.hidden_size).routed
        };
        self.groups.iter().map(of).sum()
    }

    /// All parameters of the language model, computed from the figures: layers, embedding, head, the
    /// last norm, other tables. Encoders and layers for multi-token prediction are not among them.
    pub fn parameters(&self) -> u64 {
        let tables = if self.tied_embeddings { 1 } else { 2 };
        self.layer_parameters()
            + tables * self.embedding_parameters()
            + u64::from(self.hidden_size)
            + self.other_parameters
    }

    /// Parameters that one token goes through: all but the experts that it does not reach.
    pub fn active_parameters(&self) -> u64 {
        let idle = |group: &LayerGroup| {
            let mlp = group.mlp_parameters(self.hidden_size);
            u64::from(group.layers) * (mlp.routed - mlp.routed_active)
        };
        self.parameters() - self.groups.iter().map(idle).sum::<u64>()
    }

    /// Bytes of the weights of its layers in these formats, an embedding if `first`, a head and the
    /// last norm if `last`: of a pipeline stage, or of all of it.
    pub fn weight_bytes(&self, formats: &Formats, first: bool, last: bool) -> WeightBytes {
        let h = self.hidden_size;
        let mut sum = WeightBytes::default();
        for group in &self.groups {
            let layers = u64::from(group.layers);
            let mlp = group.mlp_parameters(h);
            let matrices = group.mixer.matrix_parameters(h);
            let unsplit = match group.mixer {
                Mixer::Latent(latent) => latent.unsplit_parameters(h),
                _ => 0,
            };
            sum.split += formats.attention.bytes(layers * (matrices - unsplit))
                + formats.mlp.bytes(layers * mlp.dense)
                + formats.shared.bytes(layers * mlp.shared)
                + Format::BF16.bytes(layers * group.small_parameters(h));
            sum.whole += formats.attention.bytes(layers * unsplit);
            sum.routed += formats.experts.bytes(layers * mlp.routed);
        }
        let table = self.embedding_parameters();
        if first {
            sum.split += formats.embedding.bytes(table);
            sum.whole += Format::BF16.bytes(self.other_parameters + self.encoder_parameters);
        }
        if last {
            sum.split += Format::BF16.bytes(u64::from(h));
            // Tied, the last stage needs its own copy where it is not the first as well.
            if !self.tied_embeddings {
                sum.split += formats.head.bytes(table);
            } else if !first {
                sum.split += formats.embedding.bytes(table);
            }
        }
        sum
    }

    /// Bytes of all its weights as its checkpoint has them, without layers for multi-token
    /// prediction.
    pub fn checkpoint_bytes(&self) -> u64 {
        self.weight_bytes(&self.formats, true, true).total()
    }

    /// Bytes of its layers for multi-token prediction, in the format that most of its weights have.
    pub fn draft_bytes(&self) -> u64 {
        let format = match self.experts() {
            Some(_) => self.formats.experts,
            None => self.formats.mlp,
        };
        format.bytes(self.draft_parameters)
    }

    /// Bytes of K and V that all layers keep of one token, on all ranks together, with KV in numbers
    /// of `kv_bits_1024ths`; windows are not reached.
    pub fn kv_bytes_per_token(&self, kv_bits_1024ths: u32) -> u64 {
        let of = |group: &LayerGroup| match group.mixer {
            Mixer::Attention(a) => {
                let numbers = u64::from(a.kv_heads) * u64::from(a.kv_numbers_of_head());
                numbers * u64::from(kv_bits_1024ths) / (8 * 1024)
            }
            Mixer::Latent(latent) => latent.kv_bytes(kv_bits_1024ths),
            Mixer::Recurrent(_) | Mixer::None => 0,
        };
        self.groups.iter().map(|group| u64::from(group.layers) * of(group)).sum()
    }

    /// Bytes of the states of one request in all layers, on all ranks together.
    pub fn state_bytes_per_request(&self) -> u64 {
        let of = |group: &LayerGroup| match group.mixer {
            Mixer::Recurrent(recurrent) => u64::from(group.layers) * recurrent.state_bytes(),
            _ => 0,
        };
        self.groups.iter().map(of).sum()
    }
}
