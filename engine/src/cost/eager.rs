//! Eager mode: without CUDA graphs the host launches every kernel of an iteration.

use crate::catalog::{EngineProfile, LayerGroup, Mixer, Mlp, Model, QkNorm};

use super::shard::Shard;
use super::stage::Place;

/// The projections of q, k and v, rotary embedding, writing K and V, attention, output projection.
const ATTENTION: u32 = 5;
/// Compressing queries and K and V, and normalising both.
const LATENT: u32 = 3;
/// An indexer's projections, its pass over all tokens, its choice.
const INDEXER: u32 = 4;
/// Projections in and out, convolution, the state, gate and norm.
const RECURRENT: u32 = 5;
/// First products, activation, last product.
const DENSE: u32 = 3;
/// Router, choice, sorting, first products, activation, last product, sum.
const EXPERTS: u32 = 7;
/// Embedding, last norm, output head, and sampling's few.
const HEAD: u32 = 8;

/// The time that the host takes to launch all kernels of a stage, microseconds: of an iteration of decodes,
/// and of one with chunks; 0 where graphs are replayed, or launches are hidden. Launching runs ahead of the
/// GPU: an iteration takes the longer of both.
pub(super) fn launches_us(
    model: &Model,
    profile: &EngineProfile,
    shard: Shard,
    place: Place,
) -> [f64; 2] {
    let kernels = f64::from(kernels(model, shard, place));
    let eager = if profile.enforce_eager { profile.eager_us_per_kernel } else { 0.0 };
    let routed = model.groups.iter().filter(|group| matches!(group.mlp, Mlp::Experts(_)));
    let routed = f64::from(routed.map(|group| group.layers).sum::<u32>());
    let chunks_us =
        profile.prefill_us_per_kernel * kernels + profile.prefill_us_per_expert_layer * routed;
    [eager * kernels, chunks_us.max(eager * kernels)]
}

fn kernels(model: &Model, shard: Shard, place: Place) -> u32 {
    let of = |group: &LayerGroup| group.layers * kernels_of_layer(group, shard);
    let head = if place.last { HEAD } else { 0 };
    model.groups.iter().map(of).sum::<u32>() + head
}

fn kernels_of_layer(group: &LayerGroup, shard: Shard) -> u32 {
    let message = u32::from(shard.expert_ranks > 1);
    let mixer = match group.mixer {
        Mixer::None => 0,
        Mixer::Attention(a) => ATTENTION + u32::from(a.qk_norm != QkNorm::None) + message,
        Mixer::Latent(latent) => {
            let indexer = if latent.indexer.is_some() { INDEXER } else { 0 };
            ATTENTION + LATENT + indexer + message
        }
        Mixer::Recurrent(_) => RECURRENT + message,
    };
    let mlp = match group.mlp {
        Mlp::None => 0,
        Mlp::Dense(_) => DENSE + message,
        Mlp::Experts(experts) => {
            EXPERTS + if experts.shared_width > 0 { DENSE } else { 0 } + message
        }
    };
    mixer + mlp + group.norms
}

#[cfg(test)]
mod tests {
    use super::super::Parallelism;
    use super::*;
    use crate::catalog;

    fn count(name: &str, tensor: u32) -> u32 {
        let model = catalog::model(name).unwrap();
        let parallelism = Parallelism { tensor, ..Parallelism::default() };
        let shard = Shard::new(&model, parallelism).unwrap();
        kernels(&model, shard, Place { first: true, last: true })
    }

    #[test]
    fn kernels_are_counted() {
        // 32 layers of 5 + 2 norms + 3, and 8.
        assert_eq!(count("llama-3.1-8b", 1), 328);
        // Two all-reduces a layer.
        assert_eq!(count("llama-3.1-8b", 2), 392);
        // 48 layers of 5 + 2 + 1 (norms of q and k) + 7, and 8.
        assert_eq!(count("qwen3-30b-a3b", 1), 728);
        // 27 layers of 5 + 2 + 3 (latent); 1 of 3, 26 of 7 + 3; 8.
        assert_eq!(count("deepseek-v2-lite", 1), 541);
    }
}
