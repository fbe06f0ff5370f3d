//! When tokens were late, and why: time beyond the deadlines' pace by cause, over the run.

use rustc_hash::FxHashMap;

use super::cause::{CAUSES, Split};
use super::index::Index;
use super::misses::beyond;
use super::visit::{Gap, Visit};
use crate::ids::DecodeStepNo;
use crate::metrics::Options;
use crate::time::{Span, Time};
use crate::trace::{Run, Status};

/// Lateness in equal parts of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct LatenessOverTime {
    /// Start of the first part.
    pub from: Time,
    /// Length of each.
    pub width: Span,
    /// Nanoseconds beyond the deadlines' pace, summed over requests, by cause.
    pub parts: Vec<[f64; CAUSES]>,
}

/// Every gap that goes beyond its deadline's pace (`D_p` for the first token, `D_d` later) is
/// counted in the part where its token came, with what it takes beyond, shared among its causes as
/// misses are.
pub fn lateness_over_time(index: &Index<'_>, options: &Options, parts: usize) -> LatenessOverTime {
    let trace = index.trace();
    let first = trace.requests.iter().map(|row| row.arrival).min().unwrap_or(Time::ZERO);
    let last = trace.columns.iter().filter_map(|column| column.times.last()).max();
    let last = last.copied().unwrap_or(first).max(trace.end).max(first);
    let width = (last.since(first).as_nanos() / parts.max(1) as u64).max(1) + 1;
    let mut sum = Sums { from: first, width, parts: vec![[0.0; CAUSES]; parts.max(1)] };
    // By lane and deadline: change in the number of requests that span the gap before a decode
    // step.
    let mut spanned: Vec<FxHashMap<u64, Vec<i32>>> =
        index.lanes.iter().map(|_| FxHashMap::default()).collect();
    for request in index.requests() {
        let row = &trace.requests[request.index()];
        if row.status == Status::Rejected {
            continue;
        }
        let deadlines = options.deadlines_of(row.class);
        let tbt = deadlines.tbt().as_nanos();
        let first = options.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens).as_nanos());
        let spanned = &mut spanned[..];
        index.walk(request, &mut Late { index, tbt, first, spanned, sum: &mut sum });
    }
    for (lane, by_deadline) in index.lanes.iter().zip(spanned) {
        let mut by_deadline: Vec<(u64, Vec<i32>)> = by_deadline.into_iter().collect();
        by_deadline.sort_unstable_by_key(|(tbt, _)| *tbt);
        for (tbt, steps) in by_deadline {
            let mut requests = 0;
            for (decode_step, step) in
                DecodeStepNo::each(lane.decode_steps.numbers()).zip(&steps).skip(1)
            {
                requests += step;
                let (before, at) = lane.decode_step_gap(decode_step);
                let (from, to) = (lane.log.end(before), lane.log.end(at));
                if requests <= 0 || to.since(from).as_nanos() <= tbt {
                    continue;
                }
                let split = lane.decode_step(decode_step);
                sum.add(&split, to.since(from), to, tbt, f64::from(requests));
            }
        }
    }
    LatenessOverTime { from: first, width: Span::from_nanos(width), parts: sum.parts }
}

struct Sums {
    from: Time,
    width: u64,
    parts: Vec<[f64; CAUSES]>,
}

impl Sums {
    fn add(&mut self, split: &Split, gap: Span, at: Time, pace: u64, requests: f64) {
        let over = (gap.as_nanos() - pace) as f64 * requests;
        let part = (at.since(self.from).as_nanos() / self.width) as usize;
        let last = self.parts.len() - 1;
        for (sum, share) in self.parts[part.min(last)].iter_mut().zip(beyond(split, pace)) {
            *sum += over * share;
        }
    }
}

struct Late<'l, 'a> {
    index: &'l Index<'a>,
    tbt: u64,
    first: Option<u64>,
    /// By lane and deadline.
    spanned: &'l mut [FxHashMap<u64, Vec<i32>>],
    sum: &'l mut Sums,
}

impl Visit for Late<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        let Some(pace) = gap.pace(self.first, self.tbt) else { return };
        let took = gap.to.since(gap.from);
        if took.as_nanos() > pace {
            self.sum.add(&gap.split, took, gap.to, pace, 1.0);
        }
    }

    fn decode_steps(&mut self, _: u32, run: Run) {
        let Some(lane) = self.index.trace().steps_of(run) else { return };
        let decode_steps = self.index.lanes[lane.index()].decode_steps.len();
        let by_deadline = &mut self.spanned[lane.index()];
        let steps = by_deadline.entry(self.tbt).or_insert_with(|| vec![0; decode_steps + 1]);
        steps[run.first as usize + 1] += 1;
        steps[(run.first + run.len) as usize] -= 1;
    }
}
