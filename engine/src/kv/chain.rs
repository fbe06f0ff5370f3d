//! What the blocks of a request contain, as runs: so two requests are compared run by run, and a
//! prefix that many have is told from others without a look at its blocks.

use std::sync::Arc;

use super::BlockKey;

/// The content of all blocks of one request, from the first on. Cheap to clone.
///
/// Equal content at a block means equal content at all blocks before it.
#[derive(Clone, Debug)]
pub struct Chain {
    runs: Runs,
    private_from: u32,
}

#[derive(Clone, Debug)]
enum Runs {
    /// All blocks are the own ones of a request.
    Own(u64),
    /// In order; the last has no end.
    Several(Arc<[Run]>),
}

/// Blocks in a row that have their content from one place.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The first block after it; [`Run::NO_END`] for the last one.
    pub end: u32,
    pub names: Names,
}

/// Where the content of a block is said.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// It is the own one of a request, with this number.
    Own(u64),
    /// A table of chained content ids.
    Ids(Ids),
}

/// Chained content ids of blocks.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub table: Arc<Vec<u64>>,
    /// Where the ids of the request's first token stand.
    pub start: u32,
    pub widths: Widths,
}

/// How wide blocks and ids are, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Widths {
    pub block_tokens: u32,
    /// Tokens behind a block that its identity covers too.
    pub ahead: u32,
    pub id_tokens: u32,
}

impl Run {
    pub(crate) const NO_END: u32 = u32::MAX;
}

impl Widths {
    /// Blocks whose content lies in the first `tokens` tokens.
    pub(crate) fn blocks_within(self, tokens: u32) -> u32 {
        tokens.saturating_sub(self.ahead) / self.block_tokens
    }

    /// Which id a block belongs to: the one that its last token lies in.
    fn id_of(self, block: u32) -> usize {
        if self.id_tokens == self.block_tokens && self.ahead == 0 {
            return block as usize;
        }
        let end = (u64::from(block) + 1) * u64::from(self.block_tokens) + u64::from(self.ahead);
        ((end - 1) / u64::from(self.id_tokens)) as usize
    }
}

impl Ids {
    fn id(&self, block: u32) -> u64 {
        self.table[self.start as usize + self.widths.id_of(block)]
    }

    /// The first of the blocks from `from` on that differs, `to` where none before it does.
    fn differs(&self, other: &Ids, from: u32, to: u32) -> u32 {
        let same_place = Arc::ptr_eq(&self.table, &other.table) && self.start == other.start;
        if same_place && self.widths == other.widths {
            return to;
        }
        (from..to).find(|&block| self.id(block) != other.id(block)).unwrap_or(to)
    }
}

impl Chain {
    /// Blocks that are all a request's own; `met` says whether others can have them too.
    pub(crate) fn own(request: u64, met: bool) -> Chain {
        Chain { runs: Runs::Own(request), private_from: if met { u32::MAX } else { 0 } }
    }

    /// Blocks of several origins. From `private_from` on nobody else can have the same; `u32::MAX`
    /// where all can be met.
    pub(crate) fn of(runs: Vec<Run>, private_from: u32) -> Chain {
        debug_assert!(runs.is_sorted_by_key(|run| run.end));
        debug_assert!(runs.last().is_some_and(|run| run.end == Run::NO_END));
        Chain { runs: Runs::Several(runs.into()), private_from }
    }

    /// The first block from which on no other request can have the same content.
    pub(crate) fn private_from(&self) -> u32 {
        self.private_from
    }

    /// Its runs, where blocks have several origins.
    pub(crate) fn runs(&self) -> &[Run] {
        match &self.runs {
            Runs::Own(_) => &[],
            Runs::Several(runs) => runs,
        }
    }

    /// The key of a block.
    pub fn key(&self, block: u32) -> BlockKey {
        let (id, shared) = self.name(block);
        BlockKey { id, index: block, shared }
    }

    /// What tells a block from others at its place: a number, and whether it is a content id.
    pub(crate) fn name(&self, block: u32) -> (u64, bool) {
        match &self.runs {
            Runs::Own(request) => (*request, false),
            Runs::Several(runs) => match &run_at(runs, block).names {
                Names::Own(request) => (*request, false),
                Names::Ids(ids) => (ids.id(block), true),
            },
        }
    }

    /// The first of the blocks from `from` on whose content is another in `other`; `to` where none
    /// before it is.
    pub(crate) fn differs(&self, other: &Chain, from: u32, to: u32) -> u32 {
        let mut at = from;
        while at < to {
            let ((a, a_end), (b, b_end)) = (self.names_at(at), other.names_at(at));
            let end = to.min(a_end).min(b_end);
            let same = match (a, b) {
                (At::Own(a), At::Own(b)) if a == b => end,
                (At::Ids(a), At::Ids(b)) => a.differs(b, at, end),
                _ => at,
            };
            if same < end {
                return same;
            }
            at = end;
        }
        to
    }

    fn names_at(&self, block: u32) -> (At<'_>, u32) {
        match &self.runs {
            Runs::Own(request) => (At::Own(*request), Run::NO_END),
            Runs::Several(runs) => {
                let run = run_at(runs, block);
                let names = match &run.names {
                    Names::Own(request) => At::Own(*request),
                    Names::Ids(ids) => At::Ids(ids),
                };
                (names, run.end)
            }
        }
    }
}

enum At<'a> {
    Own(u64),
    Ids(&'a Ids),
}

fn run_at(runs: &[Run], block: u32) -> &Run {
    // Two or three are the rule: a prefix, and the request's own.
    let place = match runs.len() {
        0..8 => runs.iter().position(|run| block < run.end).unwrap_or(runs.len() - 1),
        _ => runs.partition_point(|run| run.end <= block).min(runs.len() - 1),
    };
    &runs[place]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(table: &Arc<Vec<u64>>, start: u32) -> Names {
        let widths = Widths { block_tokens: 16, ahead: 0, id_tokens: 16 };
        Names::Ids(Ids { table: Arc::clone(table), start, widths })
    }

    fn after(end: u32, names: Names, request: u64) -> Chain {
        let own = Run { end: Run::NO_END, names: Names::Own(request) };
        Chain::of(vec![Run { end, names }, own], end)
    }

    #[test]
    fn chains_differ_where_their_content_does() {
        let (one, two) = (Arc::new(vec![7, 8, 9]), Arc::new(vec![1, 7, 8, 5]));
        let a = after(3, ids(&one, 0), 1);
        let b = after(3, ids(&two, 1), 2);
        assert_eq!(a.differs(&a, 0, 100), 100);
        assert_eq!(a.differs(&b, 0, 100), 2, "9 is not 5");
        assert_eq!(a.differs(&b, 0, 2), 2);
        let same = after(3, ids(&one, 0), 2);
        assert_eq!(a.differs(&same, 0, 100), 3, "own blocks");
        let shorter = after(2, ids(&one, 0), 1);
        assert_eq!(a.differs(&shorter, 0, 100), 2, "an id is not an own block");
        let own = [Chain::own(1, false), Chain::own(2, false)];
        assert_eq!(own[0].differs(&own[1], 4, 9), 4);
        assert_eq!(a.key(2), BlockKey { id: 9, index: 2, shared: true });
        assert_eq!(a.key(3), BlockKey { id: 1, index: 3, shared: false });
    }

    #[test]
    fn a_block_belongs_to_the_id_of_its_last_token() {
        let widths = Widths { block_tokens: 16, ahead: 1, id_tokens: 512 };
        assert_eq!([0, 30, 31, 62, 63].map(|block| widths.id_of(block)), [0, 0, 1, 1, 2]);
        assert_eq!([0, 16, 17, 33].map(|tokens| widths.blocks_within(tokens)), [0, 0, 1, 2]);
    }
}
