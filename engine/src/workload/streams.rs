//! Independent random streams, one for each purpose, keyed by request.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// The step of SplitMix64, 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a random value is for. The numbers are part of a scenario's meaning: changing one changes
/// every result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Arrival = 1,
    Prompt = 2,
    Output = 3,
    Class = 4,
    Prefix = 5,
    Routing = 6,
    Turns = 7,
    Gap = 8,
    FirstPrompt = 9,
    Luck = 10,
    DecodeRouting = 20,
}

/// The random values of one purpose. Each request has a generator of its own, made from
/// (seed, purpose, key), so how many values one request uses moves nothing of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    base: u64,
}

impl Stream {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Stream {
        Stream { base: mix(mix(seed).wrapping_add(GOLDEN.wrapping_mul(purpose as u64))) }
    }

    /// The generator of the request with this key.
    #[inline]
    pub(crate) fn at(self, key: u64) -> Draws {
        let seed = mix(self.base.wrapping_add(GOLDEN.wrapping_mul(key)));
        Draws(Xoshiro256PlusPlus::seed_from_u64(seed))
    }
}

/// Uniform values of one request.
pub(crate) struct Draws(Xoshiro256PlusPlus);

impl Draws {
    /// The generator itself, for the samplers of `rand_distr`.
    pub(crate) fn generator(&mut self) -> &mut Xoshiro256PlusPlus {
        &mut self.0
    }

    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in (0, 1), odd multiples of 2^-53: neither end, so its logarithm is finite and not 0.
    #[inline]
    pub(crate) fn open_unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Uniform in `0..n`; off by at most n / 2^64 in probability.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014): a bijection in which every bit depends on every other.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_documented_one() {
        // Worked out apart from this code, from the definitions of SplitMix64 and xoshiro256++.
        let mut draws = Stream::new(42, Purpose::Arrival).at(0);
        assert_eq!(draws.bits(), PINNED[0]);
        assert_eq!(draws.bits(), PINNED[1]);
        let mut draws = Stream::new(42, Purpose::Output).at(1_000_000);
        assert_eq!(draws.bits(), PINNED[2]);
    }

    const PINNED: [u64; 3] = [0x596A6E073ECD6C62, 0x9C62EB69E0B9A05B, 0xF477130EAE671B89];

    #[test]
    fn open_unit_never_touches_its_ends() {
        for key in 0..1000 {
            let u = Stream::new(1, Purpose::Prompt).at(key).open_unit();
            assert!(u > 0.0 && u < 1.0);
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let stream = Stream::new(7, Purpose::Class);
        let mut counts = [0u32; 5];
        for key in 0..10_000 {
            counts[stream.at(key).below(5) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (1850..2150).contains(&count)), "{counts:?}");
    }
}
