//! Jumps from miss to miss within a column of token times, for one TBT deadline `D`.
//!
//! Let `v[p] = time[p] - p * D`. After a miss at entry `p` the entry `q` is due at
//! `time[p] + (q - p) * D`, so it is missed when `v[q] > v[p]`: the miss after one at `p` is the
//! next entry with a greater `v`, whichever request is asked about. These links make a forest.
//! Its paths are walked in logarithmic time with one long jump an entry (Myers, "An applicative
//! random-access stack", 1983), and sums along them are differences of sums to the root. So a run
//! costs the same however many tokens it has and however many of them are late, and the forest
//! itself is built in one pass.

use crate::time::Time;

/// The miss-to-miss links of one column for one `D`.
pub(crate) struct Forest {
    /// One node an entry, and a root behind the last that is greater than all.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    /// Deadlines missed at all later nodes of the path to the root.
    missed: u32,
    /// The next entry with a greater `v`.
    next: u32,
    /// Some later entry on the path.
    jump: u32,
    /// Nodes on the path to the root, this one included; 0 at the root.
    depth: u32,
}

/// The misses of a run after its first one.
pub(crate) struct Misses {
    /// Deadlines missed.
    pub(crate) deadlines: u64,
    /// Tokens that came late.
    pub(crate) tokens: u32,
    /// The entry of the last token that came late, the first miss if there was no other.
    pub(crate) last: u32,
}

impl Forest {
    /// The forest of a column; `None` when its numbers are too large for it (times and deadlines
    /// of decades, four thousand million misses) and tokens have to be judged one after another.
    pub(crate) fn new(column: &[Time], tbt: u64) -> Option<Forest> {
        const ROOM: u128 = 1 << 61;
        let root = u32::try_from(column.len()).ok().filter(|&len| len < u32::MAX)?;
        let origin = column.iter().min()?.as_nanos();
        let reach = column.iter().max()?.as_nanos() - origin;
        if u128::from(reach) >= ROOM || u128::from(root) * u128::from(tbt) >= ROOM {
            return None;
        }
        let end = Node { missed: 0, next: root, jump: root, depth: 0 };
        let mut nodes = vec![end; column.len() + 1];
        let v_at = |p: usize| match column.get(p) {
            Some(time) => (time.as_nanos() - origin) as i64 - p as i64 * tbt as i64,
            None => i64::MAX,
        };
        for p in (0..column.len()).rev() {
            let v = v_at(p);
            let mut next = p + 1;
            while v_at(next) <= v {
                next = nodes[next].next as usize;
            }
            let after = nodes[next];
            let jump = nodes[after.jump as usize];
            let is_root = next == column.len();
            let missed = match is_root {
                true => 0,
                false => {
                    let more = 1 + (v_at(next) - v) as u64 / tbt;
                    after.missed.checked_add(u32::try_from(more).ok()?)?
                }
            };
            let as_long = after.depth - jump.depth == jump.depth - nodes[jump.jump as usize].depth;
            nodes[p] = Node {
                missed,
                next: next as u32,
                jump: if as_long { jump.jump } else { next as u32 },
                depth: after.depth + 1,
            };
        }
        Some(Forest { nodes })
    }

    /// The misses of the entries up to `last` that follow a miss at `miss`.
    pub(crate) fn misses_after(&self, miss: u32, last: u32) -> Misses {
        let mut at = miss;
        while self.node(at).next <= last {
            let node = self.node(at);
            at = if node.jump <= last { node.jump } else { node.next };
        }
        let (from, to) = (self.node(miss), self.node(at));
        Misses {
            deadlines: u64::from(from.missed - to.missed),
            tokens: from.depth - to.depth,
            last: at,
        }
    }

    /// The entry that misses next after a miss at `miss`, and how many deadlines it misses.
    pub(crate) fn next_miss(&self, miss: u32) -> Option<(u32, u64)> {
        let node = self.node(miss);
        (node.depth > 1).then(|| (node.next, u64::from(node.missed - self.node(node.next).missed)))
    }

    fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }
}
