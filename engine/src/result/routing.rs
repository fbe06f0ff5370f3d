//! How requests were spread over replicas, why, and what that cost in cached prompts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fleet::{Held, RouteDecision, RouteKind};
use crate::sim::Outcome;
use crate::time::Time;
use crate::trace::{RequestRow, Status, TokenTrace};

/// How the router spread requests; the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingResult {
    /// What decided, in requests.
    pub decisions: RouteCounts,
    /// Requests that the replica with the most was sent, over the mean of all replicas; null without
    /// requests.
    pub requests_max_over_mean: Option<f64>,
    /// The same of requests outstanding (sent there, and not at their end), averaged over the instants
    /// at which requests arrive, each with that request; null without requests.
    pub outstanding_max_over_mean: Option<f64>,
    /// What prefix caches held when requests were routed; null where no replica keeps what it computed,
    /// or no request begins like another.
    pub cached: Option<RoutedToCaches>,
}

/// What decided where requests went, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteCounts {
    /// What the replica was sent before, or holds.
    pub affinity: u64,
    /// What is outstanding at replicas.
    pub balance: u64,
    /// The same, since nobody had enough of the prompt, or of the session.
    pub fallback: u64,
    /// Its turn, or chance.
    pub blind: u64,
}

/// Prompt tokens that prefix caches held at the moment of routing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutedToCaches {
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Of these, those that the chosen replica held.
    pub held_tokens: u64,
    /// Those that the replica held that held most: what a router that thinks of nothing else finds.
    pub most_held_tokens: u64,
    /// Those that another replica held and the chosen one did not: the regret.
    pub regret_tokens: u64,
    /// The regret over all prompt tokens; null without any.
    pub regret_share: Option<f64>,
    /// Requests with any.
    pub regretted: u64,
    /// Prompt tokens found when requests were admitted, over all prompt tokens; null without any.
    pub hit_share: Option<f64>,
}

impl RoutingResult {
    /// Of a run; `takes` says for each replica whether the router may send it what arrives. `None` where there
    /// was no choice.
    pub fn of(outcome: &Outcome, takes: &[bool]) -> Option<RoutingResult> {
        let routes = outcome.routes.as_deref()?;
        let replicas = takes.iter().filter(|takes| **takes).count();
        if replicas < 2 {
            return None;
        }
        let mut decisions = RouteCounts::default();
        let mut sent = vec![0_u64; takes.len()];
        for route in routes {
            sent[route.replica.index()] += u64::from(takes[route.replica.index()]);
            *match route.why.kind() {
                RouteKind::Affinity => &mut decisions.affinity,
                RouteKind::Balance => &mut decisions.balance,
                RouteKind::Fallback => &mut decisions.fallback,
                RouteKind::Blind => &mut decisions.blind,
            } += 1;
        }
        let over_mean = |most: u64, all: u64| most as f64 * replicas as f64 / all as f64;
        let most = sent.iter().copied().max().unwrap_or(0);
        let all: u64 = sent.iter().sum();
        Some(RoutingResult {
            decisions,
            requests_max_over_mean: (all > 0).then(|| over_mean(most, all)),
            outstanding_max_over_mean: outstanding(&outcome.trace, routes, takes),
            cached: cached(&outcome.trace, &outcome.held),
        })
    }
}

/// The mean over arrivals of the most requests outstanding at a replica over the mean of all.
fn outstanding(trace: &TokenTrace, routes: &[RouteDecision], takes: &[bool]) -> Option<f64> {
    let replicas = takes.iter().filter(|takes| **takes).count();
    let end = |row: &RequestRow| match row.status {
        Status::Completed => trace.token_times(row).last().unwrap_or(row.arrival),
        _ => Time::NEVER,
    };
    let kept = || {
        let all = trace.requests.iter().zip(routes);
        all.filter(|(row, _)| row.status != Status::Rejected)
            .filter(|(_, route)| takes[route.replica.index()])
    };
    let mut ends: Vec<(Time, usize)> = kept()
        .map(|(row, route)| (end(row), route.replica.index()))
        .filter(|&(at, _)| at != Time::NEVER)
        .collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    // How many replicas have so many outstanding, so that the most is found at once.
    let mut at_load = vec![replicas as u64];
    let (mut load, mut most, mut all) = (vec![0_usize; takes.len()], 0, 0_u64);
    let (mut sum, mut arrivals) = (0.0, 0_u32);
    for (row, route) in kept() {
        // An answer that is over when a request arrives is over for the router, too.
        while let Some((_, replica)) = ends.next_if(|&(at, _)| at <= row.arrival) {
            at_load[load[replica]] -= 1;
            load[replica] -= 1;
            at_load[load[replica]] += 1;
            all -= 1;
            while most > 0 && at_load[most] == 0 {
                most -= 1;
            }
        }
        let replica = route.replica.index();
        at_load[load[replica]] -= 1;
        load[replica] += 1;
        if at_load.len() == load[replica] {
            at_load.push(0);
        }
        at_load[load[replica]] += 1;
        most = most.max(load[replica]);
        all += 1;
        sum += most as f64 * replicas as f64 / all as f64;
        arrivals += 1;
    }
    (arrivals > 0).then(|| sum / f64::from(arrivals))
}

fn cached(trace: &TokenTrace, held: &[Held]) -> Option<RoutedToCaches> {
    let mut cached = RoutedToCaches::default();
    let mut hits = 0;
    for (row, held) in trace.requests.iter().zip(held) {
        cached.prompt_tokens += u64::from(row.prompt_tokens);
        cached.held_tokens += u64::from(held.here);
        cached.most_held_tokens += u64::from(held.most);
        cached.regret_tokens += u64::from(held.most - held.here);
        cached.regretted += u64::from(held.most > held.here);
        hits += u64::from(row.hit_tokens);
    }
    let share = |tokens: u64| match cached.prompt_tokens {
        0 => None,
        all => Some(tokens as f64 / all as f64),
    };
    let (regret_share, hit_share) = (share(cached.regret_tokens), share(hits));
    (!held.is_empty()).then_some(RoutedToCaches { regret_share, hit_share, ..cached })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::RouteReason;
    use crate::ids::ReplicaId;
    use crate::result::fixture;
    use crate::sim::PoolUse;

    #[test]
    fn kinds_loads_and_regret_are_counted() {
        // Two requests of 100 tokens, at 0 and 5 ms, the first done at 40 ms.
        let mut outcome = fixture::outcome();
        outcome.pools = vec![PoolUse { replicas: 2, lanes_per_replica: 1, ..PoolUse::default() }];
        let route = |why| RouteDecision { replica: ReplicaId(1), why, within_pool: false };
        let first = route(RouteReason::TooLittle { tokens: 3, requests: 0 });
        let second = route(RouteReason::SentBefore { tokens: 64 });
        outcome.routes = Some(vec![first, second]);
        let held = |here, most| Held { here, most, at: ReplicaId(0) };
        outcome.held = vec![held(0, 0), held(16, 48)];
        let routing = RoutingResult::of(&outcome, &[true; 2]).expect("there are two");
        let decisions = RouteCounts { affinity: 1, fallback: 1, ..RouteCounts::default() };
        assert_eq!(routing.decisions, decisions);
        assert_eq!(routing.requests_max_over_mean, Some(2.0));
        assert_eq!(routing.outstanding_max_over_mean, Some(2.0));
        let cached = routing.cached.expect("it was noted");
        assert_eq!((cached.prompt_tokens, cached.held_tokens), (200, 16));
        assert_eq!((cached.most_held_tokens, cached.regret_tokens, cached.regretted), (48, 32, 1));
        assert_eq!(cached.regret_share, Some(0.16));
        // Where the other one only decodes what this one prefilled, there was no choice.
        assert_eq!(RoutingResult::of(&outcome, &[false, true]), None);
    }

    /// The second request comes when the first one's answer is over, and goes elsewhere: one is there at a time.
    #[test]
    fn an_answer_that_is_over_is_outstanding_no_more() {
        let mut outcome = fixture::outcome();
        let over = outcome.trace.last_token(&outcome.trace.requests[0]).expect("it was answered");
        outcome.trace.requests[1].arrival = over;
        outcome.trace.requests[1].status = Status::Unfinished;
        let route = |replica| RouteDecision {
            replica: ReplicaId(replica),
            why: RouteReason::SentBefore { tokens: 64 },
            within_pool: false,
        };
        let routes = [route(0), route(1)];
        assert_eq!(outstanding(&outcome.trace, &routes, &[true; 2]), Some(2.0));
        // Two at a time on two replicas are balanced.
        outcome.trace.requests[1].arrival = outcome.trace.requests[0].arrival;
        assert_eq!(outstanding(&outcome.trace, &routes, &[true; 2]), Some(1.5));
        // Who is turned away is nobody's load.
        outcome.trace.requests[1].status = Status::Rejected;
        assert_eq!(outstanding(&outcome.trace, &routes, &[true; 2]), Some(2.0));
    }
}
