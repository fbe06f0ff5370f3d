//! Who serves: the replicas of a run with their pools, the router that sends requests to them, and
//! controllers, which may change the fleet while it serves.
//!
//! A router is asked once for each request, when it arrives. It sees how many requests and tokens
//! are outstanding at each replica, as a front end that counts what it has sent and what has come
//! back does; it sees neither queues nor KV memory. Some routers hear, besides, what engines say of
//! themselves before and after each of their steps (`Fleet::report`), at intervals of their own. Some look
//! at prompts: they guess what replicas cache from what was sent where (`prefixes`), or know it
//! (`Caches`).

mod controller;
mod disaggregation;
mod loads;
mod member;
mod prefixes;
mod router;
mod setup;
mod tiers;
mod view;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::content::Content;
use crate::ids::{ClassId, ControllerId, ReplicaId};
use crate::request::{Request, RequestId};
use crate::time::Time;
use crate::workload::streams::{Purpose, Stream};

pub use controller::{Action, Controller, MakeControllers};
pub use disaggregation::{Disaggregation, Port, PrefillDecider, TransferSetup};
pub use member::{Member, Role, State};
pub use prefixes::Held;
pub(crate) use prefixes::{Caches, NoCaches, Prompt};
pub(crate) use router::Report;
pub use router::{
    CacheAware, ClassPools, DpBalancer, DpClient, DpCoordinator, DynamoKv, EngineLoad, LlmD,
    ProductionStack, RayPrefix, RouteDecision, RouteKind, RouteReason, RouterKind, Routing,
    RoutingLogic, Scorer,
};
pub use setup::{FleetSetup, MakeScheduler, PoolSetup};
pub use tiers::{CopyPath, KvTiers, LoadOverlap, TierBelow};
pub use view::FleetView;

use prefixes::Sent;
use router::{Asked, Known, Router};
use view::Outstanding;

/// The members, what is outstanding at each, and who decides by it.
pub(crate) struct Fleet {
    members: Vec<Member>,
    /// Those of them that new requests may be sent to, in order.
    live: Vec<ReplicaId>,
    router: Box<dyn Router>,
    /// Who decodes, and which of them gets a request, where others prefill.
    decode: Option<(Vec<ReplicaId>, Box<dyn Router>)>,
    controllers: Vec<Box<dyn Controller>>,
    outstanding: Outstanding,
    counts: bool,
    /// Where each request went; empty where nobody looks.
    placed: Vec<Placed>,
    /// Who is to decode those whose prompts others compute yet.
    decoding: BTreeMap<RequestId, Placed>,
    /// By replica: how many waited and ran when it last said so; `None` where nobody listens.
    reported: Option<Vec<(u32, u32)>>,
    /// Whether anybody looks at prompts.
    reads_prompts: bool,
    /// What was ever sent, where it is of account what became of it.
    sent: Option<Sent>,
    /// Whether what replicas hold is noted of each request.
    notes_held: bool,
    /// What replicas held of each prompt, in order of arrival, where that is noted.
    held: Vec<Held>,
    /// First tokens that the router has not been told of, and when they come; `None` where it does not
    /// care.
    first_tokens: Option<BinaryHeap<Reverse<(Time, RequestId)>>>,
}

/// A request as its router sent it.
#[derive(Clone, Copy)]
struct Placed {
    replica: ReplicaId,
    tokens: u32,
    class: ClassId,
    /// Whether the router of those who decode sent it.
    decodes: bool,
}

impl Fleet {
    /// `members` are in the order of their ids; `classes` are the names of the requests' classes.
    pub(crate) fn new(
        routing: &Routing,
        members: Vec<Member>,
        classes: &[String],
        controllers: Vec<Box<dyn Controller>>,
    ) -> Fleet {
        let chosen_among: Vec<Member> =
            members.iter().filter(|member| member.takes_requests()).copied().collect();
        let live: Vec<ReplicaId> = chosen_among.iter().map(|one| one.id).collect();
        assert!(!live.is_empty(), "at least one replica");
        let draws = Stream::new(routing.seed, Purpose::Routing);
        let hears = routing.router.hears_engines();
        let asks = routing.router.asks_caches() || routing.notes_held;
        let of_first_tokens = routing.router.hears_of_first_tokens();
        Fleet {
            reads_prompts: routing.router.reads_prompts() || asks,
            sent: asks.then(|| Sent::new(&members)),
            notes_held: routing.notes_held,
            held: Vec::new(),
            first_tokens: of_first_tokens.then(BinaryHeap::new),
            live,
            router: routing.router.make(draws, classes, &chosen_among),
            reported: hears.then(|| vec![(0, 0); members.len()]),
            outstanding: Outstanding::of(members.len()),
            counts: routing.router.sees_load() || !controllers.is_empty(),
            controllers,
            decode: None,
            placed: Vec::new(),
            decoding: BTreeMap::new(),
            members,
        }
    }

    /// The same fleet, in which requests go on to replicas that decode.
    pub(crate) fn handing_over(
        mut self,
        routing: &Routing,
        setup: Option<&Disaggregation>,
        classes: &[String],
    ) -> Fleet {
        let Some(Disaggregation { decode_router, decider, .. }) = setup else { return self };
        let decodes = |member: &&Member| member.role == Role::Decode;
        let live: Vec<Member> = self.members.iter().filter(decodes).copied().collect();
        let draws = Stream::new(routing.seed, Purpose::DecodeRouting);
        let router = decode_router.make(draws, classes, &live);
        self.counts |= decode_router.sees_load();
        self.reads_prompts |= decode_router.reads_prompts() || decode_router.asks_caches();
        self.reads_prompts |= decider.looks();
        if decode_router.asks_caches() && self.sent.is_none() {
            self.sent = Some(Sent::new(&self.members));
        }
        self.decode = Some((live.iter().map(|one| one.id).collect(), router));
        self
    }

    /// Chooses the replica that decodes a request, `at` that instant; says too how many tokens of its prompt
    /// that replica holds, where `looks` asks for it.
    pub(crate) fn choose_decoder(
        &mut self,
        id: RequestId,
        request: &Request,
        (session, prompt): (Option<u32>, Option<&Arc<Prompt>>),
        (at, looks): (Time, bool),
        caches: &mut dyn Caches,
    ) -> (ReplicaId, u32) {
        let (live, router) = self.decode.as_mut().expect("somebody decodes");
        let tokens = request.prompt_tokens;
        let asked = Asked { id, class: request.class, session, at, prompt_tokens: tokens, prompt };
        let view = FleetView::new(live, &self.outstanding);
        let mut known = Known { sent: self.sent.as_mut(), caches: &mut *caches };
        let replica = router.choose(&asked, &view, &mut known).replica;
        let held = prompt.filter(|_| looks).map_or(0, |prompt| caches.held(replica, prompt));
        (replica, held)
    }

    /// A replica is to decode a request whose prompt another computes.
    pub(crate) fn will_decode(
        &mut self,
        id: RequestId,
        request: &Request,
        prompt: Option<&Arc<Prompt>>,
        to: ReplicaId,
    ) {
        if let (Some(sent), Some(prompt)) = (&mut self.sent, prompt) {
            sent.insert(prompt, to);
        }
        if self.counts {
            let placed = self.place(request, to, true);
            self.decoding.insert(id, placed);
        }
    }

    /// A request's prompt is computed: the replica that computed it has nothing more to do with it.
    pub(crate) fn is_prefilled(&mut self, id: RequestId) {
        if let Some(decoding) = self.decoding.remove(&id) {
            self.leave(id);
            self.placed[id.index()] = decoding;
        }
    }

    /// The next request in order of arrival is computed where it is answered, of whose prompt so many tokens
    /// are new there.
    pub(crate) fn stays(
        &mut self,
        request: &Request,
        (prompt, new_tokens): (Option<&Arc<Prompt>>, u32),
        to: ReplicaId,
        caches: &mut dyn Caches,
    ) -> RouteDecision {
        self.arrives(request, prompt, (to, true), caches);
        RouteDecision {
            replica: to,
            why: RouteReason::LittleNew { new_tokens },
            within_pool: false,
        }
    }

    /// Takes note of where the next request in order of arrival goes, and whether the router of those who
    /// decode sends it there.
    fn arrives(
        &mut self,
        request: &Request,
        prompt: Option<&Arc<Prompt>>,
        (to, decodes): (ReplicaId, bool),
        caches: &mut dyn Caches,
    ) {
        if let (Some(sent), Some(prompt)) = (&mut self.sent, prompt) {
            if self.notes_held {
                let members = &self.members;
                let answers = |replica: ReplicaId| members[replica.index()].role == Role::Decode;
                let could_be = |replica| answers(replica) == answers(to);
                self.held.push(sent.held(prompt, (to, could_be), caches));
            }
            sent.insert(prompt, to);
        }
        if self.counts {
            let placed = self.place(request, to, decodes);
            self.placed.push(placed);
        }
    }

    fn place(&mut self, request: &Request, replica: ReplicaId, decodes: bool) -> Placed {
        let tokens = request.prompt_tokens.saturating_add(request.max_tokens);
        self.outstanding.add(replica, tokens);
        Placed { replica, tokens, class: request.class, decodes }
    }

    /// A member.
    pub(crate) fn member(&self, replica: ReplicaId) -> &Member {
        &self.members[replica.index()]
    }

    /// Whether anybody looks at what prompts contain.
    pub(crate) fn reads_prompts(&self) -> bool {
        self.reads_prompts
    }

    /// Chooses a replica for the request with this id, the next in order of arrival. `content` is that
    /// of its tokens, where anybody looks.
    pub(crate) fn route(
        &mut self,
        id: RequestId,
        request: &Request,
        session: Option<u32>,
        content: Option<Content>,
        caches: &mut dyn Caches,
    ) -> RouteDecision {
        self.tell_of_first_tokens(request.arrival);
        let tokens = request.prompt_tokens;
        let prompt = Prompt::of_request(id, request, content);
        let asked = Asked {
            id,
            class: request.class,
            session,
            at: request.arrival,
            prompt_tokens: tokens,
            prompt: prompt.as_ref(),
        };
        let view = FleetView::new(&self.live, &self.outstanding);
        let mut known = Known { sent: self.sent.as_mut(), caches: &mut *caches };
        let decision = self.router.choose(&asked, &view, &mut known);
        debug_assert!(!self.counts || self.placed.len() == id.index(), "requests come in order");
        self.arrives(request, prompt.as_ref(), (decision.replica, false), caches);
        decision
    }

    /// What replicas held of each prompt when it was routed, in order of arrival; nothing where that is not
    /// noted.
    pub(crate) fn take_held(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.held)
    }

    /// When each controller wants to be asked first.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = (ControllerId, Time)> + '_ {
        let all = (0..).map(ControllerId).zip(&self.controllers);
        all.filter_map(|(id, controller)| Some((id, controller.next()?)))
    }

    /// Asks a controller, and tells when it wants to be asked again.
    pub(crate) fn tick(&mut self, id: ControllerId, now: Time) -> Option<Time> {
        let view = FleetView::new(&self.live, &self.outstanding);
        let controller = &mut self.controllers[id.index()];
        #[expect(clippy::never_loop, reason = "there is no action yet")]
        for action in controller.tick(now, &view) {
            match action {}
        }
        controller.next()
    }

    /// A request has come to its end.
    pub(crate) fn leave(&mut self, id: RequestId) {
        let decoding = self.decoding.remove(&id);
        let placed = self.placed.get(id.index()).copied();
        for Placed { replica, tokens, class, decodes } in placed.into_iter().chain(decoding) {
            self.outstanding.remove(replica, tokens);
            let router = match &mut self.decode {
                Some((_, router)) if decodes => router,
                _ => &mut self.router,
            };
            router.ended(&Fleet::of_old(id, class), replica);
        }
    }

    /// A request that was sent before, of which no more is known.
    fn of_old(id: RequestId, class: ClassId) -> Asked<'static> {
        Asked { id, class, session: None, at: Time::ZERO, prompt_tokens: 0, prompt: None }
    }

    /// Whether the router cares when requests get their first token.
    pub(crate) fn hears_of_first_tokens(&self) -> bool {
        self.first_tokens.is_some()
    }

    /// When requests get their first tokens.
    pub(crate) fn first_tokens(&mut self, at: impl Iterator<Item = (Time, RequestId)>) {
        if let Some(heap) = &mut self.first_tokens {
            heap.extend(at.map(Reverse));
        }
    }

    /// Tells the router who has got a first token by `now`.
    fn tell_of_first_tokens(&mut self, now: Time) {
        let Some(heap) = &mut self.first_tokens else { return };
        while let Some(&Reverse((at, id))) = heap.peek()
            && at <= now
        {
            heap.pop();
            if let Some(&Placed { replica, class, .. }) = self.placed.get(id.index()) {
                self.router.prefilled(&Fleet::of_old(id, class), replica);
            }
        }
    }

    /// Whether somebody listens to what engines say.
    pub(crate) fn listens(&self) -> bool {
        self.reported.is_some()
    }

    /// A replica is before or after one of its steps; it says so where its counts have changed
    /// (vLLM 0.33.0, `engine/core.py` `_maybe_publish_request_counts`).
    pub(crate) fn report(&mut self, report: &Report) {
        let Some(reported) = &mut self.reported else { return };
        let counts = (report.load.waiting, report.load.running);
        if std::mem::replace(&mut reported[report.replica.index()], counts) != counts {
            self.router.heard(report);
        }
    }
}

#[cfg(test)]
mod cache_tests;
#[cfg(test)]
mod tests;
