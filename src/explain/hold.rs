//! Who held seats and KV memory, and how a wait for them is shared among the holders.
//!
//! A holder's memory is its prompt, from admission on, and a token more at each beat: linear in
//! beats, so that its share of any stretch is a difference of running sums. The shares of a
//! replica are rounded so that they add up to what was waited.

use super::attribution::Attribution;
use super::lane::LaneColumns;
use crate::request::RequestId;
use crate::time::Time;
use crate::trace::Status;

/// A stretch of iterations in which a request held `base + grows * (beats before)` tokens of KV.
#[derive(Clone, Copy, Debug)]
struct Piece {
    request: RequestId,
    from: u32,
    to: u32,
    base: i64,
    grows: bool,
}

/// Who held what on one lane.
pub(super) struct Holdings<'h> {
    lane: &'h LaneColumns<'h>,
    pieces: Vec<Piece>,
    /// Row i: holders at iteration i.
    seats: Vec<i64>,
    /// Row i: tokens of KV that they held.
    tokens: Vec<i64>,
}

/// Nanoseconds waited at each iteration of a stretch.
pub(super) struct Pressure {
    /// Index of the stretch's first iteration.
    first: usize,
    /// For seats.
    pub seats: Vec<u64>,
    /// For KV blocks.
    pub blocks: Vec<u64>,
}

impl Pressure {
    /// None, in the `len` iterations from `first` on.
    pub fn new(first: usize, len: usize) -> Pressure {
        Pressure { first, seats: vec![0; len], blocks: vec![0; len] }
    }
}

impl<'h> Holdings<'h> {
    /// Of one lane.
    pub fn new(attribution: &'h Attribution<'_>, lane_index: usize) -> Holdings<'h> {
        let lane = &attribution.lanes[lane_index];
        let mut holdings =
            Holdings { lane, pieces: Vec::new(), seats: Vec::new(), tokens: Vec::new() };
        for request in attribution.requests() {
            if attribution.places.lane(request) == lane_index {
                holdings.add(attribution, request);
            }
        }
        holdings.sum();
        holdings
    }

    fn add(&mut self, attribution: &Attribution<'_>, request: RequestId) {
        let (trace, lane) = (attribution.trace(), self.lane);
        let row = &trace.requests[request as usize];
        let mut chunks = attribution.places.chunks(request).iter().map(|&(index, _)| index);
        let Some(mut admitted) = chunks.next() else { return };
        let mut preemptions = attribution.places.preemptions(request).peekable();
        let mut held = i64::from(row.prompt_tokens);
        if row.first_token != Time::NEVER {
            held += 1;
        }
        let end = lane.log.len() as u32;
        let mut push = |from: u32, to: u32, base: i64, grows: bool| {
            if from < to {
                self.pieces.push(Piece { request, from, to, base, grows });
            }
        };
        let mut last = lane_index(lane, row.first_token).unwrap_or(end);
        for run in trace.runs(row) {
            let beats = run.column % 2 == 0;
            let (first, upto) = match beats {
                true => {
                    let beat = |k: u32| lane.beats[(run.first + k) as usize];
                    (beat(0), beat(run.len - 1))
                }
                false => {
                    let at = lane.iteration_at(trace.times(run)[0]);
                    (at, at)
                }
            };
            while let Some(out) = preemptions.next_if(|&out| out <= first) {
                push(admitted, out, held, false);
                match chunks.find(|&index| index >= out) {
                    Some(again) => admitted = again,
                    None => return,
                }
            }
            if beats {
                push(admitted, first, held, false);
                push(first, upto + 1, held - i64::from(run.first), true);
                admitted = upto + 1;
            }
            held += i64::from(run.len);
            last = upto;
        }
        for out in preemptions {
            push(admitted, out, held, false);
            match chunks.find(|&index| index >= out) {
                Some(again) => admitted = again,
                None => return,
            }
        }
        // Seats of what was planned ahead are free one step later.
        let lingers = u32::from(attribution.recording.planned_ahead && !lane.staged);
        let to = if row.status == Status::Completed { (last + 1 + lingers).min(end) } else { end };
        push(admitted, to, held, false);
    }

    fn sum(&mut self) {
        let rows = self.lane.log.len() + 1;
        let (mut seats, mut base, mut growing) = (vec![0; rows], vec![0; rows], vec![0; rows]);
        for piece in &self.pieces {
            let (from, to) = (piece.from as usize, piece.to as usize);
            seats[from] += 1;
            seats[to] -= 1;
            base[from] += piece.base;
            base[to] -= piece.base;
            growing[from] += i64::from(piece.grows);
            growing[to] -= i64::from(piece.grows);
        }
        let (mut seat, mut constant, mut grow) = (0_i64, 0_i64, 0_i64);
        for index in 0..self.lane.log.len() {
            seat += seats[index];
            constant += base[index];
            grow += growing[index];
            self.seats.push(seat);
            self.tokens.push(constant + grow * self.beats_before(index));
        }
    }

    fn beats_before(&self, index: usize) -> i64 {
        i64::from(self.lane.beats_within(0, index as u32))
    }

    /// Shares waits for seats: equally among those who hold one at the time.
    pub fn share_seats(&self, pressure: &Pressure, give: impl FnMut(RequestId, u64)) {
        let per_seat = |index: usize| 1.0 / self.seats[index].max(1) as f64;
        let sums = Sums::new(pressure.first, &pressure.seats, |index| [per_seat(index), 0.0]);
        self.share(&sums, |_| (1.0, 0.0), give);
    }

    /// Shares waits for KV blocks: by the tokens held at the time.
    pub fn share_blocks(&self, pressure: &Pressure, give: impl FnMut(RequestId, u64)) {
        let terms = |index: usize| {
            let per_token = 1.0 / self.tokens[index].max(1) as f64;
            [per_token, per_token * self.beats_before(index) as f64]
        };
        let sums = Sums::new(pressure.first, &pressure.blocks, terms);
        let held = |piece: &Piece| (piece.base as f64, f64::from(u8::from(piece.grows)));
        self.share(&sums, held, give);
    }

    fn share(
        &self,
        sums: &Sums,
        held: impl Fn(&Piece) -> (f64, f64),
        mut give: impl FnMut(RequestId, u64),
    ) {
        if sums.total == 0 {
            return;
        }
        let mut shares: Vec<(RequestId, f64)> = Vec::new();
        for piece in &self.pieces {
            let [constant, growing] = sums.between(piece.from as usize, piece.to as usize);
            let (base, grows) = held(piece);
            let share = (base * constant + grows * growing).max(0.0);
            match shares.last_mut() {
                Some((request, sum)) if *request == piece.request => *sum += share,
                _ => shares.push((piece.request, share)),
            }
        }
        let weights: Vec<f64> = shares.iter().map(|&(_, share)| share).collect();
        for ((request, _), ns) in shares.iter().zip(apportion(sums.total, &weights)) {
            if ns > 0 {
                give(*request, ns);
            }
        }
    }
}

fn lane_index(lane: &LaneColumns<'_>, time: Time) -> Option<u32> {
    (time != Time::NEVER).then(|| lane.iteration_at(time))
}

/// Running sums of waiting times, each times two terms.
struct Sums {
    first: usize,
    rows: Vec<[f64; 2]>,
    total: u64,
}

impl Sums {
    fn new(first: usize, waited: &[u64], terms: impl Fn(usize) -> [f64; 2]) -> Sums {
        let mut sums = Sums { first, rows: Vec::with_capacity(waited.len() + 1), total: 0 };
        let mut row = [0.0; 2];
        sums.rows.push(row);
        for (place, &ns) in waited.iter().enumerate() {
            if ns > 0 {
                let [a, b] = terms(first + place);
                row[0] += ns as f64 * a;
                row[1] += ns as f64 * b;
                sums.total += ns;
            }
            sums.rows.push(row);
        }
        sums
    }

    fn between(&self, from: usize, to: usize) -> [f64; 2] {
        let row = |index: usize| {
            self.rows[index.clamp(self.first, self.first + self.rows.len() - 1) - self.first]
        };
        let (before, after) = (row(from), row(to));
        [after[0] - before[0], after[1] - before[1]]
    }
}

/// Whole shares of `total` in proportion to `weights`, by largest remainder; they add up. All zero
/// where no weight is positive.
pub(super) fn apportion(total: u64, weights: &[f64]) -> Vec<u64> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let mut left = total;
    let mut fractions = Vec::with_capacity(weights.len());
    let mut shares: Vec<u64> = weights
        .iter()
        .enumerate()
        .map(|(place, &weight)| {
            let exact = total as f64 * (weight / sum);
            let whole = (libm::floor(exact) as u64).min(left);
            left -= whole;
            fractions.push((exact - libm::floor(exact), place));
            whole
        })
        .collect();
    fractions.retain(|&(_, place)| weights[place] > 0.0);
    fractions.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // Less than one each, but for what doubles lose of very large totals.
    let each = left / fractions.len() as u64;
    let more = (left % fractions.len() as u64) as usize;
    for (rank, &(_, place)) in fractions.iter().enumerate() {
        shares[place] += each + u64::from(rank < more);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_the_largest_remainder_wins() {
        assert_eq!(apportion(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(apportion(1, &[0.4, 0.6]), [0, 1]);
        assert_eq!(apportion(7, &[0.0, 2.0]), [0, 7]);
        assert_eq!(apportion(7, &[0.0, 0.0]), [0, 0]);
        let large = apportion(u64::MAX / 2, &[0.1, 0.2, 0.7]);
        assert_eq!(large.iter().sum::<u64>(), u64::MAX / 2);
    }
}
