//! How a model's KV and states lie in blocks: which layers share a pool's blocks in which groups,
//! how many tokens a block holds, and how many bytes it takes on a rank.

use crate::catalog::{Mixer, Model, Reach};
use crate::kv::{Grouping, KvGroups, LayerKv, WindowGroups, block_tokens_that_hold};

use super::pipeline::split;
use super::shard::Shard;
use super::{CostError, Parallelism, Precision};

/// The least block of attention kernels for latent attention beside states, tokens (vLLM
/// `platforms/interface.py`).
const LATENT_BLOCK_TOKENS: u32 = 128;

/// The blocks of a model's KV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Which groups of layers draw from one pool.
    pub groups: KvGroups,
    /// Tokens in a block: those asked for, or more where a block must hold a state.
    pub block_tokens: u32,
    /// What the layers of each kind keep on one rank, by first appearance.
    pub kept: Vec<KeptBytes>,
    /// Bytes of a block on one rank of each pipeline stage.
    pub(super) bytes_per_block: Vec<u64>,
}

impl KvLayout {
    /// Bytes of a block on one rank of each of all pipeline stages.
    pub fn block_bytes(&self) -> u64 {
        self.bytes_per_block.iter().sum()
    }
}

/// What all layers of one kind keep on one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBytes {
    /// What they keep.
    pub keeps: LayerKv,
    /// How many layers.
    pub layers: u32,
    /// Bytes of a token in all of them, or of a request's states.
    pub bytes: u64,
}

/// What layers of one kind keep on one rank.
#[derive(Clone, Copy, Debug)]
struct Kept {
    keeps: LayerKv,
    layers: u32,
    /// Bytes of a token in one layer, or of a state.
    bytes: u64,
    latent: bool,
}

/// The layout of a model's KV in blocks of `block_tokens` tokens.
///
/// Layers that all keep the same lie in one group. Otherwise groups of equally many layers draw
/// blocks from one pool ([`Grouping`]). Blocks are equally large: where one kind's layers take a
/// whole multiple of another's bytes a token it takes as many more blocks, and is padded otherwise.
/// Attention in chunks and attention to picked tokens keep all tokens, as in vLLM.
///
/// # Errors
/// When the model cannot be split so.
pub fn kv_layout(
    model: &Model,
    parallelism: Parallelism,
    precision: Precision,
    block_tokens: u32,
) -> Result<KvLayout, CostError> {
    let shard = Shard::new(model, parallelism)?;
    let bits = precision.kv_bits_1024ths(model);
    let parts = split(model, parallelism.pipeline)?;
    let kept_in = |part: &Model| kept(part, shard, bits);
    let all = kept_in(model);
    let block_tokens = block_tokens.max(1);
    let told = told(&all);
    let kinds: Vec<(LayerKv, u32)> = all.iter().map(|kept| (kept.keeps, kept.layers)).collect();
    let Some(grouping) = Grouping::of(&kinds) else {
        // Nothing is kept: a block is a token's place.
        let bytes_per_block = vec![1; parts.len()];
        return Ok(KvLayout { groups: KvGroups::ONE, block_tokens, kept: told, bytes_per_block });
    };
    if kinds.iter().all(|(keeps, _)| *keeps == kinds[0].0) {
        let of_stage = |part: &Model| {
            let bytes = kept_in(part).iter().map(|kept| kept.bytes * u64::from(kept.layers)).sum();
            let tokens = if kinds[0].0 == LayerKv::State { 1 } else { u64::from(block_tokens) };
            u64::saturating_mul(bytes, tokens).max(1)
        };
        let bytes_per_block = parts.iter().map(of_stage).collect();
        let groups = grouping.groups;
        return Ok(KvLayout { groups, block_tokens, kept: told, bytes_per_block });
    }
    let page = Page::of(&all);
    let block_tokens = match page.state_bytes {
        0 => block_tokens,
        bytes => {
            let least = if page.latent { LATENT_BLOCK_TOKENS } else { 1 };
            let aligned = block_tokens.max(least);
            block_tokens_that_hold(bytes, page.token_bytes, aligned).unwrap_or(block_tokens)
        }
    };
    let times = |keeps: LayerKv| page.times(&all, keeps);
    let windows: Vec<WindowGroups> = grouping
        .groups
        .windows()
        .map(|window| WindowGroups {
            count: window.count * times(LayerKv::Window(window.tokens)),
            ..window
        })
        .collect();
    let full = grouping.groups.full() * times(LayerKv::Full);
    let groups = KvGroups::new(full, &windows, grouping.groups.states());
    let per_block = page.token_bytes.saturating_mul(u64::from(block_tokens)).max(1);
    let of_stage = |part: &Model| per_block * u64::from(layers_of(&kept_in(part), &grouping));
    Ok(KvLayout {
        groups: groups.unwrap_or(grouping.groups),
        block_tokens,
        kept: told,
        bytes_per_block: parts.iter().map(of_stage).collect(),
    })
}

/// The sums over layers that keep the same.
fn told(all: &[Kept]) -> Vec<KeptBytes> {
    let mut told: Vec<KeptBytes> = Vec::new();
    for &Kept { keeps, layers, bytes, .. } in all {
        let bytes = bytes * u64::from(layers);
        match told.iter_mut().find(|one| one.keeps == keeps) {
            Some(one) => {
                one.layers += layers;
                one.bytes += bytes;
            }
            None => told.push(KeptBytes { keeps, layers, bytes }),
        }
    }
    told
}

/// Layers of a stage whose memory a block holds, at least 1.
fn layers_of(stage: &[Kept], grouping: &Grouping) -> u32 {
    let groups_of = |keeps: LayerKv| match keeps {
        LayerKv::Full => grouping.groups.full(),
        LayerKv::State => grouping.groups.states(),
        LayerKv::Window(tokens) => {
            grouping.groups.windows().find(|w| w.tokens == tokens).map_or(1, |w| w.count)
        }
    };
    let mut most = 1;
    for keeps in stage.iter().map(|kept| kept.keeps) {
        let layers: u32 = stage.iter().filter(|k| k.keeps == keeps).map(|k| k.layers).sum();
        most = most.max(layers.div_ceil(groups_of(keeps).max(1)));
    }
    most
}

/// What the layers of a part keep on one rank, kind by kind and size by size.
fn kept(part: &Model, shard: Shard, kv_bits: u32) -> Vec<Kept> {
    let mut all = Vec::new();
    for (mixer, layers) in part.mixers() {
        let (keeps, bytes, latent) = match mixer {
            Mixer::Attention(a) if a.stores_kv() => {
                let heads = u64::from(shard.kv_heads(a.kv_heads));
                let bits = heads * u64::from(a.kv_numbers_of_head()) * u64::from(kv_bits);
                (keeps(a.reach), bits / (8 * 1024), false)
            }
            Mixer::Latent(latent) => (LayerKv::Full, latent.kv_bytes(kv_bits), true),
            Mixer::Recurrent(r) => {
                (LayerKv::State, r.state_bytes().div_ceil(u64::from(shard.ranks)), false)
            }
            Mixer::Attention(_) | Mixer::None => continue,
        };
        all.push(Kept { keeps, layers, bytes, latent });
    }
    all
}

/// Bytes that all layers of a model keep of a token on one rank, as if none had a window; states are
/// not among them.
pub(super) fn token_bytes(model: &Model, shard: Shard, kv_bits: u32) -> u64 {
    let all = kept(model, shard, kv_bits);
    let of_tokens = all.iter().filter(|kept| kept.keeps != LayerKv::State);
    of_tokens.map(|kept| kept.bytes * u64::from(kept.layers)).sum()
}

fn keeps(reach: Reach) -> LayerKv {
    match reach {
        Reach::Window(tokens) => LayerKv::Window(tokens),
        Reach::All | Reach::Chunk(_) | Reach::Picked(_) => LayerKv::Full,
    }
}

/// What a token of one layer takes in a block that serves every kind.
#[derive(Clone, Copy, Debug)]
struct Page {
    token_bytes: u64,
    /// Of the largest state; 0 without states.
    state_bytes: u64,
    latent: bool,
}

impl Page {
    fn of(all: &[Kept]) -> Page {
        let states = all.iter().filter(|kept| kept.keeps == LayerKv::State);
        let state_bytes = states.map(|kept| kept.bytes).max().unwrap_or(0);
        let tokens = || all.iter().filter(|kept| kept.keeps != LayerKv::State && kept.bytes > 0);
        let least = tokens().map(|kept| kept.bytes).min().unwrap_or(1);
        let most = tokens().map(|kept| kept.bytes).max().unwrap_or(1);
        let whole = tokens().all(|kept| kept.bytes.is_multiple_of(least));
        let token_bytes = if whole { least } else { most };
        Page { token_bytes, state_bytes, latent: all.iter().any(|kept| kept.latent) }
    }

    /// Blocks that layers of a kind take for one of the least.
    fn times(self, all: &[Kept], keeps: LayerKv) -> u32 {
        let bytes = all.iter().filter(|kept| kept.keeps == keeps).map(|kept| kept.bytes).max();
        let times = bytes.unwrap_or(0).div_ceil(self.token_bytes.max(1));
        u32::try_from(times.max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{self, Attention, LayerGroup, RecurrentKind};
    use crate::cost::Dtype;

    fn model(groups: &[(u32, Mixer)]) -> Model {
        let llama = catalog::model("llama-3.1-8b").unwrap();
        let mlp = llama.groups[0].mlp;
        let groups =
            groups.iter().map(|&(layers, mixer)| LayerGroup { layers, mixer, mlp, norms: 2 });
        Model { groups: groups.collect(), ..llama.clone() }
    }

    fn attention(kv_heads: u32, key_dim: u32, value_dim: u32, reach: Reach) -> Mixer {
        let Mixer::Attention(llama) = catalog::model("llama-3.1-8b").unwrap().groups[0].mixer
        else {
            panic!("attention")
        };
        Mixer::Attention(Attention { kv_heads, key_dim, value_dim, reach, ..llama })
    }

    fn state(bytes: u64) -> Mixer {
        Mixer::Recurrent(catalog::Recurrent {
            kind: RecurrentKind::Mamba2,
            heads: 32,
            input_columns: 4096,
            output_rows: 4096,
            other_parameters: 0,
            state_numbers: bytes / 4,
            state_bits: 32,
            conv_numbers: 0,
        })
    }

    fn layout(groups: &[(u32, Mixer)], tensor: u32) -> KvLayout {
        let parallelism = Parallelism { tensor, ..Parallelism::default() };
        kv_layout(&model(groups), parallelism, Dtype::Bf16.into(), 16).unwrap()
    }

    fn groups(full: u32, windows: &[(u32, u32)], states: u32) -> KvGroups {
        let window = |&(tokens, count)| WindowGroups { tokens, count };
        let windows: Vec<WindowGroups> = windows.iter().map(window).collect();
        KvGroups::new(full, &windows, states).unwrap()
    }

    #[test]
    fn layers_that_are_alike_lie_in_one_block() {
        // 2 x 8 heads x 128 x 2 bytes x 16 tokens in 32 layers.
        let all = layout(&[(32, attention(8, 128, 128, Reach::All))], 1);
        assert_eq!((all.groups, all.bytes_per_block), (KvGroups::ONE, vec![32 * 65_536]));
        let halves = layout(&[(32, attention(8, 128, 128, Reach::All))], 2);
        assert_eq!(halves.bytes_per_block, [16 * 65_536]);
        // Chunks and picked tokens keep all.
        let chunks = layout(
            &[
                (24, attention(8, 128, 128, Reach::Chunk(8192))),
                (8, attention(8, 128, 128, Reach::All)),
            ],
            1,
        );
        assert_eq!((chunks.groups, chunks.bytes_per_block), (KvGroups::ONE, vec![32 * 65_536]));
    }

    #[test]
    fn windows_have_groups_of_their_own() {
        // Gemma 3 27B: 10 layers of full attention, 52 with a window: groups of 10.
        let window = attention(16, 128, 128, Reach::Window(1024));
        let gemma = layout(&[(52, window), (10, attention(16, 128, 128, Reach::All))], 1);
        assert_eq!(gemma.groups, groups(1, &[(1024, 6)], 0));
        assert_eq!(gemma.bytes_per_block, [10 * 2 * 16 * 128 * 2 * 16]);
    }

    /// MiMo: window layers keep twice what full ones do, and take two blocks where those take one.
    #[test]
    fn larger_layers_take_more_blocks() {
        let window = attention(8, 192, 128, Reach::Window(128));
        let mimo = layout(&[(2, attention(4, 192, 128, Reach::All)), (6, window)], 1);
        assert_eq!(mimo.groups, groups(1, &[(128, 3 * 2)], 0));
        assert_eq!(mimo.bytes_per_block, [2 * 4 * 320 * 2 * 16]);
        let kept: Vec<u64> = mimo.kept.iter().map(|kept| kept.bytes).collect();
        assert_eq!(kept, [2 * 4 * 320 * 2, 6 * 8 * 320 * 2]);
    }

    #[test]
    fn a_block_holds_a_state() {
        // 1,024 bytes a token and layer; a state of 100,000 bytes needs 98 tokens: 112 in sixteens.
        let hybrid = layout(&[(1, attention(2, 128, 128, Reach::All)), (4, state(100_000))], 1);
        assert_eq!((hybrid.groups, hybrid.block_tokens), (groups(1, &[], 4), 112));
        assert_eq!(hybrid.bytes_per_block, [112 * 1024]);
        // Nothing but states: a block is a request's.
        let states = layout(&[(8, state(100_000))], 1);
        assert_eq!((states.groups, states.bytes_per_block), (groups(0, &[], 1), vec![800_000]));
    }
}
