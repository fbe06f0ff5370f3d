//! Which layers of a model become one group, and how wide a block must be so that every group's
//! block takes the same memory.
//!
//! Rules read from vLLM 0.33.0: `v1/core/kv_cache_planning.py` (`get_kv_cache_groups`,
//! `_get_kv_cache_groups_uniform_page_size`, `unify_kv_cache_spec_page_size`) and
//! `platforms/interface.py` (`_align_hybrid_block_size`).

use super::groups::{KvGroups, WindowGroups};

/// What a layer keeps of the tokens before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKv {
    /// K and V of all tokens.
    Full,
    /// K and V of those that a window of so many tokens reads, the newest included.
    Window(u32),
    /// A state of fixed size.
    State,
}

/// The groups of a model's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// How many groups of each kind.
    pub groups: KvGroups,
    /// Layers whose memory a block holds: those of one group, some of them perhaps padding.
    pub layers_per_group: u32,
}

impl Grouping {
    /// Groups of layers, given what they keep and how many do, in which kinds may be named more
    /// than once. `None` where no layer keeps anything, or there are more kinds of window than
    /// [`KvGroups::new`] takes.
    ///
    /// Groups are equally large. With one kind of layer there is one group. Otherwise a group has as
    /// many layers as there are of the rarest kind; or as many as of the most frequent one, where
    /// those are less than 1.5 times as many (older versions: 1.25 times). The last group of a kind
    /// may be padded.
    pub fn of(kinds: &[(LayerKv, u32)]) -> Option<Grouping> {
        let mut merged: Vec<(LayerKv, u32)> = Vec::new();
        for &(keeps, layers) in kinds.iter().filter(|(_, layers)| *layers > 0) {
            match merged.iter_mut().find(|(kind, _)| *kind == keeps) {
                Some((_, count)) => *count = count.checked_add(layers)?,
                None => merged.push((keeps, layers)),
            }
        }
        let rarest = merged.iter().map(|&(_, layers)| layers).min()?;
        let most = merged.iter().map(|&(_, layers)| layers).max()?;
        let near = u64::from(most) * 2 < u64::from(rarest) * 3;
        let layers_per_group = if near { most } else { rarest };
        let (mut full, mut windows, mut states) = (0, Vec::new(), 0);
        for (keeps, layers) in merged {
            let count = layers.div_ceil(layers_per_group);
            match keeps {
                LayerKv::Full => full = count,
                LayerKv::Window(tokens) => windows.push(WindowGroups { tokens, count }),
                LayerKv::State => states = count,
            }
        }
        let groups = KvGroups::new(full, &windows, states)?;
        Some(Grouping { groups, layers_per_group })
    }
}

/// How a layer's block is made as large as the largest one of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EqualBlock {
    /// Tokens in it.
    pub block_tokens: u32,
    /// Bytes of it that hold nothing.
    pub padding_bytes: u64,
}

/// A layer's block of `block_tokens` tokens and `bytes` bytes, made to take `largest_bytes`: it
/// holds a multiple of the tokens where that fits exactly, and is padded otherwise. `None` where it
/// can be neither: layers with latent attention (MLA) are never padded, nor is a block of no bytes.
pub fn equal_block(
    block_tokens: u32,
    bytes: u64,
    largest_bytes: u64,
    latent: bool,
) -> Option<EqualBlock> {
    let rest = largest_bytes.checked_rem(bytes)?;
    if rest == 0 {
        let times = u32::try_from(largest_bytes / bytes).ok()?;
        let block_tokens = block_tokens.checked_mul(times)?;
        return Some(EqualBlock { block_tokens, padding_bytes: 0 });
    }
    let padding_bytes = largest_bytes.checked_sub(bytes).filter(|_| !latent)?;
    Some(EqualBlock { block_tokens, padding_bytes })
}

/// Tokens in a block of attention layers that is large enough for a state of `state_bytes` of one
/// layer: the least multiple of `aligned_tokens`. An attention layer keeps `kv_bytes_per_token`, and
/// the state is padded to the block. All bytes are one GPU's share.
///
/// `aligned_tokens` is the larger of the engine's block and the least block of the attention kernel
/// (16 for most; 128 at least with latent attention). `None` where a token takes no memory.
pub fn block_tokens_that_hold(
    state_bytes: u64,
    kv_bytes_per_token: u64,
    aligned_tokens: u32,
) -> Option<u32> {
    let step =
        u64::from(aligned_tokens).checked_mul(kv_bytes_per_token).filter(|&step| step > 0)?;
    let tokens = state_bytes.div_ceil(step).max(1).checked_mul(u64::from(aligned_tokens))?;
    u32::try_from(tokens).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kinds: &[(LayerKv, u32)]) -> (KvGroups, u32) {
        let Grouping { groups, layers_per_group } = Grouping::of(kinds).expect("some layers");
        (groups, layers_per_group)
    }

    fn groups(full: u32, windows: &[(u32, u32)], states: u32) -> KvGroups {
        let window = |&(tokens, count)| WindowGroups { tokens, count };
        let windows: Vec<WindowGroups> = windows.iter().map(window).collect();
        KvGroups::new(full, &windows, states).expect("sound groups")
    }

    #[test]
    fn one_kind_is_one_group() {
        assert_eq!(of(&[(LayerKv::Full, 32)]), (KvGroups::ONE, 32));
        assert_eq!(of(&[(LayerKv::Full, 20), (LayerKv::Full, 12)]), (KvGroups::ONE, 32));
        assert_eq!(of(&[(LayerKv::Window(4096), 32)]), (groups(0, &[(4096, 1)], 0), 32));
        assert_eq!(of(&[(LayerKv::State, 64)]), (groups(0, &[], 1), 64));
        assert_eq!(Grouping::of(&[]), None);
        assert_eq!(Grouping::of(&[(LayerKv::Full, 0)]), None);
    }

    #[test]
    fn the_rarest_kind_sets_the_size() {
        // Gemma 3 27B: 62 layers, every sixth with full attention. The sixth window group has two
        // layers and eight of padding.
        let gemma = [(LayerKv::Full, 10), (LayerKv::Window(1024), 52)];
        assert_eq!(of(&gemma), (groups(1, &[(1024, 6)], 0), 10));
        // Qwen3-Next: 48 layers, every fourth with attention.
        let qwen = [(LayerKv::State, 36), (LayerKv::Full, 12)];
        assert_eq!(of(&qwen), (groups(1, &[], 3), 12));
        let three = [(LayerKv::Window(128), 6), (LayerKv::Full, 3), (LayerKv::Window(512), 9)];
        assert_eq!(of(&three), (groups(1, &[(128, 2), (512, 3)], 0), 3));
    }

    #[test]
    fn kinds_of_almost_the_same_number_share_the_larger_size() {
        // gpt-oss-20b, and with one more full layer for drafts.
        let even = [(LayerKv::Window(128), 12), (LayerKv::Full, 12)];
        assert_eq!(of(&even), (groups(1, &[(128, 1)], 0), 12));
        let drafts = [(LayerKv::Window(128), 12), (LayerKv::Full, 13)];
        assert_eq!(of(&drafts), (groups(1, &[(128, 1)], 0), 13));
        // 17 are below 1.5 times 12, 18 are not.
        assert_eq!(of(&[(LayerKv::Window(128), 12), (LayerKv::Full, 17)]).1, 17);
        let apart = [(LayerKv::Window(128), 12), (LayerKv::Full, 18)];
        assert_eq!(of(&apart), (groups(2, &[(128, 1)], 0), 12));
    }

    #[test]
    fn smaller_blocks_hold_more_tokens_or_are_padded() {
        let whole = EqualBlock { block_tokens: 64, padding_bytes: 0 };
        assert_eq!(equal_block(16, 4096, 16_384, false), Some(whole));
        let padded = EqualBlock { block_tokens: 16, padding_bytes: 1024 };
        assert_eq!(equal_block(16, 3072, 4096, false), Some(padded));
        assert_eq!(equal_block(16, 3072, 4096, true), None);
        assert_eq!(equal_block(16, 8192, 4096, false), None, "it is larger itself");
        assert_eq!(equal_block(16, 0, 4096, false), None);
    }

    #[test]
    fn a_block_is_as_wide_as_a_state_is_large() {
        // Qwen3-Next-80B on two GPUs with FP8 KV: one KV head of 256, K and V, a byte each. The
        // state of a linear layer is 16 value heads of 128 x 128 and a convolution of 3 x 4096, in
        // BF16. vLLM says "Setting attention block size to 1072 tokens".
        let state = (16 * 128 * 128 + 3 * 4096) * 2;
        assert_eq!(block_tokens_that_hold(state, 2 * 256, 16), Some(1072));
        // Qwen3.5-9B on one GPU: four KV heads of 256 in BF16; 32 value heads of 128 x 128 in FP32
        // and a convolution of 3 x 8192 in BF16. vLLM says 528 tokens.
        let state = 32 * 128 * 128 * 4 + 3 * 8192 * 2;
        assert_eq!(block_tokens_that_hold(state, 2 * 4 * 256 * 2, 16), Some(528));
        assert_eq!(block_tokens_that_hold(0, 4096, 16), Some(16));
        assert_eq!(block_tokens_that_hold(1000, 0, 16), None);
    }
}
