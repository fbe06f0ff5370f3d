//! Values of parameters, drawn for tests: mostly so small that small loads reach them, now and then
//! at their ends, now and then left as they are.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// How small limits are drawn, in tokens but for the seats.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Requests at once.
    pub seats: RangeInclusive<u32>,
    /// A budget that cuts prompts.
    pub chunk: RangeInclusive<u32>,
    /// A budget that holds any prompt, recomputed ones included.
    pub whole: RangeInclusive<u32>,
    /// The largest KV block: some policies cut prompts between blocks, and need one to fit.
    pub block_tokens_max: u32,
    /// Prompts from this on are long.
    pub long_prefill_tokens: u32,
    /// Whether values may be drawn with which the real system would wait for ever
    /// ([`Facts::hangs`](super::Facts::hangs)).
    pub hangs: bool,
}

/// Draws values at a scale.
pub struct Draws<'r> {
    rng: &'r mut Xoshiro256PlusPlus,
    scale: Scale,
}

impl<'r> Draws<'r> {
    /// Draws from a stream.
    pub fn new(rng: &'r mut Xoshiro256PlusPlus, scale: Scale) -> Draws<'r> {
        Draws { rng, scale }
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.rng.random_bool(0.5)
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    /// A value, or none for the default.
    pub fn perhaps<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.rng.random_bool(0.8).then(|| draw(self))
    }

    /// A whole number.
    pub fn whole_number(&mut self, range: RangeInclusive<u32>) -> u32 {
        self.rng.random_range(range)
    }

    /// A count: small, 0 included, or without end.
    pub fn count(&mut self, most: u32) -> u32 {
        match self.rng.random_bool(0.05) {
            true => u32::MAX,
            false => self.rng.random_range(0..=most),
        }
    }

    /// Requests at once, at least 1.
    pub fn seats(&mut self) -> u32 {
        let few = self.scale.seats.clone();
        self.with_ends(few)
    }

    /// Tokens of a step that prompts need not fit into, at least 1.
    pub fn chunk(&mut self) -> u32 {
        let few = self.scale.chunk.clone();
        self.with_ends(few)
    }

    /// Tokens of a step that any prompt fits into.
    pub fn whole(&mut self) -> u32 {
        match self.rng.random_bool(0.05) {
            true => u32::MAX,
            false => self.rng.random_range(self.scale.whole.clone()),
        }
    }

    /// Tokens of a step: prompts need not fit where they may be cut.
    pub fn budget(&mut self, cuts: bool) -> u32 {
        if cuts { self.chunk() } else { self.whole() }
    }

    /// Now and then yes, where values may be drawn with which the real system waits for ever.
    pub fn may_hang(&mut self) -> bool {
        self.scale.hangs && self.rng.random_bool(0.3)
    }

    /// The same where a recomputed prompt that does not fit waits for ever.
    pub fn budget_or_hang(&mut self, cuts: bool) -> u32 {
        let hangs = self.may_hang();
        self.budget(cuts || hangs)
    }

    /// From how many tokens on a prompt is long; 0 for never.
    pub fn threshold(&mut self) -> u32 {
        let long = self.scale.long_prefill_tokens;
        self.one_of(&[0, 1, long, 2 * long, u32::MAX])
    }

    /// The largest KV block.
    pub fn block_tokens_max(&self) -> u32 {
        self.scale.block_tokens_max
    }

    /// A share of memory, below 1.
    pub fn share(&mut self) -> f64 {
        match self.rng.random_range(0..4) {
            0 => 0.0,
            1 => self.one_of(&[0.01, 0.5, 0.9, 0.999]),
            _ => self.rng.random_range(0.0..0.4),
        }
    }

    fn with_ends(&mut self, few: RangeInclusive<u32>) -> u32 {
        match self.rng.random_range(0..20) {
            0 => 1,
            1 => u32::MAX,
            _ => self.rng.random_range(few),
        }
    }
}
