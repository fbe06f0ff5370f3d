//! Ray Serve's `PrefixCacheAffinityRouter` (Ray 06c16f2, `prefix_aware_router.py`, `prefix_tree.py`): a
//! request goes to one of the replicas that were sent the longest beginning of it, if that is a large
//! enough share, else to one of those that were sent the fewest characters; of these where the fewest
//! requests are outstanding. Where requests are spread unevenly it goes by two random choices instead,
//! which without `imbalanced_threshold` is never the case, whatever piles up.
//!
//! The real tree is one of characters. A token stands for four.

use super::known::{Every, Mine};
use super::power_of_two::PowerOfTwo;
use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::fleet::prefixes::{Goes, PrefixTree, Step};
use crate::ids::ReplicaId;
use crate::time::Span;
use crate::workload::streams::Stream;

/// Characters of a token.
const CHARACTERS: u64 = 4;

/// The parameters of Ray Serve's prefix router, by their names there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RayPrefix {
    /// Requests are spread unevenly where the most and the fewest outstanding differ by more than this;
    /// `None` for never.
    pub imbalanced_threshold: Option<f64>,
    /// At least this share of a prompt must have been sent somewhere for it to go there.
    pub match_rate_threshold: f64,
    /// Whether the tree forgets.
    pub do_eviction: bool,
    /// It does where a replica was sent more characters than this.
    pub eviction_threshold_chars: u64,
    /// Until no more than so many are left.
    pub eviction_target_chars: u64,
    /// How often it looks.
    pub eviction_interval: Span,
}

impl Default for RayPrefix {
    fn default() -> RayPrefix {
        RayPrefix {
            imbalanced_threshold: None,
            match_rate_threshold: 0.1,
            do_eviction: false,
            eviction_threshold_chars: 400_000,
            eviction_target_chars: 360_000,
            eviction_interval: Span::from_millis(10_000),
        }
    }
}

#[derive(Debug)]
pub(super) struct RayPrefixRouter {
    set: RayPrefix,
    mine: Mine,
    two: PowerOfTwo,
    tree: PrefixTree,
    evicts: Every,
    uses: u64,
    steps: Vec<Step>,
}

impl RayPrefixRouter {
    pub(super) fn new(set: RayPrefix, draws: Stream, members: &[Member]) -> RayPrefixRouter {
        let mine = Mine::of(members);
        let goes = if set.do_eviction { Goes::TailFirst } else { Goes::Never };
        let span = if set.do_eviction { set.eviction_interval } else { Span::ZERO };
        RayPrefixRouter {
            tree: PrefixTree::new(1, mine.numbers(), goes),
            two: PowerOfTwo { draws },
            evicts: Every::new(span),
            uses: 0,
            steps: Vec::new(),
            set,
            mine,
        }
    }

    fn evict(&mut self) {
        for &replica in &self.mine.ids {
            if self.tree.size(replica) * CHARACTERS > self.set.eviction_threshold_chars {
                let target = self.set.eviction_target_chars / CHARACTERS;
                self.tree.forget_beyond(replica, target, true);
            }
        }
    }

    /// Where the fewest and the most requests are outstanding differ by too much: both.
    fn uneven(&self, fleet: &FleetView<'_>) -> Option<(u32, u32)> {
        let threshold = self.set.imbalanced_threshold?;
        let requests = || self.mine.ids.iter().map(|&replica| fleet.requests(replica));
        let (most, fewest) = (requests().max()?, requests().min()?);
        (f64::from(most - fewest) > threshold).then_some((most, fewest))
    }
}

impl Router for RayPrefixRouter {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let prompt = asked.prompt();
        if self.evicts.is_due(asked.at) {
            self.evict();
        }
        let fewest = |among: &mut dyn Iterator<Item = ReplicaId>| {
            among.min_by_key(|&replica| fleet.requests(replica)).expect("at least one replica")
        };
        let decision = if let Some((most, fewest)) = self.uneven(fleet) {
            let two = self.two.choose(asked, fleet, known);
            RouteDecision::new(two.replica, RouteReason::Uneven { most, fewest })
        } else {
            self.tree.walk(prompt, prompt.tokens, &mut self.steps);
            let held = |step: &&Step| self.tree.holders(step.node).len() > 0;
            let found = self.steps.iter().take_while(held).last();
            let tokens = found.map_or(0, |step| step.to);
            let share = f64::from(tokens) / f64::from(prompt.tokens.max(1));
            match found.filter(|_| share >= self.set.match_rate_threshold) {
                Some(step) => {
                    let replica = fewest(&mut self.tree.holders(step.node));
                    RouteDecision::new(replica, RouteReason::SentBefore { tokens })
                }
                None => {
                    let size = |replica: &ReplicaId| self.tree.size(*replica);
                    let least = self.mine.ids.iter().map(size).min().unwrap_or(0);
                    let mine = self.mine.ids.iter().copied();
                    let replica = fewest(&mut mine.filter(|replica| size(replica) == least));
                    RouteDecision::new(replica, RouteReason::SmallestTree { tokens })
                }
            }
        };
        self.uses += 1;
        self.tree.insert(prompt, prompt.tokens, decision.replica, self.uses);
        decision
    }
}
