//! A kind of layers in words.

use std::fmt;

use super::formats::in_words;
use super::{
    Attention, Format, KvSource, LayerGroup, Mixer, Mlp, Model, Reach, Recurrent, RecurrentKind,
};

impl Model {
    /// The formats of the tensors that it has, in words.
    pub fn formats_in_words(&self) -> String {
        let has = |mlp: &dyn Fn(&Mlp) -> bool| self.groups.iter().any(|group| mlp(&group.mlp));
        let shared = |mlp: &Mlp| matches!(mlp, Mlp::Experts(experts) if experts.shared_width > 0);
        let there = |(class, _): &(&str, Format)| match *class {
            "dense layers" => has(&|mlp| matches!(mlp, Mlp::Dense(_))),
            "experts" => has(&|mlp| matches!(mlp, Mlp::Experts(_))),
            "shared experts" => has(&shared),
            "head" => !self.tied_embeddings,
            _ => true,
        };
        let classes: Vec<_> = self.formats.classes().into_iter().filter(there).collect();
        in_words(&classes)
    }
}

impl fmt::Display for LayerGroup {
    /// Such as `24 x attention (64 heads, 8 KV heads of 64, window of 128), 128 experts, 4 a token`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.layers, self.mixer)?;
        match self.mlp {
            Mlp::None => Ok(()),
            Mlp::Dense(dense) => write!(f, ", dense of width {}", dense.width),
            Mlp::Experts(experts) => {
                write!(f, ", {} experts, {} a token", experts.count, experts.per_token)?;
                if experts.shared_width > 0 { f.write_str(" and a shared one") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for Mixer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mixer::Attention(attention) => attention.fmt(f),
            Mixer::Latent(latent) => {
                write!(
                    f,
                    "latent attention ({} heads, KV of {}",
                    latent.heads,
                    latent.kv_numbers()
                )?;
                match latent.indexer {
                    Some(indexer) => write!(f, ", at most {} tokens picked)", indexer.top),
                    None => f.write_str(")"),
                }
            }
            Mixer::Recurrent(recurrent) => recurrent.fmt(f),
            Mixer::None => f.write_str("no mixer"),
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attention { heads, kv_heads, key_dim, value_dim, reach, kv, .. } = self;
        write!(f, "attention ({heads} heads, {kv_heads} KV heads of {key_dim}")?;
        if key_dim != value_dim {
            write!(f, " and {value_dim}")?;
        }
        match reach {
            Reach::All => {}
            Reach::Window(tokens) => write!(f, ", window of {tokens}")?,
            Reach::Chunk(tokens) => write!(f, ", chunks of {tokens}")?,
            Reach::Picked(tokens) => write!(f, ", at most {tokens} tokens picked")?,
        }
        match kv {
            KvSource::Own => {}
            KvSource::KeyIsValue => f.write_str(", K is V")?,
            KvSource::Shared | KvSource::SharedWithWeights => {
                f.write_str(", KV of an earlier layer")?;
            }
        }
        f.write_str(")")
    }
}

impl fmt::Display for Recurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            RecurrentKind::Mamba => "Mamba",
            RecurrentKind::Mamba2 => "Mamba 2",
            RecurrentKind::GatedDelta => "gated delta rule",
            RecurrentKind::KimiDelta => "Kimi delta attention",
            RecurrentKind::Lightning => "lightning attention",
            RecurrentKind::ShortConvolution => "short convolution",
        };
        write!(f, "{name} (state of {} KiB)", self.state_bytes() / 1024)
    }
}
