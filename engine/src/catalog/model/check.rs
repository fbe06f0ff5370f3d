//! The ranges of a model's figures.

use super::{Attention, Dense, Experts, Latent, Mixer, Mlp, Model, REACHES_MAX, Reach, Recurrent};
use crate::catalog::check::{InvalidFigure, count};

/// Most layers of a model.
const LAYERS_MAX: u32 = 1 << 11;

impl Model {
    /// Checks every figure's range.
    ///
    /// # Errors
    /// The first figure out of range, by its path.
    pub fn validate(&self) -> Result<(), InvalidFigure> {
        count("hidden_size", self.hidden_size, 1 << 17)?;
        let layers: u64 = self.groups.iter().map(|group| u64::from(group.layers)).sum();
        count("layers", u32::try_from(layers).unwrap_or(u32::MAX), LAYERS_MAX)?;
        if self.groups.iter().any(|group| group.layers == 0 || group.norms > 16) {
            return Err(InvalidFigure::new(
                "groups",
                "a group of no layers, or of 17 norms".into(),
            ));
        }
        count("vocab_size", self.vocab_size, 1 << 24)?;
        count("max_position_embeddings", self.max_position_embeddings, 1 << 30)?;
        for group in &self.groups {
            match &group.mixer {
                Mixer::Attention(attention) => attention.validate()?,
                Mixer::Latent(latent) => latent.validate()?,
                Mixer::Recurrent(recurrent) => recurrent.validate()?,
                Mixer::None => {}
            }
            match &group.mlp {
                Mlp::Dense(dense) => dense.validate()?,
                Mlp::Experts(experts) => experts.validate()?,
                Mlp::None => {}
            }
        }
        let reaches = self.all_reaches().len();
        if reaches > REACHES_MAX {
            return Err(InvalidFigure::new(
                "sliding_window",
                format!("{reaches} different windows; {REACHES_MAX} at most are modelled"),
            ));
        }
        for (path, parameters) in [
            ("other_parameters", self.other_parameters),
            ("encoder_parameters", self.encoder_parameters),
            ("draft_parameters", self.draft_parameters),
        ] {
            if parameters > 1 << 50 {
                return Err(InvalidFigure::new(path, format!("{parameters} are too many")));
            }
        }
        Ok(())
    }
}

impl Attention {
    fn validate(&self) -> Result<(), InvalidFigure> {
        count("heads", self.heads, 1 << 12)?;
        count("kv_heads", self.kv_heads, 1 << 12)?;
        count("head_dim", self.key_dim, 1 << 12)?;
        count("head_dim", self.value_dim, 1 << 12)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(InvalidFigure::new(
                "kv_heads",
                format!("{} query heads cannot share {} KV heads", self.heads, self.kv_heads),
            ));
        }
        if self.gate_columns > 1 << 24 {
            return Err(InvalidFigure::new("gate_columns", "must not pass 16777216".into()));
        }
        match self.reach {
            Reach::All => Ok(()),
            Reach::Window(most) | Reach::Picked(most) => count("sliding_window", most, 1 << 30),
            Reach::Chunk(most) => count("attention_chunk_size", most, 1 << 30),
        }
    }
}

impl Latent {
    fn validate(&self) -> Result<(), InvalidFigure> {
        count("heads", self.heads, 1 << 12)?;
        count("head_dim", self.key_dim, 1 << 12)?;
        count("kv_lora_rank", self.kv_rank, 1 << 16)?;
        count("v_head_dim", self.value_dim, 1 << 12)?;
        if self.query_rank > 1 << 16 {
            return Err(InvalidFigure::new("q_lora_rank", "must not pass 65536".into()));
        }
        if self.rope_dim >= self.key_dim {
            let (all, rope) = (self.key_dim, self.rope_dim);
            let problem = format!(
                "{all} must be above its rotary part, {rope} (qk_nope_head_dim is what is left)"
            );
            return Err(InvalidFigure::new("head_dim", problem));
        }
        if self.gate_columns > 1 << 24 {
            return Err(InvalidFigure::new("gate_columns", "must not pass 16777216".into()));
        }
        if let Some(indexer) = self.indexer {
            if (indexer.heads, indexer.dim) != (0, 0) {
                count("index_n_heads", indexer.heads, 1 << 12)?;
                count("index_head_dim", indexer.dim, 1 << 12)?;
            }
            count("index_topk", indexer.top, 1 << 30)?;
        }
        Ok(())
    }
}

impl Recurrent {
    fn validate(&self) -> Result<(), InvalidFigure> {
        count("mamba_num_heads", self.heads, 1 << 16)?;
        count("mamba_expand", self.input_columns, 1 << 22)?;
        count("mamba_expand", self.output_rows, 1 << 22)?;
        if self.state_numbers > 1 << 34 || self.conv_numbers > 1 << 30 {
            return Err(InvalidFigure::new("ssm_state_size", "a state of too many numbers".into()));
        }
        if self.other_parameters > 1 << 40 || !matches!(self.state_bits, 16 | 32) {
            return Err(InvalidFigure::new("ssm_state_size", "a figure out of range".into()));
        }
        Ok(())
    }
}

impl Dense {
    fn validate(&self) -> Result<(), InvalidFigure> {
        count("intermediate_size", self.width, 1 << 19)
    }
}

impl Experts {
    fn validate(&self) -> Result<(), InvalidFigure> {
        count("experts.count", self.count, 1 << 12)?;
        count("experts.per_token", self.per_token, 1 << 12)?;
        count("experts.intermediate_size", self.width, 1 << 19)?;
        if self.per_token > self.count {
            return Err(InvalidFigure::new(
                "experts.per_token",
                format!("is above experts.count, {}", self.count),
            ));
        }
        if self.shared_width > 1 << 19 || self.latent > 1 << 17 {
            return Err(InvalidFigure::new(
                "experts.shared_intermediate_size",
                format!("must lie in 0 to {}", 1 << 19),
            ));
        }
        Ok(())
    }
}
