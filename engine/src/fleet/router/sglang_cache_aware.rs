//! SGLang's cache-aware router, from whose own tree of what it sent where it guesses which replica
//! has a prompt's beginning (SMG 73da68c, `policies/cache_aware.rs` and `token_tree.rs`; the defaults are
//! those of its command line).
//!
//! While requests are spread evenly a request goes where the longest beginning of it went, if that is
//! long enough, else where the fewest are outstanding. Where they are not, the fewest decide whatever is
//! cached. The tree holds whole pages of 16 tokens and sees no evictions: leaves that a replica was not
//! sent for longest are dropped now and then, if it was sent more than the tree may hold.
//!
//! Of several replicas that were sent a prompt's beginning the real tree names any; here it is the one
//! that was sent it last.

use std::cmp::Reverse;

use super::known::{Every, Mine};
use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::fleet::loads::Loads;
use crate::fleet::prefixes::{Goes, PrefixTree, Step};
use crate::ids::ReplicaId;
use crate::time::Span;

/// Tokens of a page of the tree (`token_tree.rs`, `PAGE_SIZE`).
const PAGE_TOKENS: u32 = 16;

/// The parameters of SGLang's cache-aware router, by their names there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheAware {
    /// More than this share of a prompt must have been sent somewhere for it to go there.
    pub cache_threshold: f64,
    /// Requests are spread unevenly where the most and the fewest outstanding differ by more than this
    /// and `balance_rel_threshold` is passed too.
    pub balance_abs_threshold: u32,
    /// And where the most are more than so many times the fewest.
    pub balance_rel_threshold: f64,
    /// The most tokens of a replica in the tree.
    pub max_tree_size: u64,
    /// How often the tree is cut down to that; never where it is 0.
    pub eviction_interval: Span,
}

impl Default for CacheAware {
    fn default() -> CacheAware {
        CacheAware {
            cache_threshold: 0.3,
            balance_abs_threshold: 64,
            balance_rel_threshold: 1.5,
            max_tree_size: 1 << 26,
            eviction_interval: Span::from_millis(120_000),
        }
    }
}

#[derive(Debug)]
pub(super) struct SglangCacheAware {
    set: CacheAware,
    mine: Mine,
    tree: PrefixTree,
    evicts: Every,
    uses: u64,
    /// By place: requests outstanding, and those sent so far.
    loads: Loads<(u32, u64)>,
    most: Loads<Reverse<u32>>,
    steps: Vec<Step>,
}

impl SglangCacheAware {
    pub(super) fn new(set: CacheAware, members: &[Member]) -> SglangCacheAware {
        let mine = Mine::of(members);
        let goes = match set.eviction_interval {
            Span::ZERO => Goes::Never,
            _ => Goes::TailFirst,
        };
        SglangCacheAware {
            tree: PrefixTree::new(PAGE_TOKENS, mine.numbers(), goes),
            evicts: Every::new(set.eviction_interval),
            uses: 0,
            loads: Loads::none(members.len()),
            most: Loads::none(members.len()),
            steps: Vec::new(),
            set,
            mine,
        }
    }

    fn set_load(&mut self, place: usize, load: (u32, u64)) {
        let place = ReplicaId::at(place);
        self.loads.set(place, load);
        self.most.set(place, Reverse(load.0));
    }
}

impl Router for SglangCacheAware {
    fn choose(&mut self, asked: &Asked<'_>, _: &FleetView<'_>, _: &mut Known<'_>) -> RouteDecision {
        let prompt = asked.prompt();
        if self.evicts.is_due(asked.at) {
            for &replica in &self.mine.ids {
                self.tree.forget_beyond(replica, self.set.max_tree_size, false);
            }
        }
        let idle = self.loads.least();
        let fewest = self.loads.of(idle).0;
        let most = self.most.of(self.most.least()).0;
        let uneven = most - fewest > self.set.balance_abs_threshold
            && most as f32 > fewest as f32 * self.set.balance_rel_threshold as f32;
        self.uses += 1;
        let (place, why) = if uneven {
            (idle.index(), RouteReason::Uneven { most, fewest })
        } else {
            self.tree.walk(prompt, prompt.tokens, &mut self.steps);
            let mut found = None;
            for step in &self.steps {
                let Some(replica) = self.tree.latest(step.node) else { break };
                self.tree.touch(step.node, replica, self.uses);
                found = Some((replica, step.to));
            }
            let tokens = found.map_or(0, |(_, to)| to);
            let share = tokens as f32 / prompt.tokens.max(1) as f32;
            match found.filter(|_| share > self.set.cache_threshold as f32) {
                Some((replica, tokens)) => {
                    let place = self.mine.place(replica).expect("it was sent there");
                    (place, RouteReason::SentBefore { tokens })
                }
                None => (idle.index(), RouteReason::TooLittle { tokens, requests: fewest }),
            }
        };
        let replica = self.mine.ids[place];
        self.uses += 1;
        self.tree.insert(prompt, prompt.tokens, replica, self.uses);
        let (requests, sent) = self.loads.of(ReplicaId::at(place));
        self.set_load(place, (requests + 1, sent + 1));
        RouteDecision::new(replica, why)
    }

    fn ended(&mut self, _: &Asked<'_>, replica: ReplicaId) {
        if let Some(place) = self.mine.place(replica) {
            let (requests, sent) = self.loads.of(ReplicaId::at(place));
            self.set_load(place, (requests - 1, sent));
        }
    }
}
