//! How many drafts are accepted, request by request and position by position.

use std::sync::Arc;

use super::Speculative;
use super::acceptance::Acceptance;
use super::chance::Draws;
use crate::ids::{ClassId, RequestId};

/// The luck of one run.
///
/// Each position of each answer has one even draw, keyed by the run's seed, the request and the
/// position: whether the token that stands there would have been guessed. How steps fall does not
/// move it, so that two schedulers, and two numbers of drafts, meet the same luck: with one rate for
/// all drafts a token that one of them guessed, the other guesses as well. Where the rate depends on
/// a draft's place in its step, the draw is the same and what it is held against is not. No draw is
/// used twice: a step accepts positions `p` to `p + a - 1` and draws at most one more, that of the
/// token that the model then says itself, and the next step begins behind it.
#[derive(Clone, Debug)]
pub struct Luck {
    speculative: Arc<Speculative>,
    draws: Draws,
}

impl Luck {
    pub(super) fn new(speculative: Arc<Speculative>, seed: u64) -> Luck {
        Luck { speculative, draws: Draws::new(seed) }
    }

    fn acceptance(&self) -> &Acceptance {
        &self.speculative.acceptance
    }

    /// How many of `drafts` drafted tokens are accepted, 0 to `drafts`, where `position` tokens of the
    /// request's answer were out before the step: the first draft stands for the one at that place,
    /// counted from 0. The first token of an answer is never drafted, so positions begin at 1.
    #[inline]
    pub fn accepted(&self, request: RequestId, class: ClassId, position: u32, drafts: u32) -> u32 {
        let draws = self.draws.of(request.0);
        self.acceptance().rule(class).accepted(draws, request, position, drafts)
    }
}
