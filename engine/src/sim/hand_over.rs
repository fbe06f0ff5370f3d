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

use super::Rejection;
use super::caches::CachesOf;
use super::engine::Engine;
use crate::catalog::{FirstToken, HandOverOrder};
use crate::content::Content;
use crate::fleet::{Disaggregation, FleetSetup, Prompt, Role, RouteDecision};
use crate::ids::{ReplicaId, RequestId};
use crate::replica::{Failure, LoadBegun, Remote, TransferRules};
use crate::request::Request;
use crate::time::{Span, Time};
use crate::trace::HandOver;
use crate::transfer::{Flows, LinkId, Links, TransferId};
use crate::workload::Arriving;

/// As vLLM's NIXL connector has it, whose role is both on either side.
const RULES: TransferRules = TransferRules { consumes: true, delivers: true };

/// What goes from replica to replica.
pub(super) struct HandOvers<'a> {
    pub(super) setup: &'a Disaggregation,
    /// The first replica of each pool that decodes.
    pub decode: Vec<ReplicaId>,
    flows: Flows,
    /// By replica: what its transfers go over, out of it and into it.
    ports: Vec<(LinkId, LinkId)>,
    /// By request: what it asked for. Of those that have ended nothing is asked.
    pub(super) asked: Vec<Request>,
    /// Who decodes a request, where that was chosen before its prompt was computed.
    pub(super) chosen: BTreeMap<RequestId, ReplicaId>,
    /// Prompts that were computed in the step that just ended.
    computed: Vec<RequestId>,
    /// By request.
    pub(super) handed: BTreeMap<RequestId, Handed>,
    /// Whose transfers are under way, by their numbers.
    under_way: BTreeMap<TransferId, RequestId>,
    transfers: u32,
    /// Ends of leases, in order.
    leases: BTreeMap<(Time, RequestId), ()>,
    over: Vec<HandOver>,
}

/// A request that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed {
    pub from: ReplicaId,
    pub to: ReplicaId,
    /// Tokens of its answer, as far as the replica goes that gives it.
    output_tokens: u32,
    /// When the blocks of the replica that computed its prompt come free at the latest.
    lease: Time,
    /// Tokens at the head of its prompt that need not be sent, and so many of them that are there or on their
    /// way.
    pub there: (u32, u32),
    /// Blocks that are to go over in all.
    pub blocks: u32,
    /// Transfers that are under way.
    under_way: u32,
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
    fn due(&self) -> Time {
        let lease = self.leases.keys().next().map_or(Time::NEVER, |&(at, _)| at);
        self.flows.next().min(lease)
    }

    /// A prompt is computed.
    pub(super) fn computed(&mut self, request: RequestId) {
        self.computed.push(request);
    }

    /// What went over, by request: what is under way too.
    pub(super) fn close(self) -> (Vec<HandOver>, Vec<LinkUse>) {
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
            handed.told.tokens = load.tokens;
        }
    }

    /// KV of a request's prompt sets out, as far as its first `computed` tokens go.
    pub(super) fn send_up_to(&mut self, request: RequestId, computed: u32) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let prompt = handing.asked[request.index()].prompt_tokens;
        let handed = handing.handed.get_mut(&request).expect("it was handed over");
        let blocks = handed.sends(computed.min(prompt), prompt);
        // The last transfer says that all is there, if it carries nothing else.
        if blocks == 0 && computed < prompt {
            return;
        }
        let pool = self.fleet.member(handed.to).pool;
        let bytes = match handed.told.lost {
            true => 0,
            false => {
                u64::from(blocks).saturating_mul(handing.setup.ports[pool.index()].block_bytes)
            }
        };
        handed.told.bytes += bytes;
        if !handed.told.lost {
            handed.told.blocks += blocks;
        }
        handed.under_way += 1;
        let id = TransferId(handing.transfers);
        handing.transfers += 1;
        handing.under_way.insert(id, request);
        let each = handing.setup.transfer.per_block.as_nanos();
        let before = match handed.told.lost {
            true => Span::from_nanos(1),
            false => {
                let blocks = Span::from_nanos(each.saturating_mul(u64::from(blocks)));
                (handing.setup.transfer.setup + blocks).max(Span::from_nanos(1))
            }
        };
        let (out, into) =
            (handing.ports[handed.from.index()].0, handing.ports[handed.to.index()].1);
        let over = if out == into { vec![out] } else { vec![out, into] };
        handing.flows.begin(now, id, before, bytes, &over);
    }

    /// Says when something is due of what is on its way.
    fn look_at_transfers(&mut self) {
        let due = self.handing.as_ref().map_or(Time::NEVER, |handing| handing.due());
        self.calendar.transfers_due(due);
    }

    /// Transfers that are over, and leases.
    pub(super) fn turn_transfers(&mut self, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        let Some(handing) = &mut self.handing else { return };
        let over = handing.flows.turn_to(now);
        for id in over {
            let handing = self.handing.as_mut().expect("it hands over");
            let request = handing.under_way.remove(&id).expect("it was under way");
            let handed = handing.handed.get_mut(&request).expect("it was handed over");
            handed.under_way -= 1;
            if handed.under_way == 0 && handed.told.at != Time::NEVER {
                self.land(request, arriving);
            }
        }
        loop {
            let handing = self.handing.as_mut().expect("it hands over");
            let Some((&(at, request), ())) = handing.leases.first_key_value() else { break };
            if at > now {
                break;
            }
            handing.leases.remove(&(at, request));
            let handed = handing.handed.get_mut(&request).expect("it was handed over");
            handed.told.lost = true;
            handed.told.released = now;
            let from = handed.from;
            self.release(request, from);
        }
        self.look_at_transfers();
    }

    /// The KV of a request is there, or known to be lost.
    fn land(&mut self, request: RequestId, arriving: &mut dyn Arriving) {
        let now = self.calendar.now();
        let handing = self.handing.as_mut().expect("it hands over");
        let mut handed = handing.handed.remove(&request).expect("it was handed over");
        handed.told.landed = now;
        let failure = handing.setup.on_failure;
        let lost = handed.told.lost;
        if !lost {
            handed.told.released = now;
        }
        handing.over.push(handed.told);
        let replica = self.servers[handed.to.index()].replica_mut();
        if lost {
            replica.load_failed(request, 0, failure);
        }
        let fails = lost && failure == Failure::Ends;
        let first = (!fails && handed.told.carried).then_some(handed.output_tokens);
        if fails || first == Some(1) {
            replica.ends_while_it_loads(request);
        }
        replica.loaded(request);
        if first.is_some() {
            self.tally.first_token(request, now);
        }
        if fails {
            self.tally.reject(request, now, Rejection::KvLost);
            self.ends(request);
            self.fleet.leave(request);
            arriving.turned_away(request, now);
        } else if first == Some(1) {
            self.tally.complete(request);
            self.ends(request);
            self.fleet.leave(request);
            arriving.finished(request, now);
        }
        if self.servers[handed.to.index()].can_decide() {
            self.calendar.wake(handed.to);
        }
        if !lost {
            self.release(request, handed.from);
        }
    }

    /// The blocks come free that were held where a prompt was computed.
    fn release(&mut self, request: RequestId, from: ReplicaId) {
        let server = &mut self.servers[from.index()];
        server.replica_mut().fetched(request);
        if server.can_decide() {
            self.calendar.wake(from);
        }
    }
}

impl Handed {
    /// Blocks that set out when the first `computed` tokens of a prompt of so many are there: the last are
    /// counted whole.
    fn sends(&mut self, computed: u32, prompt: u32) -> u32 {
        let (needless, sent) = self.there;
        let share = |tokens: u32| match tokens >= prompt {
            true => u64::from(self.blocks),
            false => {
                let (own, all) = (tokens.saturating_sub(needless), prompt - needless);
                u64::from(self.blocks) * u64::from(own) / u64::from(all.max(1))
            }
        };
        let blocks = share(computed.max(sent)) - share(sent);
        self.there.1 = computed.max(sent);
        blocks as u32
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
