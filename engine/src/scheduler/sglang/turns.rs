//! SGLang's loop turn by turn, with everything that can be compared with the real system's.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::{Entry, Kind, Outcome};
use super::machine::Machine;
use super::request::{Arrival, Rid};
use super::settings::SgLangSettings;
use crate::ids::SlotId;
use crate::kv::radix::Text;
use crate::replica::Handle;

/// A scheduler that is played turn by turn, without a replica.
#[derive(Debug)]
pub struct SgLangTurns {
    machine: Machine,
    /// The turns whose batches are in flight.
    launched: VecDeque<u64>,
}

/// One entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnEntry {
    /// Whose.
    pub request: u32,
    /// Tokens computed.
    pub tokens: u32,
    /// Tokens computed before, hits included.
    pub computed_before: u32,
    /// Whether they are of a prompt.
    pub prefill: bool,
    /// Cached tokens, where it is admitted here.
    pub hit: Option<u32>,
    /// Whether its prompt is cut.
    pub chunk: bool,
    /// Whether it was retracted before.
    pub recompute: bool,
}

/// What one turn did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TurnRecord {
    /// What its batch does, where there is one.
    pub kind: Option<Kind>,
    /// The batch in order.
    pub scheduled: Vec<TurnEntry>,
    /// After planning: the queue.
    pub waiting: Vec<u32>,
    /// After planning: the list that decodes.
    pub running: Vec<u32>,
    /// After planning: `batch_is_full`.
    pub full: bool,
    /// After planning: whose prompt is carried.
    pub chunked: Option<u32>,
    /// Whom it retracted.
    pub retracted: Vec<u32>,
    /// Whom it preempted for more urgent requests.
    pub preempted: Vec<u32>,
    /// After planning.
    pub new_token_ratio: f64,
    /// After planning.
    pub free_tokens: i64,
    /// After planning.
    pub evictable_tokens: u64,
    /// Turns without a prefill that are left.
    pub deferred: u32,
    /// The turn whose result it processed.
    pub processed: Option<u64>,
    /// What became of that batch's entries, in order.
    pub outcomes: Vec<Outcome>,
    /// Who ended with it.
    pub finished: Vec<u32>,
    /// At the turn's end.
    pub num_waiting: usize,
    /// Requests that hold memory, at the turn's end.
    pub num_running: u32,
    /// At the turn's end.
    pub free_tokens_end: i64,
    /// At the turn's end.
    pub evictable_tokens_end: u64,
    /// Whether the real system would have run out of memory by now.
    pub out_of_memory: bool,
}

impl SgLangTurns {
    /// Nobody is there yet.
    pub fn new(settings: SgLangSettings, overlap: bool) -> SgLangTurns {
        SgLangTurns { machine: Machine::new(settings, overlap), launched: VecDeque::new() }
    }

    /// A request arrives: its number, prompt and longest answer in tokens, its priority (larger is
    /// more urgent), whether it ignores stop tokens, and what its tokens are.
    pub fn arrive(
        &mut self,
        request: u32,
        (prompt, max_tokens): (u32, u32),
        priority: Option<i64>,
        ignore_eos: bool,
        text: Arc<Text>,
    ) {
        let handle = Handle(SlotId(request));
        let arrival = Arrival::new(handle, prompt, max_tokens, text);
        self.machine.arrive(Arrival { priority, ignore_eos, ..arrival });
    }

    /// Turn number `turn`. `stops` says of a request with so many output tokens whether it ends with
    /// the last of them, before its longest answer.
    pub fn turn(&mut self, turn: u64, stops: impl Fn(u32, u32) -> bool) -> TurnRecord {
        let machine = &mut self.machine;
        let kind = machine.turn();
        let number = |machine: &Machine, rid: Rid| machine.handle(rid).0.0;
        let numbers = |machine: &Machine, rids: &[Rid]| -> Vec<u32> {
            rids.iter().map(|&rid| number(machine, rid)).collect()
        };
        let entry = |entry: &Entry| TurnEntry {
            request: number(machine, entry.req),
            tokens: entry.tokens,
            computed_before: entry.before,
            prefill: entry.prefill,
            hit: entry.fresh.then_some(entry.before),
            chunk: entry.chunk,
            recompute: entry.recompute,
        };
        let batch = machine.in_flight.back().filter(|_| kind.is_some());
        let mut record = TurnRecord {
            kind,
            scheduled: batch.map_or(Vec::new(), |batch| batch.entries.iter().map(entry).collect()),
            waiting: machine.waiting.iter().map(|&rid| number(machine, rid)).collect(),
            running: numbers(machine, &machine.running.reqs),
            full: machine.running.full,
            chunked: machine.chunked.map(|rid| number(machine, rid)),
            retracted: numbers(machine, &machine.retracted),
            preempted: numbers(machine, &machine.preempted),
            new_token_ratio: machine.ratio.now,
            free_tokens: machine.memory.free,
            evictable_tokens: machine.memory.tree.idle(),
            deferred: machine.deferred,
            processed: None,
            outcomes: Vec::new(),
            finished: Vec::new(),
            num_waiting: 0,
            num_running: 0,
            free_tokens_end: 0,
            evictable_tokens_end: 0,
            out_of_memory: false,
        };
        if kind.is_some() {
            self.launched.push_back(turn);
        }
        let due = self.launched.front().is_some_and(|&front| !machine.overlap || front < turn);
        if due {
            record.processed = self.launched.pop_front();
            machine.process(|req| stops(req.handle.0.0, req.out));
            record.outcomes.clone_from(&machine.outcomes);
            record.finished = numbers(machine, &machine.ended);
        }
        record.num_waiting = machine.waiting.len();
        record.num_running = machine.set.max_running_requests - machine.rows;
        record.free_tokens_end = machine.memory.free;
        record.evictable_tokens_end = machine.memory.tree.idle();
        record.out_of_memory = machine.memory.overdrawn > 0;
        record
    }
}
