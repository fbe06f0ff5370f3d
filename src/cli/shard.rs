//! Which part of a search a command does, for batch systems that share it out.

use crate::cli::error::Error;
use crate::search::sweep::Shard;

/// `I/N`, of the parts of a search.
pub(super) fn shard(text: &str) -> Result<Shard, Error> {
    let parts = text.split_once('/').and_then(|(index, of)| {
        Some(Shard { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
    });
    parts.filter(|shard| (1..=shard.of).contains(&shard.index)).ok_or_else(|| {
        Error::Usage(format!("--shard: expected I/N with I from 1 to N, found `{text}`"))
    })
}
