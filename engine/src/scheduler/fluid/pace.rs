//! How fast prompts can be computed, beside decodes at their pace or alone.

use crate::cost::{BatchShape, Chunk, Decodes};
use crate::time::Span;

use super::super::largest::{Forming, largest};
use super::Step;

/// An iteration of prompts alone that has almost the best throughput.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    /// Its tokens, `C*`.
    pub tokens: u32,
    time: Span,
    /// What a token of context adds to the time of a prompt token, in nanoseconds.
    context: f64,
}

/// The share of the best throughput that is enough.
const ENOUGH: f64 = 0.97;

/// The context and the chunk by which the price of context is found.
const CONTEXT: Chunk = Chunk { context: 8192, tokens: 512 };

impl Best {
    /// Of iterations of `most` tokens at most: sizes are powers of two and those between them.
    pub(super) fn of(step: &Step<'_>, most: u32) -> Best {
        let time = |chunk: Chunk| step.predict(&BatchShape::new(&[chunk], Decodes::NONE, 1));
        let alone = |tokens: u32| time(Chunk { context: 0, tokens });
        let rate = |tokens: u32| f64::from(tokens) / alone(tokens).as_nanos() as f64;
        let sizes = (4..13).flat_map(|power| [2 << power, 3 << power]);
        let sizes: Vec<u32> = sizes.filter(|&tokens| tokens < most).chain([most]).collect();
        let best = sizes.iter().map(|&tokens| rate(tokens)).fold(0.0, f64::max);
        let enough = sizes.iter().copied().find(|&tokens| rate(tokens) >= ENOUGH * best);
        let tokens = enough.unwrap_or(most);
        let [far, near] = [CONTEXT, Chunk { context: 0, ..CONTEXT }].map(time);
        let added = far.as_nanos().saturating_sub(near.as_nanos()) as f64;
        let context = added / (f64::from(CONTEXT.context) * f64::from(CONTEXT.tokens));
        Best { tokens, time: alone(tokens), context }
    }

    /// About how long an iteration of so many tokens takes, no more than `C*`.
    pub(super) fn time(&self, tokens: u32) -> Span {
        let share = f64::from(tokens) / f64::from(self.tokens);
        Span::from_nanos((self.time.as_nanos() as f64 * share).round() as u64)
    }
}

/// How fast prompts can be computed beside the decodes that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Prompt tokens a nanosecond in the largest chunks beside decodes that keep the pace.
    pub chunked: f64,
    /// The same in iterations of prompts alone for which slack is saved up.
    pub banked: f64,
    /// Nanoseconds a prompt token.
    token: f64,
    /// And more for each token of context before it.
    context: f64,
}

impl Pace {
    /// Beside these decodes, which take so long alone, in iterations of `gone`.
    pub(super) fn of(
        step: &Step<'_>,
        (mut forming, decodes, alone): (Forming, Decodes, Span),
        gone: Span,
        best: &Best,
    ) -> Pace {
        let best_rate = f64::from(best.tokens) / best.time.as_nanos().max(1) as f64;
        if decodes.requests() == 0 {
            let (token, context) = (1.0 / best_rate, best.context);
            return Pace { chunked: best_rate, banked: best_rate, token, context };
        }
        let fits = |tokens: u32| forming.time_of(step, tokens) <= gone;
        let chunk = largest(best.tokens, fits);
        let chunked = match chunk {
            0 => 0.0,
            _ => f64::from(chunk) / forming.time_of(step, chunk).as_nanos().max(1) as f64,
        };
        let share = alone.as_nanos() as f64 / gone.as_nanos().max(1) as f64;
        let banked = best_rate * (1.0 - share).max(0.0);
        // Where decodes leave no time at their pace, prompts come at their cost.
        let least =
            f64::from(best.tokens) / forming.time_of(step, best.tokens).as_nanos().max(1) as f64;
        let rate = chunked.max(banked);
        let rate = if rate > 0.0 { rate } else { least };
        let context = best.context / (1.0 - share).clamp(0.1, 1.0);
        Pace { chunked, banked, token: 1.0 / rate, context }
    }

    /// Nanoseconds until so many tokens of a prompt are computed, with those `done` before them.
    #[inline]
    pub(super) fn own(&self, left: u32, done: u32) -> u64 {
        let left = f64::from(left);
        (left * (self.token + self.context * (f64::from(done) + left / 2.0))) as u64
    }
}
