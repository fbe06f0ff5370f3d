//! A run's time by cause, or a request's: sums over all gaps.

use super::cause::Split;
use super::lane::LaneColumns;
use super::tables::Tables;
use super::visit::{Gap, Visit};
use crate::ids::{DecodeStepNo, IterationNo, LaneId};
use crate::request::RequestId;
use crate::trace::Run;

/// A request's time, or a run's, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From arrival to first token.
    pub first_token: Split,
    /// Between tokens, all gaps together.
    pub between_tokens: Split,
}

impl Totals {
    /// Both.
    pub fn all(&self) -> Split {
        self.first_token + self.between_tokens
    }
}

impl Tables<'_> {
    /// A request's time by cause: a few differences, however many tokens it has.
    pub fn totals_of(&self, request: RequestId) -> Totals {
        let mut totals = Totals::default();
        self.walk(request, &mut Sum { tables: self, totals: &mut totals });
        totals
    }

    /// All requests' time by cause.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let none = |lane: &LaneColumns<'_>| vec![0; lane.log.len() + 1];
        let mut decoding: Vec<Vec<i32>> = self.lanes.iter().map(none).collect();
        for request in self.requests() {
            let decoding = &mut decoding[..];
            self.walk(request, &mut SumOfAll { decoding, totals: &mut totals });
        }
        for (lane, decoding) in self.lanes.iter().zip(&decoding) {
            lane.decoding_of_all(decoding, &mut totals.between_tokens);
        }
        totals
    }
}

struct Sum<'s, 'a> {
    tables: &'s Tables<'a>,
    totals: &'s mut Totals,
}

impl Visit for Sum<'_, '_> {
    fn gap(&mut self, gap: &Gap) {
        match gap.token {
            0 => self.totals.first_token += gap.split,
            _ => self.totals.between_tokens += gap.split,
        }
    }

    fn decode_steps(&mut self, _: u32, run: Run) {
        let lane = self.tables.lane_of_run(run);
        let iteration = |entry: u32| lane.decode_steps.at(DecodeStepNo(entry));
        let (first, last) = (iteration(run.first), iteration(run.first + run.len - 1));
        lane.decoding(first, last, &mut self.totals.between_tokens);
    }
}

/// Decode steps are counted for all requests together and looked at once.
struct SumOfAll<'s> {
    /// By lane. Row i: how many more requests decode across iteration i than across the one before.
    decoding: &'s mut [Vec<i32>],
    totals: &'s mut Totals,
}

impl Visit for SumOfAll<'_> {
    const DECODE_STEPS: bool = false;

    fn gap(&mut self, gap: &Gap) {
        match gap.token {
            0 => self.totals.first_token += gap.split,
            _ => self.totals.between_tokens += gap.split,
        }
    }

    fn decoding(&mut self, lane: LaneId, from: IterationNo, to: IterationNo, in_batch: bool) {
        if in_batch {
            let decoding = &mut self.decoding[lane.index()];
            decoding[from.next().index()] += 1;
            decoding[to.next().index()] -= 1;
        }
    }
}
