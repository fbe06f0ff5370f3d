//! One lane's policy and what it writes down: batches asked for, runs of decode steps closed,
//! iterations logged.

use super::tally::Tally;
use super::{ChunkRecord, Iteration, SimOptions};
use crate::ids::LaneId;
use crate::replica::{Handle, Plan, Reads, Replica};
use crate::request::RequestId;
use crate::scheduler::Scheduler;
use crate::time::Time;
use crate::trace::Log;

/// So many preemptions without a token in between will go on for ever: no replica runs so many
/// requests that all of them could be preempted in one go.
const THRASHES_AFTER: u32 = 100_000;

/// A policy at work for one lane.
pub(super) struct Planner {
    pub scheduler: Box<dyn Scheduler>,
    /// The lane's place among those of all replicas.
    pub lane: LaneId,
    /// Preemptions since a batch last brought a token.
    without_token: u32,
    /// Preempted since the last batch began, by decisions that came to nothing too.
    preempted: Vec<RequestId>,
    /// Boxed, since plans move between here and the steps in flight at every decision.
    #[expect(clippy::vec_box)]
    spare: Vec<Box<Plan>>,
    log: Option<Log>,
    /// Kept for the chunks of the batch to log.
    chunks: Vec<ChunkRecord>,
}

/// When an iteration's batch was formed, began, brought its tokens, and let the next one begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instants {
    pub decided: Time,
    pub start: Time,
    pub end: Time,
    pub free: Time,
}

impl Planner {
    pub(super) fn new(
        lane: LaneId,
        scheduler: Box<dyn Scheduler>,
        options: &SimOptions<'_>,
    ) -> Planner {
        Planner {
            scheduler,
            lane,
            without_token: 0,
            preempted: Vec::new(),
            spare: Vec::new(),
            log: options.keep_log.then(Log::default),
            chunks: Vec::new(),
        }
    }

    /// Asks the policy for a batch; `None` when it has nothing to run.
    pub(super) fn plan(
        &mut self,
        replica: &mut Replica,
        now: Time,
        tally: &mut Tally,
        dropped: &mut impl FnMut(RequestId, Time),
    ) -> Option<Box<Plan>> {
        let mut plan = self.spare.pop().unwrap_or_default();
        loop {
            self.scheduler.schedule(&mut replica.step(now));
            replica.commit(&mut plan);
            self.write_runs(replica, tally);
            self.note_preempted(&plan, tally);
            for &request in &plan.recalled {
                tally.recall(request);
            }
            for &request in &plan.dropped {
                tally.reject(request, super::Rejection::DroppedByPolicy);
                dropped(request, now);
            }
            if !plan.is_empty() {
                return Some(plan);
            }
            // A step that only preempted or dropped has changed the queue: ask again.
            if plan.preempted.is_empty() && plan.dropped.is_empty() && !plan.again {
                self.spare.push(plan);
                return None;
            }
        }
    }

    /// Preempts a request of the lane in the policy's place.
    pub(super) fn preempt(
        &mut self,
        request: Handle,
        replica: &mut Replica,
        now: Time,
        tally: &mut Tally,
    ) {
        let mut plan = self.spare.pop().unwrap_or_default();
        replica.step(now).preempt(request);
        replica.commit(&mut plan);
        self.write_runs(replica, tally);
        self.note_preempted(&plan, tally);
        self.spare.push(plan);
    }

    /// Whether the policy keeps preempting and nobody gets a token any more.
    pub(super) fn thrashes(&self) -> bool {
        self.without_token > THRASHES_AFTER
    }

    fn note_preempted(&mut self, plan: &Plan, tally: &mut Tally) {
        if plan.sampled > 0 {
            self.without_token = 0;
        }
        self.without_token = self.without_token.saturating_add(plan.preempted.len() as u32);
        for &request in &plan.preempted {
            tally.preempt(request);
        }
        if self.log.is_some() {
            self.preempted.extend_from_slice(&plan.preempted);
        }
    }

    /// Writes down what a batch brings when it begins.
    pub(super) fn begin(&mut self, plan: &Plan, at: Instants, tally: &mut Tally) {
        if plan.decodes > 0 {
            tally.steps(self.lane).push(at.end);
        }
        for &(request, hit_tokens) in &plan.admitted {
            tally.schedule(self.lane, request, at.start, hit_tokens);
        }
        for emission in &plan.emissions {
            tally.emit(self.lane, *emission, at.end);
        }
        tally.count(plan);
        self.write_log(plan, at);
    }

    /// Ends a batch: seats and blocks of requests that got their last token are free.
    pub(super) fn end(
        &mut self,
        mut plan: Box<Plan>,
        tokens_at: Time,
        replica: &mut Replica,
        tally: &mut Tally,
        mut finished: impl FnMut(RequestId, Time),
    ) {
        plan.ending.retain(|&handle| replica.has_ended(handle));
        self.scheduler.processed(&plan.ending, replica.decode_steps());
        if !plan.ending.is_empty() {
            for &handle in &plan.ending {
                let request = replica.request_of(handle);
                tally.complete(request);
                finished(request, tokens_at);
            }
            replica.finish(&mut plan.ending);
            self.write_runs(replica, tally);
        }
        self.spare.push(plan);
    }

    pub(super) fn write_runs(&self, replica: &mut Replica, tally: &mut Tally) {
        for (request, first, count) in replica.drain_closed_runs() {
            tally.run(self.lane, request, first, count);
        }
    }

    /// Whether iterations are kept.
    pub(super) fn logs(&self) -> bool {
        self.log.is_some()
    }

    fn write_log(&mut self, plan: &Plan, at: Instants) {
        let Some(log) = &mut self.log else { return };
        self.chunks.clear();
        if !plan.chunks.is_empty() {
            // Emissions come in the order of their chunks.
            let mut emissions = plan.emissions.iter().peekable();
            let mut blocks = plan.chunk_blocks.iter();
            let chunk = |(chunk, &request): (&crate::cost::Chunk, &RequestId)| ChunkRecord {
                request,
                context: chunk.context,
                tokens: chunk.tokens,
                blocks: blocks.next().copied().unwrap_or(0),
                samples: emissions.next_if(|emission| emission.request == request).is_some(),
            };
            self.chunks.extend(plan.chunks.iter().zip(&plan.chunk_requests).map(chunk));
        }
        let iteration = row(plan, (plan.decode_kv_tokens, plan.reads), plan.kv_used, at);
        log.push(&Iteration { chunks: &self.chunks, preempted: &self.preempted, ..iteration });
        self.preempted.clear();
    }

    /// Logs the `nth` decode step (from 1) in a row that repeats a decision, with the KV entries it
    /// read, within the model's reaches too, and the blocks in use.
    pub(super) fn log_repeat(
        &mut self,
        nth: u32,
        plan: &Plan,
        (read, kv_used): ((u64, Option<Reads>), u32),
        at: Instants,
    ) {
        let Some(log) = &mut self.log else { return };
        // The first is decided on when the one before was, the second when the first began.
        if nth > 2 {
            log.repeat(at.end, at.free, kv_used);
        } else {
            let iteration = row(plan, read, kv_used, at);
            log.push(&Iteration { preempted: &self.preempted, ..iteration });
            self.preempted.clear();
        }
    }

    /// The iterations, where they were kept.
    pub(super) fn take_log(&mut self) -> Option<Log> {
        self.log.take()
    }
}

/// An iteration without chunks.
fn row(
    plan: &Plan,
    (decode_kv_tokens, reads): (u64, Option<Reads>),
    kv_used: u32,
    at: Instants,
) -> Iteration<'static> {
    Iteration {
        decided: at.decided,
        start: at.start,
        end: at.end,
        free: at.free,
        decodes: plan.decodes,
        decode_kv_tokens,
        reads,
        beside: plan.beside,
        chunks: &[],
        preempted: &[],
        kv_used,
        waiting: plan.waiting,
        running: plan.running,
        held: plan.held,
        head: plan.head,
    }
}
