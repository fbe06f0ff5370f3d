//! Closed loops: users who wait for their answers.

use crate::workload::support::*;
use metron_sim::request::{Request, RequestId};
use metron_sim::time::{Span, Time};
use metron_sim::workload::*;
use proptest::prelude::*;

fn spec(users: u32, think_time: Span, amount: Amount) -> WorkloadSpec {
    synthetic(
        Arrivals::ClosedLoop { users, think_time },
        independent(Shape::Lognormal { mean: 100.0, sigma: 1.0 }, Shape::Geometric { mean: 20.0 }),
        amount,
    )
}

/// Serves each request for `service(request)` from its arrival, any number at once, and tells of
/// ends in the order of time. The requests in the order of arrival.
fn serve(source: &mut ClosedLoop, service: impl Fn(&Request) -> Span) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut ends: Vec<(Time, RequestId)> = Vec::new();
    loop {
        ends.sort_by_key(|&(at, id)| std::cmp::Reverse((at, id)));
        let end = ends.last().copied();
        match source.next_arrival() {
            // At one instant, ends come before arrivals.
            Some(arrival) if end.is_none_or(|(at, _)| at > arrival) => {
                let request = source.take();
                assert_eq!(request.arrival, arrival);
                ends.push((arrival + service(&request), RequestId::at(requests.len())));
                requests.push(request);
            }
            _ => match ends.pop() {
                Some((at, id)) => source.finished(id, at),
                None => return requests,
            },
        }
    }
}

#[test]
fn users_ask_again_after_their_answer_and_a_pause() {
    let spec = spec(3, seconds(2.0), requests(9));
    let mut source = ClosedLoop::new(&spec, 42, LIMITS).unwrap();
    let served = serve(&mut source, |_| seconds(1.0));
    let arrivals: Vec<f64> = served.iter().map(|r| r.arrival.as_secs_f64()).collect();
    assert_eq!(arrivals, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0, 6.0]);
    assert_eq!(source.next_arrival(), None);
    source.check_complete().unwrap();
}

#[test]
fn a_user_has_the_same_turns_whatever_the_service() {
    let spec = spec(2, Span::ZERO, requests(40));
    let fresh = ClosedLoop::new(&spec, 42, LIMITS).unwrap();
    let lengths = |requests: Vec<Request>| -> Vec<(u32, u32)> {
        let mut pairs: Vec<_> =
            requests.iter().map(|r| (r.prompt_tokens, r.output_tokens)).collect();
        pairs.sort_unstable();
        pairs
    };
    // Both users take 20 turns, in lockstep and not.
    let even = serve(&mut fresh.clone(), |_| seconds(1.0));
    let other = serve(&mut fresh.clone(), |_| seconds(3.0));
    assert_eq!(lengths(even.clone()), lengths(other));
    assert_eq!(even, serve(&mut fresh.clone(), |_| seconds(1.0)));
    // The first user's first turns come back in a loop with more users and a slower service.
    let more = ClosedLoop::new(&self::spec(5, Span::ZERO, requests(40)), 42, LIMITS).unwrap();
    let more = serve(&mut more.clone(), |_| seconds(1.0));
    let turn =
        |requests: &[Request], at: usize| (requests[at].prompt_tokens, requests[at].output_tokens);
    for round in 0..8 {
        assert_eq!(turn(&even, round * 2), turn(&more, round * 5));
        assert_eq!(turn(&even, round * 2 + 1), turn(&more, round * 5 + 1));
    }
}

#[test]
fn the_bounds_hold() {
    let by_time = Amount { requests: None, duration: Some(seconds(10.0)) };
    let mut source = ClosedLoop::new(&spec(4, seconds(1.0), by_time), 1, LIMITS).unwrap();
    let served = serve(&mut source, |_| seconds(1.5));
    // At 0, 2.5, 5 and 7.5 s; 10 s is too late.
    assert_eq!(served.len(), 16);
    let mut source = ClosedLoop::new(&spec(4, Span::ZERO, requests(3)), 1, LIMITS).unwrap();
    assert_eq!(serve(&mut source, |_| seconds(1.0)).len(), 3);
    let error = ClosedLoop::new(&spec(4, Span::ZERO, UNBOUNDED), 1, LIMITS).unwrap_err();
    assert_eq!(error.field(), Some("requests"));
    let error = ClosedLoop::new(&spec(0, Span::ZERO, requests(3)), 1, LIMITS).unwrap_err();
    assert_eq!(error.field(), Some("arrivals.closed_loop.users"));
}

#[test]
fn a_loop_of_rejections_ends() {
    let by_time = Amount { requests: None, duration: Some(seconds(1.0)) };
    let mut source = ClosedLoop::new(&spec(2, Span::ZERO, by_time), 1, LIMITS).unwrap();
    assert_eq!(serve(&mut source, |_| Span::ZERO).len(), 2000);
}

#[test]
fn rows_of_a_trace_are_taken_in_order() {
    let mut spec = trace(&data("mooncake.jsonl"));
    let Source::Trace(source) = &mut spec.source else { unreachable!() };
    source.arrivals = Some(Arrivals::ClosedLoop { users: 2, think_time: Span::ZERO });
    let mut source = ClosedLoop::new(&spec, 1, LIMITS).unwrap();
    assert!(source.warnings().iter().any(|w| w.message.contains("milliseconds")));
    let served = serve(&mut source, |r| Span::from_millis(u64::from(r.output_tokens)));
    let prompts: Vec<u32> = served.iter().map(|r| r.prompt_tokens).collect();
    assert_eq!(prompts, [1100, 1536, 400]);
    assert_eq!(served[2].arrival, Time::from_nanos(12_000_000));
    let contents = [0, 1, 2].map(|id| {
        let ids = source.origin(RequestId(id)).ids;
        ids.map_or(Vec::new(), |ids| ids.as_slice().to_vec())
    });
    assert_eq!(contents, [vec![0, 1, 2], vec![0, 1, 3], vec![4]]);
    assert_eq!(source.id_tokens(), 512);
    let error = draw(&spec, 1, LIMITS).unwrap_err();
    assert_eq!(error.field(), Some("trace.arrivals"));
}

proptest! {
    #[test]
    fn no_user_is_ever_in_two_places(
        users in 1u32..20, think_ms in 0u64..50, total in 1u32..200, seed: u64,
    ) {
        let spec = spec(users, Span::from_millis(think_ms), requests(total));
        let mut source = ClosedLoop::new(&spec, seed, LIMITS).unwrap();
        let service = |r: &Request| Span::from_millis(u64::from(r.output_tokens));
        let served = serve(&mut source, service);
        prop_assert_eq!(served.len(), total as usize);
        prop_assert!(served.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
        for r in &served {
            let running = served
                .iter()
                .filter(|o| o.arrival <= r.arrival && o.arrival + service(o) > r.arrival)
                .count();
            prop_assert!(running <= users as usize);
        }
    }
}
