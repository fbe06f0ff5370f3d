//! The mixes of formats that llama.cpp quantises to, by name.

use super::{Format, Formats, Model};

/// Bits a weight, in thousandths, of attention, feed-forward networks, embedding and head.
///
/// Sizes of blocks are llama.cpp's (`ggml-common.h`): Q4_K 4.5 bits, Q5_K 5.5, Q6_K 6.5625. Its mixes
/// named M keep half of the V and down projections in a larger format, and the head in Q6_K
/// (`llama-quant.cpp`).
const MIXES: [(&str, [u32; 4]); 16] = [
    ("q8_0", [8500, 8500, 8500, 8500]),
    ("q6_k", [6563, 6563, 6563, 6563]),
    ("q5_k_m", [5560, 5680, 5500, 6563]),
    ("q5_k_s", [5500, 5500, 5500, 6563]),
    ("q5_1", [6000, 6000, 6000, 6563]),
    ("q5_0", [5500, 5500, 5500, 6563]),
    ("q4_k_m", [4620, 4840, 4500, 6563]),
    ("q4_k_s", [4530, 4540, 4500, 6563]),
    ("q4_1", [5000, 5000, 5000, 6563]),
    ("q4_0", [4500, 4500, 4500, 6563]),
    ("iq4_nl", [4500, 4500, 4500, 6563]),
    ("iq4_xs", [4310, 4310, 4250, 6563]),
    ("q3_k_m", [3700, 3850, 3440, 6563]),
    ("q2_k", [2900, 2950, 2630, 6563]),
    ("bf16", [16_000, 16_000, 16_000, 16_000]),
    ("f16", [16_000, 16_000, 16_000, 16_000]),
];

impl Formats {
    /// Names of llama.cpp's mixes that are known.
    pub fn gguf_mixes() -> impl Iterator<Item = &'static str> {
        MIXES.iter().map(|(name, _)| *name)
    }

    /// The formats of one of llama.cpp's mixes, such as `q4_k_m`; `None` where it is not known. A tied
    /// embedding is kept as a head is.
    pub fn gguf_mix(name: &str, tied: bool) -> Option<Formats> {
        let name = name.to_ascii_lowercase();
        let (_, bits) = MIXES.iter().find(|(known, _)| *known == name)?;
        let [attention, mlp, embedding, head] = bits.map(|bits| match bits {
            16_000 => Format::BF16,
            bits => Format::gguf(bits),
        });
        Some(Formats {
            attention,
            mlp,
            shared: mlp,
            experts: mlp,
            embedding: if tied { head } else { embedding },
            head,
            kv_bits_1024ths: None,
        })
    }
}

impl Model {
    /// The same model with its weights in one of llama.cpp's mixes; `None` where it is not known.
    #[must_use]
    pub fn with_gguf_mix(mut self, name: &str) -> Option<Model> {
        self.formats = Formats::gguf_mix(name, self.tied_embeddings)?;
        self.assumed.push(format!(
            "weights as in llama.cpp's mix {}, of mean bits by class",
            name.to_ascii_lowercase()
        ));
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog;

    #[test]
    fn a_mix_has_the_bits_of_published_files() {
        // Bits a weight of Llama 3.1 8B's published files: Q4_K_M is 4.92 GB, Q5_K_M 5.73, Q6_K 6.60,
        // Q8_0 8.54.
        for (name, gigabytes) in
            [("q4_k_m", 4.92), ("Q5_K_M", 5.73), ("q6_k", 6.60), ("q8_0", 8.54)]
        {
            let model = catalog::model("llama-3.1-8b").expect("in the catalog");
            let model = model.with_gguf_mix(name).expect("known");
            let given = model.checkpoint_bytes() as f64 / 1e9;
            assert!((given / gigabytes - 1.0).abs() < 0.01, "{name}: {given}");
        }
        let model = catalog::model("llama-3.1-8b").expect("in the catalog");
        assert!(model.with_gguf_mix("q9_k").is_none());
    }
}
