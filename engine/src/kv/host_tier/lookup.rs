//! What the tiers have of a request that waits, and chunks that come up for it from the tier below.

use std::collections::HashSet;

use super::chunks::Recency;
use super::jobs::{Direction, Job};
use super::{HostTier, JobId, Lookup, Move};
use crate::kv::BlockKey;
use crate::request::RequestId;

/// What an answer to a lookup goes by, where there is no tier below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    version: u64,
    local: u32,
    tokens: u32,
}

impl HostTier {
    /// What the tier has of a request beyond `local` tokens, whole blocks that the replica has;
    /// `tokens` of it are known, and `key` tells the key of a chunk, which is that of its last block.
    pub fn lookup(
        &mut self,
        request: RequestId,
        local: u32,
        tokens: u32,
        key: impl Fn(u32) -> BlockKey,
    ) -> Lookup {
        let width = self.chunk_tokens();
        let known = self.known_chunks(tokens);
        let kept = self.requests.entry(request).or_default();
        kept.table.clear();
        kept.settled = 0;
        if !kept.jobs.is_empty() {
            return Lookup::Later;
        }
        let most = tokens.min(known * width);
        if most.saturating_sub(local) < width {
            return Lookup::Tokens(0);
        }
        let asked = Asked { version: self.chunks.version(), local, tokens };
        if let Some((before, answer)) = kept.told
            && before == asked
            && self.below.is_none()
        {
            return answer;
        }
        let answer = self.look(request, (local, most), key);
        self.kept(request).told = Some((asked, answer));
        answer
    }

    /// What there is of the first `most` tokens of a request beyond `local`.
    fn look(
        &mut self,
        request: RequestId,
        (local, most): (u32, u32),
        key: impl Fn(u32) -> BlockKey,
    ) -> Lookup {
        let width = self.chunk_tokens();
        let first = local / width;
        let (mut found, mut written, mut read) = (0, false, false);
        let mut below: Vec<(u32, BlockKey)> = Vec::new();
        for place in first..most.div_ceil(width) {
            let key = key(place);
            match self.chunks.get(&key) {
                Some(use_) => {
                    written |= use_.is_written();
                    read |= use_.is_read();
                }
                None if self.below.as_ref().is_some_and(|tier| tier.has(&key)) => {
                    below.push((place, key));
                }
                None => break,
            }
            found += 1;
        }
        if written {
            return Lookup::Later;
        }
        let upto = |chunk: u32| most.min(width * chunk).saturating_sub(local);
        let hit = upto(first + found);
        match hit {
            _ if found == 0 || hit < width => Lookup::Tokens(0),
            _ if !self.worth.is_load(local, hit, below.len() as u32 * width) => Lookup::Tokens(0),
            _ if read => Lookup::Later,
            hit => match below.first() {
                None => Lookup::Tokens(hit),
                Some(_) if self.bring_up(request, &below) => {
                    // What it has by then stays until it has all.
                    self.keep((first..first + found).map(key), request);
                    Lookup::Later
                }
                // What lies before those is here.
                Some(&(place, _)) => match upto(place) {
                    hit if hit >= width && self.worth.is_load(local, hit, 0) => Lookup::Tokens(hit),
                    _ => Lookup::Tokens(0),
                },
            },
        }
    }

    fn keep(&mut self, keys: impl Iterator<Item = BlockKey>, request: RequestId) {
        for key in keys {
            self.chunks.keep(key);
            self.kept(request).waits_with.push(key);
        }
    }

    pub(super) fn let_go(&mut self, request: RequestId) {
        let Some(kept) = self.requests.get_mut(&request) else { return };
        for key in std::mem::take(&mut kept.waits_with) {
            self.chunks.let_go(&key);
        }
    }

    /// Begins to copy chunks up that only the tier below has; says `false`, and does nothing, where there
    /// is no room for them.
    fn bring_up(&mut self, request: RequestId, chunks: &[(u32, BlockKey)]) -> bool {
        let keys: HashSet<BlockKey> = chunks.iter().map(|&(_, key)| key).collect();
        if !self.chunks.make_room(chunks.len() as u32, &keys, &mut Vec::new()) {
            return false;
        }
        let rank = self.rank(request);
        for &(place, key) in chunks {
            self.chunks.begin_write(key, Recency::of_running(rank, place));
        }
        let keys = chunks.iter().map(|&(_, key)| key).collect();
        let job = self.begin_move(request, keys, Direction::Up);
        self.kept(request).jobs.push(job);
        true
    }

    /// Begins to copy chunks between the host and the tier below.
    pub(super) fn begin_move(
        &mut self,
        request: RequestId,
        keys: Vec<BlockKey>,
        direction: Direction,
    ) -> JobId {
        let (chunks, is_up) = (keys.len() as u32, direction == Direction::Up);
        let job = self.jobs.add(Job { direction, request, keys, blocks: Vec::new() });
        self.moves.push(Move { job, request, chunks, is_up });
        job
    }
}
