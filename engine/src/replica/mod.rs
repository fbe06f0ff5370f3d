//! One replica as its scheduler sees and changes it: waiting queue, running requests, KV blocks and
//! the batch being formed. It knows nothing of time's passing; `sim` drives it.
//!
//! A step is: the policy fills a batch through [`Step`], [`Replica::commit`] advances every
//! scheduled request, and `Replica::finish` frees those whose last token has been emitted once
//! the iteration is over. State advances when a step is *planned*, as in vLLM V1.

mod answers;
mod decode_steps;
mod decodes;
mod drafts;
mod members;
mod memory;
mod one_by_one;
mod options;
mod outlook;
mod plain;
mod plan;
mod reads;
mod shortage;
mod slot;
mod state_chunks;
mod step;
mod step_memory;
mod step_own_memory;
mod step_transfers;
mod transfers;
mod trims;
mod waiting;

pub use drafts::{Accepts, DraftSlots};
pub use one_by_one::{Became, Brought, Leading};
pub(crate) use options::RankLoad;
pub use options::{BatchesOut, EngineInfo, Needs, RankBalance, ReplicaOptions};
pub(crate) use outlook::Begun;
pub use outlook::{FirstDeadline, Outlook, Past, Predictor, Promise, Standing};
pub(crate) use plan::decodes;
pub use plan::{Emission, Plan, Scheduled};
pub use reads::Reads;
pub use shortage::KvShortage;
pub use slot::{Handle, RequestView};
pub use step::{Held, Step};
pub use transfers::{External, Failure, LoadBegun, Remote, TransferRules};
pub use waiting::QueueOrder;

use crate::content::Content;
use crate::ids::{LaneOfReplica, SlotId};
use crate::kv::Pool;
use crate::request::{Request, RequestId};
use crate::time::Time;
use std::sync::Arc;

use decodes::Joining;
use members::Members;
use memory::Leaving;
use slot::{Phase, Slot};
use waiting::{Rank, Waiting};

/// Queue, running requests and memory of one replica.
#[derive(Debug)]
pub struct Replica {
    options: ReplicaOptions,
    pool: Pool,
    slots: Vec<Slot>,
    vacant: Vec<SlotId>,
    waiting: Waiting,
    /// Those of the selected lane.
    members: Members,
    /// Those of each lane, the selected one's place empty; nothing where there is one lane.
    parked: Vec<Members>,
    selected: LaneOfReplica,
    /// Counts steps of all lanes.
    steps: u64,
    admissions: u64,
    preemptions: u64,
    hit_tokens: u64,
    /// Whether an answer of any request here could be met in another.
    answers_are_met: bool,
    /// Who others may go on from.
    talks: answers::Talks,
    /// Stretches of decode steps that requests have completed: `(request, first decode_step,
    /// count)`.
    closed_runs: Vec<(RequestId, u32, u32)>,
    /// First admissions since they were last read: `(request, prefix hit in tokens)`.
    admitted: Vec<(RequestId, u32)>,
    /// Who arrived since a policy that keeps its own memory last asked.
    newcomers: Vec<SlotId>,
    /// Whose last token is written down and was thrown away since the last batch.
    recalled: Vec<RequestId>,
    /// Whether batches name who decodes in them, and whose token on its way they throw away.
    names_decodes: bool,
    /// Whose token on its way was thrown away since the last batch, where that is named.
    thrown_away: Vec<RequestId>,
    scratch: Vec<SlotId>,
    /// Whose drafts are accepted; needed where somebody drafts.
    luck: Option<Arc<dyn Accepts>>,
    /// KV that comes from elsewhere and goes there, where any does.
    transfers: Option<Box<transfers::Transfers>>,
    /// What its policy is told of deadlines, where it looks at them.
    outlook: Option<Box<outlook::Kept>>,
    /// Whether prompts are left out of the step being planned, where ranks step together.
    prompts_wait: Option<bool>,
}

impl Replica {
    /// An empty replica.
    pub fn new(options: ReplicaOptions) -> Replica {
        Replica {
            options,
            pool: match (options.own_memory, options.runs()) {
                (true, _) => Pool::told(options.usable_blocks, options.block_tokens),
                (false, Some(rules)) => {
                    Pool::by_runs(options.usable_blocks, options.block_tokens, rules)
                }
                (false, None) => Replica::pool_by_blocks(&options),
            },
            slots: Vec::new(),
            vacant: Vec::new(),
            waiting: Waiting::new(options.queue),
            members: Members::new(&options),
            parked: Vec::new(),
            selected: LaneOfReplica(0),
            steps: 0,
            admissions: 0,
            preemptions: 0,
            hit_tokens: 0,
            answers_are_met: false,
            talks: answers::Talks::default(),
            closed_runs: Vec::new(),
            admitted: Vec::new(),
            newcomers: Vec::new(),
            recalled: Vec::new(),
            names_decodes: false,
            thrown_away: Vec::new(),
            scratch: Vec::new(),
            luck: None,
            transfers: None,
            outlook: None,
            prompts_wait: None,
        }
    }

    /// Lets batches name who decodes in them, which takes a look at each.
    pub(crate) fn name_decodes(&mut self) {
        self.names_decodes = true;
    }

    /// A pool that knows each block by number, where blocks have contents.
    fn pool_by_blocks(options: &ReplicaOptions) -> Pool {
        let drafts = options.drafts.most();
        let (blocks, tokens) = (options.usable_blocks, options.block_tokens);
        Pool::new(blocks, tokens, options.groups, options.cache, drafts)
    }

    /// Whose drafts are accepted.
    pub(crate) fn draft_with(&mut self, luck: Arc<dyn Accepts>) {
        self.luck = Some(luck);
    }

    /// Puts an arrived request into the waiting queue. Its luck goes by its number in the whole run.
    pub(crate) fn arrive(
        &mut self,
        id: RequestId,
        number: RequestId,
        request: &Request,
        (content, session): (Content, Option<u32>),
    ) -> Handle {
        // An answer cut short by max_tokens or the context's length is known to end; only EOS comes
        // as a surprise.
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens);
        let by_eos = request.output_tokens < request.max_tokens
            && tokens < u64::from(self.options.max_model_len);
        let surprises = by_eos || self.options.ends_unforeseen;
        let lingers = self.options.out.ahead && surprises;
        self.answers_are_met |= content.own_is_met();
        let names_answer = content.names_beyond(request.prompt_tokens);
        let chain = match self.pool.caching() {
            true => {
                Some(content.chain(self.options.block_tokens, self.options.drafts.hash_lookahead))
            }
            false => None,
        };
        let met = content.own_is_met();
        let owner = content.owner();
        let slot = Slot { number, ..Slot::new(id, request, lingers, content, chain) };
        let rank = rank_of(&slot);
        let index = match self.vacant.pop() {
            Some(index) => {
                self.slots[index.index()] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                SlotId::at(self.slots.len() - 1)
            }
        };
        if met {
            self.note_talk(owner, index, names_answer);
        }
        self.waiting.arrive(index, rank);
        if let Some(kept) = &mut self.outlook {
            kept.arrive(index, id, request, (number, session));
        }
        if self.options.own_memory {
            self.newcomers.push(index);
        }
        Handle(index)
    }

    /// Starts forming a batch at time `now`.
    pub fn step(&mut self, now: Time) -> Step<'_> {
        self.steps += 1;
        self.members.batch.begin(self.steps);
        self.pool.begin_step();
        self.look_at_queue();
        Step::new(self, now)
    }

    /// KV blocks of this replica.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Requests waiting for admission.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.hold().len()
    }

    /// Requests that hold a seat.
    pub fn running(&self) -> usize {
        self.seats()
    }

    /// Running requests whose prefill is unfinished.
    pub fn prefilling(&self) -> usize {
        self.all_members().map(|members| members.partial.len()).sum()
    }

    /// Preemptions so far.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Prompt tokens found in the prefix cache so far, at first admissions and later ones.
    pub fn hit_tokens(&self) -> u64 {
        self.hit_tokens
    }

    /// Decode steps so far, of the selected lane.
    pub fn decode_steps(&self) -> u32 {
        self.members.decodes.decode_step()
    }

    /// Which request a handle stands for.
    pub fn request_of(&self, handle: Handle) -> RequestId {
        self.slots[handle.0.index()].request
    }

    /// Whether what prompts contain is of account.
    pub(crate) fn knows_contents(&self) -> bool {
        self.options.contents
    }

    /// Completed stretches of decode steps since the last call: `(request, first decode_step,
    /// count)`.
    pub(crate) fn drain_closed_runs(&mut self) -> std::vec::Drain<'_, (RequestId, u32, u32)> {
        self.closed_runs.drain(..)
    }

    /// Frees the seats and blocks of requests whose last token has been emitted, in the order of
    /// the running list, and forgets the chunks in flight of `plan`, which is over.
    pub(crate) fn finish(&mut self, plan: &mut Plan) {
        if self.options.out.most() > 1 {
            for (slot, chunk) in plan.chunk_slots.iter().zip(&plan.chunks) {
                let slot = &mut self.slots[slot.index()];
                slot.in_flight = slot.in_flight.saturating_sub(chunk.tokens);
            }
        }
        if !plan.ending.is_empty() {
            self.end(&mut plan.ending, plan.call);
        }
    }

    /// `call` is the schedule call whose batch ends them.
    fn end(&mut self, ending: &mut [Handle], call: u64) {
        self.memory_came_free();
        ending.sort_by_key(|handle| self.slots[handle.0.index()].order);
        for &mut Handle(index) in ending {
            // Whose end nobody foresaw is in one more batch.
            let in_flight = self.phase(index) == Phase::Decode && self.members.last_decodes > call;
            match self.phase(index) {
                Phase::Decode => self.leave_decodes(index),
                Phase::Prefill => self.members.partial.retain(|&s| s != index),
                Phase::Ending | Phase::Gone | Phase::Loading | Phase::Sending => {}
                Phase::Waiting => {
                    // A step planned ahead preempted it before its EOS was known.
                    self.waiting.remove(index, rank_of(&self.slots[index.index()]));
                    self.vacant.push(index);
                    continue;
                }
            }
            let place = self.members.running.iter().position(|&s| s == index).expect("it runs");
            self.members.running.remove(place);
            self.free_blocks(index, in_flight, Leaving::ForGood);
            self.vacant.push(index);
        }
    }

    /// Ends observation: closes the runs of requests that are still decoding.
    pub(crate) fn close_all(&mut self) {
        if self.options.by_request {
            return;
        }
        for index in self.members.running.clone() {
            if self.slots[index.index()].phase == Phase::Decode {
                self.leave_decodes(index);
            }
        }
    }

    /// Why the queue's head was left waiting in the last step.
    pub(crate) fn held_back(&self) -> Option<Held> {
        self.members.batch.held
    }

    /// Whether no request is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.seats() == 0 && self.waiting() == 0
    }

    /// Requests that hold a seat or wait, oldest admission first; for saying who is stuck.
    pub(crate) fn present(&self) -> Vec<RequestId> {
        let waiting = self.hold().iter().copied().chain(self.waiting.iter());
        let running = self.all_members().flat_map(|members| members.running.iter().copied());
        let all = running.chain(waiting);
        all.map(|index| self.slots[index.index()].request).collect()
    }

    /// Checks what must hold between steps. Slow; for tests and the reference path.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let mut held = 0;
        for members in self.all_members() {
            let phase = |s: &&SlotId, phase| self.phase(**s) == phase;
            held +=
                members.running.iter().map(|&s| u64::from(self.held_of(members, s))).sum::<u64>();
            let partial = members.running.iter().filter(|s| phase(s, Phase::Prefill));
            assert!(partial.eq(members.partial.iter()), "partial prefills in running order");
            let decodes = members.running.iter().filter(|s| phase(s, Phase::Decode)).count();
            if !self.options.by_request {
                assert_eq!(decodes as u32, members.decodes.len(), "the decode set is complete");
            }
            assert!(members.running.is_sorted_by_key(|&s| self.slots[s.index()].order));
        }
        self.pool.check(held + self.held_in_transfers());
        assert!(self.waiting.iter().all(|s| self.phase(s) == Phase::Waiting));
        let present = self.seats() + self.waiting() + self.sending();
        assert_eq!(present + self.vacant.len(), self.slots.len(), "no request is lost");
    }

    fn admitted_by_arrival(&mut self) -> bool {
        if !self.members.in_arrival_order {
            let rank = |&s: &SlotId| {
                let slot = &self.slots[s.index()];
                (slot.arrival, slot.request)
            };
            self.members.in_arrival_order = self.members.running.is_sorted_by_key(rank);
        }
        self.members.in_arrival_order
    }

    fn phase(&self, index: SlotId) -> Phase {
        self.slots[index.index()].phase
    }

    #[inline]
    fn done(&self, index: SlotId) -> u32 {
        match self.phase(index) {
            Phase::Decode if !self.options.by_request => self.members.decodes.done(index),
            _ => self.slots[index.index()].done,
        }
    }

    /// Whether a request's counts are those of its decode set.
    #[inline]
    fn decodes_together(&self, index: SlotId) -> bool {
        self.phase(index) == Phase::Decode && !self.options.by_request
    }

    #[inline]
    fn view(&self, index: SlotId) -> RequestView {
        let slot = &self.slots[index.index()];
        let done = self.done(index);
        // Decodes scheduled all at once are not written into their slots.
        let in_bulk = self.members.batch.all_decodes && slot.phase == Phase::Decode;
        let scheduled = match slot.stamp == self.members.batch.stamp {
            _ if in_bulk => 1,
            true => slot.scheduled,
            false => 0,
        };
        let blocks = match in_bulk {
            true => self.held_after_token(index),
            false => self.held(index),
        };
        RequestView {
            id: slot.request,
            arrival: slot.arrival,
            prompt_tokens: slot.prompt,
            max_tokens: slot.max_tokens,
            priority: slot.priority,
            class: slot.class,
            tokens: match slot.phase {
                _ if self.options.by_request => slot.own.known,
                Phase::Decode => done + 1,
                _ => slot.target,
            },
            wanted: self.wanted(index),
            computed: done,
            prefill_target: slot.target,
            blocks,
            scheduled,
            admitted_now: slot.admitted_stamp == self.members.batch.stamp,
        }
    }

    /// Tokens that a step can compute of a request now.
    #[inline]
    fn wanted(&self, index: SlotId) -> u32 {
        let slot = &self.slots[index.index()];
        match slot.phase {
            Phase::Ending | Phase::Gone | Phase::Loading | Phase::Sending => 0,
            Phase::Waiting => slot.target - slot.done,
            _ if self.options.by_request => self.wanted_of_own(index),
            Phase::Decode => 1,
            Phase::Prefill => slot.target - slot.done,
        }
    }

    fn join_decodes(&mut self, index: SlotId) {
        let ahead = self.options.out.ahead;
        let slot = &mut self.slots[index.index()];
        let in_flight = ahead && slot.stamp == self.members.batch.stamp;
        slot.known_at_join = if in_flight { slot.chunk_from } else { slot.done };
        slot.phase = Phase::Decode;
        if let Some(kept) = &mut self.outlook {
            kept.join(index);
        }
        let most = u64::from(slot.prompt) + u64::from(slot.max_tokens);
        self.members.decodes.join(Joining {
            slot: index,
            order: slot.order,
            done: slot.done,
            left: slot.left,
            blocks: slot.length,
            grows: u64::from(slot.length) * u64::from(self.options.block_tokens) < most,
        });
        if let Some(trims) = &mut self.members.trims {
            let decode_step = self.members.decodes.decode_step();
            trims.join(index, decode_step, self.slots[index.index()].done);
        }
    }

    /// Takes a request out of the decode set and settles its own counts. Its phase is the caller's.
    fn leave_decodes(&mut self, index: SlotId) {
        self.leave_set(index, false);
    }

    /// The same; where it comes to its `end` it gets one token more, of the batch being committed.
    fn leave_set(&mut self, index: SlotId, end: bool) {
        let (length, trimmed_at) = (self.length(index), self.trimmed_at(&self.members, index));
        let decode_step = self.members.decodes.decode_step();
        let leaving = self.members.decodes.leave(index);
        if let Some(kept) = &mut self.outlook {
            match end {
                true => kept.leave_after(index),
                false => kept.leave(self.selected.index(), index),
            }
        }
        if let Some(trims) = &mut self.members.trims {
            trims.leave(index, decode_step, leaving.done);
        }
        let slot = &mut self.slots[index.index()];
        slot.decoded = leaving.done > slot.done;
        slot.done = leaving.done;
        slot.left = leaving.left;
        slot.length = length;
        slot.trimmed_at = trimmed_at;
        if let Some((first, count)) = leaving.emitted {
            self.closed_runs.push((slot.request, first, count));
        }
    }
}

fn rank_of(slot: &Slot) -> Rank {
    (slot.priority, slot.arrival, slot.request)
}
