//! Chances, and the even draws that they are held against.

/// The step of SplitMix64, 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A chance from 0 to 1 as a whole number of 2^-53: so many of as many draws fall below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chance(u64);

impl Chance {
    const ONE: f64 = (1_u64 << 53) as f64;

    /// No draw falls below it.
    pub(super) const NONE: Chance = Chance(0);

    /// Every draw does.
    pub(super) const SURE: Chance = Chance(1 << 53);

    /// Of a share; what lies outside of 0 to 1 is as the nearer end.
    pub(super) fn of(share: f64) -> Chance {
        Chance((share.clamp(0.0, 1.0) * Chance::ONE).round() as u64)
    }

    /// Whether a draw falls below it.
    #[inline]
    pub(super) fn takes(self, draw: u64) -> bool {
        draw >> 11 < self.0
    }

    #[cfg(test)]
    pub(super) fn share(self) -> f64 {
        self.0 as f64 / Chance::ONE
    }
}

/// What an even draw is for. The numbers are part of a scenario's meaning.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    /// Whether the draft of a position is accepted.
    Draft = 1,
    /// What a request is like as a whole.
    Request = 2,
    /// Whether a text begins anew at a position: a byte for each of eight.
    Renewal = 3,
    /// What begins there.
    State = 4,
}

/// Even draws, one for each request and position: the outputs of a SplitMix64 (Steele, Lea, Flood,
/// OOPSLA 2014) by their places in its sequence, so that none needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draws(u64);

impl Draws {
    /// Apart from the streams of `workload`, which have small numbers for their purposes.
    const PURPOSE: u64 = 0x0D12_AF75;

    pub(super) fn new(seed: u64) -> Draws {
        Draws(mix(mix(seed).wrapping_add(GOLDEN.wrapping_mul(Draws::PURPOSE))))
    }

    /// Those of one request.
    #[inline]
    pub(super) fn of(self, request: u32) -> OfRequest {
        OfRequest { base: self.0, high: u64::from(request) << 32 }
    }
}

/// The draws of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfRequest {
    base: u64,
    high: u64,
}

impl OfRequest {
    /// The draw of a position.
    #[inline]
    pub(super) fn at(self, purpose: For, position: u32) -> u64 {
        self.row(purpose, position).draw()
    }

    /// The draws from a position on.
    #[inline]
    pub(super) fn row(self, purpose: For, position: u32) -> Row {
        // Purposes lie half of the sequence's length, and parts of it, from each other.
        let base = self.base.wrapping_add((purpose as u64) << 61);
        Row(base.wrapping_add(GOLDEN.wrapping_mul(self.high | u64::from(position))))
    }
}

/// The draws of one request from a position on, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row(u64);

impl Row {
    /// The next.
    #[inline]
    pub(super) fn draw(&mut self) -> u64 {
        let draw = mix(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        draw
    }
}

/// How many in a row of `0..count` hold, from the first on. Eight at a time are asked without a look at
/// their answers: which of them fails is what no processor foresees.
#[inline]
pub(super) fn in_a_row(count: u32, mut holds: impl FnMut(u32) -> bool) -> u32 {
    let mut from = 0;
    while from < count {
        let some = (count - from).min(8);
        let answers = (0..some).fold(0, |answers, i| answers | u32::from(holds(from + i)) << i);
        let held = answers.trailing_ones();
        from += held;
        if held < some {
            break;
        }
    }
    from
}

/// The output function of SplitMix64.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
