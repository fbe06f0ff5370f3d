//! Missed deadlines, charged to causes.
//!
//! A late token's misses are charged to the causes of the gap before it, in proportion to what
//! each takes beyond the deadline's pace: the pace pays for the work that is there in every
//! iteration first, and what is left of it for the other causes in proportion. A request's
//! charges are whole numbers that add up to its misses.

use super::apportion::apportion;
use super::cause::{CAUSES, Cause, Split};
use super::index::Index;
use super::lane::{DECODING, LaneColumns};
use super::visit::{Gap, Visit};
use crate::ids::{DecodeStepNo, LaneId};
use crate::metrics::forest::Forest;
use crate::metrics::lateness::Lateness;
use crate::metrics::{Options, counted};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{RequestRow, Run, Status};

/// What misses of a run are charged to.
pub struct Misses<'m, 'a> {
    index: &'m Index<'a>,
    options: &'m Options,
    /// For each deadline that occurs, one chain a lane.
    chains: Vec<(u64, Vec<Option<Chain<'a>>>)>,
    /// Row r: whether all tokens of request r are there by their deadlines, as far as can be seen
    /// without splitting gaps.
    in_time: Vec<bool>,
}

/// Late decode steps of a replica.
struct Chain<'a> {
    lateness: Lateness<'a>,
    charges: Option<Charges>,
}

/// For each decode step, what is charged for the misses on the way from it to the last: worth their
/// while where many decode steps are late.
struct Charges {
    /// The place in `charged` of each decode step's sum; 0, which holds nothing, where no miss
    /// follows.
    places: Vec<u32>,
    charged: Vec<Charged>,
}

type Charged = [f64; DECODING.len()];

impl Charges {
    fn new(lane: &LaneColumns<'_>, forest: &Forest, tbt: u64) -> Charges {
        let mut places = vec![0; lane.decode_steps.len()];
        let mut charged = vec![Charged::default()];
        for at in (0..lane.decode_steps.len()).rev() {
            let Some((next, missed)) = forest.next_miss(at as u32) else { continue };
            let mut sum = charged[places[next as usize] as usize];
            for (sum, share) in
                sum.iter_mut().zip(decode_step_beyond(lane, DecodeStepNo(next), tbt))
            {
                *sum += missed as f64 * share;
            }
            places[at] = charged.len() as u32;
            charged.push(sum);
        }
        Charges { places, charged }
    }

    fn of(&self, decode_step: usize) -> &Charged {
        &self.charged[self.places[decode_step] as usize]
    }
}

/// Each cause's share of what the gap up to a decode step takes beyond `pace`.
fn decode_step_beyond(lane: &LaneColumns<'_>, decode_step: DecodeStepNo, pace: u64) -> Charged {
    let shares = beyond(&lane.decode_step(decode_step), pace);
    lane.decoding_causes().map(|cause| shares[cause as usize])
}

/// Each cause's share of what a gap takes beyond `pace`; they sum to 1, or all are 0 where it does
/// not go beyond.
pub(super) fn beyond(split: &Split, pace: u64) -> [f64; CAUSES] {
    let mut over = [0.0; CAUSES];
    let mut left = pace;
    for (cause, ns) in split.iter().filter(|(cause, _)| cause.is_pace()) {
        let paid = ns.min(left);
        left -= paid;
        over[cause as usize] = (ns - paid) as f64;
    }
    let others: u64 = split.iter().filter(|(cause, _)| !cause.is_pace()).map(|(_, ns)| ns).sum();
    let paid = left.min(others);
    for (cause, ns) in split.iter().filter(|(cause, _)| !cause.is_pace()) {
        if others > 0 {
            over[cause as usize] = ns as f64 * ((others - paid) as f64 / others as f64);
        }
    }
    let total: f64 = over.iter().sum();
    if total > 0.0 {
        over.iter_mut().for_each(|share| *share /= total);
    }
    over
}

impl<'m, 'a> Misses<'m, 'a> {
    /// Ready to charge the misses of each request.
    pub fn new(index: &'m Index<'a>, options: &'m Options) -> Misses<'m, 'a> {
        let trace = index.trace();
        let tbt = |row: &RequestRow| options.deadlines_of(row.class).tbt().as_nanos();
        let mut deadlines: Vec<u64> = trace.requests.iter().map(tbt).collect();
        deadlines.sort_unstable();
        deadlines.dedup();
        let chains = |tbt| {
            let chain = |lateness| Chain { lateness, charges: None };
            trace
                .steps()
                .map(|(_, decode_steps)| Lateness::new(decode_steps, tbt).map(chain))
                .collect()
        };
        let chains = deadlines.into_iter().map(|tbt| (tbt, chains(tbt))).collect();
        let mut misses = Misses { index, options, chains, in_time: Vec::new() };
        misses.in_time = trace.requests.iter().map(|row| misses.is_in_time(row)).collect();
        for (tbt, chains) in &mut misses.chains {
            for (chain, lane) in chains.iter_mut().zip(&index.lanes) {
                let Some(chain) = chain else { continue };
                chain.charges =
                    chain.lateness.forest().map(|forest| Charges::new(lane, forest, *tbt));
            }
        }
        misses
    }

    /// Missed deadlines of a request, and their number by cause.
    pub fn of(&self, request: RequestId) -> (u64, Split) {
        let row = &self.index.trace().requests[request.index()];
        if row.status == Status::Rejected || self.in_time[request.index()] {
            return (0, Split::ZERO);
        }
        let (tbt, first) = self.deadlines_of(row);
        let mut charge = Charge {
            misses: self,
            tbt,
            first,
            due: row.arrival.as_nanos().saturating_add(first.unwrap_or(0)),
            missed: 0,
            charged: [0.0; CAUSES],
        };
        self.index.walk(request, &mut charge);
        let mut counts = Split::ZERO;
        let shares = apportion(charge.missed, &charge.charged);
        Cause::ALL.iter().zip(shares).for_each(|(&cause, n)| counts.add(cause, n));
        (charge.missed, counts)
    }

    /// The deadline between tokens, and that of the first token where it has one.
    fn deadlines_of(&self, row: &RequestRow) -> (u64, Option<u64>) {
        let deadlines = self.options.deadlines_of(row.class);
        let first = self.options.judge_first_token;
        let first = first.then(|| deadlines.ttft(row.prompt_tokens).as_nanos());
        (deadlines.tbt().as_nanos(), first)
    }

    fn chain(&self, lane: LaneId, tbt: u64) -> Option<&Chain<'a>> {
        let chains = self.chains.iter().find(|(of, _)| *of == tbt).expect("one a deadline");
        chains.1[lane.index()].as_ref()
    }

    /// Whether each token is there by its deadline. Walks the late decode steps of runs that are
    /// not, to learn how many there are.
    fn is_in_time(&self, row: &RequestRow) -> bool {
        if row.status != Status::Completed || row.first_token == Time::NEVER {
            return false;
        }
        let deadlines = self.options.deadlines_of(row.class);
        let soon = row.first_token.since(row.arrival) <= deadlines.ttft_least();
        let tbt = deadlines.tbt().as_nanos();
        let came = row.first_token.as_nanos();
        let is_late = |(chain, from, end, due): (Option<&Chain<'_>>, usize, usize, u64)| {
            chain.is_none_or(|chain| chain.lateness.first_miss(from, end, due).is_some())
        };
        // A clock that starts with a first token in time is ahead of the one that counts.
        if soon && !self.runs_due(row, tbt, came.saturating_add(tbt)).any(is_late) {
            return true;
        }
        let (tbt, first) = self.deadlines_of(row);
        let due = first.map_or(came, |first| row.arrival.as_nanos().saturating_add(first));
        let mut in_time = came <= due;
        for (chain, from, end, due) in self.runs_due(row, tbt, due.saturating_add(tbt)) {
            let Some(Chain { lateness, .. }) = chain else {
                in_time = false;
                continue;
            };
            if let Some(miss) = lateness.first_miss(from, end, due) {
                in_time = false;
                lateness.misses_after(miss, end);
            }
        }
        in_time
    }

    /// A request's runs: the late decode steps of their lane (none where they are not decode steps,
    /// or cannot be judged together), their entries, and when the first is due if all before came
    /// in time. The second token is due at `due`.
    fn runs_due<'s>(
        &'s self,
        row: &'s RequestRow,
        tbt: u64,
        mut due: u64,
    ) -> impl Iterator<Item = (Option<&'s Chain<'a>>, usize, usize, u64)> {
        self.index.trace().runs(row).map(move |run| {
            let lane = self.index.trace().steps_of(run);
            let chain = lane.and_then(|lane| self.chain(lane, tbt));
            let (from, end) = (run.first as usize, (run.first + run.len) as usize);
            let first_due = due;
            due = due.saturating_add(tbt.saturating_mul(u64::from(run.len)));
            (chain, from, end, first_due)
        })
    }

    /// Missed deadlines of the requests that the metrics count, and their number by cause.
    pub fn counted(&self) -> (u64, Split) {
        self.sum(counted(self.index.trace(), self.options))
    }

    /// Those of some requests.
    pub fn sum(&self, requests: impl Iterator<Item = RequestId>) -> (u64, Split) {
        let mut all = (0, Split::ZERO);
        for request in requests {
            let (missed, counts) = self.of(request);
            all.0 += missed;
            all.1 += counts;
        }
        all
    }
}

struct Charge<'c, 'm, 'a> {
    misses: &'c Misses<'m, 'a>,
    tbt: u64,
    /// The first token's deadline, where it has one.
    first: Option<u64>,
    due: u64,
    missed: u64,
    charged: [f64; CAUSES],
}

impl Charge<'_, '_, '_> {
    fn charge(&mut self, missed: u64, split: &Split, pace: u64) {
        self.missed += missed;
        for (sum, share) in self.charged.iter_mut().zip(beyond(split, pace)) {
            *sum += missed as f64 * share;
        }
    }

    fn token(&mut self, at: u64, split: &Split, pace: u64) {
        if at > self.due {
            self.charge(1 + (at - self.due) / self.tbt, split, pace);
            self.due = at;
        }
        self.due = self.due.saturating_add(self.tbt);
    }
}

impl Visit for Charge<'_, '_, '_> {
    fn gap(&mut self, gap: &Gap) {
        let at = gap.to.as_nanos();
        match (gap.token, self.first) {
            (0, None) => self.due = at.saturating_add(self.tbt),
            (0, Some(pace)) => self.token(at, &gap.split, pace),
            _ => self.token(at, &gap.split, self.tbt),
        }
    }

    fn decode_steps(&mut self, token: u32, run: Run) {
        let index = self.misses.index;
        let times = &index.trace().column(run).times;
        let (first, end) = (run.first + 1, run.first + run.len);
        let lane = index.lane_of_run(run);
        let of_run = index.trace().steps_of(run);
        let Some(chain) = of_run.and_then(|lane| self.misses.chain(lane, self.tbt)) else {
            for number in first..end {
                let gap = index.decode_step_gap(lane, token, DecodeStepNo(number));
                self.token(times[number as usize].as_nanos(), &gap.split, self.tbt);
            }
            return;
        };
        let lateness = &chain.lateness;
        let (first, end) = (first as usize, end as usize);
        let due_at = |due: u64, decode_steps: usize| {
            due.saturating_add(self.tbt.saturating_mul(decode_steps as u64))
        };
        let Some(miss) = lateness.first_miss(first, end, self.due) else {
            self.due = due_at(self.due, end - first);
            return;
        };
        let late = lateness.at(miss) - due_at(self.due, miss - first);
        let mut charged = Charged::default();
        let mut last = miss;
        let mut charge = |decode_step: usize, missed: u64| {
            self.missed += missed;
            let shares = decode_step_beyond(lane, DecodeStepNo(decode_step as u32), self.tbt);
            for (sum, share) in charged.iter_mut().zip(shares) {
                *sum += missed as f64 * share;
            }
        };
        charge(miss, 1 + late / self.tbt);
        if let Some(charges) = &chain.charges {
            let more = lateness.misses_after(miss, end);
            last = more.last as usize;
            self.missed += more.deadlines;
            let (from, to) = (charges.of(miss), charges.of(last));
            for ((sum, from), to) in charged.iter_mut().zip(from).zip(to) {
                // A difference of large sums may come out a hair below zero.
                *sum += (from - to).max(0.0);
            }
        } else {
            while let Some((next, missed)) = lateness.next_miss(last, end) {
                charge(next, missed);
                last = next;
            }
        }
        for (cause, charged) in lane.decoding_causes().into_iter().zip(charged) {
            self.charged[cause as usize] += charged;
        }
        self.due = due_at(lateness.at(last), end - last);
    }
}
