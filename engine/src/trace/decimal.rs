//! Nanoseconds as exact decimal text, so that a file read back gives the same integers.

use std::fmt;

use crate::time::{Span, Time};

/// Shows nanoseconds as seconds with nine decimals: `0.025000000`. Nothing is rounded.
#[derive(Clone, Copy, Debug)]
pub struct ExactSeconds(u64);

impl From<Time> for ExactSeconds {
    fn from(time: Time) -> ExactSeconds {
        ExactSeconds(time.as_nanos())
    }
}

impl From<Span> for ExactSeconds {
    fn from(span: Span) -> ExactSeconds {
        ExactSeconds(span.as_nanos())
    }
}

impl ExactSeconds {
    /// As a number: the nearest to the nanoseconds.
    pub(crate) fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for ExactSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Shows nanoseconds as microseconds with three decimals, the unit of Chrome traces.
#[derive(Clone, Copy, Debug)]
pub struct ExactMicros(u64);

impl From<Time> for ExactMicros {
    fn from(time: Time) -> ExactMicros {
        ExactMicros(time.as_nanos())
    }
}

impl From<Span> for ExactMicros {
    fn from(span: Span) -> ExactMicros {
        ExactMicros(span.as_nanos())
    }
}

impl fmt::Display for ExactMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_nanosecond() {
        let text = |ns| ExactSeconds::from(Time::from_nanos(ns)).to_string();
        assert_eq!(text(0), "0.000000000");
        assert_eq!(text(1), "0.000000001");
        assert_eq!(text(1_050_000_007), "1.050000007");
        assert_eq!(text(u64::MAX), "18446744073.709551615");
        assert_eq!(ExactMicros::from(Span::from_nanos(12_003)).to_string(), "12.003");
    }
}
