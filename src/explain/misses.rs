//! Missed deadlines, charged to causes.
//!
//! A late token's misses are charged to the causes of the gap before it, in proportion to what
//! each takes beyond the deadline's pace: the pace pays for the work that is there in every
//! iteration first, and what is left of it for the other causes in proportion. A request's
//! charges are whole numbers that add up to its misses.

use super::apportion::apportion;
use super::attribution::Attribution;
use super::cause::{CAUSES, Cause, Split};
use super::lane::{DECODING, LaneColumns};
use super::walk::{Gap, Visit};
use crate::metrics::forest::Forest;
use crate::metrics::{Options, counted};
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::{RequestRow, Run, Status};

/// What misses of a run are charged to.
pub struct Misses<'m, 'a> {
    attribution: &'m Attribution<'a>,
    options: &'m Options,
    /// For each deadline that occurs, one chain a lane.
    chains: Vec<(u64, Vec<Option<Chain>>)>,
}

/// The miss-to-miss links of a replica's beats, with what lies on them charged up to their end.
struct Chain {
    forest: Forest,
    /// For each beat the place in `charged` of its own sum; 0, which holds nothing, where no miss
    /// follows.
    places: Vec<u32>,
    charged: Vec<Charged>,
}

type Charged = [f64; DECODING.len()];

impl Chain {
    fn new(lane: &LaneColumns<'_>, beats: &[Time], tbt: u64) -> Option<Chain> {
        let forest = Forest::new(beats, tbt)?;
        let mut places = vec![0; beats.len()];
        let mut charged = vec![Charged::default()];
        for at in (0..beats.len()).rev() {
            let Some((next, missed)) = forest.next_miss(at as u32) else { continue };
            let row = lane.decoding_row(lane.beats[next as usize - 1], lane.beats[next as usize]);
            let mut sum = charged[places[next as usize] as usize];
            let mut split = Split::ZERO;
            DECODING.into_iter().zip(row).for_each(|(cause, ns)| split.add(cause, ns));
            let shares = beyond(&split, tbt);
            for (sum, cause) in sum.iter_mut().zip(DECODING) {
                *sum += missed as f64 * shares[cause as usize];
            }
            places[at] = charged.len() as u32;
            charged.push(sum);
        }
        Some(Chain { forest, places, charged })
    }

    fn charged(&self, beat: u32) -> &Charged {
        &self.charged[self.places[beat as usize] as usize]
    }
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
    pub fn new(attribution: &'m Attribution<'a>, options: &'m Options) -> Misses<'m, 'a> {
        let mut deadlines: Vec<u64> = attribution
            .trace()
            .requests
            .iter()
            .map(|row| options.deadlines_of(row.class).tbt().as_nanos())
            .collect();
        deadlines.sort_unstable();
        deadlines.dedup();
        let trace = attribution.trace();
        let chains = |tbt| {
            let lanes = attribution.lanes.iter().enumerate();
            lanes.map(|(index, lane)| Chain::new(lane, &trace.columns[2 * index], tbt)).collect()
        };
        let chains = deadlines.into_iter().map(|tbt| (tbt, chains(tbt))).collect();
        Misses { attribution, options, chains }
    }

    /// Missed deadlines of a request, and their number by cause.
    pub fn of(&self, request: RequestId) -> (u64, Split) {
        let row = &self.attribution.trace().requests[request as usize];
        if row.status == Status::Rejected {
            return (0, Split::ZERO);
        }
        let deadlines = self.options.deadlines_of(row.class);
        let tbt = deadlines.tbt().as_nanos();
        let chains = self.chains.iter().find(|(of, _)| *of == tbt).expect("one a deadline");
        let first =
            self.options.judge_first_token.then(|| deadlines.ttft(row.prompt_tokens).as_nanos());
        let lane = self.attribution.places.lane(request);
        let chain = chains.1[lane].as_ref();
        let beats = 2 * lane as u32;
        if chain.is_some_and(|chain| self.in_time(row, (chain, beats), tbt, first)) {
            return (0, Split::ZERO);
        }
        let mut charge = Charge {
            attribution: self.attribution,
            request,
            chain,
            tbt,
            first,
            due: row.arrival.as_nanos().saturating_add(first.unwrap_or(0)),
            missed: 0,
            charged: [0.0; CAUSES],
        };
        self.attribution.walk(request, &mut charge);
        if let Some(open) = self.attribution.open_gap(request)
            && (open.token > 0 || first.is_some())
        {
            charge.gap(&open);
        }
        let mut counts = Split::ZERO;
        let shares = apportion(charge.missed, &charge.charged);
        Cause::ALL.iter().zip(shares).for_each(|(&cause, n)| counts.add(cause, n));
        (charge.missed, counts)
    }

    /// Whether each token is there by its deadline, as far as can be seen without splitting gaps.
    fn in_time(
        &self,
        row: &RequestRow,
        (chain, beats): (&Chain, u32),
        tbt: u64,
        first: Option<u64>,
    ) -> bool {
        if row.status != Status::Completed || row.first_token == Time::NEVER {
            return false;
        }
        let came = row.first_token.as_nanos();
        let due = first.map_or(came, |first| row.arrival.as_nanos().saturating_add(first));
        if came > due {
            return false;
        }
        let mut due = due.saturating_add(tbt);
        for run in self.attribution.trace().runs(row) {
            let last = run.first + run.len - 1;
            if run.column != beats || chain.forest.first_miss(run.first, last, due).is_some() {
                return false;
            }
            due = due.saturating_add(tbt.saturating_mul(u64::from(run.len)));
        }
        true
    }

    /// Missed deadlines of all requests, and their number by cause.
    pub fn total(&self) -> (u64, Split) {
        self.sum(self.attribution.requests())
    }

    /// Those of the requests that the metrics count.
    pub fn counted(&self) -> (u64, Split) {
        self.sum(counted(self.attribution.trace(), self.options))
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

struct Charge<'c, 'a> {
    attribution: &'c Attribution<'a>,
    request: RequestId,
    chain: Option<&'c Chain>,
    tbt: u64,
    /// The first token's deadline, where it has one.
    first: Option<u64>,
    due: u64,
    missed: u64,
    charged: [f64; CAUSES],
}

impl Charge<'_, '_> {
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

impl Visit for Charge<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        let at = gap.to.as_nanos();
        match (gap.token, self.first) {
            (0, None) => self.due = at.saturating_add(self.tbt),
            (0, Some(pace)) => self.token(at, &gap.split, pace),
            _ => self.token(at, &gap.split, self.tbt),
        }
    }

    fn beats(&mut self, token: u32, run: Run) {
        let times = &self.attribution.trace().columns[run.column as usize];
        let (first, last) = (run.first + 1, run.first + run.len - 1);
        let at = |index: u32| times[index as usize].as_nanos();
        let Some(chain) = self.chain else {
            for index in first..=last {
                let gap = self.attribution.beat_gap(self.request, token, index);
                self.token(at(index), &gap.split, self.tbt);
            }
            return;
        };
        let due_at = |due: u64, beats: u32| due.saturating_add(self.tbt * u64::from(beats));
        let Some(miss) = chain.forest.first_miss(first, last, self.due) else {
            self.due = due_at(self.due, last + 1 - first);
            return;
        };
        let late = at(miss) - due_at(self.due, miss - first);
        let gap = self.attribution.beat_gap(self.request, token, miss);
        let more = chain.forest.misses_after(miss, last);
        self.due = due_at(at(more.last), last + 1 - more.last);
        self.charge(1 + late / self.tbt, &gap.split, self.tbt);
        self.missed += more.deadlines;
        let (from, to) = (chain.charged(miss), chain.charged(more.last));
        for (column, cause) in DECODING.into_iter().enumerate() {
            // A difference of large sums may come out a hair below zero.
            self.charged[cause as usize] += (from[column] - to[column]).max(0.0);
        }
    }
}
