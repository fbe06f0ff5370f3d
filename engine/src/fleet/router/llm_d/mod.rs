//! llm-d's router (llm-d-router ebab687, `pkg/epp/framework/plugins/scheduling`): each replica has a
//! score from each scorer, between 0 and 1; the highest weighted sum wins, of equal ones any.
//!
//! What engines report of themselves is as old as the router's last look at their metrics. What they
//! cache it guesses from a list of blocks that it sent to each, or hears from them. The defaults are
//! those of its documentation: prefixes 3, queues 2, KV memory 2.

mod blocks;
mod metrics;
mod scorers;

pub use scorers::Scorer;

use self::blocks::SentBlocks;
use self::metrics::Metrics;
use self::scorers::Scores;
use super::known::{Mine, ask_the_cheapest};
use super::{Asked, FleetView, Known, Report, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::time::Span;
use crate::workload::streams::Stream;

/// The parameters of llm-d's router.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmD {
    /// What each scorer counts; each once, none below 0, not all 0.
    pub weights: Vec<(Scorer, f64)>,
    /// How often the router looks at the engines' metrics (`--refresh-metrics-interval`).
    pub metrics_interval: Span,
    /// Tokens of a block of its own list, at least 64 (`blockSizeTokens`).
    pub block_tokens: u32,
    /// Blocks of each replica in it (`lruCapacityPerServer`); as many as the replica has unless given.
    pub lru_capacity: Option<u32>,
    /// Only replicas that have this share of a prompt are chosen among, where any has
    /// (`prefix-cache-affinity-filter`).
    pub affinity_threshold: Option<f64>,
}

impl Default for LlmD {
    fn default() -> LlmD {
        LlmD {
            weights: vec![
                (Scorer::PrefixCache, 3.0),
                (Scorer::Queue, 2.0),
                (Scorer::KvCacheUtilization, 2.0),
            ],
            metrics_interval: Span::from_millis(50),
            block_tokens: 64,
            lru_capacity: None,
            affinity_threshold: None,
        }
    }
}

impl LlmD {
    /// Whether it hears what engines say of themselves.
    pub(super) fn hears_engines(&self) -> bool {
        self.counted().any(Scorer::is_reported)
    }

    /// Whether it hears what engines cache.
    pub(super) fn asks_caches(&self) -> bool {
        self.counted().any(|scorer| scorer == Scorer::PrecisePrefixCache)
    }

    /// Whether it looks at prompts.
    pub(super) fn reads_prompts(&self) -> bool {
        self.counted().any(Scorer::reads_prompts) || self.affinity_threshold.is_some()
    }

    fn counted(&self) -> impl Iterator<Item = Scorer> + '_ {
        self.weights.iter().filter(|(_, weight)| *weight > 0.0).map(|&(scorer, _)| scorer)
    }
}

#[derive(Debug)]
pub(super) struct LlmDRouter {
    set: LlmD,
    draws: Stream,
    mine: Mine,
    metrics: Metrics,
    sent: SentBlocks,
    scores: Scores,
    /// By place: tokens of the prompt that it has, as far as is known, and whether it was asked.
    cached: Vec<u32>,
    asked: Vec<bool>,
    costs: Vec<f64>,
    /// By place: when its last prompt came of which nobody had any.
    cold: Vec<u64>,
    colds: u64,
}

impl LlmDRouter {
    pub(super) fn new(set: LlmD, draws: Stream, members: &[Member]) -> LlmDRouter {
        let mine = Mine::of(members);
        LlmDRouter {
            metrics: Metrics::new(set.metrics_interval, members.len()),
            sent: SentBlocks::new(set.block_tokens, set.lru_capacity, &mine, members),
            scores: Scores::default(),
            cached: Vec::new(),
            asked: Vec::new(),
            costs: Vec::new(),
            cold: vec![0; members.len()],
            colds: 0,
            set,
            draws,
            mine,
        }
    }

    /// The share of a prompt's blocks that a replica has.
    fn share(&self, tokens: u32, prompt: u32) -> f64 {
        match prompt / self.set.block_tokens {
            0 => 0.0,
            all => f64::from(tokens / self.set.block_tokens) / f64::from(all),
        }
    }

    fn total(&self, place: usize, prompt: u32) -> f64 {
        let score = |scorer: Scorer| match scorer {
            Scorer::PrefixCache | Scorer::PrecisePrefixCache => {
                self.share(self.cached[place], prompt)
            }
            Scorer::TokenLoad => self.scores.token_load(place, prompt, self.cached[place]),
            other => self.scores.of(other, place),
        };
        let weights = self.set.weights.iter().filter(|(_, weight)| *weight > 0.0);
        weights.map(|&(scorer, weight)| weight * score(scorer)).sum()
    }
}

impl Router for LlmDRouter {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        fleet: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let places = self.mine.ids.len();
        let precise = self.set.asks_caches();
        self.cached.clear();
        self.cached.resize(places, 0);
        if self.set.reads_prompts() {
            match precise {
                true => known.bounds(asked.prompt(), &self.mine.ids, &mut self.cached),
                false => self.sent.look(asked.prompt(), &self.mine, &mut self.cached),
            }
        }
        self.asked.clear();
        self.asked.extend(self.cached.iter().map(|&tokens| !precise || tokens == 0));
        let prompt = asked.prompt_tokens;
        let threshold = self.set.affinity_threshold;
        let of_all = threshold.is_some() || self.set.counted().any(|one| one == Scorer::NoHitLru);
        if precise && of_all {
            for place in 0..places {
                if !std::mem::replace(&mut self.asked[place], true) {
                    self.cached[place] = known.held(self.mine.ids[place], asked.prompt());
                }
            }
        }
        let cold = self.cached.iter().all(|&tokens| tokens < self.set.block_tokens);
        self.scores.look(
            (&self.mine, fleet, self.metrics.seen(asked.at)),
            (asked.session, &self.cold, cold),
        );
        let mut costs = std::mem::take(&mut self.costs);
        costs.clear();
        costs.extend((0..places).map(|place| -self.total(place, prompt)));
        if let Some(threshold) = threshold {
            let sticks = |place: usize| self.share(self.cached[place], prompt) >= threshold;
            if (0..places).any(sticks) {
                for place in (0..places).filter(|&place| !sticks(place)) {
                    costs[place] = f64::INFINITY;
                }
            }
        }
        let already_asked = std::mem::take(&mut self.asked);
        ask_the_cheapest(&mut costs, &already_asked, |place| {
            self.cached[place] = known.held(self.mine.ids[place], asked.prompt());
            -self.total(place, prompt)
        });
        self.asked = already_asked;
        let lowest = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let ties = || (0..places).filter(|&place| costs[place] == lowest);
        let mut draws = self.draws.at(u64::from(asked.id.0));
        let place = match ties().count() {
            1 => ties().next(),
            many => ties().nth(draws.below(many as u64) as usize),
        };
        let place = place.expect("one is the highest");
        self.costs = costs;
        let (replica, tokens) = (self.mine.ids[place], self.cached[place]);
        if self.set.reads_prompts() && !precise {
            self.sent.insert(asked.prompt(), replica);
        }
        if cold {
            self.colds += 1;
            self.cold[place] = self.colds;
        }
        self.scores.chose(asked.session, replica);
        let thousandths = (-lowest * 1000.0).round() as u64;
        RouteDecision::new(replica, RouteReason::HighestScore { thousandths, tokens })
    }

    fn heard(&mut self, report: &Report) {
        if let Some(place) = self.mine.place(report.replica) {
            self.metrics.hear(place, report);
        }
    }
}
