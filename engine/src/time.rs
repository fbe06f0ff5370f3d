//! Simulation time: whole nanoseconds, an instant and a length of time as types of their own.
//!
//! Integers because binary floating point gets `floor(x / d)` wrong on exact multiples, and a
//! fluidity-index counts such floors. Seconds, as decimals, appear only in files and on screen.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

/// An instant, in nanoseconds since the simulation (or the measurement) began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Time {
    /// The beginning.
    pub const ZERO: Time = Time(0);
    /// Stands for "not yet" in tables; later than every instant.
    pub const NEVER: Time = Time(u64::MAX);

    /// The instant `ns` nanoseconds after the beginning.
    pub const fn from_nanos(ns: u64) -> Time {
        Time(ns)
    }

    /// Nanoseconds since the beginning.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the beginning, for display and files.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to `self`.
    ///
    /// # Panics
    /// When `earlier` is later: time going backwards is a bug, never a value.
    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.checked_sub(earlier.0).expect("time went backwards"))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest time that can be told.
    pub const MAX: Span = Span(u64::MAX);

    /// A span of `ns` nanoseconds.
    pub const fn from_nanos(ns: u64) -> Span {
        Span(ns)
    }

    /// A span of `us` microseconds.
    pub const fn from_micros(us: u64) -> Span {
        Span(us * 1_000)
    }

    /// A span of `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Span {
        Span(ms * 1_000_000)
    }

    /// Nearest whole nanosecond to `s` seconds; `None` when negative, not finite or over 584 years.
    pub fn from_secs_f64(s: f64) -> Option<Span> {
        let ns = libm::rint(s * 1e9);
        (ns >= 0.0 && ns < u64::MAX as f64).then_some(Span(ns as u64))
    }

    /// Nearest whole nanosecond to `us` microseconds, as the cost model rounds an iteration once.
    ///
    /// # Panics
    /// When `us` is negative, not finite or over 584 years.
    #[inline]
    pub fn from_micros_f64(us: f64) -> Span {
        // Adding 2^52 rounds to the nearest whole number, the even one of two, as `rint` does.
        const WHOLE: f64 = (1u64 << 52) as f64;
        let ns = us * 1e3;
        if (0.0..WHOLE).contains(&ns) {
            return Span(((ns + WHOLE) - WHOLE) as u64);
        }
        let ns = libm::rint(ns);
        assert!(ns >= 0.0 && ns < u64::MAX as f64, "not a length of time: {us} us");
        Span(ns as u64)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds, for display and files.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Milliseconds, for display.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, rhs: Span) -> Time {
        Time(self.0.checked_add(rhs.0).expect("simulated time passed 584 years"))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, rhs: Span) {
        *self = *self + rhs;
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, rhs: Span) -> Span {
        Span(self.0.checked_add(rhs.0).expect("a length of time passed 584 years"))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, rhs: Span) {
        *self = *self + rhs;
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, rhs: Span) -> Span {
        Span(self.0.checked_sub(rhs.0).expect("negative length of time"))
    }
}

impl Mul<u64> for Span {
    type Output = Span;
    fn mul(self, rhs: u64) -> Span {
        Span(self.0.checked_mul(rhs).expect("a length of time passed 584 years"))
    }
}

impl Sum for Span {
    fn sum<I: Iterator<Item = Span>>(iter: I) -> Span {
        iter.fold(Span::ZERO, |a, b| a + b)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER { write!(f, "never") } else { write!(f, "@{}ns", self.0) }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}
