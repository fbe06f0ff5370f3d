//! Random requests that begin like others: cut anywhere, exact duplicates, by chance, and on from answers;
//! chunks, blocks that are full but unknown, preemptions, late frees, pools of 5 to 200 blocks, and all to
//! the back of the free list.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Asking, Both, Late, RULES};
use crate::ids::SlotId;
use crate::kv::CacheRules;
use crate::kv::chain::{Chain, Ids, Names, Run, Widths};
use crate::kv::extents::Wrong;

/// A stream of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n.max(1))) as u32
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }
}

/// A world of random requests.
pub(super) struct World {
    random: Random,
    pub(super) both: Both,
    total: u32,
    /// Whether contents meet by chance, too.
    letters: bool,
    ids: HashMap<(u64, u64), u64>,
    requests: u64,
    vacant: Vec<SlotId>,
    waiting: Vec<Asking>,
    running: Vec<Asking>,
    past: VecDeque<Asking>,
    late: VecDeque<Late>,
}

impl World {
    pub(super) fn new(seed: u64, wrong: Option<Wrong>) -> World {
        let mut random = Random(seed);
        let total = random.one_of(&[5, 9, 20, 40, 80, 200]);
        let rules = CacheRules { keyless_first: !random.one_in(6), ..RULES };
        let letters = random.one_in(3);
        World {
            both: Both::new(total, rules, wrong),
            random,
            total,
            letters,
            ids: HashMap::new(),
            requests: 0,
            vacant: (0..64).map(SlotId::at).collect(),
            waiting: Vec::new(),
            running: Vec::new(),
            past: VecDeque::new(),
            late: VecDeque::new(),
        }
    }

    /// The chained id of a token's block after another.
    fn chained(&mut self, before: u64, letter: u64) -> u64 {
        let next = 1000 + self.ids.len() as u64;
        *self.ids.entry((before, letter)).or_insert(next)
    }

    fn arrive(&mut self) {
        let Some(slot) = self.vacant.pop() else { return };
        let number = self.requests;
        self.requests += 1;
        let big = (self.total * self.random.one_of(&[1, 2, 4]) / 5).max(2);
        let all: Vec<&Asking> =
            self.past.iter().chain(&self.running).chain(&self.waiting).collect();
        let source = (!all.is_empty() && !self.random.one_in(4)).then(|| {
            let recent = if self.random.one_in(3) { all.len() } else { all.len().min(12) };
            let place = all.len() - 1 - self.random.below(recent as u32) as usize;
            all[place].clone()
        });
        let mut runs: Vec<Run> = Vec::new();
        let mut from = 0;
        if let Some(source) = source {
            let most = if source.followed { big } else { source.chain.private_from().min(big) };
            let cut = self.random.below(most + 1);
            runs = head(&source.chain, source.number, cut);
            from = cut;
        }
        // Ids that others may come upon by chance, or happen to be in another table.
        if self.random.one_in(2) {
            let here = Chain::of(ended(runs.clone(), number), u32::MAX);
            let mut before = match from {
                0 => 0,
                _ => self.before(&here, from),
            };
            let more = 1 + self.random.below(big.saturating_sub(from).max(1));
            let mut table = vec![0; from as usize];
            for _ in 0..more {
                let letter = if self.letters { self.random.below(2).into() } else { number + 7 };
                before = self.chained(before, letter);
                table.push(before);
            }
            let widths = Widths { block_tokens: 1, ahead: 0, id_tokens: 1 };
            let names = Names::Ids(Ids { table: Arc::new(table), start: 0, widths });
            from += more;
            runs.push(Run { end: from, names });
        }
        // Or none: it begins just as another one does, and perhaps ends there.
        let ends_there = from > 0 && self.random.one_in(3);
        let followed = self.random.one_in(2);
        let private_from = if followed { u32::MAX } else { from };
        let chain = match runs.is_empty() {
            true => Chain::own(number, followed),
            false => Chain::of(ended(runs, number), private_from),
        };
        self.both.private.insert(number, private_from);
        let prompt = match ends_there {
            true => from,
            false => (1 + self.random.below(big)).max(from / 2),
        };
        let (held, registered) = (0, 0);
        self.waiting.push(Asking { slot, number, chain, followed, prompt, held, registered });
    }

    /// A number for all content before a block.
    fn before(&mut self, chain: &Chain, block: u32) -> u64 {
        let (id, shared) = chain.name(block - 1);
        match shared {
            true => id,
            false => self.chained(u64::MAX - id, u64::from(block) + 1_000_000),
        }
    }

    pub(super) fn step(&mut self) {
        let dice = self.random.below(100);
        match dice {
            0..12 if self.waiting.len() < 8 => self.arrive(),
            0..32 if !self.waiting.is_empty() => self.admit(),
            32..70 if !self.running.is_empty() => self.go_on(),
            70..84 if !self.running.is_empty() => {
                let place = self.random.below(self.running.len() as u32) as usize;
                let mut asks = self.running.remove(place);
                self.register_some(&mut asks);
                if self.random.one_in(8) {
                    self.late.push_back(self.both.detach(&asks));
                    asks.held = 0;
                } else {
                    self.both.release(&mut asks, true);
                }
                self.vacant.push(asks.slot);
                self.past.push_back(asks);
                if self.past.len() > 40 {
                    self.past.pop_front();
                }
            }
            84..91 if !self.running.is_empty() => {
                let place = self.random.below(self.running.len() as u32) as usize;
                let asks = self.running.remove(place);
                self.preempt(asks);
            }
            91..94 if !self.late.is_empty() => {
                let late = self.late.pop_front().expect("there is one");
                self.both.put_back(late);
            }
            _ => {
                if let Some(asks) = self.waiting.first() {
                    let blocks = self.random.below(asks.prompt + 3);
                    self.both.lookup(&asks.chain, blocks, self.random.one_in(4));
                }
            }
        }
    }

    fn preempt(&mut self, mut asks: Asking) {
        asks.prompt = asks.prompt.max(asks.held);
        self.both.release(&mut asks, false);
        self.waiting.insert(0, asks);
    }

    fn admit(&mut self) {
        let place = self.random.below(self.waiting.len() as u32) as usize;
        let mut asks = self.waiting[place].clone();
        let hit = self.both.lookup(&asks.chain, asks.prompt, self.random.one_in(6));
        let left = asks.prompt.saturating_sub(hit) + self.random.below(2);
        let new = if self.random.one_in(2) { self.random.below(left + 1) } else { left };
        if self.both.admit(&mut asks, hit, new) {
            if !self.random.one_in(5) {
                self.both.register(&mut asks, hit + new);
            }
            self.waiting.remove(place);
            self.running.push(asks);
        } else if self.running.is_empty() && self.late.is_empty() {
            self.waiting.remove(place);
            self.vacant.push(asks.slot);
        }
    }

    /// A chunk or a decode step of somebody.
    fn go_on(&mut self) {
        let place = self.random.below(self.running.len() as u32) as usize;
        let mut asks = self.running[place].clone();
        let left = asks.prompt.saturating_sub(asks.held);
        let new = if left > 0 { 1 + self.random.below(left) } else { self.random.below(3) };
        if self.both.grow(&mut asks, new) {
            self.register_some(&mut asks);
            self.running[place] = asks;
        } else {
            let victim = self.random.below(self.running.len() as u32) as usize;
            let victim = self.running.remove(victim);
            self.preempt(victim);
        }
    }

    /// Registers all that is held, or all but what is not known yet, or nothing.
    fn register_some(&mut self, asks: &mut Asking) {
        if !self.random.one_in(4) {
            let unknown = self.random.below(3);
            self.both.register(asks, asks.held.saturating_sub(unknown));
        }
    }
}

/// The runs of a chain up to a block.
fn head(chain: &Chain, number: u64, to: u32) -> Vec<Run> {
    if to == 0 {
        return Vec::new();
    }
    if chain.runs().is_empty() {
        return vec![Run { end: to, names: Names::Own(number) }];
    }
    let mut runs: Vec<Run> = Vec::new();
    for run in chain.runs() {
        runs.push(Run { end: run.end.min(to), names: run.names.clone() });
        if run.end >= to {
            break;
        }
    }
    runs
}

/// Runs with a request's own blocks behind them.
pub(super) fn ended(mut runs: Vec<Run>, number: u64) -> Vec<Run> {
    runs.push(Run { end: Run::NO_END, names: Names::Own(number) });
    runs
}
