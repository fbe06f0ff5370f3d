//! Culprits: whose work or memory the others waited for.
//!
//! An iteration's delay by prefill is shared among its chunks; a wait for seats or memory among
//! those who hold them. What a run's requests are blamed for equals what others suffered, to the
//! nanosecond.

use super::attribution::Attribution;
use super::cause::Cause;
use super::chain::{Pricer, shares};
use super::hold::{Holdings, Pressure};
use super::lane::{LaneColumns, reason};
use super::walk::{Visit, Wait};
use crate::request::RequestId;

/// Delay that one request caused others, nanoseconds summed over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// By its prefill.
    pub prefill_ns: u64,
    /// By holding a seat that others waited for.
    pub seat_ns: u64,
    /// By holding KV blocks that others waited for.
    pub kv_ns: u64,
    /// The most requests that one of its chunks delayed at once.
    pub delayed_at_once: u32,
}

impl Given {
    /// All of it.
    pub fn total_ns(&self) -> u64 {
        self.prefill_ns + self.seat_ns + self.kv_ns
    }
}

/// Who delayed whom, in sum.
pub struct Blame {
    /// By request.
    pub given: Vec<Given>,
}

/// How many requests each iteration of a replica delayed.
pub(super) struct Cover {
    /// Row i: change in the number of requests that decode across iteration i.
    decoding: Vec<i64>,
    /// The same for those who could decode and were in no batch.
    missed: Vec<i64>,
    /// The same for those in the queue who were never admitted, and for those preempted.
    waiting: Vec<i64>,
    preempted: Vec<i64>,
}

impl Cover {
    fn new(lane: &LaneColumns<'_>) -> Cover {
        let zeros = vec![0; lane.log.len() + 1];
        Cover {
            decoding: zeros.clone(),
            missed: zeros.clone(),
            waiting: zeros.clone(),
            preempted: zeros,
        }
    }
}

/// Weights of all chunks of a replica, in order.
pub(super) fn chunk_weights(attribution: &Attribution<'_>, lane: &LaneColumns<'_>) -> Vec<u64> {
    let recording = &attribution.recording;
    let mut pricer = Pricer::new(recording.cost, recording.planned_ahead);
    let mut all = Vec::with_capacity(lane.prefills.len());
    let mut some = Vec::new();
    for iteration in lane.log.iter().filter(|iteration| !iteration.chunks.is_empty()) {
        pricer.weights(iteration, &mut some);
        all.extend_from_slice(&some);
    }
    all
}

impl Blame {
    /// Shares out all delay of a run.
    pub fn new(attribution: &Attribution<'_>) -> Blame {
        let mut given = vec![Given::default(); attribution.trace().requests.len()];
        let lanes = &attribution.lanes;
        let weights: Vec<Vec<u64>> =
            lanes.iter().map(|lane| chunk_weights(attribution, lane)).collect();
        let mut covers: Vec<Cover> = lanes.iter().map(Cover::new).collect();
        for request in attribution.requests() {
            let lane = attribution.places.lane(request);
            let mut collect = Collect {
                lane: &lanes[lane],
                weights: &weights[lane],
                cover: &mut covers[lane],
                given: &mut given,
            };
            attribution.walk(request, &mut collect);
        }
        for (index, cover) in covers.into_iter().enumerate() {
            let lane = &lanes[index];
            share_prefill(lane, &weights[index], &cover, &mut given);
            let holdings = Holdings::new(attribution, index);
            let pressure = pressure(lane, &cover);
            holdings.share_seats(&pressure, |request, ns| given[request as usize].seat_ns += ns);
            holdings.share_blocks(&pressure, |request, ns| given[request as usize].kv_ns += ns);
        }
        Blame { given }
    }
}

/// Nanoseconds of waiting for seats and for memory at each iteration.
fn pressure(lane: &LaneColumns<'_>, cover: &Cover) -> Pressure {
    let (mut waiting, mut preempted) = (0, 0);
    let mut pressure = Pressure::new(0, lane.log.len());
    for (index, iteration) in lane.log.iter().enumerate() {
        waiting += cover.waiting[index];
        preempted += cover.preempted[index];
        let stood = lane.stood(index as u32);
        match reason(iteration) {
            Cause::NoSeat => pressure.seats[index] += waiting as u64 * stood,
            Cause::NoKvBlocks => pressure.blocks[index] += waiting as u64 * stood,
            _ => {}
        }
        pressure.blocks[index] += preempted as u64 * stood;
    }
    pressure
}

fn share_prefill(lane: &LaneColumns<'_>, weights: &[u64], cover: &Cover, given: &mut [Given]) {
    let (mut decoding, mut missed) = (0, 0);
    for (index, iteration) in lane.log.iter().enumerate() {
        decoding += cover.decoding[index];
        missed += cover.missed[index];
        if iteration.chunks.is_empty() {
            continue;
        }
        let victims = decoding + if iteration.decodes == 0 { missed } else { 0 };
        let victims = victims as u64;
        let first = lane.chunks_before[index] as usize;
        let weights = &weights[first..first + iteration.chunks.len()];
        shares(lane.others_prefill(index as u32), weights, None, |place, ns| {
            let culprit = &mut given[iteration.chunks[place].request as usize];
            culprit.prefill_ns += ns * victims;
            culprit.delayed_at_once = culprit.delayed_at_once.max(victims as u32);
        });
    }
}

struct Collect<'c> {
    lane: &'c LaneColumns<'c>,
    weights: &'c [u64],
    cover: &'c mut Cover,
    given: &'c mut [Given],
}

impl Visit for Collect<'_> {
    fn decoding(&mut self, from: u32, to: u32, in_batch: bool) {
        let column = if in_batch { &mut self.cover.decoding } else { &mut self.cover.missed };
        column[from as usize + 1] += 1;
        // A request is no victim of iterations after its last token.
        if let Some(after) = column.get_mut(to as usize + 1) {
            *after -= 1;
        }
    }

    fn chunk(&mut self, index: u32, place: u32) {
        let iteration = &self.lane.log[index as usize];
        if iteration.chunks.len() < 2 {
            return;
        }
        let first = self.lane.chunks_before[index as usize] as usize;
        let others = self.lane.prefills[first + place as usize].others;
        let weights = &self.weights[first..first + iteration.chunks.len()];
        shares(others, weights, Some(place as usize), |place, ns| {
            let culprit = &mut self.given[iteration.chunks[place].request as usize];
            culprit.prefill_ns += ns;
            culprit.delayed_at_once = culprit.delayed_at_once.max(1);
        });
    }

    fn wait(&mut self, wait: Wait) {
        let column =
            if wait.preempted { &mut self.cover.preempted } else { &mut self.cover.waiting };
        column[wait.from as usize] += 1;
        column[wait.to as usize] -= 1;
    }
}

/// One culprit of one stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Who.
    pub request: RequestId,
    /// By what.
    pub cause: Cause,
    /// How long.
    pub ns: u64,
    /// Prefill tokens of it that ran within the stall; 0 where it held seats or memory.
    pub tokens: u64,
}
