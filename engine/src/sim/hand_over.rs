//! Requests on their way from replicas that prefill to replicas that decode.
//!
//! Source first: when a prompt is computed its blocks stay taken there. A replica that decodes is chosen at
//! once; it takes blocks for the whole prompt in the order of its own queue, and only then does the KV set
//! out. Destination first: the replica that decodes is chosen when a request comes and takes blocks for it;
//! then its prompt is computed, and each chunk sets out as it is (`reserved`). Either way, while KV is on its
//! way both replicas hold blocks for it, which is all the back-pressure there is: a
//! replica that decodes and is full leaves blocks taken where prompts are computed, until no prompt
//! fits there and the queue grows before that. Nothing here makes it so but the blocks.

use std::collections::BTreeMap;

use super::caches::CachesOf;
use super::engine::Engine;
use crate::catalog::{FirstToken, HandOverOrder};
use crate::content::Content;
use crate::fleet::{Disaggregation, FleetSetup, Prompt, Role, RouteDecision};
use crate::ids::{ReplicaId, RequestId};
use crate::replica::{LoadBegun, Remote, TransferRules};
use crate::request::Request;
use crate::time::{Span, Time};
use crate::trace::HandOver;
use crate::transfer::{Flows, LinkId, Links, TransferId};
use crate::workload::Arriving;

/// As vLLM's NIXL connector has it, whose role is both on either side.
const RULES: TransferRules = TransferRules { consumes: true, delivers: true, in_step: false };

/// What goes from replica to replica.
pub(super) struct HandOvers<'a> {
    pub(super) setup: &'a Disaggregation,
    /// The first replica of each pool that decodes.
    pub decode: Vec<ReplicaId>,
    pub(super) flows: Flows,
    /// By replica: what its transfers go over, out of it and into it.
    pub(super) ports: Vec<(LinkId, LinkId)>,
    /// By request: what it asked for. Of those that have ended nothing is asked.
    pub(super) asked: Vec<Request>,
    /// Who decodes a request, where that was chosen before its prompt was computed.
    pub(super) chosen: BTreeMap<RequestId, ReplicaId>,
    /// Prompts that were computed in the step that just ended.
    computed: Vec<RequestId>,
    /// By request.
    pub(super) handed: BTreeMap<RequestId, Handed>,
    /// Whose transfers are under way, by their numbers.
    pub(super) under_way: BTreeMap<TransferId, RequestId>,
    pub(super) transfers: u32,
    /// Ends of leases, in order.
    pub(super) leases: BTreeMap<(Time, RequestId), ()>,
    pub(super) over: Vec<HandOver>,
}

/// A request that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed {
    pub from: ReplicaId,
    pub to: ReplicaId,
    /// Tokens of its answer, as far as the replica goes that gives it.
    pub output_tokens: u32,
    /// When the blocks of the replica that computed its prompt come free at the latest.
    pub lease: Time,
    /// Tokens at the head of its prompt that need not be sent, and so many of them that are there or on their
    /// way.
    pub there: (u32, u32),
    /// Blocks that are to go over in all.
    pub blocks: u32,
    /// Transfers that are under way.
    pub under_way: u32,
    pub told: HandOver,
}

impl<'a> HandOvers<'a> {
    /// Nothing is on its way yet.
    pub(super) fn new(setup: &'a Disaggregation, fleet: &FleetSetup<'_>) -> HandOvers<'a> {
        let mut links = Links::none();
        let shared = setup.transfer.shared_bytes_per_s.map(|shared| links.add(shared));
        let mut ports = Vec::new();
        for (pool, port) in fleet.pools.iter().zip(&setup.ports) {
            for _ in 0..pool.replicas {
                ports.push(match shared {
                    Some(link) => (link, link),
                    None => (links.add(port.bytes_per_s), links.add(port.bytes_per_s)),
                });
            }
        }
        HandOvers {
            setup,
            decode: first_that_decode(fleet),
            flows: Flows::over(links),
            ports,
            asked: Vec::new(),
            chosen: BTreeMap::new(),
            computed: Vec::new(),
            handed: BTreeMap::new(),
            under_way: BTreeMap::new(),
            transfers: 0,
            leases: BTreeMap::new(),
            over: Vec::new(),
        }
    }

    /// What of a request the replica is asked for that computes its prompt.
    pub(super) fn prompt_of(request: &Request) -> Request {
        Request { output_tokens: 1, max_tokens: 1, ..*request }
    }

    /// Whether blocks are taken where requests are answered before their prompts are computed.
    pub(super) fn is_destination_first(&self) -> bool {
        self.setup.order == HandOverOrder::DestinationFirst
    }

    /// When something is due of what is on its way.
    pub(super) fn due(&self) -> Time {
        let lease = self.leases.keys().next().map_or(Time::NEVER, |&(at, _)| at);
        self.flows.next().min(lease)
    }

    /// A prompt is computed.
    pub(super) fn computed(&mut self, request: RequestId) {
        self.computed.push(request);
    }

    /// What went over until `end`, by request: what is under way too.
    pub(super) fn close(mut self, end: Time) -> (Vec<HandOver>, Vec<LinkUse>) {
        // What links carried of transfers that are not over counts.
        if end < self.flows.next() {
            self.flows.turn_to(end);
        }
        let mut all = self.over;
        all.extend(self.handed.values().map(|handed| handed.told));
        all.sort_unstable_by_key(|told| told.request);
        let link = |id: u32| {
            let (bytes, busy) = self.flows.use_of(LinkId(id));
            let bytes_per_s = self.flows.links().bytes_per_s(LinkId(id));
            LinkUse { bytes_per_s, bytes, busy: Span::from_nanos(busy) }
        };
        let links = (0..self.flows.links().len() as u32).map(link).collect();
        (all, links)
    }
}

/// The first replica of each pool that decodes.
fn first_that_decode(fleet: &FleetSetup<'_>) -> Vec<ReplicaId> {
    let mut first = 0;
    let mut all = Vec::new();
    for pool in &fleet.pools {
        if pool.role == Role::Decode && pool.replicas > 0 {
            all.push(ReplicaId(first));
        }
        first += pool.replicas;
    }
    all
}

/// What a link carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkUse {
    /// Bytes a second that it can carry.
    pub bytes_per_s: f64,
    /// Bytes that it carried.
    pub bytes: f64,
    /// Time in which it carried something.
    pub busy: Span,
}

impl Eq for LinkUse {}

impl Engine<'_> {
    /// Whether a replica computes prompts for others.
    pub(super) fn prefills_for_others(&self, replica: ReplicaId) -> bool {
        self.fleet.member(replica).role == Role::Prefill
    }

    /// Prompts that a step of a replica has computed go on.
    pub(super) fn hand_over(&mut self, from: ReplicaId, arriving: &mut dyn Arriving) {
        let Some(handing) = &mut self.handing else { return };
        for request in std::mem::take(&mut handing.computed) {
            self.hand_over_one(request, from, arriving);
        }
    }

    /// Where a request goes that has come and is computed where it is answered, if it is one; who
    /// answers the others is chosen when their prompts are computed, or here, where a decider has to know.
    pub(super) fn stays(
        &mut self,
        id: RequestId,
        request: &Request,
        (session, content): (Option<u32>, Option<&Content>),
    ) -> Option<RouteDecision> {
        let handing = self.handing.as_mut()?;
        let decider = handing.setup.decider;
        if !decider.looks() {
            return None;
        }
        let prompt = Prompt::of_request(id, request, content.cloned());
        let (with, now) = ((session, prompt.as_ref()), request.arrival);
        let mut caches = CachesOf(&mut self.servers);
        let (to, held) = self.fleet.choose_decoder(id, request, with, (now, true), &mut caches);
        if decider.is_elsewhere(request.prompt_tokens, held) {
            handing.chosen.insert(id, to);
            return None;
        }
        let new = (prompt.as_ref(), request.prompt_tokens.saturating_sub(held));
        Some(self.fleet.stays(request, new, to, &mut caches))
    }

    fn hand_over_one(&mut self, id: RequestId, from: ReplicaId, arriving: &mut dyn Arriving) {
        let waited = self.handing.as_ref().is_some_and(|handing| handing.is_destination_first());
        if !waited {
            self.goes_to_decoder(id, from, arriving);
        }
        let now = self.calendar.now();
        let held_blocks = self.servers[from.index()].replica().held_for_fetch(id);
        let handing = self.handing.as_mut().expect("it hands over");
        let handed = handing.handed.get_mut(&id).expect("it has a decoder");
        (handed.told.at, handed.told.held_blocks) = (now, held_blocks);
        let (to, output_tokens) = (handed.told.to, handed.output_tokens);
        if waited {
            self.send_up_to(id, u32::MAX);
        } else if let Some(lease) = handing.setup.kv_lease {
            handed.lease = now + lease;
            handing.leases.insert((now + lease, id), ());
        }
        self.tally.hand_over(id, to, output_tokens);
        self.fleet.is_prefilled(id);
        self.look_at_transfers();
    }

    /// A request comes to the queue of the replica that answers it, which is chosen now where it was not before;
    /// `from` computes its prompt.
    pub(super) fn goes_to_decoder(
        &mut self,
        id: RequestId,
        from: ReplicaId,
        arriving: &mut dyn Arriving,
    ) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let mut request = handing.asked[id.index()];
        let chosen = handing.chosen.remove(&id);
        let carried = handing.setup.first_token == FirstToken::Carried;
        let content = self.fleet.reads_prompts().then(|| arriving.content(id));
        let prompt = Prompt::of_request(id, &request, content.clone());
        let to = chosen.unwrap_or_else(|| {
            let with = (arriving.session(id), prompt.as_ref());
            let mut caches = CachesOf(&mut self.servers);
            self.fleet.choose_decoder(id, &request, with, (now, false), &mut caches).0
        });
        self.fleet.will_decode(id, &request, prompt.as_ref(), to);
        self.limit_answer(&mut request, to);
        let server = &mut self.servers[to.index()];
        let lane = server.first_lane();
        let replica = server.replica_mut();
        let content = match replica.knows_contents() {
            true => content.unwrap_or_else(|| arriving.content(id)),
            false => Content::default(),
        };
        let with = (content, arriving.session(id));
        let rest = if carried { after_first_token(&request) } else { request };
        let handle = replica.arrive(id, arriving.number(id), &rest, with);
        replica.is_remote(handle, Remote { pulls: true, carried, ..Remote::default() });
        server.arrived(handle);
        if server.can_decide() {
            self.calendar.wake(to);
        }
        let told = HandOver {
            request: id,
            from: self.servers[from.index()].first_lane(),
            to: lane,
            at: Time::NEVER,
            begun: Time::NEVER,
            landed: Time::NEVER,
            released: Time::NEVER,
            tokens: 0,
            held_blocks: 0,
            blocks: 0,
            bytes: 0,
            lost: false,
            carried,
        };
        let output_tokens = request.output_tokens;
        let handed = Handed {
            from,
            to,
            output_tokens,
            lease: Time::NEVER,
            there: (0, 0),
            blocks: 0,
            under_way: 0,
            told,
        };
        let handing = self.handing.as_mut().expect("it hands over");
        handing.handed.insert(id, handed);
    }

    /// A replica has decided: the KV of those for which it took blocks sets out, or their prompts are computed
    /// from now on.
    pub(super) fn begin_loads(&mut self, at: ReplicaId, arriving: &mut dyn Arriving) {
        let Some(handing) = &self.handing else { return };
        let destination_first = handing.is_destination_first();
        let begun = self.servers[at.index()].replica_mut().loads_begun();
        for load in begun {
            self.begin_load(&load);
            if destination_first {
                self.prefill_for(load.request, arriving);
            } else {
                self.send_up_to(load.request, u32::MAX);
            }
        }
        self.look_at_transfers();
    }

    /// Blocks are taken for a request where it is answered.
    fn begin_load(&mut self, load: &LoadBegun) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let handed = handing.handed.get_mut(&load.request).expect("it was handed over");
        let missing_only = handing.setup.transfer.missing_only;
        handed.told.begun = now;
        handed.there = if missing_only { (load.context, load.context) } else { (0, 0) };
        handed.blocks = if missing_only { load.taken } else { load.whole };
        if handed.told.lost {
            // There is nothing to fetch: that is known at once.
            handed.told.landed = now;
        } else {
            handing.leases.remove(&(handed.lease, load.request));
            handed.told.tokens = load.context + load.tokens - handed.there.0;
        }
    }
}

/// What of a request is left when its first token is known: that is one more of its prompt.
fn after_first_token(request: &Request) -> Request {
    Request {
        prompt_tokens: request.prompt_tokens + 1,
        output_tokens: request.output_tokens.saturating_sub(1).max(1),
        max_tokens: request.max_tokens.saturating_sub(1).max(1),
        ..*request
    }
}

/// Tells the servers of a fleet what goes from one to another.
pub(super) fn prepare(engine: &mut Engine<'_>) {
    let handing = engine.handing.as_ref().expect("it hands over");
    let destination_first = handing.is_destination_first();
    let reserved = handing.setup.reserved_decode_tokens;
    for place in 0..engine.servers.len() {
        let replica = ReplicaId(place as u32);
        let prefills = engine.prefills_for_others(replica);
        let server = &mut engine.servers[place];
        server.replica_mut().transfer(RULES, None);
        if prefills {
            server.hand_over();
        }
        match (destination_first, prefills) {
            (true, true) => server.tell_of_chunks(),
            (true, false) => server.replica_mut().leave_room_for(reserved),
            (false, _) => {}
        }
    }
}
