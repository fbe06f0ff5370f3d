use super::*;
use crate::workload::{Amount, Dist, MaxTokens, Shape};

const LIMITS: Limits = Limits { max_model_len: 100_000, kv_block_tokens: 16 };

fn fixed(tokens: u32) -> Dist {
    Dist { shape: Shape::Fixed(tokens), min: None, max: None }
}

fn uniform(min: u32, max: u32) -> Dist {
    Dist { shape: Shape::Uniform { min, max }, min: None, max: None }
}

fn gap(seconds: u64) -> Gap {
    let shape = GapShape::Fixed(Span::from_millis(seconds * 1000));
    Gap { share: 1.0, kind: GapKind::User, shape, max: None }
}

fn sessions() -> SessionsSpec {
    SessionsSpec {
        arrivals: Arrivals::Constant { rate: 1.0 },
        shared_prefix: None,
        first_prompt: fixed(100),
        turns: fixed(3),
        new_tokens: fixed(20),
        output: fixed(30),
        gap: vec![gap(5)],
        dropped_reasoning: 0.0,
        max_context: MaxContext::End,
    }
}

fn spec(of: SessionsSpec, count: u32) -> WorkloadSpec {
    WorkloadSpec {
        source: Source::Sessions(Box::new(of)),
        amount: Amount { requests: Some(count), duration: None },
        max_tokens: MaxTokens::Exact,
        classes: Vec::new(),
        prefix_groups: None,
    }
}

fn source(of: SessionsSpec, count: u32, limits: Limits) -> Sessions {
    Sessions::new(&spec(of, count), 7, limits).expect("sessions")
}

/// Serves everybody, each in the time that `service` says, and gives what was asked in the order of
/// arrival with what each is to its session.
fn serve(source: &mut Sessions, service: impl Fn(&Request) -> Span) -> Vec<(Request, SessionTurn)> {
    let mut running = BinaryHeap::new();
    let mut asked = Vec::new();
    loop {
        let (arrival, end) = (source.next_arrival(), running.peek().map(|Reverse((at, _))| *at));
        match (arrival, end) {
            (None, None) => break,
            (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                let request = source.take();
                assert_eq!(request.arrival, arrival, "as was told");
                let id = RequestId::at(asked.len());
                running.push(Reverse((request.arrival + service(&request), id)));
                asked.push(request);
            }
            _ => {
                let Reverse((at, id)) = running.pop().expect("somebody runs");
                source.finished(id, at);
            }
        }
    }
    asked.into_iter().zip(source.session_turns()).collect()
}

fn quick(_: &Request) -> Span {
    Span::from_millis(2_000)
}

#[test]
fn a_turn_comes_a_gap_after_the_answer_and_has_all_that_was_said() {
    let all = serve(&mut source(sessions(), 1, LIMITS), quick);
    let told: Vec<(u64, u32, u32)> = all
        .iter()
        .map(|(r, turn)| (r.arrival.as_nanos() / 1_000_000_000, r.prompt_tokens, turn.inherits))
        .collect();
    // 100 + 30 + 20 and 150 + 30 + 20; two seconds of service, five of thought.
    assert_eq!(told, [(0, 100, 0), (7, 150, 130), (14, 200, 180)]);
    assert_eq!(all.iter().map(|(_, turn)| turn.is_last).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_session_says_the_same_however_it_is_served() {
    let drawn = SessionsSpec {
        first_prompt: uniform(10, 900),
        turns: uniform(1, 9),
        new_tokens: uniform(1, 50),
        output: uniform(1, 60),
        ..sessions()
    };
    let by_turn = |service: &dyn Fn(&Request) -> Span| {
        let mut all: Vec<_> = serve(&mut source(drawn.clone(), 40, LIMITS), service)
            .into_iter()
            .map(|(r, turn)| (turn.session, turn.turn, r.prompt_tokens, r.output_tokens))
            .collect();
        all.sort_unstable();
        all
    };
    let slow = by_turn(&|r| Span::from_millis(u64::from(r.prompt_tokens) * 100));
    assert!(slow.len() > 100, "{}", slow.len());
    assert_eq!(by_turn(&quick), slow);
}

#[test]
fn what_a_turn_has_in_common_with_others() {
    let of =
        SessionsSpec { shared_prefix: Some(SharedPrefix { count: 1, tokens: 40 }), ..sessions() };
    let common = |of: SessionsSpec| {
        let mut source = source(of, 2, LIMITS);
        let all = serve(&mut source, quick);
        let find = |session: u32, turn: u32| {
            let at = all.iter().position(|(_, t)| (t.session, t.turn) == (session, turn));
            source.content(RequestId::at(at.expect("there")))
        };
        let [a, b, c, other] = [find(0, 0), find(0, 1), find(0, 2), find(1, 1)];
        [a.common(&b), b.common(&c), a.common(&c), a.common(&other), c.common(&other)]
    };
    // Text that only goes on is one text, without end; who shares the prefix has that alone.
    assert_eq!(common(of.clone()), [u32::MAX, u32::MAX, u32::MAX, 40, 40]);
    // Dropped reasoning: what both have ends where the answer began: after 140 tokens, and after 175.
    let drops = SessionsSpec { dropped_reasoning: 0.5, ..of };
    assert_eq!(common(drops), [140, 175, 140, 40, 40]);
}

/// By the requests that it goes on from, and by those that its text is called by, a turn has the same
/// blocks in common with others.
#[test]
fn both_ways_to_say_where_a_turn_comes_from_agree() {
    let of = SessionsSpec {
        shared_prefix: Some(SharedPrefix { count: 2, tokens: 70 }),
        turns: fixed(6),
        new_tokens: uniform(1, 60),
        output: uniform(1, 90),
        max_context: MaxContext::Compact { to: 100 },
        ..sessions()
    };
    for dropped_reasoning in [0.0, 0.4] {
        let limits = Limits { max_model_len: 520, ..LIMITS };
        let mut source = source(SessionsSpec { dropped_reasoning, ..of.clone() }, 8, limits);
        let all = serve(&mut source, quick);
        let of_parents = |id| Content::of(id, 16, |id| source.origin(id));
        for (place, (request, turn)) in all.iter().enumerate() {
            let id = RequestId::at(place);
            let prompt = request.prompt_tokens;
            for (other, (before, was)) in all.iter().enumerate().take(place) {
                let other = RequestId::at(other);
                let most = prompt.min(before.prompt_tokens + before.output_tokens);
                let by_parents = of_parents(id).common(&of_parents(other)).min(most);
                let by_stream = source.content(id).common(&source.content(other)).min(most);
                assert_eq!(by_stream, by_parents, "{turn:?} and {was:?}");
            }
        }
    }
}

#[test]
fn a_full_context_ends_is_cut_or_is_summed_up() {
    let limits = Limits { max_model_len: 220, ..LIMITS };
    let prompts = |max_context| {
        let of = SessionsSpec { turns: fixed(5), max_context, ..sessions() };
        let all = serve(&mut source(of, 1, limits), quick);
        all.iter().map(|(r, turn)| (r.prompt_tokens, turn.inherits)).collect::<Vec<_>>()
    };
    // 200 + 30 tokens are more than 220.
    assert_eq!(prompts(MaxContext::End), [(100, 0), (150, 130)]);
    let cut = [(100, 0), (150, 130), (190, 0), (190, 0), (190, 0)];
    assert_eq!(prompts(MaxContext::TruncateOldest), cut);
    let summed_up = [(100, 0), (150, 130), (80, 0), (130, 110), (180, 160)];
    assert_eq!(prompts(MaxContext::Compact { to: 60 }), summed_up);
    // A summary that leaves no room for the next turn does not help.
    assert_eq!(prompts(MaxContext::Compact { to: 180 }), [(100, 0), (150, 130)]);
}

#[test]
fn users_begin_a_session_when_one_has_ended() {
    let of = SessionsSpec {
        arrivals: Arrivals::ClosedLoop { users: 2, think_time: Span::from_millis(1_000) },
        turns: fixed(2),
        ..sessions()
    };
    let all = serve(&mut source(of, 5, LIMITS), quick);
    let first = |(r, turn): &(Request, SessionTurn)| {
        (turn.turn == 0).then(|| (turn.session, r.arrival.as_nanos() / 1_000_000_000))
    };
    let begun: Vec<_> = all.iter().filter_map(first).collect();
    // 2 + 5 + 2 seconds a session, and one to think.
    assert_eq!(begun, [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]);
}

#[test]
fn a_turn_that_is_turned_away_ends_its_session() {
    let mut source = source(sessions(), 2, LIMITS);
    let one = source.take();
    source.turned_away(RequestId(0), one.arrival);
    let other = source.take();
    assert_eq!(source.session_turns()[1].session, 1);
    source.finished(RequestId(1), other.arrival + Span::from_millis(1));
    assert!(source.next_arrival().is_some());
    source.take();
    assert_eq!(source.session_turns()[2].turn, 1);
}

#[test]
fn mixed_gaps_have_their_shares() {
    let tool = Gap { share: 3.0, kind: GapKind::Tool, ..gap(2) };
    let mean = Span::from_millis(60_000);
    let user = Gap { shape: GapShape::Lognormal { mean, sigma: 0.5 }, ..gap(0) };
    let sampler = gaps::GapSampler::new(&[tool, user], Stream::new(3, Purpose::Gap)).expect("gaps");
    let all: Vec<(Span, GapKind)> = (0..20_000).map(|key| sampler.draw(key)).collect();
    let tools = all.iter().filter(|(_, kind)| *kind == GapKind::Tool).count() as f64 / 20_000.0;
    assert!((tools - 0.75).abs() < 0.01, "{tools}");
    let user: Vec<f64> = all
        .iter()
        .filter(|(_, kind)| *kind == GapKind::User)
        .map(|(span, _)| span.as_secs_f64())
        .collect();
    let mean = user.iter().sum::<f64>() / user.len() as f64;
    assert!((mean - 60.0).abs() < 2.0, "{mean}");
}

#[test]
fn sessions_without_an_end_are_refused() {
    let users = Arrivals::ClosedLoop { users: 1, think_time: Span::ZERO };
    let mut spec = spec(SessionsSpec { arrivals: users, ..sessions() }, 1);
    spec.amount.requests = None;
    let error = Sessions::new(&spec, 1, LIMITS).unwrap_err();
    assert_eq!(error.field(), Some("sessions.count"));
}
