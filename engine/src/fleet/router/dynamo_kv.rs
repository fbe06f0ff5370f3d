//! Dynamo's KV router (crate dynamo-kv-router 1.6.1, `scheduling/selector/reference.rs`): the replica at
//! which a request costs least, in blocks: those of prompts yet to be computed there, with this one's,
//! less a credit for what is cached, and those of requests that are there and not at their end.
//!
//! The router counts itself what it has sent: prompts until their first token, blocks until the end,
//! blocks that several requests have once. What is cached it hears from the engines, or guesses
//! (`use_kv_events: false`) from what it sent in the last two minutes.
//!
//! Not here: the tiers below GPU memory, queueing in the router, taints, several routers.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::known::{Mine, ask_the_cheapest};
use super::{Asked, FleetView, Known, RouteDecision, RouteReason, Router};
use crate::fleet::Member;
use crate::fleet::prefixes::{Goes, PrefixTree, Prompt, Step};
use crate::ids::ReplicaId;
use crate::request::RequestId;
use crate::time::{Span, Time};
use crate::workload::streams::{Draws, Stream};

/// The parameters of Dynamo's KV router, by their names there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamoKv {
    /// What a cached block is worth in blocks to compute.
    pub overlap_score_credit: f64,
    /// How fast that falls with prompt blocks outstanding at a replica beyond the least of all.
    pub overlap_score_credit_decay: f64,
    /// What a prompt's block costs beside one that a request holds.
    pub prefill_load_scale: f64,
    /// What a request costs beside its blocks.
    pub decode_active_request_weight: f64,
    /// 0 for the least cost; otherwise one is drawn, the cheaper the likelier.
    pub router_temperature: f64,
    /// Whether engines say what they cache.
    pub use_kv_events: bool,
    /// How long what was sent counts as cached where they do not.
    pub router_ttl: Span,
}

impl Default for DynamoKv {
    fn default() -> DynamoKv {
        DynamoKv {
            overlap_score_credit: 1.0,
            overlap_score_credit_decay: 0.0,
            prefill_load_scale: 1.0,
            decode_active_request_weight: 0.0,
            router_temperature: 0.0,
            use_kv_events: true,
            router_ttl: Span::from_millis(120_000),
        }
    }
}

/// What is outstanding at a replica.
#[derive(Clone, Copy, Debug, Default)]
struct Active {
    prefill_tokens: u64,
    requests: u32,
}

/// A request that is not at its end.
#[derive(Debug)]
struct Running {
    prompt: Arc<Prompt>,
    prefill_tokens: u64,
}

#[derive(Debug)]
pub(super) struct DynamoKvRouter {
    set: DynamoKv,
    draws: Stream,
    mine: Mine,
    block_tokens: u32,
    /// What was sent, where that is what is known.
    sent: PrefixTree,
    /// By place.
    active: Vec<Active>,
    blocks: ActiveBlocks,
    running: FxHashMap<RequestId, Running>,
    steps: Vec<Step>,
    overlaps: Vec<u32>,
    costs: Vec<f64>,
    asked: Vec<bool>,
}

impl DynamoKvRouter {
    pub(super) fn new(set: DynamoKv, draws: Stream, members: &[Member]) -> DynamoKvRouter {
        let mine = Mine::of(members);
        let block_tokens = members.first().map_or(1, |member| member.block_tokens).max(1);
        DynamoKvRouter {
            sent: PrefixTree::new(block_tokens, mine.numbers(), Goes::TailFirst),
            blocks: ActiveBlocks::new(block_tokens, &mine),
            active: vec![Active::default(); members.len()],
            running: FxHashMap::default(),
            steps: Vec::new(),
            overlaps: Vec::new(),
            costs: Vec::new(),
            asked: Vec::new(),
            set,
            draws,
            mine,
            block_tokens,
        }
    }

    /// Tokens of a prompt by place that each replica was sent lately.
    fn sent_lately(&mut self, prompt: &Prompt, now: Time) {
        let since = now.as_nanos().saturating_sub(self.set.router_ttl.as_nanos());
        self.overlaps.clear();
        self.overlaps.resize(self.mine.ids.len(), 0);
        for &replica in &self.mine.ids {
            self.sent.forget_before(replica, since);
        }
        self.sent.walk(prompt, prompt.tokens, &mut self.steps);
        for step in &self.steps {
            for holder in self.sent.holders(step.node) {
                let place = self.mine.place(holder).expect("it was sent there");
                // Beyond what is missing nothing is found.
                if self.overlaps[place] == step.from {
                    self.overlaps[place] = step.to;
                }
            }
        }
    }

    /// What it costs to send a prompt to a replica that has so many of its tokens.
    fn cost(&self, place: usize, prompt: &Prompt, overlap: u32, least: u64) -> f64 {
        let block = f64::from(self.block_tokens);
        let set = &self.set;
        let active = &self.active[place];
        let blocks = f64::from(overlap / self.block_tokens);
        let decay = match set.overlap_score_credit_decay {
            decay if decay > 0.0 => {
                let excess = (active.prefill_tokens - least) as f64 / block;
                let own = prompt.tokens.div_ceil(self.block_tokens).max(1);
                1.0 / (1.0 + decay * (excess / f64::from(own)))
            }
            _ => 1.0,
        };
        let credit = set.overlap_score_credit * decay * blocks;
        let prefill = (active.prefill_tokens + u64::from(prompt.tokens)) as f64 / block;
        set.prefill_load_scale * (prefill - credit).max(0.0)
            + self.blocks.with(place, self.mine.ids[place]) as f64 / block
            + set.decode_active_request_weight * f64::from(active.requests)
    }

    /// Whom it costs least at: of several one is drawn. Replicas are asked what they hold only as far as
    /// that can matter.
    fn cheapest(&mut self, prompt: &Prompt, known: &mut Known<'_>, draws: &mut Draws) -> usize {
        let least = self.active.iter().map(|active| active.prefill_tokens).min().unwrap_or(0);
        let hears = self.set.use_kv_events;
        self.asked.clear();
        self.asked.extend(self.overlaps.iter().map(|&overlap| !hears || overlap == 0));
        let all = 0..self.mine.ids.len();
        let mut costs = std::mem::take(&mut self.costs);
        costs.clear();
        costs.extend(all.clone().map(|i| self.cost(i, prompt, self.overlaps[i], least)));
        let sampled = self.set.router_temperature > 0.0;
        let asked = std::mem::take(&mut self.asked);
        let mut ask = |place: usize| {
            self.overlaps[place] = known.held(self.mine.ids[place], prompt);
            self.cost(place, prompt, self.overlaps[place], least)
        };
        match sampled {
            true => {
                for place in all.clone().filter(|&place| !asked[place]) {
                    costs[place] = ask(place);
                }
            }
            false => ask_the_cheapest(&mut costs, &asked, ask),
        }
        self.asked = asked;
        let place = match sampled {
            true => softmax(&costs, self.set.router_temperature, draws.unit()),
            false => {
                let lowest = costs.iter().copied().fold(f64::INFINITY, f64::min);
                let ties = || all.clone().filter(|&i| costs[i] == lowest);
                let drawn = draws.below(ties().count() as u64) as usize;
                ties().nth(drawn).expect("one is the lowest")
            }
        };
        self.costs = costs;
        place
    }
}

/// One of these, the cheaper the likelier: costs are scaled to the widest difference
/// (`softmax_sample_index`).
fn softmax(costs: &[f64], temperature: f64, sample: f64) -> usize {
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = costs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weight = |cost: f64| match most > least {
        true => libm::exp((least - cost) / ((most - least) * temperature)),
        false => 1.0,
    };
    let sum: f64 = costs.iter().map(|&cost| weight(cost)).sum();
    let mut reached = 0.0;
    for (place, &cost) in costs.iter().enumerate() {
        reached += weight(cost) / sum;
        if sample <= reached {
            return place;
        }
    }
    costs.len() - 1
}

impl Router for DynamoKvRouter {
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        _: &FleetView<'_>,
        known: &mut Known<'_>,
    ) -> RouteDecision {
        let prompt = asked.prompt();
        match self.set.use_kv_events {
            true => known.bounds(prompt, &self.mine.ids, &mut self.overlaps),
            false => self.sent_lately(prompt, asked.at),
        }
        self.blocks.look(prompt, &self.mine);
        let mut draws = self.draws.at(u64::from(asked.id.0));
        let place = self.cheapest(prompt, known, &mut draws);
        let (replica, tokens) = (self.mine.ids[place], self.overlaps[place]);
        let cost = self.costs[place];
        if !self.set.use_kv_events {
            self.sent.insert(prompt, prompt.tokens, replica, asked.at.as_nanos());
        }
        let cached = tokens / self.block_tokens * self.block_tokens;
        let prefill_tokens = u64::from(prompt.tokens.saturating_sub(cached));
        let active = &mut self.active[place];
        active.prefill_tokens += prefill_tokens;
        active.requests += 1;
        self.blocks.tree.hold(prompt, prompt.tokens, replica);
        let prompt = Arc::clone(prompt);
        self.running.insert(asked.id, Running { prompt, prefill_tokens });
        let thousandths = (cost * 1000.0).round() as u64;
        RouteDecision::new(replica, RouteReason::LeastCost { thousandths, tokens })
    }

    fn prefilled(&mut self, asked: &Asked<'_>, replica: ReplicaId) {
        if let Some(running) = self.running.get_mut(&asked.id)
            && let Some(place) = self.mine.place(replica)
        {
            self.active[place].prefill_tokens -= std::mem::take(&mut running.prefill_tokens);
        }
    }

    fn ended(&mut self, asked: &Asked<'_>, replica: ReplicaId) {
        self.prefilled(asked, replica);
        if let Some(running) = self.running.remove(&asked.id)
            && let Some(place) = self.mine.place(replica)
        {
            self.active[place].requests -= 1;
            self.blocks.tree.release(&running.prompt, running.prompt.tokens, replica);
        }
    }
}

/// The full prompt blocks of requests that are not at their end, by replica, those that several have
/// once.
#[derive(Debug)]
struct ActiveBlocks {
    tree: PrefixTree,
    steps: Vec<Step>,
    /// Of the prompt that is to be sent: tokens of its full blocks, and by place those at work there.
    own: u32,
    there: Vec<u32>,
}

impl ActiveBlocks {
    fn new(block_tokens: u32, mine: &Mine) -> ActiveBlocks {
        ActiveBlocks {
            tree: PrefixTree::new(block_tokens, mine.numbers(), Goes::Never),
            steps: Vec::new(),
            own: 0,
            there: vec![0; mine.ids.len()],
        }
    }

    /// Looks who has how much of a prompt at work.
    fn look(&mut self, prompt: &Prompt, mine: &Mine) {
        self.own = self.tree.floor(prompt.tokens);
        self.there.fill(0);
        self.tree.walk(prompt, prompt.tokens, &mut self.steps);
        for step in &self.steps {
            for (holder, to) in self.tree.reaches(step.node) {
                let place = mine.place(holder).expect("it was sent there");
                self.there[place] = to.min(step.to);
            }
        }
    }

    /// Tokens of full blocks at work at a replica once that prompt is there.
    fn with(&self, place: usize, replica: ReplicaId) -> u64 {
        self.tree.size(replica) + u64::from(self.own - self.there[place])
    }
}
