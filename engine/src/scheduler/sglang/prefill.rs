//! The prefill pass: who joins the next batch of prompts, and with how many tokens
//! (`PrefillAdder`, `_get_new_batch_prefill_raw`).

use super::batch::{Batch, Entry, Kind, Last};
use super::machine::Machine;
use super::request::{CLIP, Rid};
use crate::replica::Held;

/// What one pass has done so far, and what it may still take, in tokens.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub picked: Vec<Rid>,
    /// Rows that picked requests hold already.
    rows_of_picked: u32,
    new_chunked: Option<Rid>,
    /// Memory spoken for: by running requests in expectation, and by those picked.
    pub reserved: f64,
    /// Memory that this pass takes.
    taken: i64,
    input_left: i64,
    chunk_left: Option<i64>,
    /// See `fixed_length`.
    pub states: Option<Vec<(f64, f64)>>,
}

/// Whether a pass goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With the next request.
    GoesOn,
    /// Memory is used up.
    NoMemory,
    /// The batch has enough tokens, or requests.
    Spent,
}

impl Machine {
    /// Forms a batch of prompts, if there is one.
    pub(super) fn prefill(&mut self) -> Option<Batch> {
        if self.preempts || self.running.reqs.is_empty() {
            self.running.full = false;
        }
        if self.chunked.is_none() {
            if self.waiting.is_empty() {
                return None;
            }
            if self.running.full {
                self.held = Some(self.full_for);
                return None;
            }
            if self.seats(0) == 0 && !self.preempts {
                self.is_full(Held::NoSeat);
                return None;
            }
        }
        self.sort();
        self.begin_pass();
        if let Some(rid) = self.chunked
            && !self.go_on(rid)
        {
            self.chunked = None;
        }
        let queued = self.pick();
        let preempted = std::mem::take(&mut self.preempted);
        if !self.pass.picked.is_empty() {
            self.waiting.drain(..queued);
        }
        preempted.iter().for_each(|&rid| self.enqueue(rid));
        self.preempted = preempted;
        if self.pass.picked.is_empty() {
            return None;
        }
        if self.pass.new_chunked.is_some() {
            self.chunked = self.pass.new_chunked;
        }
        if let Some(rid) = self.chunked {
            self.req_mut(rid).middle += 1;
        }
        Some(self.launch())
    }

    fn begin_pass(&mut self) {
        let mixed = if self.mixed { self.running.reqs.len() as i64 } else { 0 };
        let expected: f64 = self.running.reqs.iter().map(|&rid| self.expected(rid)).sum();
        let picked = std::mem::take(&mut self.pass.picked);
        self.pass = Pass {
            picked,
            rows_of_picked: 0,
            new_chunked: None,
            reserved: mixed as f64 + expected,
            taken: mixed,
            input_left: i64::from(self.set.max_prefill_tokens) - mixed,
            chunk_left: self.set.chunked_prefill_size.map(|chunk| i64::from(chunk) - mixed),
            states: None,
        };
        self.pass.picked.clear();
    }

    /// Output that a running request is expected to need memory for.
    pub(super) fn expected(&self, rid: Rid) -> f64 {
        let req = self.req(rid);
        let ratio = if req.ignore_eos { 1.0 } else { self.ratio.now };
        f64::from(req.to_come().min(CLIP)) * ratio
    }

    /// Memory that is not spoken for.
    pub(super) fn left(&self) -> f64 {
        self.memory.available() as f64 - self.pass.reserved
    }

    pub(super) fn left_now(&self) -> i64 {
        self.memory.available() - self.pass.taken
    }

    fn state(&self) -> Verdict {
        if self.left() <= 0.0 || self.left_now() <= 0 {
            return Verdict::NoMemory;
        }
        let pass = &self.pass;
        match pass.input_left <= 0 || pass.chunk_left.is_some_and(|left| left <= 0) {
            true => Verdict::Spent,
            false => Verdict::GoesOn,
        }
    }

    /// Seats that are free beside those picked, of which so many hold rows.
    fn seats(&self, rows_of_picked: u32) -> usize {
        let seats = self.set.max_running_requests as usize;
        let rows = (self.rows + rows_of_picked) as usize;
        seats.saturating_sub(self.running.reqs.len()).min(rows)
    }

    pub(super) fn is_full(&mut self, why: Held) {
        if !self.running.full {
            self.full_for = why;
        }
        self.running.full = true;
        self.held = Some(self.full_for);
    }

    /// The next part of the prompt that is carried; whether it is still not all. Memory is not asked
    /// for: where there is none the whole chunk is taken.
    fn go_on(&mut self, rid: Rid) -> bool {
        let chunk = self.pass.chunk_left.unwrap_or(i64::MAX);
        let left = self.left();
        let within = if left < chunk as f64 { left as i64 } else { chunk };
        let within = if within <= 0 { chunk } else { within };
        // With more decodes in a mixed batch than its chunk has tokens the real system fails.
        let within = within.max(1);
        let req = self.req_mut(rid);
        let rest = i64::from(req.len() - req.prefix);
        let tokens = rest.min(within);
        req.end = req.prefix + tokens as u32;
        let (cut, most) = (rest > within, req.max_new.min(CLIP));
        self.pass.rows_of_picked += u32::from(req.has_row);
        self.pass.picked.push(rid);
        self.charge(tokens, if cut { 0 } else { most });
        cut
    }

    /// Admits from the queue's head on; says how many.
    fn pick(&mut self) -> usize {
        let mut queued = 0;
        while let Some(&rid) = self.waiting.get(queued) {
            if self.state() == Verdict::Spent {
                self.held = Some(Held::NoTokenBudget);
                break;
            }
            if self.pass.picked.len() >= self.seats(self.pass.rows_of_picked) {
                self.is_full(Held::NoSeat);
            }
            if self.running.full && !(self.preempts && self.preempt_for(rid)) {
                self.held = Some(self.full_for);
                break;
            }
            let req = self.req_mut(rid);
            req.seen = req.len();
            let most = req.seen - 1;
            self.look_up(rid, most);
            let req = self.req_mut(rid);
            req.protected = req.prefix;
            let before = self.pass.picked.len();
            let verdict = self.add(rid);
            queued += self.pass.picked.len() - before;
            match verdict {
                Verdict::GoesOn => continue,
                Verdict::NoMemory => {
                    let others = !self.pass.picked.is_empty() || !self.running.reqs.is_empty();
                    self.held = Some(Held::NoKvBlocks);
                    if others {
                        self.is_full(Held::NoKvBlocks);
                    } else {
                        self.running.full = false;
                    }
                }
                Verdict::Spent => self.held = Some(Held::NoTokenBudget),
            }
            break;
        }
        queued
    }

    /// Admits a request, if it may be, and says whether the pass goes on.
    fn add(&mut self, rid: Rid) -> Verdict {
        let most = self.set.prefill_max_requests;
        if most.is_some_and(|most| self.pass.picked.len() >= most as usize) {
            return Verdict::Spent;
        }
        if self.req(rid).ignore_eos && !self.memory.caches {
            return self.add_fixed_length(rid);
        }
        let node = self.req(rid).node;
        self.memory.tree.lock(node);
        let verdict = self.add_locked(rid);
        self.memory.tree.unlock(node);
        verdict.unwrap_or_else(|| self.state())
    }

    /// The same while its hit is held; `None` where it was admitted.
    fn add_locked(&mut self, rid: Rid) -> Option<Verdict> {
        let page = i64::from(self.set.page_size);
        let req = self.req(rid);
        let (node, prefix) = (req.node, i64::from(req.prefix));
        let extend = req.len() - req.prefix;
        let (to_come, most) = (req.to_come().min(CLIP), req.max_new.min(CLIP));
        let extra = if self.rules.page_a_request { page } else { 0 };
        if (i64::from(extend) + i64::from(to_come) + extra) as f64 >= self.left() {
            return Some(Verdict::NoMemory);
        }
        let pages = self.memory.ceil(extend);
        let capped = self.pass.chunk_left.is_none() || !self.rules.chunks_ignore_input_cap;
        if capped && !self.pass.picked.is_empty() && pages >= self.pass.input_left {
            return Some(Verdict::Spent);
        }
        let cut = self.pass.chunk_left.filter(|&left| pages > left);
        let tokens = match cut {
            Some(left) => (prefix + left.max(0) / page * page) / page * page - prefix,
            None => i64::from(extend),
        };
        if tokens <= 0 {
            return Some(Verdict::Spent);
        }
        self.memory.tree.lock(node);
        let req = self.req_mut(rid);
        req.lock = Some(node);
        self.admit(rid, tokens, cut.is_some(), most);
        None
    }

    pub(super) fn admit(&mut self, rid: Rid, tokens: i64, cut: bool, most: u32) {
        let req = self.req_mut(rid);
        req.end = req.prefix + tokens as u32;
        self.pass.picked.push(rid);
        if cut {
            self.pass.new_chunked = Some(rid);
        }
        self.charge(tokens, if cut { 0 } else { most });
    }

    fn charge(&mut self, tokens: i64, answer: u32) {
        let tokens = self.memory.ceil(tokens as u32);
        let extra = if self.rules.page_a_request { i64::from(self.set.page_size) } else { 0 };
        let pass = &mut self.pass;
        pass.reserved += (tokens + extra + i64::from(answer)) as f64;
        pass.taken += tokens + extra;
        pass.input_left -= tokens;
        if let Some(left) = &mut pass.chunk_left {
            *left -= tokens;
        }
    }

    /// What is left of the chunk, for the rule without a prefix cache.
    pub(super) fn chunk_left(&self) -> Option<i64> {
        self.pass.chunk_left
    }

    pub(super) fn verdict_now(&self) -> Verdict {
        self.state()
    }

    /// The batch of those picked, with memory, and in mixed batches with the decodes after them.
    fn launch(&mut self) -> Batch {
        let picked = std::mem::take(&mut self.pass.picked);
        let tokens = |rid: &Rid| i64::from(self.req(*rid).end - self.req(*rid).prefix);
        let page = i64::from(self.set.page_size);
        let more = if page > 1 { page * picked.len() as i64 } else { 0 };
        let wanted = picked.iter().map(tokens).sum::<i64>() + more;
        self.memory.evict(wanted);
        let mut entries = self.entries();
        for &rid in &picked {
            let chunk = self.chunked == Some(rid);
            let req = self.req_mut(rid);
            let fresh = !std::mem::replace(&mut req.has_row, true);
            let (from, to) = (req.prefix, req.end);
            req.allocated = to;
            req.retracted = false;
            let recompute = req.recomputes;
            let tokens = to - from;
            entries.push(Entry {
                req: rid,
                tokens,
                before: from,
                prefill: true,
                fresh,
                chunk,
                recompute,
            });
            self.rows -= u32::from(fresh);
            self.take_tokens(from, to);
        }
        let mut reqs = picked.clone();
        self.pass.picked = picked;
        let mut kind = Kind::Extend;
        if self.mixed && !self.running.reqs.is_empty() && self.decodes_beside(&mut entries) {
            kind = Kind::Mixed;
            reqs.append(&mut self.running.reqs);
        }
        self.last = Last::Extend { reqs, chunked: self.chunked };
        Batch { turn: self.turns, kind, entries }
    }

    /// Adds a token for each that runs to a batch of prompts; whether anybody decodes in it. Where
    /// memory is short they sit it out.
    fn decodes_beside(&mut self, entries: &mut Vec<Entry>) -> bool {
        let ending = self.leave_out_ending();
        self.drop_finished();
        self.running.full &= ending == 0;
        if self.running.reqs.is_empty() {
            return false;
        }
        if self.rules.checks_mixed_decodes && !self.decodes_fit() {
            return false;
        }
        self.take_decodes(entries);
        true
    }
}
