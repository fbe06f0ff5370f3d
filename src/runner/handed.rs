//! What a run's hand-overs say, from replicas that prefill to those that decode.

use crate::fleet::Role;
use crate::ids::RequestId;
use crate::metrics::{Options, counted, distribution_of_nanos};
use crate::result::energy::Usage;
use crate::result::{DisaggregationResult, SideResult, TtftStages};
use crate::scenario::{Experiment, PoolView};
use crate::sim::Outcome;
use crate::time::{Span, Time};
use crate::trace::HandOver;

/// The figures of hand-overs; `None` where each replica prefills and decodes.
pub(super) fn handed(
    experiment: &Experiment,
    outcome: &Outcome,
    judged_by: &Options,
    usage: &Usage,
) -> Option<DisaggregationResult> {
    experiment.disaggregation.as_ref()?;
    let all = &outcome.trace.hand_overs;
    let end = outcome.trace.end;
    let first = outcome.trace.requests.first().map_or(Time::ZERO, |row| row.arrival);
    let elapsed = end.max(first).since(first);
    let busiest = outcome.links.iter().map(|link| link.busy).max().unwrap_or(Span::ZERO);
    let until = |one: Time| one.min(end);
    let side = |role: Role| {
        let held = all.iter().map(|hand| match role {
            Role::Prefill => {
                let held = until(hand.released).since(hand.at.min(end));
                f64::from(hand.held_blocks) * held.as_secs_f64()
            }
            _ if hand.begun <= end => {
                let held = until(hand.landed).since(hand.begun);
                f64::from(hand.blocks) * held.as_secs_f64()
            }
            _ => 0.0,
        });
        let held: f64 = held.sum();
        side(experiment, outcome, usage, (role, held), elapsed)
    };
    Some(DisaggregationResult {
        handed_over: all.len() as u64,
        prefilled_where_answered: stayed(experiment, outcome),
        ttft: stages(outcome, judged_by),
        bytes: all.iter().map(|hand| hand.bytes).sum(),
        tokens: all.iter().map(|hand| u64::from(hand.tokens)).sum(),
        busiest_link: share(busiest, elapsed),
        lost: all.iter().filter(|hand| hand.lost).count() as u64,
        prefill: side(Role::Prefill),
        decode: side(Role::Decode),
        colocated: None,
    })
}

/// Requests whose prompts were computed, or were to be, by the replica that answers them.
fn stayed(experiment: &Experiment, outcome: &Outcome) -> u64 {
    let fleet = experiment.fleet();
    let decodes = |request: usize| {
        let row = &outcome.trace.requests[request];
        let lane = outcome.trace.lane(row.lane);
        fleet[lane.pool.index()].role == Role::Decode
            && outcome.trace.hand_over(RequestId::at(request)).is_none()
    };
    (0..outcome.trace.requests.len()).filter(|&request| decodes(request)).count() as u64
}

fn share(part: Span, whole: Span) -> f64 {
    match whole {
        Span::ZERO => 0.0,
        _ => (part.as_secs_f64() / whole.as_secs_f64()).min(1.0),
    }
}

fn side(
    experiment: &Experiment,
    outcome: &Outcome,
    usage: &Usage,
    (role, held_block_s): (Role, f64),
    elapsed: Span,
) -> SideResult {
    let mut result = SideResult { held_block_s, ..SideResult::default() };
    let (mut busy, mut blocks) = (0.0, 0.0);
    let fleet = experiment.fleet().into_iter().enumerate();
    for (place, pool) in fleet.filter(|(_, pool): &(usize, PoolView<'_>)| pool.role == role) {
        result.replicas += pool.replicas;
        result.gpus += pool.replicas * pool.hardware.gpus_per_replica;
        busy += usage.utilization_of(place) * f64::from(pool.replicas);
        let of_one = outcome.pools.get(place).map_or(0, |pool| pool.kv.blocks);
        blocks += f64::from(of_one) * f64::from(pool.replicas);
    }
    result.gpu_utilization = busy / f64::from(result.replicas.max(1));
    let all = blocks * elapsed.as_secs_f64();
    result.held_share = if all > 0.0 { (held_block_s / all).min(1.0) } else { 0.0 };
    result
}

/// The stages of the first tokens that count.
fn stages(outcome: &Outcome, judged_by: &Options) -> TtftStages {
    let trace = &outcome.trace;
    let mut stages: [Vec<u64>; 5] = Default::default();
    for request in counted(trace, judged_by) {
        let row = &trace.requests[request.index()];
        let Some(hand) = trace.hand_over(request) else { continue };
        if row.first_token == Time::NEVER {
            continue;
        }
        let &HandOver { at, begun, landed, .. } = hand;
        let (came, computed) = (row.arrival, at);
        let [queue, memory] = match hand.is_destination_first() {
            true => [row.scheduled.since(begun), begun.since(came)],
            false => [row.scheduled.since(came), begun.since(computed)],
        };
        let took = [
            queue,
            computed.since(row.scheduled),
            memory,
            landed.since(hand.sets_out()),
            row.first_token.since(landed),
        ];
        for (stage, took) in stages.iter_mut().zip(took) {
            stage.push(took.as_nanos());
        }
    }
    let [queue_s, prefill_s, memory_s, transfer_s, first_step_s] =
        stages.map(|mut stage| distribution_of_nanos(&mut stage));
    TtftStages { queue_s, prefill_s, memory_s, transfer_s, first_step_s }
}
