//! The largest chunk of a prompt with which an iteration keeps to a time.

use crate::cost::{BatchShape, Chunk, Decodes};
use crate::time::Span;

use super::{RequestView, Step};

/// An iteration that is being put together, as far as its time is concerned.
pub(super) struct Forming {
    chunks: Vec<Chunk>,
    decodes: Decodes,
    completes: u32,
}

impl Forming {
    /// These decodes alone.
    pub(super) fn new(decodes: Decodes) -> Forming {
        Forming { chunks: Vec::new(), decodes, completes: 0 }
    }

    /// How long it is expected to take.
    pub(super) fn time(&self, step: &Step<'_>) -> Span {
        let sampled = self.decodes.tokens() + self.completes;
        step.predict(&BatchShape::new(&self.chunks, self.decodes, sampled))
    }

    /// The same with so many tokens more of a request's prompt.
    pub(super) fn time_with(&mut self, step: &Step<'_>, view: &RequestView, tokens: u32) -> Span {
        self.add(view, tokens);
        let time = self.time(step);
        self.take_back(view, tokens);
        time
    }

    /// How long it would take with so many tokens of a prompt's beginning.
    pub(super) fn time_of(&mut self, step: &Step<'_>, tokens: u32) -> Span {
        self.chunks.push(Chunk { context: 0, tokens });
        let time = self.time(step);
        self.chunks.pop();
        time
    }

    /// Adds so many tokens of a request's prompt.
    pub(super) fn add(&mut self, view: &RequestView, tokens: u32) {
        self.chunks.push(Chunk { context: view.computed, tokens });
        self.completes += u32::from(tokens == view.prefill_left());
    }

    fn take_back(&mut self, view: &RequestView, tokens: u32) {
        self.chunks.pop();
        self.completes -= u32::from(tokens == view.prefill_left());
    }

    /// The most tokens of a request's prompt, `most` at most, with which it keeps within `time`.
    pub(super) fn largest(
        &mut self,
        step: &Step<'_>,
        view: &RequestView,
        most: u32,
        time: Span,
    ) -> u32 {
        let fits = |this: &mut Forming, tokens| this.time_with(step, view, tokens) <= time;
        largest(most.min(view.prefill_left()), |tokens| fits(self, tokens))
    }
}

/// The most of 1 to `most` that `fits`, which all below it do; 0 where none does.
pub(super) fn largest(most: u32, mut fits: impl FnMut(u32) -> bool) -> u32 {
    if most == 0 || fits(most) {
        return most;
    }
    let (mut fitting, mut over) = (0, most);
    while over - fitting > 1 {
        let middle = fitting + (over - fitting) / 2;
        if fits(middle) { fitting = middle } else { over = middle }
    }
    fitting
}

/// Half a time span, or another share of it.
pub(super) fn share(span: Span, of: f64) -> Span {
    Span::from_nanos((span.as_nanos() as f64 * of.max(0.0)).round().min(u64::MAX as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_is_found() {
        for most in 0..40 {
            for limit in 0..45 {
                assert_eq!(largest(most, |tokens| tokens <= limit), most.min(limit));
            }
        }
    }
}
