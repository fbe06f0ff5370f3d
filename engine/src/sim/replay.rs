//! Steps without time: plays a policy step by step on requests that arrive at given steps, and
//! tells what each step did. For proving policies against other systems' steps, and for writing
//! one's own: the replica's invariants are checked after every step.
//!
//! A step is a turn of the engine's loop (vLLM 0.33.0's `step_with_batch_queue`): a batch is planned and
//! sent, and where as many are out as may be, the oldest is processed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::capacity::Capacity;
use crate::content::{Content, Ids, Origin, Parent, Turn};
use crate::ids::ClassId;
use crate::replica::{Accepts, BatchesOut, Held, Plan, Replica, ReplicaOptions, Scheduled};
use crate::request::{Request, RequestId};
use crate::scheduler::{EngineInfo, Scheduler};
use crate::time::Time;

/// A request of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayRequest {
    /// The step before which it arrives.
    pub arrival_step: u64,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// True output tokens.
    pub output_tokens: u32,
    /// Declared longest answer; at least `output_tokens`.
    pub max_tokens: u32,
    /// Lower is more urgent.
    pub priority: i32,
    /// Chained content ids of its first KV blocks: of the prompt, and of the answer where there are
    /// more.
    pub block_ids: Vec<u64>,
    /// Tokens that these ids cover, where it is not all of their blocks'.
    pub ids_cover: Option<u32>,
    /// Whose tokens it begins with: the place of a request before it in the list, and how many.
    pub parent: Option<(usize, u32)>,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepRecord {
    /// Its number.
    pub step: u64,
    /// The batch in order. Decodes scheduled all at once are not listed one by one.
    pub scheduled: Vec<Scheduled>,
    /// Requests that decoded, listed or not.
    pub decodes: u32,
    /// Requests preempted, in order.
    pub preempted: Vec<RequestId>,
    /// The step whose batch was processed in this one.
    pub processed: Option<u64>,
    /// Requests that ended with that batch, in its order where it is listed.
    pub finished: Vec<RequestId>,
    /// Requests that the policy dropped.
    pub dropped: Vec<RequestId>,
    /// Requests turned away on arrival.
    pub rejected: Vec<RequestId>,
    /// Free blocks after the decision, before finished requests give theirs back.
    pub free_blocks: u32,
    /// Waiting requests at the end of the step.
    pub waiting: usize,
    /// Requests with a seat at the end of the step.
    pub running: usize,
    /// Those of them whose prefill is unfinished.
    pub prefilling: usize,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
    /// Who that head was.
    pub head: Option<RequestId>,
}

/// What is known of the tokens of each request.
fn origins(requests: &[ReplayRequest], block_tokens: u32) -> Vec<Origin> {
    let mut turns = vec![Turn::default(); requests.len()];
    for (place, request) in requests.iter().enumerate() {
        let Some((parent, tokens)) = request.parent else { continue };
        turns[place].parent = Some(Parent { request: RequestId::at(parent), tokens });
        turns[parent].followed = true;
    }
    let of = |(request, turn): (&ReplayRequest, &Turn)| {
        let all = (request.block_ids.len() as u32).saturating_mul(block_tokens);
        let covers = request.ids_cover.unwrap_or(all);
        Origin {
            ids: Ids::all(request.block_ids.clone()),
            covers,
            parent: turn.parent,
            answer_is_met: turn.followed || covers > request.prompt_tokens,
        }
    };
    requests.iter().zip(&turns).map(of).collect()
}

/// A policy playing step by step; iterate to get the steps.
pub struct Replay {
    replica: Replica,
    scheduler: Box<dyn Scheduler>,
    options: ReplicaOptions,
    requests: Vec<ReplayRequest>,
    origins: Vec<Origin>,
    block_tokens: u32,
    arrived: usize,
    step: u64,
    /// Turns so far.
    turns: u64,
    /// Whether turns that plan nothing are no steps.
    plans_alone: bool,
    /// Batches sent and not processed, oldest first.
    out: VecDeque<Batch>,
    /// Steps that have been played and whose batches are not processed, or wait for one before, by
    /// turn.
    played: VecDeque<(u64, StepRecord)>,
    /// The last plan, where its decision may repeat.
    repeats: Option<u32>,
    skips: bool,
    /// Whether somebody has ended since the last plan: the workers are told by one more.
    news: bool,
    /// What decides who is turned away, where somebody is.
    capacity: Option<Capacity>,
    rejected: Vec<RequestId>,
    spare: Vec<Plan>,
}

#[derive(Debug)]
struct Batch {
    turn: u64,
    step: u64,
    plan: Plan,
    scheduled: Vec<Scheduled>,
}

impl Replay {
    /// A replay of `requests`, which must be in order of arrival. With `reference` a policy has to
    /// name every request of every batch.
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        engine: &EngineInfo,
        requests: Vec<ReplayRequest>,
        reference: bool,
    ) -> Replay {
        let options = ReplicaOptions::of(engine, &scheduler.needs(), BatchesOut::ONE, reference);
        let origins = origins(&requests, engine.kv_block_tokens);
        Replay {
            replica: Replica::new(options),
            scheduler,
            options,
            requests,
            origins,
            block_tokens: engine.kv_block_tokens,
            arrived: 0,
            step: 0,
            turns: 0,
            plans_alone: false,
            out: VecDeque::new(),
            played: VecDeque::new(),
            repeats: None,
            skips: false,
            news: false,
            capacity: None,
            rejected: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Plans every step while the one before runs: asynchronous scheduling without a pipeline.
    pub fn planned_ahead(self) -> Replay {
        self.overlapping(1, true)
    }

    /// Has several batches out at once: those of a pipeline of so many stages, and one more where
    /// requests go on before their last token is known.
    pub fn overlapping(mut self, stages: u32, ahead: bool) -> Replay {
        assert_eq!(self.arrived, 0, "said before the first step");
        let by_request = self.options.by_request || stages > 1;
        let out = BatchesOut { stages, ahead };
        self.options = ReplicaOptions { out, by_request, ..self.options };
        self.replica = Replica::new(self.options);
        self
    }

    /// Every prefix hit loses its last block, as where drafts do without identities that reach beyond
    /// a block (vLLM's `disable_lookahead_block_hashes`); after [`overlapping`](Replay::overlapping).
    pub fn dropping_last_blocks(mut self) -> Replay {
        self.options.drafts.hash_lookahead = 0;
        self.options.drafts.drops_last_block = true;
        self.replica = Replica::new(self.options);
        self
    }

    /// Says whose drafts are accepted; after [`overlapping`](Replay::overlapping).
    pub fn drafting(mut self, luck: Arc<dyn Accepts>) -> Replay {
        self.replica.draft_with(luck);
        self
    }

    /// Counts as steps only turns that plan something: how a server's log of its plans counts them.
    pub fn plans_alone(mut self) -> Replay {
        self.plans_alone = true;
        self
    }

    /// Takes the policy at its word: a decision that it has promised to repeat is repeated without
    /// asking it.
    pub fn skipping(mut self) -> Replay {
        self.skips = true;
        self
    }

    /// Turns away on arrival who could never be served, as a simulation does; otherwise the policy
    /// has to cope.
    pub fn turning_away(mut self, engine: &EngineInfo) -> Replay {
        let usable_blocks = self.replica.pool().total();
        let needs = self.scheduler.needs();
        self.capacity = Some(Capacity { info: *engine, needs, usable_blocks });
        self
    }

    /// Whether the last decision stands for this step too.
    fn can_repeat(&self) -> bool {
        let arrival = self.requests.get(self.arrived).map(|next| next.arrival_step);
        self.skips
            && arrival.is_none_or(|arrival| arrival > self.step)
            && self.out.iter().all(|batch| batch.plan.ending.is_empty())
            && self
                .repeats
                .is_some_and(|keep_free| self.replica.quiet_decode_steps(keep_free, 1) == 1)
    }

    fn admit_arrivals(&mut self) {
        while let Some(next) = self.requests.get(self.arrived) {
            if next.arrival_step > self.step {
                break;
            }
            let id = RequestId::at(self.arrived);
            let request = Request {
                arrival: Time::from_nanos(next.arrival_step),
                prompt_tokens: next.prompt_tokens,
                output_tokens: next.output_tokens,
                max_tokens: next.max_tokens,
                priority: next.priority,
                class: ClassId(0),
            };
            let policy = &*self.scheduler;
            let never = |capacity: &Capacity| capacity.rejects(id, &request, policy).is_some();
            if self.capacity.as_ref().is_some_and(never) {
                self.rejected.push(id);
                self.arrived += 1;
                continue;
            }
            let origin = |id: RequestId| self.origins[id.index()].clone();
            let content = Content::of(id, self.block_tokens, origin);
            self.replica.arrive(id, &request, content);
            self.arrived += 1;
        }
    }

    /// Whether the scheduler has anything to do.
    fn alive(&self) -> bool {
        !self.replica.is_empty() || self.news && self.options.out.most() > 1
    }

    /// One turn of the engine's loop.
    fn turn(&mut self) {
        let (repeats, most) = (self.can_repeat(), self.options.out.most() as usize);
        self.admit_arrivals();
        let planned = repeats || self.alive() || most == 1;
        let mut record = self.blank();
        if planned {
            self.news = false;
            let batch = if repeats { self.repeated() } else { self.decided(&mut record) };
            record.decodes = batch.plan.decodes;
            record.preempted.clone_from(&batch.plan.preempted);
            record.dropped.clone_from(&batch.plan.dropped);
            (record.held, record.head) = (batch.plan.held, batch.plan.head);
            record.scheduled.clone_from(&batch.scheduled);
            self.out.push_back(batch);
        }
        if repeats || !planned {
            record.free_blocks = self.replica.pool().free();
        }
        let nothing = self.out.back().is_none_or(|batch| batch.plan.is_empty());
        let fills = planned && self.out.len() < most && (!nothing || self.alive());
        if !fills && let Some(batch) = self.out.pop_front() {
            record.processed = Some(batch.step);
            self.process(batch, &mut record);
        }
        self.replica.check();
        record.waiting = self.replica.waiting();
        record.running = self.replica.running();
        record.prefilling = self.replica.prefilling();
        self.turns += 1;
        let planned = record.decodes > 0 || !record.scheduled.is_empty();
        if planned || !self.plans_alone {
            self.step += 1;
            self.played.push_back((self.turns - 1, record));
        }
    }

    /// One more step of a decision that repeats.
    fn repeated(&mut self) -> Batch {
        self.replica.repeat(1);
        let mut plan = self.spare.pop().unwrap_or_default();
        match self.out.back() {
            Some(last) => plan.clone_decision(&last.plan),
            // What was processed last is the one that repeats.
            None => {
                plan.preempted.clear();
                plan.dropped.clear();
            }
        }
        Batch { turn: self.turns, step: self.step, plan, scheduled: Vec::new() }
    }

    /// One step decided by the policy.
    fn decided(&mut self, record: &mut StepRecord) -> Batch {
        self.scheduler.schedule(&mut self.replica.step(Time::from_nanos(self.step)));
        record.free_blocks = self.replica.pool().free();
        let mut plan = self.spare.pop().unwrap_or_default();
        self.replica.commit(&mut plan);
        self.repeats = plan.repeats;
        let scheduled = self.replica.batch_listed(&plan);
        Batch { turn: self.turns, step: self.step, plan, scheduled }
    }

    /// Processes the oldest batch and tells its step what became of it.
    fn process(&mut self, mut batch: Batch, record: &mut StepRecord) {
        let mut finished: Vec<RequestId> = Vec::new();
        if self.options.by_request {
            self.replica.settle(&mut batch.plan, |request| finished.push(request));
            for (entry, brought) in batch.scheduled.iter_mut().zip(&batch.plan.brought) {
                entry.became = Some(*brought);
                entry.emits = brought.emits > 0;
            }
        } else {
            let ending = batch.plan.ending.iter();
            finished.extend(ending.map(|&handle| self.replica.request_of(handle)));
            let place = |id: &RequestId| batch.scheduled.iter().position(|e| e.request == *id);
            finished.sort_by_key(place);
            self.replica.finish(&mut batch.plan);
        }
        if !finished.is_empty() {
            self.news = true;
            self.repeats = None;
        }
        record.finished = finished;
        // A step processes its own batch where there is one at a time.
        let own = self.played.iter_mut().find(|(turn, _)| *turn == batch.turn);
        match own {
            Some((_, own)) => own.scheduled = batch.scheduled,
            None if batch.turn == self.turns => record.scheduled = batch.scheduled,
            None => {}
        }
        self.spare.push(batch.plan);
    }

    fn blank(&mut self) -> StepRecord {
        StepRecord {
            step: self.step,
            scheduled: Vec::new(),
            decodes: 0,
            preempted: Vec::new(),
            processed: None,
            finished: Vec::new(),
            dropped: Vec::new(),
            rejected: std::mem::take(&mut self.rejected),
            free_blocks: 0,
            waiting: 0,
            running: 0,
            prefilling: 0,
            held: None,
            head: None,
        }
    }

    /// The first step played of which all is known.
    fn settled(&mut self) -> Option<StepRecord> {
        let (first, _) = self.played.front()?;
        let out = self.out.iter().any(|batch| batch.turn == *first);
        if out { None } else { self.played.pop_front().map(|(_, record)| record) }
    }
}

impl Iterator for Replay {
    type Item = StepRecord;

    fn next(&mut self) -> Option<StepRecord> {
        loop {
            if let Some(record) = self.settled() {
                return Some(record);
            }
            if !self.alive() && self.out.is_empty() {
                let next = self.requests.get(self.arrived)?;
                self.step = self.step.max(next.arrival_step);
                self.repeats = None;
            }
            self.turn();
        }
    }
}
