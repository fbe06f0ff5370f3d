//! Steps without time: plays a policy step by step on requests that arrive at given steps, and
//! tells what each step did. For proving policies against other systems' steps, and for writing
//! one's own: the replica's invariants are checked after every step.

use super::capacity::Capacity;
use crate::ids::ClassId;
use crate::replica::{Content, Handle, Held, Plan, Replica, ReplicaOptions, Scheduled};
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
    /// Chained content ids of the prompt's first KV blocks.
    pub block_ids: Vec<u64>,
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
    /// Requests that ended, in batch order where the batch is listed.
    pub finished: Vec<RequestId>,
    /// Requests that the step before was said to end and that go on: their last token was thrown
    /// away.
    pub revoked: Vec<RequestId>,
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
    /// Whether it was empty and the policy asked for another at once: some systems' loops turn without
    /// a batch.
    pub turns_empty: bool,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
    /// Who that head was.
    pub head: Option<RequestId>,
}

/// A policy playing step by step; iterate to get the steps.
pub struct Replay {
    replica: Replica,
    scheduler: Box<dyn Scheduler>,
    requests: Vec<ReplayRequest>,
    block_tokens: u32,
    arrived: usize,
    step: u64,
    plan: Plan,
    skips: bool,
    /// Whether the last decision promised to repeat.
    promised: bool,
    ahead: bool,
    /// What decides who is turned away, where somebody is.
    capacity: Option<Capacity>,
    rejected: Vec<RequestId>,
    revoked: Vec<RequestId>,
    /// The step in flight, where steps are planned ahead: requests whose last token it emits. They
    /// are there while the next one is planned.
    in_flight: Option<Vec<Handle>>,
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
        let options = ReplicaOptions::of(engine, &scheduler.needs(), false, reference);
        Replay {
            replica: Replica::new(options),
            scheduler,
            requests,
            block_tokens: engine.kv_block_tokens,
            arrived: 0,
            step: 0,
            plan: Plan::default(),
            skips: false,
            promised: false,
            ahead: false,
            capacity: None,
            rejected: Vec::new(),
            revoked: Vec::new(),
            in_flight: None,
        }
    }

    /// Plans every step while the one before runs: requests that end in a step keep their seats
    /// and blocks in the next plan, and those that end by EOS are in it too.
    pub fn planned_ahead(mut self) -> Replay {
        assert_eq!(self.arrived, 0, "said before the first step");
        self.replica.plan_ahead();
        self.ahead = true;
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
        self.capacity = Some(Capacity { info: needs.engine(engine), needs, usable_blocks });
        self
    }

    /// Whether the last decision stands for this step too.
    fn repeats(&self) -> bool {
        let arrival = self.requests.get(self.arrived).map(|next| next.arrival_step);
        self.skips
            && arrival.is_none_or(|arrival| arrival > self.step)
            && self
                .plan
                .repeats
                .is_some_and(|keep_free| self.replica.quiet_decode_steps(keep_free, 1) == 1)
    }

    fn admit_arrivals(&mut self) {
        while let Some(next) = self.requests.get(self.arrived) {
            if next.arrival_step > self.step {
                break;
            }
            let id = RequestId::at(self.arrived);
            let longest = self.scheduler.longest_answer(next.prompt_tokens, next.max_tokens).max(1);
            let request = Request {
                arrival: Time::from_nanos(next.arrival_step),
                prompt_tokens: next.prompt_tokens,
                output_tokens: next.output_tokens.min(longest),
                max_tokens: next.max_tokens.min(longest),
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
            let ids = next.block_ids.clone().into();
            self.replica.arrive(id, &request, Content { ids, id_tokens: self.block_tokens });
            self.arrived += 1;
        }
    }
}

impl Replay {
    /// One more step of a decision that repeats.
    fn repeat(&mut self) -> StepRecord {
        self.replica.repeat(1);
        let free_blocks = self.replica.pool().free();
        self.plan.preempted.clear();
        self.plan.dropped.clear();
        self.record(Vec::new(), Vec::new(), free_blocks)
    }

    /// One step decided by the policy.
    fn decide(&mut self) -> StepRecord {
        self.admit_arrivals();
        self.scheduler.schedule(&mut self.replica.step(Time::from_nanos(self.step)));
        let free_blocks = self.replica.pool().free();
        self.replica.commit(&mut self.plan);
        let scheduled = self.replica.batch_listed();
        let empty = self.plan.is_empty();
        let ending = std::mem::take(&mut self.plan.ending);
        let mut finished: Vec<RequestId> =
            ending.iter().map(|&handle| self.replica.request_of(handle)).collect();
        finished.sort_by_key(|id| scheduled.iter().position(|entry| entry.request == *id));
        // Planned ahead, the step in flight must be of the kind too, as in a simulation.
        let before = std::mem::replace(&mut self.promised, self.plan.repeats.is_some());
        let other = self.ahead && !before;
        if other || !ending.is_empty() || self.in_flight.iter().flatten().next().is_some() {
            self.plan.repeats = None;
        }
        let launched = (!empty).then_some(ending);
        let over = match self.ahead {
            true => std::mem::replace(&mut self.in_flight, launched),
            false => launched,
        };
        if let Some(mut leaving) = over {
            let gone = |&handle: &Handle| self.replica.has_ended(handle);
            let revoked = leaving.iter().filter(|handle| !gone(handle));
            self.revoked.extend(revoked.map(|&handle| self.replica.request_of(handle)));
            leaving.retain(gone);
            self.scheduler.processed(&leaving, self.replica.decode_steps());
            self.replica.finish(&mut leaving);
        }
        self.record(scheduled, finished, free_blocks)
    }

    fn record(
        &mut self,
        scheduled: Vec<Scheduled>,
        finished: Vec<RequestId>,
        free_blocks: u32,
    ) -> StepRecord {
        self.replica.check();
        let record = StepRecord {
            step: self.step,
            scheduled,
            decodes: self.plan.decodes,
            preempted: self.plan.preempted.clone(),
            finished,
            revoked: std::mem::take(&mut self.revoked),
            dropped: self.plan.dropped.clone(),
            rejected: std::mem::take(&mut self.rejected),
            free_blocks,
            waiting: self.replica.waiting(),
            running: self.replica.running(),
            prefilling: self.replica.prefilling(),
            turns_empty: self.plan.again && self.plan.is_empty(),
            held: self.plan.held,
            head: self.plan.head,
        };
        self.step += 1;
        record
    }
}

impl Iterator for Replay {
    type Item = StepRecord;

    fn next(&mut self) -> Option<StepRecord> {
        if self.replica.waiting() + self.replica.running() == 0 {
            let next = self.requests.get(self.arrived)?;
            // The policy sees that nobody is there, as it does in a simulation; some loops take a few
            // turns to notice, with a step that was in vain still in flight.
            for step in (self.step..next.arrival_step).take(3) {
                self.scheduler.schedule(&mut self.replica.step(Time::from_nanos(step)));
                self.replica.commit(&mut self.plan);
                assert!(self.plan.is_empty(), "nobody is there");
                if let Some(in_vain) = self.in_flight.take() {
                    self.scheduler.processed(&in_vain, self.replica.decode_steps());
                }
            }
            self.step = self.step.max(next.arrival_step);
            self.plan.repeats = None;
        }
        Some(if self.repeats() { self.repeat() } else { self.decide() })
    }
}
