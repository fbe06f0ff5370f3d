//! KV memory: how it lies in blocks, how many there are, and how long a request may be.

use super::check::Check;
use super::hardware::{self, Memory};
use super::owner::Owner;
use crate::catalog::{Gpu, Model};
use crate::cost::{KvCapacity, KvLayout, Parallelism, kv_layout};
use crate::kv::KvGroups;
use crate::scenario::raw;
use crate::scenario::resolved::{
    BlocksFrom, DerivedBlocks, DerivedGroups, DerivedKept, DerivedLength, LengthFrom,
};
use crate::scheduler::EngineInfo;

/// How KV lies in blocks; one group of layers without a model. `None` when it cannot (and reported).
pub(super) fn layout(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    model: Option<&Model>,
    parallelism: Parallelism,
    memory: &Memory<'_>,
) -> Option<Layout> {
    let asked = memory.block_tokens;
    let Some(model) = model else {
        return Some(Layout { groups: KvGroups::ONE, block_tokens: asked, kept: Vec::new() });
    };
    match kv_layout(model, parallelism, memory.precision, asked) {
        Ok(KvLayout { groups, block_tokens, kept, .. }) => {
            if block_tokens != asked && given.kv_block_tokens.is_some() {
                let path = owner.path(check, &["engine", "kv_block_tokens"]);
                check.warnings.push(format!(
                    "{path}: {asked} tokens become {block_tokens}: a block must hold a state of {}",
                    model.name
                ));
            }
            let kept = kept.into_iter().map(Into::into).collect();
            Some(Layout { groups, block_tokens, kept })
        }
        Err(error) => {
            hardware::cost_problem(check, owner, &error);
            None
        }
    }
}

/// Which groups of layers draw from a pool of blocks, and how many tokens a block holds.
pub(super) struct Layout {
    pub groups: KvGroups,
    pub block_tokens: u32,
    pub kept: Vec<DerivedKept>,
}

pub(super) fn told_groups(groups: &KvGroups) -> Option<DerivedGroups> {
    (!groups.is_one()).then(|| DerivedGroups { words: groups.to_string(), count: groups.all() })
}

/// The number of KV blocks; `None` when it cannot be reckoned (and reported).
pub(super) fn kv_blocks(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    model: Option<&Model>,
    gpu: Option<&Gpu>,
    parallelism: Parallelism,
    memory: &Memory<'_>,
) -> Option<DerivedBlocks> {
    if let Some(blocks) = given.kv_blocks {
        if let (Some(model), Some(gpu)) = (model, gpu) {
            let path = owner.path(check, &["engine", "kv_blocks"]);
            let beyond = hardware::beyond_memory(blocks, model, gpu, parallelism, memory);
            let beyond = beyond.map(|why| format!("{path}: {why}"));
            check.warnings.extend(beyond.clone());
            check.beyond_memory = check.beyond_memory.take().or(beyond);
        }
        return Some(DerivedBlocks { value: blocks, ..DerivedBlocks::default() });
    }
    let capacity = hardware::kv_blocks(check, owner, model?, gpu?, parallelism, memory)?;
    let KvCapacity { blocks, bytes_per_block, weight_bytes, kv_bytes, arithmetic, .. } = capacity;
    let from = BlocksFrom::Memory { arithmetic, bytes_per_block, weight_bytes, kv_bytes };
    Some(DerivedBlocks { value: blocks, from, ..DerivedBlocks::default() })
}

/// The longest prompt plus output.
pub(super) fn max_model_len(
    check: &mut Check<'_>,
    owner: &Owner,
    given: &raw::Engine,
    model: Option<&Model>,
    info: &EngineInfo,
) -> DerivedLength {
    let EngineInfo { kv_blocks, kv_block_tokens: block_tokens, kv_groups, .. } = *info;
    let kv_tokens = info.kv_tokens();
    let longest = model.map(|m| m.max_position_embeddings);
    if let Some(length) = given.max_model_len {
        let field = owner.field(check, &["engine", "max_model_len"]);
        if let Some(longest) = longest.filter(|&longest| longest < length) {
            check.warnings.push(format!(
                "{field}: {length} is more than the {longest} that the model was made for"
            ));
        }
        if length > kv_tokens {
            let of = match kv_groups.is_one() {
                true => String::new(),
                false => format!(" in groups of layers, {kv_groups},"),
            };
            check.warnings.push(format!(
                "{field}: {length} is more than the KV cache holds ({kv_blocks} blocks \
                 of {block_tokens} tokens{of} are {kv_tokens}); longer requests are rejected"
            ));
        }
        return DerivedLength { value: length, from: LengthFrom::Given };
    }
    match longest {
        Some(longest) if longest <= kv_tokens => {
            DerivedLength { value: longest, from: LengthFrom::Model }
        }
        _ => DerivedLength { value: kv_tokens, from: LengthFrom::KvCache },
    }
}
