//! The router of vLLM's production stack (008a23b, `routers/routing_logic.py`, `prefix/hashtrie.py`).
//!
//! - `prefixaware`: among the replicas that were sent the longest beginning of a prompt, in pieces of 128
//!   characters (32 tokens), any. Nothing is ever balanced or forgotten.
//! - `kvaware`: the replica that holds most of a prompt, as LMCache knows it; where that leaves more than
//!   `kv_aware_threshold` tokens to compute, as `session`.
//! - `session`: by a hash of the session; without one, as `priority`.
//! - `priority`: where the fewest requests were sent in the last minute.
//! - `roundrobin`.
//!
//! The real hash of a session is a ring that spreads sessions a little unevenly; here it is even.

use std::collections::VecDeque;

use super::known::Mine;
use super::round_robin::RoundRobin;
use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::fleet::prefixes::{Goes, PrefixTree, Step};
use crate::ids::ReplicaId;
use crate::time::{Span, Time};
use crate::workload::streams::Stream;

/// Tokens of a piece of the trie: 128 characters.
const PIECE_TOKENS: u32 = 32;

/// How long a request counts (`--request-stats-window`).
const WINDOW: Span = Span::from_millis(60_000);

/// By which rule the production stack routes (`--routing-logic`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoutingLogic {
    /// One after the other.
    RoundRobin,
    /// By session.
    Session,
    /// By what replicas hold.
    KvAware,
    /// By what replicas were sent.
    #[default]
    PrefixAware,
    /// By the requests of the last minute.
    Priority,
}

impl RoutingLogic {
    /// All of them, by their names there.
    pub const NAMES: [(&'static str, RoutingLogic); 5] = [
        ("roundrobin", RoutingLogic::RoundRobin),
        ("session", RoutingLogic::Session),
        ("kvaware", RoutingLogic::KvAware),
        ("prefixaware", RoutingLogic::PrefixAware),
        ("priority", RoutingLogic::Priority),
    ];
}

/// The parameters of the production stack's router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductionStack {
    /// Its rule.
    pub routing_logic: RoutingLogic,
    /// `kvaware`: tokens that may be left to compute.
    pub kv_aware_threshold: u32,
}

impl Default for ProductionStack {
    fn default() -> ProductionStack {
        ProductionStack { routing_logic: RoutingLogic::default(), kv_aware_threshold: 2000 }
    }
}

#[derive(Debug)]
pub(super) struct ProductionStackRouter {
    set: ProductionStack,
    draws: Stream,
    mine: Mine,
    turns: RoundRobin,
    tree: PrefixTree,
    steps: Vec<Step>,
    bounds: Vec<u32>,
    /// By place: when requests were sent there within the window, and whether any ever was.
    recent: Vec<(VecDeque<Time>, bool)>,
}

impl ProductionStackRouter {
    pub(super) fn new(
        set: ProductionStack,
        draws: Stream,
        members: &[Member],
    ) -> ProductionStackRouter {
        let mine = Mine::of(members);
        ProductionStackRouter {
            tree: PrefixTree::new(PIECE_TOKENS, mine.numbers(), Goes::Never),
            turns: RoundRobin::default(),
            steps: Vec::new(),
            bounds: Vec::new(),
            recent: vec![(VecDeque::new(), false); members.len()],
            set,
            draws,
            mine,
        }
    }

    /// The first that was never sent anything, else the first with the fewest requests in the window.
    fn fewest_lately(&mut self, now: Time) -> (ReplicaId, u32) {
        let mut fewest = None;
        for (place, (recent, ever)) in self.recent.iter_mut().enumerate() {
            if !*ever {
                return (self.mine.ids[place], 0);
            }
            while recent.front().is_some_and(|&at| now.since(at) > WINDOW) {
                recent.pop_front();
            }
            if fewest.is_none_or(|(_, least)| recent.len() < least) {
                fewest = Some((place, recent.len()));
            }
        }
        let (place, requests) = fewest.expect("at least one replica");
        (self.mine.ids[place], requests as u32)
    }

    fn by_session(&mut self, asked: &Asked<'_>) -> RouteDecision {
        match asked.session {
            Some(session) => {
                let mut hash = self.draws.at(u64::from(session) | 1 << 40);
                let place = hash.below(self.mine.ids.len() as u64) as usize;
                RouteDecision::new(self.mine.ids[place], RouteReason::SameSession)
            }
            None => {
                let (replica, requests) = self.fewest_lately(asked.at);
                RouteDecision::new(replica, RouteReason::FewestLately(requests))
            }
        }
    }

    fn by_prefix(&mut self, asked: &Asked<'_>) -> RouteDecision {
        let prompt = asked.prompt();
        self.tree.walk(prompt, prompt.tokens, &mut self.steps);
        let mut draws = self.draws.at(u64::from(asked.id.0));
        let (replica, tokens) = match self.steps.last() {
            Some(step) => {
                let mut holders = self.tree.holders(step.node);
                let place = draws.below(holders.len() as u64) as usize;
                (holders.nth(place).expect("so many hold it"), step.to)
            }
            None => (self.mine.ids[draws.below(self.mine.ids.len() as u64) as usize], 0),
        };
        self.tree.insert(prompt, prompt.tokens, replica, 0);
        let why = match tokens {
            0 => RouteReason::Drawn,
            tokens => RouteReason::SentBefore { tokens },
        };
        RouteDecision::new(replica, why)
    }

    /// The first that holds most, where that is enough.
    fn by_caches(&mut self, asked: &Asked<'_>, known: &mut Known<'_>) -> RouteDecision {
        let prompt = asked.prompt();
        known.bounds(prompt, &self.mine.ids, &mut self.bounds);
        let mut order: Vec<usize> =
            (0..self.bounds.len()).filter(|&i| self.bounds[i] > 0).collect();
        order.sort_by_key(|&place| std::cmp::Reverse(self.bounds[place]));
        let mut best: Option<(u32, usize)> = None;
        for place in order {
            if let Some((most, first)) = best {
                if self.bounds[place] < most {
                    break;
                }
                if self.bounds[place] == most && place > first {
                    continue;
                }
            }
            let held = known.held(self.mine.ids[place], prompt);
            let better = |(most, first)| held > most || held == most && place < first;
            if held > 0 && best.is_none_or(better) {
                best = Some((held, place));
            }
        }
        let enough = prompt.tokens.saturating_sub(self.set.kv_aware_threshold);
        match best.filter(|&(held, _)| held >= enough) {
            Some((tokens, place)) => {
                RouteDecision::new(self.mine.ids[place], RouteReason::HoldsMost { tokens })
            }
            None => self.by_session(asked),
        }
    }
}

impl Router for ProductionStackRouter {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let decision = match self.set.routing_logic {
            RoutingLogic::RoundRobin => self.turns.choose(asked, fleet, known),
            RoutingLogic::Session => self.by_session(asked),
            RoutingLogic::PrefixAware => self.by_prefix(asked),
            RoutingLogic::KvAware => self.by_caches(asked, known),
            RoutingLogic::Priority => {
                let (replica, requests) = self.fewest_lately(asked.at);
                RouteDecision::new(replica, RouteReason::FewestLately(requests))
            }
        };
        if let Some(place) = self.mine.place(decision.replica) {
            let (recent, ever) = &mut self.recent[place];
            recent.push_back(asked.at);
            *ever = true;
        }
        decision
    }
}
