//! Routers that look at prompts, each rule worked out by hand.

use super::*;
use crate::content::{Ids, Origin};
use crate::ids::PoolId;
use crate::time::Span;

/// Tokens that an id stands for, and of a block.
const WIDTH: u32 = 16;

/// What replicas hold, as a test says; who was asked is noted.
#[derive(Default)]
struct Told {
    held: Vec<(ReplicaId, u32)>,
    asked: Vec<ReplicaId>,
}

impl Caches for Told {
    fn held(&mut self, replica: ReplicaId, _: &Prompt) -> u32 {
        self.asked.push(replica);
        self.held.iter().find(|(of, _)| *of == replica).map_or(0, |(_, tokens)| *tokens)
    }
}

struct Sends {
    fleet: Fleet,
    caches: Told,
    at: Time,
}

impl Sends {
    fn with(router: RouterKind, replicas: u32) -> Sends {
        let member = |id| Member {
            block_tokens: WIDTH,
            kv_blocks: 100,
            ..Member::new(ReplicaId(id), PoolId(0))
        };
        let members = (0..replicas).map(member).collect();
        let routing = Routing { router, seed: 3, notes_held: true };
        let fleet = Fleet::new(&routing, members, &[String::new()], Vec::new());
        Sends { fleet, caches: Told::default(), at: Time::ZERO }
    }

    /// Sends a prompt that begins with these named tokens, 16 each.
    /// What was noted of the last request.
    fn noted(&self) -> Held {
        *self.fleet.held.last().expect("it is noted")
    }

    fn send(&mut self, ids: &[u64], tokens: u32) -> RouteDecision {
        self.send_of(ids, tokens, None)
    }

    fn send_of(&mut self, ids: &[u64], tokens: u32, session: Option<u32>) -> RouteDecision {
        let id = RequestId::at(self.fleet.placed.len());
        let request = Request {
            arrival: self.at,
            prompt_tokens: tokens,
            output_tokens: 1,
            max_tokens: 1,
            priority: 0,
            class: ClassId(0),
        };
        let origin = Origin {
            ids: Ids::all(ids.to_vec()),
            covers: WIDTH * ids.len() as u32,
            ..Origin::default()
        };
        let content = Content::of(id, WIDTH, |_| origin.clone());
        self.fleet.route(id, &request, session, Some(content), &mut self.caches)
    }

    fn wait(&mut self, ms: u64) {
        self.at += Span::from_millis(ms);
    }
}

fn went(decision: RouteDecision) -> (u32, RouteReason) {
    (decision.replica.0, decision.why)
}

const A: &[u64] = &[1, 2, 3, 4];

#[test]
fn sglang_goes_where_a_long_enough_beginning_went() {
    let mut sends = Sends::with(RouterKind::SglangCacheAware(CacheAware::default()), 4);
    let nothing = |tokens| RouteReason::TooLittle { tokens, requests: 0 };
    assert_eq!(went(sends.send(A, 80)), (0, nothing(0)));
    assert_eq!(went(sends.send(A, 100)), (0, RouteReason::SentBefore { tokens: 64 }));
    // 16 of 100 tokens: the fewest requests, then the fewest ever sent, then the first.
    assert_eq!(went(sends.send(&[1], 100)), (1, nothing(16)));
    // 16 of 40: whoever was sent them last.
    assert_eq!(went(sends.send(&[1], 40)), (1, RouteReason::SentBefore { tokens: 16 }));
    // More than the threshold is asked for: 48 of 160 is not.
    assert_eq!(went(sends.send(&A[..3], 160)), (2, nothing(48)));
    assert_eq!(went(sends.send(&A[..3], 159)), (2, RouteReason::SentBefore { tokens: 48 }));
    // Less than a page is nothing.
    assert_eq!(went(sends.send(&[9], 15)), (3, nothing(0)));
    for request in [0, 1] {
        sends.fleet.leave(RequestId(request));
    }
    // The first is idle again, but was sent more than nobody else.
    assert_eq!(went(sends.send(&[8], 500)), (0, nothing(0)));
}

#[test]
fn sglang_goes_by_load_where_requests_pile_up() {
    let set = CacheAware {
        balance_abs_threshold: 2,
        balance_rel_threshold: 2.0,
        ..CacheAware::default()
    };
    let mut sends = Sends::with(RouterKind::SglangCacheAware(set), 2);
    let all: Vec<u32> = (0..3).map(|_| sends.send(A, 64).replica.0).collect();
    assert_eq!(all, [0, 0, 0]);
    assert_eq!(went(sends.send(A, 64)), (1, RouteReason::Uneven { most: 3, fewest: 0 }));
    // Three against one: no more than 2 apart. The second was sent it last.
    assert_eq!(went(sends.send(A, 64)), (1, RouteReason::SentBefore { tokens: 64 }));
}

#[test]
fn sglang_forgets_what_was_sent_long_ago() {
    let (max_tree_size, eviction_interval) = (80, Span::from_millis(100));
    let set = CacheAware { max_tree_size, eviction_interval, ..CacheAware::default() };
    let mut sends = Sends::with(RouterKind::SglangCacheAware(set), 1);
    sends.send(A, 64);
    sends.send(&[7, 8], 32);
    sends.wait(50);
    assert_eq!(sends.send(A, 64).why, RouteReason::SentBefore { tokens: 64 });
    sends.wait(50);
    // 96 tokens: the other prompt is the older one.
    let nothing = RouteReason::TooLittle { tokens: 0, requests: 3 };
    assert_eq!(sends.send(&[7, 8], 32).why, nothing);
    assert_eq!(sends.send(A, 64).why, RouteReason::SentBefore { tokens: 64 });
}

#[test]
fn ray_goes_to_the_smallest_tree_or_the_longest_match_and_never_balances() {
    let mut sends = Sends::with(RouterKind::RayPrefix(RayPrefix::default()), 3);
    let smallest = |tokens| RouteReason::SmallestTree { tokens };
    assert_eq!(went(sends.send(A, 80)), (0, smallest(0)));
    assert_eq!(went(sends.send(&[9], 30)), (1, smallest(0)));
    assert_eq!(went(sends.send(&[8], 20)), (2, smallest(0)));
    // A tenth is enough: 64 of 640 tokens are, of 641 they are not.
    assert_eq!(went(sends.send(A, 640)), (0, RouteReason::SentBefore { tokens: 64 }));
    assert_eq!(went(sends.send(A, 641)), (2, smallest(64)));
    // Of the two that were sent it now, that with fewer requests.
    let matched = RouteReason::SentBefore { tokens: 64 };
    let all: Vec<(u32, RouteReason)> = (0..4).map(|_| went(sends.send(A, 100))).collect();
    assert_eq!(all, [0, 2, 0, 2].map(|replica| (replica, matched)));
    // However many there are.
    for _ in 0..100 {
        assert_ne!(sends.send(A, 100).replica.0, 1);
    }
}

#[test]
fn ray_balances_where_a_threshold_is_given() {
    let set = RayPrefix { imbalanced_threshold: Some(3.0), ..RayPrefix::default() };
    let mut sends = Sends::with(RouterKind::RayPrefix(set), 2);
    let all: Vec<u32> = (0..4).map(|_| sends.send(A, 64).replica.0).collect();
    assert_eq!(all, [0; 4]);
    assert_eq!(went(sends.send(A, 64)), (1, RouteReason::Uneven { most: 4, fewest: 0 }));
}

#[test]
fn ray_forgets_all_that_was_used_at_one_time() {
    let set = RayPrefix {
        do_eviction: true,
        eviction_threshold_chars: 4 * 150,
        eviction_target_chars: 4 * 100,
        ..RayPrefix::default()
    };
    let mut sends = Sends::with(RouterKind::RayPrefix(set), 1);
    sends.send(A, 100);
    sends.send(&[9], 80);
    assert_eq!(sends.send(A, 64).why, RouteReason::SentBefore { tokens: 64 });
    sends.wait(10_000);
    // 180 tokens, of which the 36 behind A are the oldest, then the 80: 64 are left.
    assert_eq!(sends.send(&[9], 20).why, RouteReason::SmallestTree { tokens: 0 });
    assert_eq!(sends.send(A, 64).why, RouteReason::SentBefore { tokens: 64 });
}

fn stack(routing_logic: RoutingLogic) -> RouterKind {
    RouterKind::ProductionStack(ProductionStack { routing_logic, ..ProductionStack::default() })
}

#[test]
fn the_production_stack_stays_with_a_prefix_for_ever() {
    let mut sends = Sends::with(stack(RoutingLogic::PrefixAware), 4);
    let first = sends.send(A, 100);
    assert_eq!(first.why, RouteReason::Drawn);
    for _ in 0..20 {
        let next = sends.send(A, 64);
        assert_eq!(next.why, RouteReason::SentBefore { tokens: 64 });
        assert_eq!(next.replica, first.replica);
    }
    // Pieces of 32 tokens: 48 in common are one.
    assert_eq!(sends.send(&A[..3], 500).why, RouteReason::SentBefore { tokens: 32 });
    assert_eq!(sends.send(&A[..1], 500).why, RouteReason::Drawn);
}

#[test]
fn the_production_stack_goes_by_the_last_minute_or_by_session() {
    let mut sends = Sends::with(stack(RoutingLogic::Priority), 3);
    let lately = |n| RouteReason::FewestLately(n);
    let first: Vec<_> = (0..4).map(|_| went(sends.send(A, 9))).collect();
    assert_eq!(first, [(0, lately(0)), (1, lately(0)), (2, lately(0)), (0, lately(1))]);
    sends.wait(60_000);
    assert_eq!(went(sends.send(A, 9)), (1, lately(1)), "what is a minute old counts");
    sends.wait(1);
    assert_eq!(went(sends.send(A, 9)), (0, lately(0)));

    let mut sends = Sends::with(stack(RoutingLogic::Session), 8);
    let of = |sends: &mut Sends, session| sends.send_of(A, 9, Some(session)).replica.0;
    let homes: Vec<u32> = (0..400).map(|session| of(&mut sends, session)).collect();
    assert!((0..400).zip(&homes).all(|(session, home)| of(&mut sends, session) == *home));
    assert!((0..8).all(|replica| homes.contains(&replica)), "{homes:?}");
    assert!(matches!(sends.send(A, 9).why, RouteReason::FewestLately(_)));
}

#[test]
fn the_production_stack_asks_who_holds_enough() {
    let mut sends = Sends::with(stack(RoutingLogic::KvAware), 3);
    assert_eq!(went(sends.send(A, 3000)), (0, RouteReason::FewestLately(0)));
    sends.caches.held = vec![(ReplicaId(0), 64)];
    // 64 of 2064 tokens are enough, of 2065 they are not.
    assert_eq!(went(sends.send(A, 2064)), (0, RouteReason::HoldsMost { tokens: 64 }));
    assert_eq!(went(sends.send(A, 2065)), (1, RouteReason::FewestLately(0)));
    // Of two that hold as much the first.
    sends.caches.held = vec![(ReplicaId(0), 48), (ReplicaId(1), 48)];
    assert_eq!(went(sends.send(A, 100)), (0, RouteReason::HoldsMost { tokens: 48 }));
}

#[test]
fn dynamo_counts_blocks_to_compute_and_blocks_at_work() {
    let mut sends = Sends::with(RouterKind::DynamoKv(DynamoKv::default()), 2);
    let cost = |thousandths, tokens| RouteReason::LeastCost { thousandths, tokens };
    // 100 tokens are 6.25 blocks to compute and 6 full ones at work, wherever.
    let first = sends.send(A, 100);
    assert_eq!(first.why, cost(12_250, 0));
    let (one, other) = (first.replica, ReplicaId(1 - first.replica.0));
    // Nobody has anything yet: 100 tokens are yet to be computed at the first, whose A counts once.
    // There (100 + 100) / 16 + 6 + 2 = 20.5 (64 of its 96 tokens are at work there), elsewhere 12.25.
    assert_eq!((sends.send(A, 100).replica, other), (other, other));
    for request in [0, 1] {
        sends.fleet.leave(RequestId(request));
    }
    sends.caches.held = vec![(one, 64)];
    assert_eq!(sends.send(A, 100).why, cost(8_250, 64), "6.25 - 4 + 6");
    // 36 tokens are to be computed there: (36 + 160) / 16 + 6 + 10 against 10 + 10.
    let third = sends.send(&[7], 160);
    assert_eq!((third.replica, third.why), (other, cost(20_000, 0)));
    // Once the first token of the other is there, its prompt costs nothing.
    let at = sends.at + Span::from_millis(5);
    sends.fleet.first_tokens([(at, RequestId(2))].into_iter());
    assert_eq!(sends.send(&[5], 16).why, cost(10_250, 0), "(36 + 16) / 16 + 6 + 1");
    sends.fleet.leave(RequestId(4));
    sends.wait(5);
    assert_eq!(sends.send(&[6], 16).why, cost(8_000, 0), "16 / 16 + 6 + 1");
}

#[test]
fn dynamo_asks_no_more_replicas_than_matter() {
    let mut sends = Sends::with(RouterKind::DynamoKv(DynamoKv::default()), 8);
    for _ in 0..8 {
        sends.send(A, 64);
    }
    (0..8).for_each(|request| sends.fleet.leave(RequestId(request)));
    sends.caches.held = (0..8).map(|replica| (ReplicaId(replica), 48)).collect();
    sends.caches.asked.clear();
    sends.send(A, 2000);
    // Who might have more than others is asked, and once more for the note.
    assert_eq!(sends.caches.asked.len(), 16);
    sends.fleet.leave(RequestId(8));
    // One that has nothing to do and all of it is known to be the best.
    sends.caches.held = vec![(ReplicaId(2), 64)];
    sends.caches.asked.clear();
    let chosen = sends.send(A, 65);
    assert_eq!(chosen.replica, ReplicaId(2));
    assert_eq!(sends.caches.asked.len(), 9);
    assert_eq!(sends.noted(), Held { here: 64, most: 64, at: ReplicaId(2) });
}

#[test]
fn dynamo_guesses_without_events_for_two_minutes() {
    let set = DynamoKv { use_kv_events: false, ..DynamoKv::default() };
    let mut sends = Sends::with(RouterKind::DynamoKv(set), 2);
    let first = sends.send(A, 64);
    sends.fleet.leave(RequestId(0));
    sends.wait(120_000);
    let next = sends.send(A, 64);
    assert_eq!(next.why, RouteReason::LeastCost { thousandths: 4_000, tokens: 64 });
    assert_eq!(next.replica, first.replica);
    sends.fleet.leave(RequestId(1));
    sends.wait(120_001);
    let last = sends.send(A, 64);
    assert_eq!(last.why, RouteReason::LeastCost { thousandths: 8_000, tokens: 0 });
}

#[test]
fn llm_d_weighs_prefixes_queues_and_memory() {
    let mut sends = Sends::with(RouterKind::LlmD(Arc::default()), 2);
    let score = |thousandths, tokens| RouteReason::HighestScore { thousandths, tokens };
    let prefix: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let first = sends.send(prefix, 160);
    assert_eq!(first.why, score(4_000, 0), "equal queues score 1, free memory 1");
    // Two blocks of 64 tokens, both there.
    let next = sends.send(prefix, 160);
    assert_eq!((next.replica, next.why), (first.replica, score(7_000, 128)));
    // What is said is seen 50 ms later at the latest.
    let load = EngineLoad { waiting: 10, running: 3, kv_use: 0.6 };
    let report = Report { at: sends.at, replica: first.replica, load, step: None };
    sends.fleet.report(&report);
    assert_eq!(sends.send(prefix, 160).replica, first.replica);
    sends.wait(50);
    let after = sends.send(prefix, 160);
    assert_ne!(after.replica, first.replica, "3 + 0 + 2 * 0.4 against 2 + 2");
    assert_eq!(after.why, score(4_000, 0));
    // Now that it was sent there, too.
    assert_eq!(sends.send(prefix, 160).why, score(7_000, 128));
}

#[test]
fn llm_d_forgets_blocks_beyond_its_list_and_knows_sessions() {
    let weights = vec![(Scorer::PrefixCache, 1.0), (Scorer::SessionAffinity, 2.0)];
    let set = LlmD { weights, lru_capacity: Some(2), ..LlmD::default() };
    let mut sends = Sends::with(RouterKind::LlmD(Arc::new(set)), 1);
    assert!(!sends.fleet.listens(), "no scorer looks at metrics");
    let score = |thousandths, tokens| RouteReason::HighestScore { thousandths, tokens };
    let prefix: Vec<u64> = (1..=8).collect();
    assert_eq!(sends.send_of(&prefix, 128, Some(7)).why, score(0, 0));
    assert_eq!(sends.send_of(&prefix, 128, Some(7)).why, score(3_000, 128));
    // One block more, and the oldest of two, the prompt's first, is gone.
    assert_eq!(sends.send(&[21, 22, 23, 24], 64).why, score(0, 0));
    assert_eq!(sends.send(&prefix, 128).why, score(0, 0), "nobody has its first block");
}

#[test]
fn what_was_held_is_noted_whoever_decides() {
    let mut sends = Sends::with(RouterKind::RoundRobin, 3);
    sends.send(A, 100);
    assert_eq!(sends.noted(), Held::default());
    sends.caches.held = vec![(ReplicaId(0), 64)];
    sends.send(A, 100);
    assert_eq!(sends.noted(), Held { here: 0, most: 64, at: ReplicaId(0) });
    sends.caches.asked.clear();
    // Nothing of it was sent anywhere: nobody is asked.
    sends.send(&[9], 100);
    assert_eq!(sends.noted().most, 0);
    assert_eq!(sends.caches.asked, []);
    sends.send(A, 100);
    assert_eq!(sends.noted(), Held { here: 64, most: 64, at: ReplicaId(0) });
}
