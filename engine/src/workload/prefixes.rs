//! Prompts that begin alike: groups of requests with one prefix each.

use std::sync::Arc;

use crate::request::BlockIds;

use super::streams::{Purpose, Stream};
use super::{MAX_BLOCK_IDS, PrefixGroups, WorkloadError};

/// Content ids of all groups' prefixes, and who is in which group.
///
/// All requests of a group point at one stretch of ids, so the table does not grow with them.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes {
    /// Block j of group g has the id `g * blocks_each + j`.
    pub(crate) block_ids: Arc<Vec<u64>>,
    blocks_each: u32,
    groups: u32,
    share: f64,
    block_tokens: u32,
    stream: Stream,
}

impl Prefixes {
    pub(crate) fn new(
        groups: PrefixGroups,
        block_tokens: u32,
        seed: u64,
    ) -> Result<Prefixes, WorkloadError> {
        if groups.count == 0 {
            return Err(WorkloadError::spec("prefix_groups.count", "expected 1 or more, found 0"));
        }
        if !(0.0..=1.0).contains(&groups.share) {
            return Err(WorkloadError::spec(
                "prefix_groups.share",
                format!("expected a part from 0 to 1, found {}", groups.share),
            ));
        }
        let blocks_each = groups.tokens / block_tokens;
        let ids = u64::from(groups.count) * u64::from(blocks_each);
        if ids > MAX_BLOCK_IDS as u64 {
            return Err(WorkloadError::spec(
                "prefix_groups",
                format!("expected at most {MAX_BLOCK_IDS} blocks in all prefixes, found {ids}"),
            ));
        }
        Ok(Prefixes {
            block_ids: Arc::new((0..ids).collect()),
            blocks_each,
            groups: groups.count,
            share: groups.share,
            block_tokens,
            stream: Stream::new(seed, Purpose::Prefix),
        })
    }

    /// The ids at the head of the prompt of the request with this key: full blocks of its prefix.
    #[inline]
    pub(crate) fn draw(&self, key: u64, prompt_tokens: u32) -> BlockIds {
        let mut draws = self.stream.at(key);
        if draws.unit() >= self.share {
            return BlockIds::default();
        }
        let group = draws.below(u64::from(self.groups)) as u32;
        let len = self.blocks_each.min(prompt_tokens / self.block_tokens);
        if len == 0 {
            return BlockIds::default();
        }
        BlockIds { start: group * self.blocks_each, len }
    }
}
