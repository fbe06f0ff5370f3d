//! The same workload at another rate: the search for a capacity turns this knob.

use crate::time::Span;

use super::{Amount, Arrivals, MAX_REQUESTS, Source, WorkloadSpec};

impl WorkloadSpec {
    /// The same unit draws (or trace rows) with `factor` times the arrivals a second: rates are
    /// multiplied, a trace's times divided. `None` where no rate is there to scale (all at once,
    /// closed loop).
    ///
    /// # Panics
    /// When `factor` is not a number above 0.
    pub fn scaled(&self, factor: f64) -> Option<WorkloadSpec> {
        assert!(factor > 0.0 && factor.is_finite(), "not a factor: {factor}");
        let mut spec = self.clone();
        match &mut spec.source {
            Source::Synthetic { arrivals, .. } => scale(arrivals, factor)?,
            Source::Sessions(sessions) => scale(&mut sessions.arrivals, factor)?,
            Source::Trace(trace) => match &mut trace.arrivals {
                Some(arrivals) => scale(arrivals, factor)?,
                None => trace.time_scale *= factor,
            },
        }
        Some(spec)
    }

    /// The users of a closed loop; `None` where there is none.
    pub fn users(&self) -> Option<u32> {
        match self.source.arrivals() {
            Some(&Arrivals::ClosedLoop { users, .. }) => Some(users),
            _ => None,
        }
    }

    /// The same closed loop with so many users. More of them than before ask more requests in all,
    /// so that each has as many turns; fewer ask no fewer. `None` where there is no closed loop.
    pub fn with_users(&self, users: u32) -> Option<WorkloadSpec> {
        let before = self.users()?;
        let more = f64::from(users) / f64::from(before.max(1));
        let mut spec = if more > 1.0 { self.lengthened(more) } else { self.clone() };
        let arrivals = match &mut spec.source {
            Source::Synthetic { arrivals, .. } => Some(arrivals),
            Source::Trace(trace) => trace.arrivals.as_mut(),
            Source::Sessions(sessions) => Some(&mut sessions.arrivals),
        };
        if let Some(Arrivals::ClosedLoop { users: of, .. }) = arrivals {
            *of = users;
        }
        Some(spec)
    }

    /// The same workload with `times` as many requests, where their number is what ends it.
    /// Requests are keyed by index, so a longer run begins with the shorter one.
    pub fn lengthened(&self, times: f64) -> WorkloadSpec {
        let longer = |requests: u32| {
            let asked = libm::ceil(f64::from(requests) * times);
            asked.clamp(1.0, f64::from(MAX_REQUESTS)) as u32
        };
        let amount = Amount { requests: self.amount.requests.map(longer), ..self.amount };
        WorkloadSpec { amount, ..self.clone() }
    }

    /// The first requests of the same workload: this share of their number, or of the time in which they
    /// arrive. A trace without a number of its own stays as it is.
    pub fn shortened(&self, share: f64) -> WorkloadSpec {
        let shorter = |span: Span| Span::from_nanos((span.as_nanos() as f64 * share) as u64);
        let duration = match self.amount.requests {
            Some(_) => self.amount.duration,
            None => self.amount.duration.map(shorter),
        };
        let mut spec = self.lengthened(share);
        spec.amount.duration = duration;
        spec
    }

    /// Whether the rate is the same from the first arrival to the last, but for chance. Piecewise
    /// rates change, and a trace's may.
    pub fn is_stationary(&self) -> bool {
        !matches!(self.source.arrivals(), None | Some(Arrivals::Piecewise(_)))
    }
}

fn scale(arrivals: &mut Arrivals, factor: f64) -> Option<()> {
    match arrivals {
        Arrivals::Poisson { rate }
        | Arrivals::Gamma { rate, .. }
        | Arrivals::Weibull { rate, .. }
        | Arrivals::Constant { rate } => *rate *= factor,
        Arrivals::Piecewise(pieces) => {
            for piece in pieces {
                piece.rate *= factor;
                piece.ramp_to *= factor;
            }
        }
        Arrivals::AllAtOnce | Arrivals::ClosedLoop { .. } => return None,
    }
    Some(())
}
