use std::sync::Arc;

use super::*;
use crate::ids::{ClassId, PoolId};
use crate::time::{Span, Time};

fn request(tokens: u32) -> Request {
    Request {
        arrival: Time::ZERO,
        prompt_tokens: tokens,
        output_tokens: 1,
        max_tokens: 1,
        priority: 0,
        class: ClassId(0),
    }
}

fn members() -> Vec<Member> {
    (0..4).map(|id| Member::new(ReplicaId(id), PoolId(0))).collect()
}

fn decision(replica: u32, why: RouteReason) -> RouteDecision {
    RouteDecision { replica: ReplicaId(replica), why, within_pool: false }
}

fn fleet(router: RouterKind) -> Fleet {
    Fleet::new(
        &Routing { router, seed: 3, notes_held: false },
        members(),
        &[String::new()],
        Vec::new(),
    )
}

fn routes(fleet: &mut Fleet, tokens: &[u32]) -> Vec<u32> {
    let ids = (fleet.placed.len()..).map(RequestId::at);
    ids.zip(tokens)
        .map(|(id, &tokens)| fleet.route(id, &request(tokens), None, None, &mut NoCaches).replica.0)
        .collect()
}

#[test]
fn names_lead_to_routers_and_all_are_there() {
    for name in RouterKind::NAMES {
        assert!(RouterKind::by_name(name).is_some(), "{name}");
    }
    assert_eq!(RouterKind::by_name("least-loaded"), None);
}

#[test]
fn round_robin_is_the_index_modulo_the_replicas() {
    let mut fleet = fleet(RouterKind::RoundRobin);
    for id in 0..11 {
        let went = fleet.route(RequestId(id), &request(1), None, None, &mut NoCaches);
        assert_eq!(went, decision(id % 4, RouteReason::Turn));
    }
}

#[test]
fn the_least_is_chosen_and_leaving_counts() {
    let mut fleet = fleet(RouterKind::LeastRequests);
    assert_eq!(routes(&mut fleet, &[9, 1, 1, 1, 1]), [0, 1, 2, 3, 0]);
    fleet.leave(RequestId(2));
    assert_eq!(
        fleet.route(RequestId(5), &request(1), None, None, &mut NoCaches),
        decision(2, RouteReason::FewestRequests(0))
    );
    let mut fleet = self::fleet(RouterKind::LeastTokens);
    assert_eq!(routes(&mut fleet, &[99, 1, 1, 1, 1, 1, 1]), [0, 1, 2, 3, 1, 2, 3]);
    fleet.leave(RequestId(0));
    assert_eq!(fleet.route(RequestId(7), &request(1), None, None, &mut NoCaches).replica.0, 0);
}

#[test]
fn random_choices_are_even_and_two_differ() {
    let mut random = fleet(RouterKind::Random);
    let mut counts = [0; 4];
    for id in 0..4000 {
        counts[random
            .route(RequestId(id), &request(1), None, None, &mut NoCaches)
            .replica
            .index()] += 1;
    }
    assert!(counts.iter().all(|&n| (900..1100).contains(&n)), "{counts:?}");
    let mut two = fleet(RouterKind::PowerOfTwo);
    for id in 0..4000 {
        let decision = two.route(RequestId(id), &request(1), None, None, &mut NoCaches);
        let RouteReason::FewerOfTwo { requests, other, other_requests } = decision.why else {
            panic!("{decision:?}")
        };
        assert!(decision.replica != other && requests <= other_requests, "{decision:?}");
    }
    // Nobody leaves: the choice keeps replicas nearly even, unlike a random one.
    let view = FleetView::new(&two.live, &two.outstanding);
    let requests: Vec<u32> = view.replicas().iter().map(|&one| view.requests(one)).collect();
    let (least, most) = (requests.iter().min(), requests.iter().max());
    assert!(most.unwrap() - least.unwrap() <= 8, "{requests:?}");
}

#[test]
fn a_session_stays_and_a_new_one_goes_where_there_is_least() {
    let mut fleet = fleet(RouterKind::SessionAffinity);
    let mut id = 0;
    let mut send = |session: Option<u32>| {
        id += 1;
        let decision = fleet.route(RequestId(id - 1), &request(1), session, None, &mut NoCaches);
        (decision.replica.0, decision.why)
    };
    assert_eq!(send(Some(7)), (0, RouteReason::NewSession(0)));
    assert_eq!(send(Some(8)), (1, RouteReason::NewSession(0)));
    for _ in 0..5 {
        assert_eq!(send(Some(7)), (0, RouteReason::SameSession), "however much is outstanding");
    }
    assert_eq!(send(None), (0, RouteReason::Turn));
    assert_eq!(send(None), (1, RouteReason::Turn));
    assert_eq!(send(None), (2, RouteReason::Turn));
    assert_eq!(send(Some(9)), (3, RouteReason::NewSession(0)));
    assert_eq!(send(Some(1)), (2, RouteReason::NewSession(1)));
    assert_eq!(send(Some(8)), (1, RouteReason::SameSession));
}

#[test]
fn classes_keep_to_their_pools_and_the_rest_goes_anywhere() {
    let pools = vec![
        ("chat".to_owned(), vec![ReplicaId(0), ReplicaId(2)]),
        ("batch".to_owned(), vec![ReplicaId(3)]),
    ];
    let classes = ["batch", "other", "chat"].map(str::to_owned);
    for (within, chats) in
        [(RouterKind::RoundRobin, [0, 2, 0, 2]), (RouterKind::LeastRequests, [0, 2, 0, 2])]
    {
        let router = RouterKind::ClassToPool(Arc::new(ClassPools { pools: pools.clone(), within }));
        let mut fleet = Fleet::new(
            &Routing { router, seed: 3, notes_held: false },
            members(),
            &classes,
            Vec::new(),
        );
        let mut send = |id: u32, class: ClassId| {
            fleet.route(RequestId(id), &Request { class, ..request(1) }, None, None, &mut NoCaches)
        };
        let got: Vec<u32> = (0..4).map(|id| send(id, ClassId(2)).replica.0).collect();
        assert_eq!(got, chats);
        let batch: Vec<RouteDecision> = (4..8).map(|id| send(id, ClassId(0))).collect();
        assert!(
            batch.iter().all(|went| went.replica == ReplicaId(3) && went.within_pool),
            "{batch:?}"
        );
        assert!(!send(8, ClassId(1)).within_pool);
    }
}

#[test]
fn reasons_are_words() {
    let why = RouteReason::FewerOfTwo { requests: 1, other: ReplicaId(3), other_requests: 4 };
    let decision = RouteDecision { within_pool: true, ..decision(0, why) };
    assert_eq!(
        decision.to_string(),
        "pool of its class: 1 requests outstanding against 4 at replica 3"
    );
}

fn report(at_ms: u64, replica: u32, (waiting, running): (u32, u32)) -> Report {
    Report {
        at: Time::ZERO + Span::from_millis(at_ms),
        replica: ReplicaId(replica),
        load: EngineLoad { waiting, running, kv_use: 0.0 },
        step: None,
    }
}

/// Sends a request at this time.
fn send_at(fleet: &mut Fleet, ms: u64) -> RouteDecision {
    let arrival = Time::ZERO + Span::from_millis(ms);
    let id = RequestId::at(fleet.placed.len());
    fleet.route(id, &Request { arrival, ..request(1) }, None, None, &mut NoCaches)
}

#[test]
fn an_api_server_sees_what_was_published_and_what_it_has_sent_itself() {
    let mut fleet = fleet(RouterKind::VllmDp(DpBalancer { clients: Some(1) }));
    assert!(fleet.listens());
    let why = |thousandths| RouteReason::LowestScore { thousandths, client: 0 };
    assert_eq!(send_at(&mut fleet, 10), decision(0, why(0)));
    // The counts of 40 ms are published at 100 ms: until then it knows nothing of them.
    for (replica, counts) in [(0, (0, 1)), (1, (2, 5)), (2, (0, 3)), (3, (0, 0))] {
        fleet.report(&report(40, replica, counts));
    }
    assert_eq!(send_at(&mut fleet, 100), decision(1, why(0)), "the very instant is too early");
    assert_eq!(send_at(&mut fleet, 101), decision(3, why(0)));
    assert_eq!(send_at(&mut fleet, 102), decision(3, why(1000)), "of equals the first from 3 on");
    assert_eq!(send_at(&mut fleet, 103), decision(0, why(1000)));
    // Its own requests count until they end, whatever is published.
    for replica in 0..4 {
        fleet.report(&report(104, replica, (0, 0)));
    }
    let of = |fleet: &mut Fleet, ms, times| {
        (0..times).map(|_| send_at(fleet, ms).replica.0).collect::<Vec<_>>()
    };
    assert_eq!(of(&mut fleet, 300, 3), [2, 2, 1], "own: 2, 1, 0, 2");
    fleet.leave(RequestId(2));
    fleet.leave(RequestId(3));
    assert_eq!(of(&mut fleet, 300, 1), [3], "own: 2, 2, 2, 0");
    fleet.report(&report(310, 0, (0, 1)));
    assert_eq!(of(&mut fleet, 500, 2), [3, 2], "own: 2, 2, 2, 1; of equals the first from 2 on");
}

#[test]
fn counts_that_did_not_change_are_not_said_again() {
    for (again, second) in [((1, 0), 2), ((1, 1), 1)] {
        let mut fleet = fleet(RouterKind::VllmDp(DpBalancer { clients: Some(1) }));
        fleet.report(&report(200, 0, (1, 0)));
        assert_eq!(send_at(&mut fleet, 305).replica.0, 1);
        fleet.leave(RequestId(0));
        // What is published at 310 ms wipes what was counted for the request that has ended.
        fleet.report(&report(310, 0, again));
        assert_eq!(send_at(&mut fleet, 315).replica.0, second);
    }
}
