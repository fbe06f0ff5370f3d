//! When requests arrive.
//!
//! A renewal process (Poisson, gamma, Weibull) adds up gaps of mean 1 and divides the sum by the
//! rate, once an arrival: another rate rescales the same gaps, and no rounding piles up. The first
//! gap lies before the first request. Gaps are never clamped, so the realised rate is the nominal
//! one but for chance.

use crate::time::{Span, Time};

use super::piecewise::RateCurve;
use super::streams::{Draws, Purpose, Stream};
use super::{Amount, Arrivals, MAX_REQUESTS, WorkloadError, variates};

/// Arrivals later than this, 146 years, are an error rather than an overflow.
pub(crate) const LATEST_ARRIVAL: Time = Time::from_nanos(1 << 62);

/// Coefficients of variation that gamma and Weibull gaps can have here.
const CV_RANGE: std::ops::RangeInclusive<f64> = 0.001..=100.0;

/// Arrival times, one after another.
#[derive(Clone, Debug)]
pub(crate) struct ArrivalTimes {
    process: Process,
    stream: Stream,
    /// Index of the next arrival.
    next: u32,
    /// Sum of the unit gaps so far.
    sum: f64,
    /// The last arrival, in ns.
    latest: f64,
    requests: u32,
    /// Arrivals come before this.
    end: Time,
}

#[derive(Clone, Debug)]
enum Process {
    Exponential {
        rate: f64,
    },
    Gamma {
        rate: f64,
        shape: f64,
    },
    /// Gaps `E^(1/shape) / Γ(1 + 1/shape)` with E exponential.
    Weibull {
        rate: f64,
        inverse_shape: f64,
        inverse_mean: f64,
    },
    Constant {
        rate: f64,
    },
    AllAtOnce,
    Varying(RateCurve),
}

impl ArrivalTimes {
    /// Checks a description. `closed` says how many there are anyway, such as the rows of a trace.
    pub(crate) fn new(
        arrivals: &Arrivals,
        amount: Amount,
        seed: u64,
        rows: Option<u32>,
    ) -> Result<ArrivalTimes, WorkloadError> {
        let process = match *arrivals {
            Arrivals::Poisson { rate } => Process::Exponential { rate: checked_rate(rate)? },
            Arrivals::Gamma { rate, cv } => {
                let cv = checked_cv(cv)?;
                Process::Gamma { rate: checked_rate(rate)?, shape: 1.0 / (cv * cv) }
            }
            Arrivals::Weibull { rate, cv } => {
                let inverse_shape = weibull_inverse_shape(checked_cv(cv)?);
                Process::Weibull {
                    rate: checked_rate(rate)?,
                    inverse_shape,
                    inverse_mean: libm::exp(-libm::lgamma(1.0 + inverse_shape)),
                }
            }
            Arrivals::Constant { rate } => Process::Constant { rate: checked_rate(rate)? },
            Arrivals::AllAtOnce => Process::AllAtOnce,
            Arrivals::Piecewise(ref pieces) => {
                Process::Varying(RateCurve::new(pieces, amount.requests.is_some())?)
            }
            Arrivals::ClosedLoop { .. } => {
                return Err(WorkloadError::spec(
                    "arrivals",
                    "the arrivals of a closed loop depend on the answers and cannot be drawn \
                     before a run",
                ));
            }
        };
        let bounded_by_itself = matches!(process, Process::Varying(_)) || rows.is_some();
        let bounded = match process {
            Process::AllAtOnce => amount.requests.is_some() || rows.is_some(),
            _ => amount.requests.is_some() || amount.duration.is_some() || bounded_by_itself,
        };
        if !bounded {
            return Err(WorkloadError::spec("requests", "nothing says when the arrivals end")
                .with_help("give `requests`, or `duration` where requests keep coming"));
        }
        Ok(ArrivalTimes {
            process,
            stream: Stream::new(seed, Purpose::Arrival),
            next: 0,
            sum: 0.0,
            latest: 0.0,
            requests: amount.requests.unwrap_or(u32::MAX).min(rows.unwrap_or(u32::MAX)),
            end: end_of(amount.duration),
        })
    }

    /// The next arrival, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Time>, WorkloadError> {
        if self.next >= self.requests {
            return Ok(None);
        }
        let key = u64::from(self.next);
        let ns = match &mut self.process {
            Process::Exponential { rate } => {
                self.sum += variates::exponential(&mut self.stream.at(key));
                self.sum * 1e9 / *rate
            }
            Process::Gamma { rate, shape } => {
                self.sum += variates::gamma(&mut self.stream.at(key), *shape) / *shape;
                self.sum * 1e9 / *rate
            }
            Process::Weibull { rate, inverse_shape, inverse_mean } => {
                self.sum += weibull(&mut self.stream.at(key), *inverse_shape) * *inverse_mean;
                self.sum * 1e9 / *rate
            }
            // Every u32 times 1e9 is exact in an f64: 1e9 is 2^9 times 21 bits.
            Process::Constant { rate } => f64::from(self.next) * 1e9 / *rate,
            Process::AllAtOnce => 0.0,
            Process::Varying(curve) => {
                self.sum += variates::exponential(&mut self.stream.at(key));
                match curve.time_at_ns(self.sum) {
                    Some(ns) => ns,
                    None => return Ok(None),
                }
            }
        };
        // A curve inverted in floating point may step back by its last digit; time does not.
        let ns = libm::rint(ns).max(self.latest);
        self.latest = ns;
        if self.end != Time::NEVER && ns >= self.end.as_nanos() as f64 {
            return Ok(None);
        }
        if ns > LATEST_ARRIVAL.as_nanos() as f64 {
            return Err(WorkloadError::spec(
                "arrivals",
                format!("request {} would arrive after more than 146 years", self.next),
            )
            .with_help("the rate is too low, or `duration` is missing"));
        }
        if self.next >= MAX_REQUESTS {
            return Err(too_many_requests());
        }
        self.next += 1;
        Ok(Some(Time::from_nanos(ns as u64)))
    }

    /// The mean arrivals a second that the description states; `None` for all at once.
    pub(crate) fn nominal_rate_per_s(&self) -> Option<f64> {
        match &self.process {
            Process::Exponential { rate }
            | Process::Gamma { rate, .. }
            | Process::Weibull { rate, .. }
            | Process::Constant { rate } => Some(*rate),
            Process::Varying(curve) => Some(curve.mean_rate_per_s()),
            Process::AllAtOnce => None,
        }
    }
}

/// The instant before which arrivals come.
pub(crate) fn end_of(duration: Option<Span>) -> Time {
    duration.map_or(Time::NEVER, |duration| Time::from_nanos(duration.as_nanos()))
}

pub(crate) fn too_many_requests() -> WorkloadError {
    WorkloadError::spec("requests", format!("more than {MAX_REQUESTS} requests in one run"))
        .with_help("lower `requests`, or the rate, or `duration`")
}

pub(crate) fn checked_rate(rate: f64) -> Result<f64, WorkloadError> {
    if rate > 0.0 && rate.is_finite() {
        Ok(rate)
    } else {
        Err(WorkloadError::spec(
            "rate",
            format!("expected requests a second above 0, found {rate}"),
        ))
    }
}

fn checked_cv(cv: f64) -> Result<f64, WorkloadError> {
    if CV_RANGE.contains(&cv) {
        return Ok(cv);
    }
    Err(WorkloadError::spec(
        "cv",
        format!("expected a number from {} to {}, found {cv}", CV_RANGE.start(), CV_RANGE.end()),
    )
    .with_help("`constant` arrivals have no variation at all"))
}

#[inline]
fn weibull(draws: &mut Draws, inverse_shape: f64) -> f64 {
    libm::exp(inverse_shape * libm::log(variates::exponential(draws)))
}

/// 1 / shape of the Weibull distribution with this coefficient of variation, which grows with it:
/// `cv^2 = Γ(1 + 2x) / Γ(1 + x)^2 - 1`, solved by bisection.
fn weibull_inverse_shape(cv: f64) -> f64 {
    let variation =
        |x: f64| libm::sqrt(libm::expm1(libm::lgamma(1.0 + 2.0 * x) - 2.0 * libm::lgamma(1.0 + x)));
    let (mut low, mut high) = (1e-4, 20.0);
    debug_assert!(variation(low) < *CV_RANGE.start() && variation(high) > *CV_RANGE.end());
    // Each step halves the interval: 64 leave nothing between two neighbouring numbers.
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if variation(middle) < cv { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weibull_shapes_give_the_variation_asked_for() {
        // Shape 1 is the exponential distribution; shape 1/2 has cv sqrt(5).
        assert!((weibull_inverse_shape(1.0) - 1.0).abs() < 1e-12);
        assert!((weibull_inverse_shape(5f64.sqrt()) - 2.0).abs() < 1e-12);
        // Small variations: cv is nearly x * pi / sqrt(6).
        let x = weibull_inverse_shape(0.001);
        assert!((x * std::f64::consts::PI / 6f64.sqrt() / 0.001 - 1.0).abs() < 1e-3, "{x}");
    }
}
