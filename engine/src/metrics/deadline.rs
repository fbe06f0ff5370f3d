//! What is promised to a request: the deadlines of its tokens.

use std::fmt;
use std::sync::Arc;

use super::PrefillCurve;
use crate::time::Span;

/// The deadlines of one class of requests, and when a request counts as fluid.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadlines {
    ttft: FirstToken,
    tbt: Span,
    fluid_index: f64,
}

/// Deadline of the first token, `D_p`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FirstToken {
    /// The same for every request.
    Fixed(Span),
    /// The time of an undisturbed prefill of that prompt, plus a slack for scheduling.
    Curve {
        /// Prefill times; shared by all schedulers of a scenario.
        curve: Arc<PrefillCurve>,
        /// What is added to them.
        slack: Span,
    },
}

/// Why deadlines are no deadlines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DeadlineError {
    /// The deadline of later tokens is 0: a stall would miss infinitely many.
    NoTbt,
    /// The fluidity-index that makes a request fluid is not within 0 to 1.
    Index(f64),
}

impl fmt::Display for DeadlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadlineError::NoTbt => write!(f, "the TBT deadline must be at least 1 ns"),
            DeadlineError::Index(index) => {
                write!(f, "a fluidity-index lies within 0 to 1, not {index}")
            }
        }
    }
}

impl std::error::Error for DeadlineError {}

impl Deadlines {
    /// Deadlines of the first token (`D_p`) and of each later one (`D_d`); a request is fluid
    /// when its fluidity-index is at least `fluid_index`.
    ///
    /// # Errors
    /// When `tbt` is 0 or `fluid_index` is not within 0 to 1.
    pub fn new(ttft: FirstToken, tbt: Span, fluid_index: f64) -> Result<Deadlines, DeadlineError> {
        if tbt == Span::ZERO {
            return Err(DeadlineError::NoTbt);
        }
        if !(0.0..=1.0).contains(&fluid_index) {
            return Err(DeadlineError::Index(fluid_index));
        }
        Ok(Deadlines { ttft, tbt, fluid_index })
    }

    /// `D_p` of a request with this prompt.
    pub fn ttft(&self, prompt_tokens: u32) -> Span {
        match &self.ttft {
            FirstToken::Fixed(span) => *span,
            FirstToken::Curve { curve, slack } => Span::from_nanos(
                curve.at(prompt_tokens).as_nanos().saturating_add(slack.as_nanos()),
            ),
        }
    }

    /// No less than this is `D_p`, whatever the prompt: known sooner.
    pub fn ttft_least(&self) -> Span {
        match &self.ttft {
            FirstToken::Fixed(span) => *span,
            FirstToken::Curve { slack, .. } => *slack,
        }
    }

    /// `D_d`.
    pub fn tbt(&self) -> Span {
        self.tbt
    }

    /// The fluidity-index from which on a request is fluid.
    pub fn fluid_index(&self) -> f64 {
        self.fluid_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_deadline_follows_the_prompt() {
        let curve = Arc::new(
            PrefillCurve::new([(100, Span::from_millis(10)), (300, Span::from_millis(30))])
                .unwrap(),
        );
        let slack = Span::from_millis(300);
        let ttft = FirstToken::Curve { curve, slack };
        let deadlines = Deadlines::new(ttft, Span::from_millis(25), 0.9).unwrap();
        assert_eq!(deadlines.ttft(200), Span::from_millis(320));
    }

    #[test]
    fn what_is_no_deadline_is_an_error() {
        let fixed = || FirstToken::Fixed(Span::ZERO);
        assert_eq!(Deadlines::new(fixed(), Span::ZERO, 0.9), Err(DeadlineError::NoTbt));
        let tbt = Span::from_nanos(1);
        assert_eq!(Deadlines::new(fixed(), tbt, 1.5), Err(DeadlineError::Index(1.5)));
        assert!(Deadlines::new(fixed(), tbt, f64::NAN).is_err());
        assert!(Deadlines::new(fixed(), tbt, 1.0).is_ok());
    }
}
