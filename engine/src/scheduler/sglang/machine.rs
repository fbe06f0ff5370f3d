//! SGLang's scheduler by itself: turns of its loop on requests of its own, without a replica and
//! without time.
//!
//! A turn takes arrivals, forms a batch and launches it; its result is processed before the next
//! turn, or with overlap before the one after that. Whoever drives the machine says when results are
//! there ([`process`](Machine::process)).

use std::collections::VecDeque;

use super::batch::{Batch, Entry, Kind, Last, Outcome, Running};
use super::memory::Memory;
use super::prefill::Pass;
use super::ratio::NewTokenRatio;
use super::request::{Arrival, Req, Rid};
use super::settings::{Rules, SgLangSettings};
use crate::kv::radix::RadixTree;
use crate::replica::{Handle, Held};

/// A scheduler of SGLang's and its memory.
#[derive(Debug)]
pub(super) struct Machine {
    pub set: SgLangSettings,
    pub rules: Rules,
    /// Whether a turn's result is processed a turn later.
    pub overlap: bool,
    pub mixed: bool,
    pub preempts: bool,
    pub memory: Memory,
    /// Rows of the table of running requests that are free.
    pub rows: u32,
    pub ratio: NewTokenRatio,
    /// Whether the last turn found nothing at all.
    idle: bool,
    pub reqs: Vec<Req>,
    vacant: Vec<Rid>,
    pub waiting: VecDeque<Rid>,
    pub running: Running,
    pub last: Last,
    /// The request whose cut prompt is carried on.
    pub chunked: Option<Rid>,
    /// Turns without a prefill that are left.
    pub deferred: u32,
    /// Whether the turn had no batch and changed what the next may do all the same.
    pub unsettled: bool,
    /// Launched and not processed, the oldest first.
    pub in_flight: VecDeque<Batch>,
    /// Passes that looked at a queue.
    pub passes: u64,
    arrivals: u64,
    entries: u64,
    pub turns: u64,
    /// Of the turn: who was retracted, whom priorities preempted, why the queue's head waits.
    pub retracted: Vec<Rid>,
    pub preempted: Vec<Rid>,
    pub held: Option<Held>,
    /// Why the running list is full.
    pub full_for: Held,
    /// Of the last batch processed: what became of its entries, and who ended.
    pub outcomes: Vec<Outcome>,
    pub ended: Vec<Rid>,
    /// Scratch of the prefill pass.
    pub pass: Pass,
    spare: Vec<Vec<Entry>>,
}

impl Machine {
    pub(super) fn new(set: SgLangSettings, overlap: bool) -> Machine {
        let mixed = set.enable_mixed_chunk && set.chunked_prefill_size.is_some();
        Machine {
            rules: Rules::of(set.version),
            overlap,
            mixed,
            preempts: set.enable_priority_scheduling && !set.disable_priority_preemption,
            memory: Memory::new(set.kv_tokens, set.page_size, !set.disable_radix_cache),
            rows: set.max_running_requests,
            ratio: NewTokenRatio::new(set.schedule_conservativeness),
            idle: false,
            reqs: Vec::new(),
            vacant: Vec::new(),
            waiting: VecDeque::new(),
            running: Running::default(),
            last: Last::Nothing,
            chunked: None,
            deferred: 0,
            unsettled: false,
            in_flight: VecDeque::new(),
            passes: 0,
            arrivals: 0,
            entries: 0,
            turns: 0,
            retracted: Vec::new(),
            preempted: Vec::new(),
            held: None,
            full_for: Held::NoKvBlocks,
            outcomes: Vec::new(),
            ended: Vec::new(),
            pass: Pass::default(),
            spare: Vec::new(),
            set,
        }
    }

    pub(super) fn req(&self, rid: Rid) -> &Req {
        &self.reqs[rid.0 as usize]
    }

    pub(super) fn req_mut(&mut self, rid: Rid) -> &mut Req {
        &mut self.reqs[rid.0 as usize]
    }

    pub(super) fn handle(&self, rid: Rid) -> Handle {
        self.req(rid).handle
    }

    /// Puts a request into the queue.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Rid {
        let longest = self.set.longest_answer(arrival.prompt, arrival.max_tokens);
        let req = Req {
            handle: arrival.handle,
            text: arrival.text,
            prompt: arrival.prompt,
            out: 0,
            max_new: u32::try_from(longest).unwrap_or(1).max(1),
            ignore_eos: arrival.ignore_eos,
            priority: arrival.priority.unwrap_or(i64::MIN),
            number: self.arrivals,
            entered: 0,
            finished: false,
            retracted: false,
            recomputes: false,
            has_row: false,
            prefix: 0,
            end: 0,
            protected: 0,
            allocated: 0,
            node: RadixTree::ROOT,
            lock: None,
            matched: 0,
            seen: 0,
            middle: 0,
            in_flight: 0,
            gone: false,
        };
        self.arrivals += 1;
        let rid = match self.vacant.pop() {
            Some(rid) => {
                *self.req_mut(rid) = req;
                rid
            }
            None => {
                self.reqs.push(req);
                Rid(u32::try_from(self.reqs.len() - 1).expect("fewer requests than 2^32"))
            }
        };
        self.enqueue(rid);
        rid
    }

    /// To the queue's end, as if it came now.
    pub(super) fn enqueue(&mut self, rid: Rid) {
        self.entries += 1;
        self.req_mut(rid).entered = self.entries;
        self.waiting.push_back(rid);
    }

    /// One turn up to its launch. Says what its batch does, if there is one; it is the last of
    /// `in_flight`.
    pub(super) fn turn(&mut self) -> Option<Kind> {
        self.retracted.clear();
        self.preempted.clear();
        self.held = None;
        // The turn before found nothing at all to do.
        if std::mem::take(&mut self.idle) {
            self.ratio.restart();
        }
        let nothing_before = matches!(self.last, Last::Nothing);
        self.take_over_last();
        if self.rules.drops_at_start {
            self.drop_finished();
        }
        let mut batch = None;
        self.unsettled = false;
        if self.is_deferred() {
            self.unsettled = true;
            self.held = Some(if self.running.full { self.full_for } else { Held::Deferred });
        } else {
            batch = self.prefill();
        }
        if batch.is_none() && !self.running.reqs.is_empty() {
            batch = self.decode();
        }
        if batch.as_ref().is_some_and(|batch| batch.kind != Kind::Decode)
            && self.set.prefill_decode_interval > 0
        {
            self.deferred = self.set.prefill_decode_interval;
        }
        let kind = batch.as_ref().map(|batch| batch.kind);
        if kind.is_none() {
            self.last = Last::Nothing;
            self.idle = (!self.overlap || nothing_before) && self.is_idle();
        }
        if let Some(batch) = batch {
            for entry in &batch.entries {
                self.reqs[entry.req.0 as usize].in_flight += 1;
            }
            self.in_flight.push_back(batch);
        }
        self.turns += 1;
        kind
    }

    /// What the turn before launched becomes part of what runs.
    fn take_over_last(&mut self) {
        if let Some(rid) = self.chunked {
            let Req { prefix, end, .. } = *self.req(rid);
            if end > prefix {
                self.publish(rid, end);
                self.req_mut(rid).prefix = end;
            }
        }
        let Last::Extend { mut reqs, chunked } = std::mem::take(&mut self.last) else { return };
        let before = reqs.len();
        let apart = [self.chunked, chunked];
        reqs.retain(|&rid| !apart.contains(&Some(rid)));
        self.drop_finished_of(&mut reqs);
        if reqs.len() < before {
            self.running.full = false;
        }
        if self.running.reqs.is_empty() {
            if !reqs.is_empty() {
                // The batch becomes the running list, and its own flag with it.
                self.running = Running { reqs, full: false };
            }
        } else {
            self.running.reqs.append(&mut reqs);
        }
    }

    /// Takes finished requests out of the running list; whether there were any.
    pub(super) fn drop_finished(&mut self) -> bool {
        let mut reqs = std::mem::take(&mut self.running.reqs);
        let before = reqs.len();
        self.drop_finished_of(&mut reqs);
        let dropped = reqs.len() < before;
        self.running.reqs = reqs;
        self.running.full &= !dropped;
        dropped
    }

    fn drop_finished_of(&mut self, list: &mut Vec<Rid>) {
        list.retain(|&rid| {
            let finished = self.reqs[rid.0 as usize].finished;
            if finished {
                self.leaves_list(rid);
            }
            !finished
        });
    }

    /// A request is in no list any more; its place can be used again once nothing of it is in
    /// flight.
    pub(super) fn leaves_list(&mut self, rid: Rid) {
        self.req_mut(rid).gone = true;
        self.vacate(rid);
    }

    fn vacate(&mut self, rid: Rid) {
        let req = self.req_mut(rid);
        if req.gone && req.finished && req.in_flight == 0 {
            req.gone = false;
            self.vacant.push(rid);
        }
    }

    /// Whether this turn has no prefill, as one of those after a prefill.
    pub(super) fn is_deferred(&mut self) -> bool {
        let few = self.running.reqs.len() < self.set.prefill_decode_interval_min_bs as usize;
        if self.deferred == 0 || few {
            self.deferred = 0;
            return false;
        }
        self.deferred -= 1;
        true
    }

    fn is_idle(&self) -> bool {
        self.running.reqs.is_empty()
            && self.chunked.is_none()
            && self.in_flight.is_empty()
            && self.waiting.is_empty()
    }

    /// The result of the oldest batch in flight is there; `ended` says who of those that got a token
    /// ended with it, other than by their longest answer. Who ended is in `self.ended`.
    pub(super) fn process(&mut self, ended: impl Fn(&Req) -> bool) -> Option<u64> {
        self.outcomes.clear();
        self.ended.clear();
        let Batch { turn, kind, entries } = self.in_flight.pop_front()?;
        for entry in &entries {
            let outcome = self.process_entry(entry, kind, &ended);
            self.outcomes.push(outcome);
            self.req_mut(entry.req).in_flight -= 1;
            self.vacate(entry.req);
        }
        self.spare.push(entries);
        Some(turn)
    }

    fn process_entry(
        &mut self,
        entry: &Entry,
        kind: Kind,
        ended: impl Fn(&Req) -> bool,
    ) -> Outcome {
        let rid = entry.req;
        let req = &mut self.reqs[rid.0 as usize];
        let over = req.finished && (kind == Kind::Decode || req.middle == 0);
        if over || req.retracted {
            return if req.finished { Outcome::Ignored } else { Outcome::Dropped };
        }
        if req.middle > 0 {
            req.middle -= 1;
            return Outcome::Nothing;
        }
        req.out += 1;
        if req.out >= req.max_new || ended(req) {
            req.finished = true;
            self.release(rid, true);
            self.ended.push(rid);
        } else if entry.prefill {
            let end = req.end;
            self.publish(rid, end.min(entry.before + entry.tokens));
            self.req_mut(rid).prefix = end;
        }
        Outcome::Token
    }

    pub(super) fn entries(&mut self) -> Vec<Entry> {
        let mut entries = self.spare.pop().unwrap_or_default();
        entries.clear();
        entries
    }
}
