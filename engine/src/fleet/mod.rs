//! Who serves: the replicas of a run with their pools, the router that sends requests to them, and
//! controllers, which may change the fleet while it serves.
//!
//! A router is asked once for each request, when it arrives. It sees how many requests and tokens
//! are outstanding at each replica, as a front end that counts what it has sent and what has come
//! back does; it sees neither queues nor KV memory.

mod controller;
mod member;
mod router;
mod setup;
mod view;

use crate::ids::{ControllerId, ReplicaId};
use crate::request::{Request, RequestId};
use crate::time::Time;
use crate::workload::streams::{Purpose, Stream};

pub use controller::{Action, Controller, MakeControllers};
pub use member::{Member, Role, State};
pub use router::{ClassPools, RouteDecision, RouteReason, RouterKind, Routing};
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
    /// Replica and tokens of each request; empty where nobody looks.
    placed: Vec<(ReplicaId, u32)>,
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
        Fleet {
            live,
            router: routing.router.make(draws, classes),
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
        let asked = Asked { id, class: request.class, session };
        let view = FleetView::new(&self.live, &self.outstanding);
        let decision = self.router.choose(&asked, &view);
        if self.counts {
            debug_assert_eq!(self.placed.len(), id.index(), "requests come in order");
            let tokens = request.prompt_tokens.saturating_add(request.max_tokens);
            self.outstanding.add(decision.replica, tokens);
            self.placed.push((decision.replica, tokens));
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
        if let Some(&(replica, tokens)) = self.placed.get(id.index()) {
            self.outstanding.remove(replica, tokens);
        }
    }
}

#[cfg(test)]
mod tests;
