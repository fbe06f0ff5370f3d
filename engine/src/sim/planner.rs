//! One lane's policy and what it writes down: batches asked for, runs of decode steps closed,
//! iterations logged.

use super::tally::Tally;
use super::{ChunkRecord, Iteration, SimOptions};
use crate::ids::LaneId;
use crate::replica::{Became, Begun, Brought, Handle, Held, Plan, Reads, Replica};
use crate::request::RequestId;
use crate::scheduler::{Brings, News, Scheduler};
use crate::time::{Span, Time};
use crate::trace::{Drafts, Log};

/// So many preemptions without a token in between will go on for ever: no replica runs so many
/// requests that all of them could be preempted in one go.
const THRASHES_AFTER: u32 = 100_000;

/// A policy at work for one lane.
pub(super) struct Planner {
    pub scheduler: Box<dyn Scheduler>,
    /// The lane's place among those of all replicas.
    pub lane: LaneId,
    /// Whether its requests go on elsewhere when their prompts are computed: the token that comes of
    /// that is thrown away.
    hands_over: bool,
    /// What steps computed of prompts, where somebody wants to know.
    computed: Option<Vec<(RequestId, u32)>>,
    /// Preemptions since a batch last brought a token.
    without_token: u32,
    /// Preempted since the last batch began, by decisions that came to nothing too.
    preempted: Vec<RequestId>,
    /// Reasons that have changed since then.
    reasons: Vec<(RequestId, Option<Held>)>,
    /// Boxed, since plans move between here and the steps in flight at every decision.
    #[expect(clippy::vec_box)]
    spare: Vec<Box<Plan>>,
    log: Option<Log>,
    /// Kept for the chunks of the batch to log.
    chunks: Vec<ChunkRecord>,
    /// Kept for those who end with a batch.
    ended: Vec<RequestId>,
}

/// When an iteration's batch was formed, began, brought its tokens, and let the next one begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instants {
    pub decided: Time,
    pub start: Time,
    pub end: Time,
    pub free: Time,
}

impl Instants {
    /// The same, as a replica is told.
    pub(super) fn begun(self) -> Begun {
        let Instants { decided, start, end, free } = self;
        Begun { decided, start, tokens_at: end, free }
    }
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
            hands_over: false,
            computed: None,
            without_token: 0,
            preempted: Vec::new(),
            reasons: Vec::new(),
            spare: Vec::new(),
            log: options.keep_log.then(Log::default),
            chunks: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// From now on its requests go on elsewhere when their prompts are computed.
    pub(super) fn hand_over(&mut self) {
        self.hands_over = true;
    }

    /// From now on it says what its steps compute of prompts.
    pub(super) fn tell_of_chunks(&mut self) {
        self.computed = Some(Vec::new());
    }

    /// By request, how many tokens of its prompt are computed, as steps have said since the last call.
    pub(super) fn take_chunks(&mut self) -> Vec<(RequestId, u32)> {
        self.computed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether its requests go on elsewhere when their prompts are computed.
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// Tells what a batch brings whom `at` that instant, once, where anybody listens.
    pub(super) fn tell(&self, plan: &mut Plan, at: Time, replica: &Replica, tally: &mut Tally) {
        if !self.hands_over {
            tally.tell(plan, at, replica);
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
        loop {
            let plan = self.ask(replica, now, tally, dropped);
            if !plan.is_empty() {
                return Some(plan);
            }
            // A step that only preempted or dropped has changed the queue: ask again.
            let again = !plan.preempted.is_empty() || !plan.dropped.is_empty() || plan.again;
            self.spare.push(plan);
            if !again {
                return None;
            }
        }
    }

    /// Asks the policy once; the batch may be empty.
    pub(super) fn ask(
        &mut self,
        replica: &mut Replica,
        now: Time,
        tally: &mut Tally,
        dropped: &mut impl FnMut(RequestId, Time),
    ) -> Box<Plan> {
        let mut plan = self.spare.pop().unwrap_or_default();
        self.scheduler.schedule(&mut replica.step(now));
        replica.commit(&mut plan);
        self.write_runs(replica, tally);
        self.note_preempted(&plan, tally);
        for &request in &plan.recalled {
            tally.recall(request);
        }
        if let Some(telling) = &mut tally.telling {
            plan.thrown_away.iter().for_each(|&request| telling.throw_away(request));
        }
        for &request in &plan.dropped {
            tally.reject(request, now, super::Rejection::DroppedByPolicy);
            dropped(request, now);
        }
        plan
    }

    /// Puts away a plan that came to nothing.
    pub(super) fn put_away(&mut self, plan: Box<Plan>) {
        self.spare.push(plan);
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
            self.reasons.extend_from_slice(&plan.reasons);
        }
    }

    /// Lets `lane` log those preempted since the last batch began: its batch is the next.
    pub(super) fn hand_preempted(&mut self, lane: &mut Planner) {
        lane.preempted.append(&mut self.preempted);
    }

    /// Logs that the engine itself was busy for so long between the last batch and the next.
    pub(super) fn log_host(&mut self, host: Span) {
        if let Some(log) = self.log.as_mut().filter(|log| !log.is_empty()) {
            log.lengthen_tail(host);
        }
    }

    /// Writes down what a batch brings when it begins.
    pub(super) fn begin(&mut self, plan: &mut Plan, at: Instants, tally: &mut Tally) {
        if plan.decodes > 0 {
            let mut steps = tally.steps(self.lane);
            steps.push(at.end);
            plan.step = steps.last();
        }
        for &(request, hit_tokens) in &plan.admitted {
            tally.schedule(self.lane, request, at.start, hit_tokens);
        }
        // Of requests that are counted one by one, what a batch brings is known when it is over.
        if plan.brought.is_empty() {
            for emission in &plan.emissions {
                tally.emit(self.lane, *emission, at.end);
            }
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
        self.tell(&mut plan, tokens_at, replica, tally);
        if !plan.brought.is_empty() {
            self.settle(&mut plan, tokens_at, replica, tally, finished);
            self.spare.push(plan);
            return;
        }
        plan.ending.retain(|&handle| replica.has_ended(handle));
        self.scheduler.processed(&plan.ending, replica.decode_steps());
        if replica.keeps_deadlines() {
            self.tell_policy(&plan, tokens_at, replica);
        }
        if !plan.ending.is_empty() || !plan.chunks.is_empty() {
            for &handle in &plan.ending {
                let request = replica.request_of(handle);
                tally.complete(request);
                finished(request, tokens_at);
            }
            replica.finish(&mut plan);
            self.write_runs(replica, tally);
        }
        self.spare.push(plan);
    }

    /// Tells a policy that looks at deadlines what a batch has brought.
    fn tell_policy(&mut self, plan: &Plan, at: Time, replica: &mut Replica) {
        replica.over();
        let brought = Brings { at, prefills: &plan.emitting, decode_steps: replica.decode_steps() };
        self.scheduler.brought(&brought);
        for &handle in &plan.ending {
            // Whoever prefills for others sees no answer.
            if !self.hands_over {
                replica.answered(handle);
            }
            if let Some(news) = News::of(replica, handle) {
                self.scheduler.ended(&news);
            }
        }
    }

    fn settle(
        &mut self,
        plan: &mut Plan,
        tokens_at: Time,
        replica: &mut Replica,
        tally: &mut Tally,
        mut finished: impl FnMut(RequestId, Time),
    ) {
        self.ended.clear();
        replica.settle(plan, |request| self.ended.push(request));
        if let Some(computed) = &mut self.computed {
            let planned = plan.brought.iter().filter(|one| one.became == Became::Planned);
            computed.extend(planned.map(|one| (one.request, one.context + one.tokens)));
        }
        if !self.hands_over {
            tally.bring(self.lane, &plan.brought, plan.step, tokens_at);
        }
        for &request in &self.ended {
            if !self.hands_over {
                tally.complete(request);
            }
            finished(request, tokens_at);
        }
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
        let (preempted, reasons) = (&self.preempted, &self.reasons);
        log.push(&Iteration { chunks: &self.chunks, preempted, reasons, ..iteration });
        self.preempted.clear();
        self.reasons.clear();
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
            let (preempted, reasons) = (&self.preempted, &self.reasons);
            log.push(&Iteration { preempted, reasons, ..iteration });
            self.preempted.clear();
            self.reasons.clear();
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
        drafts: drafts(plan),
        chunks: &[],
        preempted: &[],
        kv_used,
        waiting: plan.waiting,
        running: plan.running,
        held: plan.held,
        head: plan.head,
        reasons: &[],
    }
}

/// What a batch has to do with drafts: those whom it brings tokens know what becomes of theirs.
fn drafts(plan: &Plan) -> Drafts {
    let verified = plan.decode_tokens.saturating_sub(plan.decodes);
    let drafts = || plan.brought.iter().filter(|brought| brought.drafts > 0);
    if verified == 0 && plan.drafting == 0 && drafts().next().is_none() {
        return Drafts::NONE;
    }
    let accepted = |brought: &Brought| if brought.decode { brought.accepted } else { 0 };
    Drafts {
        verified,
        accepted: drafts().map(accepted).sum(),
        next: plan.drafting,
        sampled: plan.sampled,
    }
}
