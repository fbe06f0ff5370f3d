//! Steps without time: plays a policy step by step on requests that arrive at given steps, and
//! tells what each step did. For proving policies against other systems' steps, and for writing
//! one's own: the replica's invariants are checked after every step.
//!
//! A step is a turn of the engine's loop (vLLM 0.33.0's `step_with_batch_queue`): a batch is planned and
//! sent, and where as many are out as may be, the oldest is processed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::capacity::Capacity;
use crate::content::{Content, Ids, Origin, Parent, Turn};
use crate::cost::FixedCost;
use crate::ids::ClassId;
use crate::kv::host_tier::{HostTier, HostTierRules, JobId, Lookup, Orders};
use crate::replica::{
    Accepts, BatchesOut, Begun, Failure, Held, LoadBegun, Outlook, Plan, Predictor, Promise,
    Remote, Replica, ReplicaOptions, Scheduled, TransferRules,
};
use crate::request::{Request, RequestId};
use crate::scheduler::{Brings, EngineInfo, News, Scheduler};
use crate::time::{Span, Time};

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
    /// What comes from elsewhere for it, or goes there.
    pub transfer: ReplayTransfer,
    /// Tokens that these ids cover, where it is not all of their blocks'.
    pub ids_cover: Option<u32>,
    /// Whose tokens it begins with: the place of a request before it in the list, and how many.
    pub parent: Option<(usize, u32)>,
}

/// What comes from elsewhere for a request of a replay, or goes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayTransfer {
    /// Its prompt's KV is computed elsewhere: steps from the one that begins the load to the one whose
    /// output tells of its end.
    pub load_steps: Option<u64>,
    /// The block from which on the load fails.
    pub fails_at: Option<u32>,
    /// Its KV is fetched: steps from its end to the one whose output tells of that.
    pub send_steps: Option<u64>,
}

/// KV that comes from elsewhere or goes there, in a replay.
#[derive(Clone, Debug)]
pub struct ReplayTransfers {
    /// How the replica deals with it.
    pub rules: TransferRules,
    /// What a failed load leaves.
    pub failure: Failure,
    /// A tier of host memory, with the KV blocks that it loads and stores a step.
    pub host: Option<(HostTierRules, [u64; 2])>,
}

/// What a step did with KV of elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// Loads that began.
    pub begun: Vec<LoadBegun>,
    /// Requests whose loads were reported over, in order.
    pub received: Vec<RequestId>,
    /// Those of them whose loads failed.
    pub failed: Vec<RequestId>,
    /// Requests whose KV was reported fetched.
    pub sent: Vec<RequestId>,
    /// Requests whose KV is on its way, at the end of the step.
    pub loading: usize,
    /// Requests whose KV is being fetched.
    pub sending: usize,
    /// What the host tier was asked: the request, the tokens found here, and its answer.
    pub lookups: Vec<(RequestId, u32, Lookup)>,
    /// What it ordered.
    pub orders: Orders,
    /// Copies that were reported over.
    pub copied: Vec<JobId>,
    /// Chunks in host memory.
    pub host_chunks: u32,
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
    /// Whether it was empty and the policy asked for another at once: some systems' loops turn without
    /// a batch.
    pub turns_empty: bool,
    /// Why the queue's head was left waiting, where it was.
    pub held: Option<Held>,
    /// Who that head was.
    pub head: Option<RequestId>,
    /// What was done with KV of elsewhere, where there is any.
    pub transferred: Option<Box<Transferred>>,
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
            own_is_met: turn.followed || covers > request.prompt_tokens,
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
    /// Whether the last decision promised to repeat.
    promised: bool,
    spare: Vec<Plan>,
    transfers: Option<UnderWay>,
    /// What a policy that looks at deadlines is told.
    outlook: Option<Arc<Outlook>>,
}

/// What a policy that looks at deadlines is told where nobody says: each step takes one unit of the
/// clock, a first token is due after 64 steps, and each later one after two more.
fn in_steps() -> Arc<Outlook> {
    let step = Span::from_nanos(1);
    let common = Promise {
        first: Arc::new(|_| Span::from_nanos(64)),
        tbt: Span::from_nanos(2),
        fluid_index: 0.9,
    };
    let cost = Arc::new(FixedCost { iteration: step });
    Arc::new(Outlook { common, of_classes: Vec::new(), cost, predictor: Predictor::default() })
}

fn fresh(options: ReplicaOptions, outlook: Option<&Arc<Outlook>>) -> Replica {
    let mut replica = Replica::new(options);
    if let Some(outlook) = outlook {
        replica.keep_deadlines(outlook.clone());
    }
    replica
}

/// Transfers that are under way, with the step whose output tells of their end.
struct UnderWay {
    given: ReplayTransfers,
    loads: Vec<(RequestId, u64)>,
    sends: Vec<(RequestId, u64)>,
    copies: BTreeMap<JobId, u64>,
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
        let outlook = scheduler.needs().deadlines.then(in_steps);
        Replay {
            replica: fresh(options, outlook.as_ref()),
            outlook,
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
            promised: false,
            spare: Vec::new(),
            transfers: None,
        }
    }

    /// Lets KV come from elsewhere and go there; after [`overlapping`](Replay::overlapping).
    pub fn transferring(mut self, given: ReplayTransfers) -> Replay {
        let host = given.host.map(|(rules, _)| HostTier::new(rules));
        self.options.by_request = true;
        self.replica.transfer(given.rules, host);
        self.transfers =
            Some(UnderWay { given, loads: Vec::new(), sends: Vec::new(), copies: BTreeMap::new() });
        self
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
        self.replica = fresh(self.options, self.outlook.as_ref());
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
        let info = needs.engine(engine);
        let batches = self.options.out.most();
        self.capacity = Some(Capacity { info, needs, usable_blocks, batches });
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
            let origin = |id: RequestId| self.origins[id.index()].clone();
            let content = Content::of(id, self.block_tokens, origin);
            let handle = self.replica.arrive(id, id, &request, (content, None));
            if let Some(news) = News::of(&self.replica, handle) {
                self.scheduler.arrived(&news);
            }
            let transfer = next.transfer;
            self.replica.is_remote(
                handle,
                Remote {
                    pulls: transfer.load_steps.is_some(),
                    is_fetched: transfer.send_steps.is_some(),
                    carried: false,
                },
            );
            self.arrived += 1;
        }
    }

    /// Whether the scheduler has anything to do.
    fn alive(&self) -> bool {
        let tells = self.options.out.most() > 1 || self.transfers.is_some();
        let copies = self.replica.host_tier().is_some_and(HostTier::is_busy);
        !self.replica.is_empty() || self.news && tells || self.replica.sending() > 0 || copies
    }

    /// Takes note of the transfers that a planned step begins.
    fn begin_transfers(&mut self, record: &mut StepRecord) {
        let Some(way) = &mut self.transfers else { return };
        let told = record.transferred.get_or_insert_default();
        let (step, host) = (self.step, way.given.host.map(|(_, blocks)| blocks));
        let [load, store] = host.unwrap_or([1, 1]);
        told.begun = self.replica.loads_begun();
        for begun in &told.begun {
            match begun.job {
                Some(job) => {
                    let steps = u64::from(begun.blocks).div_ceil(load);
                    way.copies.insert(job, step + steps - 1);
                }
                None => {
                    let steps = self.requests[begun.request.index()].transfer.load_steps;
                    way.loads.push((begun.request, step + steps.unwrap_or(0)));
                }
            }
        }
        told.lookups = self.replica.looked_up();
        told.orders = self.replica.orders();
        for begun in &told.orders.stores {
            let steps = u64::from(begun.blocks).div_ceil(store);
            way.copies.insert(begun.job, step + steps);
        }
        for job in &told.orders.flush {
            let end = way.copies.get_mut(job).expect("a copy that is going on");
            *end = step.min(*end);
        }
    }

    /// Before a batch's results: loads that its output says have failed.
    fn fail_loads(&mut self, step: u64, record: &mut StepRecord) {
        let Some(way) = &mut self.transfers else { return };
        let told = record.transferred.get_or_insert_default();
        let over = |(_, end): &(RequestId, u64)| *end <= step;
        told.received = way.loads.iter().filter(|load| over(load)).map(|&(r, _)| r).collect();
        told.sent = way.sends.iter().filter(|send| over(send)).map(|&(r, _)| r).collect();
        way.loads.retain(|load| !over(load));
        way.sends.retain(|send| !over(send));
        for &request in &told.received {
            if let Some(block) = self.requests[request.index()].transfer.fails_at {
                self.replica.load_failed(request, block, way.given.failure);
                told.failed.push(request);
            }
        }
    }

    /// After them: who fails, whose KV has come, and whose has been fetched.
    fn end_transfers(&mut self, step: u64, finished: &mut Vec<RequestId>, record: &mut StepRecord) {
        let Some(way) = &mut self.transfers else { return };
        for &request in finished.iter() {
            let steps = self.requests[request.index()].transfer.send_steps;
            if let Some(steps) = steps.filter(|_| self.replica.is_sending(request)) {
                way.sends.push((request, self.step + steps));
            }
        }
        let told = record.transferred.get_or_insert_default();
        if way.given.failure == Failure::Ends {
            for &request in &told.failed {
                self.replica.ends_while_it_loads(request);
                finished.push(request);
            }
        }
        told.copied = way.copies.iter().filter(|(_, end)| **end <= step).map(|(&j, _)| j).collect();
        for job in &told.copied {
            way.copies.remove(job);
            told.received.extend(self.replica.copied(*job));
        }
        for &request in &told.received {
            self.replica.loaded(request);
        }
        for &request in &told.sent {
            self.replica.fetched(request);
        }
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
        self.begin_transfers(&mut record);
        let nothing = self.out.back().is_none_or(|batch| batch.plan.is_empty());
        let fills = planned && self.out.len() < most && (!nothing || self.alive());
        if !fills && let Some(batch) = self.out.pop_front() {
            record.processed = Some(batch.step);
            self.process(batch, repeats, &mut record);
        }
        self.replica.check();
        record.waiting = self.replica.waiting();
        record.running = self.replica.running();
        record.prefilling = self.replica.prefilling();
        if let Some(told) = &mut record.transferred {
            told.loading = self.replica.loading();
            told.sending = self.replica.sending();
            told.host_chunks = self.replica.host_tier().map_or(0, HostTier::used);
        }
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
        if self.outlook.is_some() {
            let begun = self.begun();
            self.replica.repeated(&[begun.tokens_at], begun);
        }
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

    /// Where time is counted in steps.
    fn begun(&self) -> Begun {
        let (now, then) = (Time::from_nanos(self.step), Time::from_nanos(self.step + 1));
        Begun { decided: now, start: now, tokens_at: then, free: then }
    }

    /// One step decided by the policy.
    fn decided(&mut self, record: &mut StepRecord) -> Batch {
        self.scheduler.schedule(&mut self.replica.step(Time::from_nanos(self.step)));
        record.free_blocks = self.replica.pool().free();
        let mut plan = self.spare.pop().unwrap_or_default();
        self.replica.commit(&mut plan);
        if self.outlook.is_some() && !plan.is_empty() {
            let begun = self.begun();
            self.replica.begun(begun, &plan.shape());
        }
        // Planned ahead, the step in flight must be of the kind too, as in a simulation.
        let before = std::mem::replace(&mut self.promised, plan.repeats.is_some());
        let alone = self.options.out.most() == 1;
        self.repeats = plan.repeats.filter(|_| alone || before);
        record.turns_empty = plan.again && plan.is_empty();
        let scheduled = self.replica.batch_listed(&plan);
        Batch { turn: self.turns, step: self.step, plan, scheduled }
    }

    /// Processes the oldest batch and tells its step what became of it.
    /// Where the decision `repeats` the policy is not told, as in a simulation: it counts decode steps.
    fn process(&mut self, mut batch: Batch, repeats: bool, record: &mut StepRecord) {
        let mut finished: Vec<RequestId> = Vec::new();
        self.fail_loads(batch.step, record);
        if self.options.by_request {
            self.replica.settle(&mut batch.plan, |request| finished.push(request));
            for (entry, brought) in batch.scheduled.iter_mut().zip(&batch.plan.brought) {
                entry.became = Some(*brought);
                entry.emits = brought.emits > 0;
            }
        } else {
            // Whose last token was thrown away goes on.
            batch.plan.ending.retain(|&handle| self.replica.has_ended(handle));
            if !batch.plan.is_empty() && !repeats {
                self.scheduler.processed(&batch.plan.ending, self.replica.decode_steps());
                if self.outlook.is_some() {
                    self.tell(&batch.plan, batch.step + 1);
                }
            }
            let ending = batch.plan.ending.iter();
            finished.extend(ending.map(|&handle| self.replica.request_of(handle)));
            let place = |id: &RequestId| batch.scheduled.iter().position(|e| e.request == *id);
            finished.sort_by_key(place);
            self.replica.finish(&mut batch.plan);
        }
        self.end_transfers(batch.step, &mut finished, record);
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

    /// Tells a policy that looks at deadlines what a batch has brought.
    fn tell(&mut self, plan: &Plan, at: u64) {
        self.replica.over();
        let decode_steps = self.replica.decode_steps();
        let at = Time::from_nanos(at);
        self.scheduler.brought(&Brings { at, prefills: &plan.emitting, decode_steps });
        for &handle in &plan.ending {
            self.replica.answered(handle);
            if let Some(news) = News::of(&self.replica, handle) {
                self.scheduler.ended(&news);
            }
        }
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
            turns_empty: false,
            held: None,
            head: None,
            transferred: None,
        }
    }

    /// The policy sees that nobody is there, as it does in a simulation; some loops take a few turns
    /// to notice. Up to the step at which somebody comes.
    fn notice_nobody(&mut self, next: u64) {
        if self.options.by_request {
            return;
        }
        for step in (self.step..next).take(3) {
            let mut plan = self.spare.pop().unwrap_or_default();
            self.scheduler.schedule(&mut self.replica.step(Time::from_nanos(step)));
            self.replica.commit(&mut plan);
            assert!(plan.is_empty(), "nobody is there");
            self.spare.push(plan);
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
                let next = self.requests.get(self.arrived)?.arrival_step;
                self.notice_nobody(next);
                let next = self.requests.get(self.arrived)?;
                self.step = self.step.max(next.arrival_step);
                self.repeats = None;
            }
            self.turn();
        }
    }
}
