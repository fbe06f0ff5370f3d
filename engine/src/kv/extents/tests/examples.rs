//! Worked examples of where a simple picture of extents fails.

use std::sync::Arc;

use super::world::ended;
use super::*;
use crate::kv::chain::{Ids, Names, Run, Widths};

/// A cache of blocks of one token, in which contents are letters.
struct Letters {
    both: Both,
    known: Vec<Asking>,
}

impl Letters {
    fn new(total: u32) -> Letters {
        Letters { both: Both::new(total, RULES, None), known: Vec::new() }
    }

    /// A request of these letters; others may begin with them.
    fn asks(&mut self, text: &str) -> usize {
        let number = self.known.len() as u64;
        // Chained: the letters so far as digits.
        let chained = text.bytes().scan(0, |before: &mut u64, letter| {
            *before = *before * 27 + u64::from(letter - b'a' + 1);
            Some(*before)
        });
        let table: Arc<Vec<u64>> = Arc::new(chained.collect());
        let widths = Widths { block_tokens: 1, ahead: 0, id_tokens: 1 };
        let names = Names::Ids(Ids { table, start: 0, widths });
        let chain = Chain::of(ended(vec![Run { end: text.len() as u32, names }], number), u32::MAX);
        let (slot, prompt) = (SlotId::at(number as usize), text.len() as u32);
        let asks = Asking { slot, number, chain, followed: true, prompt, held: 0, registered: 0 };
        self.known.push(asks);
        number as usize
    }

    /// Admits a request with a chunk of `new` blocks; its hit.
    fn admits(&mut self, who: usize, new: u32) -> u32 {
        let asks = &mut self.known[who];
        let hit = self.both.lookup(&asks.chain, asks.prompt - 1, false);
        assert!(self.both.admit(asks, hit, new), "there is room");
        self.both.register(asks, hit + new);
        self.both.compare_all();
        hit
    }

    fn computes(&mut self, who: usize, new: u32) {
        let asks = &mut self.known[who];
        assert!(self.both.grow(asks, new), "there is room");
        let held = asks.held;
        self.both.register(asks, held);
        self.both.compare_all();
    }

    fn ends(&mut self, who: usize) {
        self.both.release(&mut self.known[who], true);
        self.both.compare_all();
    }

    /// The free list, front first.
    fn free(&self) -> String {
        let letter = |key: Option<BlockKey>| match key {
            None => '-',
            Some(key) => char::from(b'a' + ((key.id - 1) % 27) as u8),
        };
        self.both.free_contents().into_iter().map(letter).collect()
    }
}

#[test]
fn a_copy_can_lose_its_head() {
    let mut world = Letters::new(10);
    let (a, b) = (world.asks("abcde"), world.asks("abcde"));
    assert_eq!(world.admits(a, 2), 0);
    assert_eq!(world.admits(b, 3), 2);
    world.computes(a, 3);
    world.ends(b);
    assert_eq!(world.free(), "--edc");
    let x = world.asks("xyzw");
    world.admits(x, 4);
    assert_eq!(world.free(), "c");
    world.ends(x);
    assert_eq!(world.free(), "cwzyx");
    // Of a and b A's copy, of c B's, of d and e A's again.
    let h = world.asks("abcdef");
    assert_eq!(world.admits(h, 1), 5);
    assert_eq!(world.free(), "zyx");
    world.ends(a);
    assert_eq!(world.free(), "zyxc");
    let y = world.asks("mnop");
    world.admits(y, 4);
    assert_eq!(world.free(), "");
    world.ends(h);
    assert_eq!(world.free(), "fedcba");
}

#[test]
fn a_hit_inside_an_idle_copy_leaves_the_rest_in_its_place() {
    let mut world = Letters::new(8);
    let (a, b) = (world.asks("abcd"), world.asks("xy"));
    world.admits(a, 4);
    world.admits(b, 2);
    world.ends(a);
    world.ends(b);
    assert_eq!(world.free(), "--dcbayx");
    let c = world.asks("abz");
    assert_eq!(world.admits(c, 1), 2);
    assert_eq!(world.free(), "-dcyx");
    world.ends(c);
    assert_eq!(world.free(), "-dcyxzba");
}

#[test]
fn copies_end_where_they_were_evicted_and_cells_are_not_cut() {
    let mut world = Letters::new(9);
    let (a, b) = (world.asks("abcd"), world.asks("abcd"));
    world.admits(a, 1);
    world.admits(b, 3);
    world.computes(a, 3);
    world.ends(b);
    assert_eq!(world.free(), "--dcb");
    let before = world.both.extents.slabs.counts();
    let x = world.asks("mnop");
    world.admits(x, 4);
    // d and c of B are gone, and A's copies of them stand behind a shorter one.
    assert_eq!(world.free(), "b");
    let (cells, copies) = world.both.extents.slabs.counts();
    assert_eq!((cells, copies), (before.0 + 1, before.1 + 1), "one more of each, X's own");
}

#[test]
fn blocks_that_are_full_but_unknown_come_back_blank() {
    let mut world = Letters::new(6);
    let a = world.asks("abcd");
    world.admits(a, 4);
    let asks = &mut world.known[a];
    assert!(world.both.grow(asks, 1), "there is room");
    world.ends(a);
    assert_eq!(world.free(), "--dcba");
    // In front, where blank ones are, and not behind what has content.
    assert_eq!(world.both.extents.queue.blank(), 2);
}

#[test]
fn a_hot_prefix_is_one_cell_again_when_nobody_branches_off_it() {
    let mut world = Letters::new(13);
    let a = world.asks("abcdefgh");
    world.admits(a, 8);
    let whole = world.both.extents.slabs.counts();
    for (text, others) in [("abz", "mnopqr"), ("abcdy", "nopqrs"), ("abcdefx", "opqrst")] {
        let who = world.asks(text);
        world.admits(who, 1);
        assert!(world.both.extents.slabs.counts() > whole);
        world.ends(who);
        // Somebody else takes what it left.
        let other = world.asks(others);
        world.admits(other, 5);
        world.ends(other);
    }
    world.ends(a);
    let last = world.asks("zzzzzz");
    world.admits(last, 5);
    assert_eq!(world.free(), "hgfedcba");
    assert_eq!(world.both.extents.slabs.counts(), (2, 2), "the prefix, and the last request's");
}

#[test]
fn memory_is_by_runs() {
    let mut world = Letters::new(1 << 16);
    let text: String = (0..20_000_u32).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    // The ids of so long a text repeat, and mean nothing.
    let names = Chain::own(1, true);
    let who = world.asks(&text[..8]);
    world.known[who].chain = names;
    world.known[who].prompt = 20_000;
    world.admits(who, 19_999);
    assert_eq!(world.both.extents.slabs.counts().0, 1, "one cell of 19,999 blocks");
}
