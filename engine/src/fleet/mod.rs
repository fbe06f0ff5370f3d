//! Who serves: the replicas of a run with their pools, the router that sends requests to them, and
//! controllers, which may change the fleet while it serves.
//!
//! A router is asked once for each request, when it arrives. It sees how many requests and tokens
//! are outstanding at each replica, as a front end that counts what it has sent and what has come
//! back does; it sees neither queues nor KV memory. One router hears, besides, what engines say of
//! themselves before and after each of their steps (`Fleet::report`).

mod controller;
mod loads;
mod member;
mod router;
mod setup;
mod view;

use crate::ids::{ClassId, ControllerId, ReplicaId};
use crate::request::{Request, RequestId};
use crate::time::Time;
use crate::workload::streams::{Purpose, Stream};

pub use controller::{Action, Controller, MakeControllers};
pub use member::{Member, Role, State};
pub(crate) use router::Report;
pub use router::{
    ClassPools, DpBalancer, DpClient, DpCoordinator, EngineLoad, RouteDecision, RouteReason,
    RouterKind, Routing,
};
pub use setup::{FleetSetup, MakeScheduler, PoolSetup};
pub use view::FleetView;

use router::{Asked, Router};
use view::Outstanding;

/// The members, what is outstanding at each, and who decides by it.
pub(crate) struct Fleet {
    members: Vec<Member>,
    /// Those of them that new requests may be sent to, in order.
    live: Vec<ReplicaId>,
    router: Box<dyn Router>,
    controllers: Vec<Box<dyn Controller>>,
    outstanding: Outstanding,
    counts: bool,
    /// Where each request went; empty where nobody looks.
    placed: Vec<Placed>,
    /// By replica: how many waited and ran when it last said so; `None` where nobody listens.
    reported: Option<Vec<(u32, u32)>>,
}

/// A request as its router sent it.
#[derive(Clone, Copy)]
struct Placed {
    replica: ReplicaId,
    tokens: u32,
    class: ClassId,
}

impl Fleet {
    /// `members` are in the order of their ids; `classes` are the names of the requests' classes.
    pub(crate) fn new(
        routing: &Routing,
        members: Vec<Member>,
        classes: &[String],
        controllers: Vec<Box<dyn Controller>>,
    ) -> Fleet {
        let live: Vec<ReplicaId> =
            members.iter().filter(|member| member.takes_requests()).map(|one| one.id).collect();
        assert!(!live.is_empty(), "at least one replica");
        let draws = Stream::new(routing.seed, Purpose::Routing);
        let hears = routing.router.hears_engines();
        Fleet {
            live,
            router: routing.router.make(draws, classes, &members),
            reported: hears.then(|| vec![(0, 0); members.len()]),
            outstanding: Outstanding::of(members.len()),
            counts: routing.router.sees_load() || !controllers.is_empty(),
            controllers,
            placed: Vec::new(),
            members,
        }
    }

    /// A member.
    pub(crate) fn member(&self, replica: ReplicaId) -> &Member {
        &self.members[replica.index()]
    }

    /// Chooses a replica for the request with this id, the next in order of arrival.
    pub(crate) fn route(
        &mut self,
        id: RequestId,
        request: &Request,
        session: Option<u32>,
    ) -> RouteDecision {
        let asked = Asked { id, class: request.class, session, at: request.arrival };
        let view = FleetView::new(&self.live, &self.outstanding);
        let decision = self.router.choose(&asked, &view);
        if self.counts {
            debug_assert_eq!(self.placed.len(), id.index(), "requests come in order");
            let tokens = request.prompt_tokens.saturating_add(request.max_tokens);
            self.outstanding.add(decision.replica, tokens);
            let (replica, class) = (decision.replica, request.class);
            self.placed.push(Placed { replica, tokens, class });
        }
        decision
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
        if let Some(&Placed { replica, tokens, class }) = self.placed.get(id.index()) {
            self.outstanding.remove(replica, tokens);
            let asked = Asked { id, class, session: None, at: Time::ZERO };
            self.router.ended(&asked, replica);
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
mod tests;
