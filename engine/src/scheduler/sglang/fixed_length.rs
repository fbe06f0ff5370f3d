//! Admission of requests that ignore stop tokens where nothing is cached: does memory last until
//! each ends (`add_one_req_ignore_eos`)?

use super::machine::Machine;
use super::prefill::Verdict;
use super::request::{CLIP, Rid};

impl Machine {
    pub(super) fn add_fixed_length(&mut self, rid: Rid) -> Verdict {
        let req = self.req(rid);
        let (extend, most) = (req.len() - req.prefix, req.max_new.min(CLIP));
        let extra = if self.rules.page_a_request { i64::from(self.set.page_size) } else { 0 };
        let need = self.memory.ceil(extend) + extra;
        if need as f64 > self.left().min(self.left_now() as f64) {
            return Verdict::NoMemory;
        }
        self.note_state(rid);
        if !self.lasts(self.left_now() - need) {
            return Verdict::NoMemory;
        }
        let extend = i64::from(extend);
        let cut = self.chunk_left().filter(|&left| extend > left);
        match cut {
            Some(left) if left <= 0 => return Verdict::Spent,
            Some(left) => self.admit(rid, left, true, most),
            None => self.admit(rid, extend, false, most),
        }
        self.verdict_now()
    }

    /// Tokens that a request is still expected to get, and those whose memory it gives back then.
    fn fixed_state(&self, rid: Rid) -> Option<(f64, f64)> {
        let req = self.req(rid);
        let ratio = if req.ignore_eos { 1.0 } else { self.ratio.now };
        let left = f64::from(req.max_new) * ratio - f64::from(req.out);
        (left > 0.0).then_some((left, f64::from(req.len())))
    }

    /// Adds a request to those whose ends are looked at: at first with all who run or were picked.
    fn note_state(&mut self, rid: Rid) {
        let Some(mut states) = self.pass.states.take() else {
            let all = [rid].into_iter();
            let all = all.chain(self.running.reqs.iter().copied());
            let all = all.chain(self.pass.picked.iter().copied());
            let mut states: Vec<_> = all.filter_map(|rid| self.fixed_state(rid)).collect();
            states.sort_by(|one, other| one.0.total_cmp(&other.0));
            self.pass.states = Some(states);
            return;
        };
        if let Some(state) = self.fixed_state(rid) {
            // One that is longer than all goes before the longest: SGLang's own slip.
            let last = states.len().saturating_sub(1);
            let place = states.iter().position(|other| state.0 <= other.0).unwrap_or(last);
            states.insert(place, state);
        }
        self.pass.states = Some(states);
    }

    fn lasts(&self, room: i64) -> bool {
        let states = self.pass.states.as_deref().unwrap_or_default();
        let mut freed = 0.0;
        for (at, &(left, occupied)) in states.iter().enumerate() {
            let going = (states.len() - at) as f64;
            if room as f64 + freed - left * going <= going {
                return false;
            }
            freed += occupied;
        }
        true
    }
}
