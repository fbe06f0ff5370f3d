//! Figures replaced in a model taken by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LayerGroup, Mixer, Mlp, Model};
use crate::catalog::check::InvalidFigure;

/// Figures to replace in a model taken by name: `{base: llama-3.1-8b, layers: 16}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOverrides {
    /// Replaces [`Model::hidden_size`].
    pub hidden_size: Option<u32>,
    /// Replaces the width of the dense feed-forward networks, where there are some.
    pub intermediate_size: Option<u32>,
    /// Keeps the first so many layers, or repeats the one kind of layer so often.
    pub layers: Option<u32>,
    /// Replaces the query heads of all attention layers.
    pub heads: Option<u32>,
    /// Replaces the KV heads of all attention layers.
    pub kv_heads: Option<u32>,
    /// Replaces the size of the heads of all attention layers.
    pub head_dim: Option<u32>,
    /// Replaces [`Model::vocab_size`].
    pub vocab_size: Option<u32>,
    /// Replaces [`Model::max_position_embeddings`].
    pub max_position_embeddings: Option<u32>,
}

impl Model {
    /// The same model with some figures replaced; its name gets a `*`.
    ///
    /// # Errors
    /// When a figure is out of range, or the model has nothing that it could replace.
    pub fn with(mut self, overrides: &ModelOverrides) -> Result<Model, InvalidFigure> {
        if *overrides == ModelOverrides::default() {
            return Ok(self);
        }
        self.name.push('*');
        self.published = super::Published::default();
        for (figure, replacement) in [
            (&mut self.hidden_size, overrides.hidden_size),
            (&mut self.vocab_size, overrides.vocab_size),
            (&mut self.max_position_embeddings, overrides.max_position_embeddings),
        ] {
            *figure = replacement.unwrap_or(*figure);
        }
        if let Some(layers) = overrides.layers {
            self.keep_layers(layers)?;
        }
        self.replace(overrides)?;
        self.validate()?;
        Ok(self)
    }

    fn keep_layers(&mut self, layers: u32) -> Result<(), InvalidFigure> {
        if let Some(why) = self.layers_fixed {
            return Err(InvalidFigure::new("layers", format!("cannot be replaced here: {why}")));
        }
        let (all, kinds) = (self.layers(), self.kinds().len());
        if layers > all && kinds > 1 {
            let problem = format!(
                "the model has {all} layers of {kinds} kinds; more than that would leave open which"
            );
            return Err(InvalidFigure::new("layers", problem));
        }
        match self.groups.first_mut() {
            Some(only) if kinds == 1 => {
                only.layers = layers;
                self.groups.truncate(1);
            }
            _ => self.groups = self.layers_between(0, layers).groups,
        }
        Ok(())
    }

    fn replace(&mut self, overrides: &ModelOverrides) -> Result<(), InvalidFigure> {
        let ModelOverrides { intermediate_size, heads, kv_heads, head_dim, .. } = *overrides;
        let mut found = [heads, kv_heads, head_dim].map(|given| given.is_none());
        for LayerGroup { mixer, mlp, .. } in &mut self.groups {
            if let (Mlp::Dense(dense), Some(width)) = (&mut *mlp, intermediate_size) {
                dense.width = width;
            }
            match mixer {
                Mixer::Attention(a) => {
                    a.heads = heads.unwrap_or(a.heads);
                    a.kv_heads = kv_heads.unwrap_or(a.kv_heads);
                    let (old, new) = (a.key_dim, head_dim.unwrap_or(a.key_dim));
                    a.key_dim = new;
                    a.value_dim = if a.value_dim == old { new } else { a.value_dim };
                    found = [true; 3];
                }
                Mixer::Latent(latent) => {
                    latent.heads = heads.unwrap_or(latent.heads);
                    latent.key_dim = head_dim.unwrap_or(latent.key_dim);
                    (found[0], found[2]) = (true, true);
                }
                Mixer::Recurrent(_) | Mixer::None => {}
            }
        }
        let names = ["heads", "kv_heads", "head_dim"];
        match found.iter().position(|&found| !found) {
            None => Ok(()),
            Some(at) => Err(InvalidFigure::new(
                names[at],
                "the model has no layer that this is a figure of".into(),
            )),
        }
    }
}
