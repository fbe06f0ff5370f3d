//! The twin of a fleet with prefill and decode apart: the same requests on the same GPUs, where each
//! replica does both; and which resource decided between the two.

use super::{PlayOptions, RunError, RunInput, RunOptions, SchedulerOutput, Simulate, measured};
use crate::result::{ColocatedResult, Decider, DisaggregationResult, TakenTime};
use crate::scenario::SchedulerRun;
use crate::time::Time;
use crate::trace::HandOver;

/// Share of their blocks from which on replicas that prefill count as full of what nobody fetches.
const FULL: f64 = 0.5;

/// Puts the twin beside a run, where prefill and decode are apart.
///
/// # Errors
/// When the twin cannot be played.
pub(super) fn beside(
    input: RunInput<'_>,
    scheduler: &SchedulerRun,
    mut output: SchedulerOutput,
    options: RunOptions,
    simulate: &dyn Simulate,
) -> Result<SchedulerOutput, RunError> {
    if output.result.disaggregation.is_none() {
        return Ok(output);
    }
    let experiment = input.experiment.colocated();
    let play = PlayOptions { reference: options.reference, ..PlayOptions::default() };
    let label = output.result.label.clone();
    let outcome = simulate
        .simulate(&experiment, scheduler, input.requests, play)
        .map_err(|source| RunError::Simulation { label: format!("{label}, colocated"), source })?;
    let twin = RunInput { experiment: &experiment, requests: input.requests };
    let twin = measured(twin, scheduler, label, outcome, &output.judged_by, options);
    let taken_s = taken(&output, &twin);
    let colocated = ColocatedResult {
        router: "least-requests".to_owned(),
        ttft_s: twin.result.summary.ttft_s,
        tbt_s: twin.result.summary.tbt_s,
        tpot_s: twin.result.summary.tpot_s,
        e2e_s: twin.result.summary.e2e_s,
        output_tokens_per_s: twin.result.summary.throughput.and_then(|one| one.output_tokens_per_s),
        slo_met: twin.result.slo.met,
        decided_by: decided_by(taken_s),
        taken_s,
    };
    if let Some(apart) = &mut output.result.disaggregation {
        apart.colocated = Some(colocated);
    }
    Ok(output)
}

/// Mean seconds a request that each resource took.
fn taken(output: &SchedulerOutput, twin: &SchedulerOutput) -> TakenTime {
    let Some(DisaggregationResult { ttft, prefill, .. }) = &output.result.disaggregation else {
        return TakenTime::default();
    };
    let mean = |of: &crate::metrics::Distribution| of.mean.unwrap_or(0.0);
    let after_first = |of: &SchedulerOutput| {
        let summary = &of.result.summary;
        Some(summary.e2e_s.mean? - summary.ttft_s.mean?)
    };
    let slower = after_first(output).zip(after_first(twin)).map_or(0.0, |(own, twin)| own - twin);
    // Beyond a decode step, what comes after its KV is the wait for a seat.
    let step = output.result.summary.tpot_s.mean.unwrap_or(0.0);
    let seat = (mean(&ttft.first_step_s) - step).max(0.0);
    let (memory, link) = (mean(&ttft.memory_s), mean(&ttft.transfer_s));
    let queue = queue_of(mean(&ttft.queue_s), prefill.held_share, kept_by(output));
    TakenTime {
        prefill_pool: queue.prefill,
        decode_pool: slower.max(0.0),
        decode_memory: memory + seat + queue.memory,
        link: link + queue.link,
    }
}

/// Who keeps the blocks of replicas that prefill: block seconds of prompts that wait for memory where they
/// are answered, and of those on their way.
fn kept_by(output: &SchedulerOutput) -> (f64, f64) {
    let trace = &output.outcome.trace;
    let until = |at: Time| at.min(trace.end);
    let kept = |hand: &HandOver| {
        let (at, out, landed) = (until(hand.at), until(hand.sets_out()), until(hand.landed));
        let blocks = f64::from(hand.held_blocks);
        (blocks * out.since(at).as_secs_f64(), blocks * landed.max(out).since(out).as_secs_f64())
    };
    trace.hand_overs.iter().map(kept).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// What the queue before prefill is charged to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct QueueTime {
    prefill: f64,
    memory: f64,
    link: f64,
}

/// The queue before replicas that prefill is theirs, unless their blocks are full of computed prompts: then it is that
/// of what keeps those.
fn queue_of(queue_s: f64, held_share: f64, (memory, link): (f64, f64)) -> QueueTime {
    if held_share < FULL || memory + link <= 0.0 {
        return QueueTime { prefill: queue_s, memory: 0.0, link: 0.0 };
    }
    let memory = queue_s * memory / (memory + link);
    QueueTime { prefill: 0.0, memory, link: queue_s - memory }
}

/// What took the most time; of equals the first.
fn decided_by(taken: TakenTime) -> Decider {
    let all = [
        (taken.prefill_pool, Decider::PrefillPool),
        (taken.decode_memory, Decider::DecodeMemory),
        (taken.link, Decider::Link),
        (taken.decode_pool, Decider::DecodePool),
    ];
    let mut most = all[0];
    for one in all {
        if one.0 > most.0 {
            most = one;
        }
    }
    most.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_behind_prompts_that_nobody_fetches_is_of_what_keeps_them() {
        let own = QueueTime { prefill: 6.0, memory: 0.0, link: 0.0 };
        assert_eq!(queue_of(6.0, 0.4, (1.0, 2.0)), own);
        // A slow link keeps them; room where they are answered is there at once.
        let link = QueueTime { prefill: 0.0, memory: 0.0, link: 6.0 };
        assert_eq!(queue_of(6.0, 0.9, (0.0, 40.0)), link);
        let both = QueueTime { prefill: 0.0, memory: 2.0, link: 4.0 };
        assert_eq!(queue_of(6.0, 0.9, (10.0, 20.0)), both);
    }

    #[test]
    fn the_largest_part_decides() {
        let taken =
            TakenTime { prefill_pool: 0.2, decode_pool: 0.1, decode_memory: 0.3, link: 0.05 };
        assert_eq!(decided_by(taken), Decider::DecodeMemory);
        assert_eq!(decided_by(TakenTime { decode_memory: 0.0, ..taken }), Decider::PrefillPool);
        let rest = TakenTime { prefill_pool: 0.0, decode_memory: 0.0, ..taken };
        assert_eq!(decided_by(rest), Decider::DecodePool);
        assert_eq!(decided_by(TakenTime { link: 0.2, ..rest }), Decider::Link);
    }
}
