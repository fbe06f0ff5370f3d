//! Energy and price of the GPUs' time.

use crate::catalog::Power;
use crate::result::{Cost, Energy};
use crate::sim::Outcome;
use crate::threads;
use crate::time::Span;
use crate::trace::{RequestRow, Status};

/// Requests that one thread looks at at once.
const CHUNK: usize = 1 << 13;

/// Of what a GPU may draw beyond idling, the part that it draws while it waits for memory. Decoding draws
/// well below a GPU's limit whatever the batch, prefill comes near it (Splitwise, arXiv 2311.18677, section
/// III F, on A100 and H100: a cap at half of the limit costs the token phase nothing). The half is
/// assumed, and so is that power grows with the use of the matrix units above it.
pub const MEMORY_BOUND_POWER: f64 = 0.5;

/// What energy and price are counted over: the whole run, whatever part of it the latencies are measured
/// on. From the first arrival to the last token; where observation ended before all were answered, to
/// its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    elapsed_s: f64,
    used: Vec<UsedGpus>,
    output_tokens: u64,
    requests: u64,
}

/// What GPUs of one kind did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsedGpus {
    /// Replicas on them.
    pub replicas: u32,
    /// GPUs of each.
    pub gpus_per_replica: u32,
    /// GPU time of the iterations, summed over replicas.
    pub busy: Span,
    /// Share of that time for which its matrix products would keep the matrix units busy at the rate that
    /// large ones reach, 0 to 1. `None` where nothing is known of the model: the limit is drawn.
    pub compute_share: Option<f64>,
    /// Electric power of one GPU.
    pub power: Option<Power>,
    /// US dollars for one GPU and hour.
    pub usd_per_gpu_hour: Option<f64>,
}

impl UsedGpus {
    fn gpus(&self) -> f64 {
        f64::from(self.replicas) * f64::from(self.gpus_per_replica)
    }

    /// Power of one GPU while it is busy.
    fn busy_power_w(&self, power: Power) -> f64 {
        let share = self.compute_share.map_or(1.0, |share| share.clamp(0.0, 1.0));
        let drawn = MEMORY_BOUND_POWER + (1.0 - MEMORY_BOUND_POWER) * share;
        power.idle_w + (power.max_w - power.idle_w) * drawn
    }

    fn utilization(&self, elapsed_s: f64) -> f64 {
        let capacity_s = elapsed_s * f64::from(self.replicas);
        let busy_s = self.busy.as_secs_f64();
        if capacity_s > 0.0 { (busy_s / capacity_s).min(1.0) } else { 0.0 }
    }
}

impl Usage {
    /// What a run used on such GPUs.
    pub fn of(outcome: &Outcome, used: Vec<UsedGpus>) -> Usage {
        let trace = &outcome.trace;
        let first = trace.requests.iter().map(|row| row.arrival).min();
        let until = |row: &RequestRow| match row.status {
            Status::Unfinished => Some(trace.end),
            _ => trace.last_token(row),
        };
        let chunks = trace.requests.chunks(CHUNK).collect();
        let lasts = threads::map(chunks, |rows: &[_]| rows.iter().filter_map(until).max());
        let last = lasts.into_iter().max().flatten();
        let elapsed = match (first, last) {
            (Some(first), Some(last)) => last.max(first).since(first),
            _ => Span::ZERO,
        };
        Usage {
            elapsed_s: elapsed.as_secs_f64(),
            used,
            output_tokens: trace.requests.iter().map(|row| u64::from(row.tokens)).sum(),
            requests: trace.requests.len() as u64,
        }
    }

    /// GPU time of the iterations of one kind over the elapsed time: 0 to 1.
    pub fn utilization_of(&self, kind: usize) -> f64 {
        self.used.get(kind).map_or(0.0, |used| used.utilization(self.elapsed_s))
    }

    /// Busy GPUs draw `P_idle + (P_max - P_idle) (m + (1 - m) c)`, with `m` [`MEMORY_BOUND_POWER`] and `c`
    /// the share of the busy time that their matrix products fill; the others idle. `None` where the
    /// power of one is not known.
    pub fn energy(&self) -> Option<Energy> {
        let watts = |used: &UsedGpus| {
            let (power, busy) = (used.power?, used.utilization(self.elapsed_s));
            Some(
                [busy * used.busy_power_w(power), (1.0 - busy) * power.idle_w]
                    .map(|w| w * used.gpus()),
            )
        };
        let each = self.used.iter().map(watts).collect::<Option<Vec<_>>>()?;
        let [busy_w, idle_w] =
            each.iter().fold([0.0, 0.0], |sum, w| [sum[0] + w[0], sum[1] + w[1]]);
        let joules = (busy_w + idle_w) * self.elapsed_s;
        Some(Energy {
            gpu_utilization: self.over_gpus(|used| used.utilization(self.elapsed_s)),
            mean_power_w: busy_w + idle_w,
            busy_power_w: self.over_gpus(|used| used.power.map_or(0.0, |p| used.busy_power_w(p))),
            busy_joules: busy_w * self.elapsed_s,
            idle_joules: idle_w * self.elapsed_s,
            joules,
            joules_per_output_token: self.per_token(joules),
        })
    }

    /// The price of the GPUs for the elapsed time, `None` where that of one is not known;
    /// `fluid_share` is the share of fluid requests.
    pub fn cost(&self, fluid_share: Option<f64>) -> Option<Cost> {
        let hours = |used: &UsedGpus| used.gpus() * self.elapsed_s / 3600.0;
        let price = |used: &UsedGpus| used.usd_per_gpu_hour.map(|usd| hours(used) * usd);
        let usd = self.used.iter().map(price).sum::<Option<f64>>()?;
        Some(Cost {
            usd_per_gpu_hour: self.over_gpus(|used| used.usd_per_gpu_hour.unwrap_or(0.0)),
            gpu_hours: self.used.iter().map(hours).sum(),
            usd,
            usd_per_million_output_tokens: self.per_token(usd * 1e6),
            usd_per_fluid_request: fluid_share
                .map(|share| share * self.requests as f64)
                .filter(|fluid| *fluid > 0.0)
                .map(|fluid| usd / fluid),
        })
    }

    /// The mean over GPUs.
    fn over_gpus(&self, of: impl Fn(&UsedGpus) -> f64) -> f64 {
        match self.used.as_slice() {
            [all] => of(all),
            used => {
                let gpus: f64 = used.iter().map(UsedGpus::gpus).sum();
                let sum: f64 = used.iter().map(|used| of(used) * used.gpus()).sum();
                if gpus > 0.0 { sum / gpus } else { 0.0 }
            }
        }
    }

    fn per_token(&self, amount: f64) -> Option<f64> {
        (self.output_tokens > 0).then(|| amount / self.output_tokens as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::fixture;

    #[test]
    fn half_busy_is_halfway_between_idle_and_full_power() {
        // First arrival at 0, last token at 40 ms.
        let mut outcome = fixture::outcome();
        outcome.gpu_busy = Span::ZERO;
        let used = UsedGpus {
            replicas: 2,
            gpus_per_replica: 4,
            busy: Span::from_millis(40),
            power: Some(Power { idle_w: 100.0, max_w: 700.0 }),
            usd_per_gpu_hour: Some(3600.0),
            ..UsedGpus::default()
        };
        let usage = Usage::of(&outcome, vec![used]);
        let energy = usage.energy().expect("its power is known");
        assert!((energy.gpu_utilization - 0.5).abs() < 1e-12, "{energy:?}");
        assert!((energy.mean_power_w - 8.0 * 400.0).abs() < 1e-9, "{energy:?}");
        assert!((energy.joules - 128.0).abs() < 1e-9, "{energy:?}");
        let tokens: u32 = outcome.trace.requests.iter().map(|row| row.tokens).sum();
        let per_token = energy.joules_per_output_token.expect("tokens came");
        assert!((per_token * f64::from(tokens) - 128.0).abs() < 1e-9);

        let cost = usage.cost(Some(0.5)).expect("its price is known");
        let fluid = 0.5 * outcome.trace.requests.len() as f64;
        let each = cost.usd_per_fluid_request.expect("some are fluid");
        assert!((each * fluid - cost.usd).abs() < 1e-12, "{cost:?}");
        assert!((cost.usd - 8.0 * 0.04).abs() < 1e-12, "{cost:?}");
    }

    #[test]
    fn decoding_draws_less_than_prefill_and_more_than_idling() {
        let used = |compute_share| UsedGpus {
            replicas: 1,
            gpus_per_replica: 1,
            busy: Span::from_millis(30),
            compute_share,
            power: Some(Power { idle_w: 100.0, max_w: 700.0 }),
            usd_per_gpu_hour: None,
        };
        let energy = |share| {
            Usage::of(&fixture::outcome(), vec![used(share)]).energy().expect("its power is known")
        };
        // 30 of 40 ms busy: all memory-bound, a third of the time full of products, and all of it.
        for (share, busy_w) in [(0.0, 400.0), (1.0 / 3.0, 500.0), (1.0, 700.0)] {
            let energy = energy(Some(share));
            assert!((energy.busy_power_w - busy_w).abs() < 1e-9, "{energy:?}");
            assert!((energy.busy_joules - 0.03 * busy_w).abs() < 1e-9, "{energy:?}");
            assert!((energy.idle_joules - 0.01 * 100.0).abs() < 1e-9, "{energy:?}");
            assert!((energy.joules - energy.busy_joules - energy.idle_joules).abs() < 1e-9);
        }
        assert_eq!(energy(None), energy(Some(1.0)));
    }

    /// Observation ends at 100 ms while a request is still to be answered: GPUs are paid and idle until then.
    #[test]
    fn a_run_that_is_cut_off_is_paid_to_the_end_of_observation() {
        let mut outcome = fixture::outcome();
        outcome.trace.end = crate::time::Time::ZERO + Span::from_millis(100);
        let used = UsedGpus {
            replicas: 1,
            gpus_per_replica: 1,
            busy: Span::from_millis(20),
            usd_per_gpu_hour: Some(3600.0),
            ..UsedGpus::default()
        };
        let of = |outcome: &Outcome| {
            let usage = Usage::of(outcome, vec![used]);
            let milli = |figure: f64| (figure * 1e3).round();
            (milli(usage.utilization_of(0)), milli(usage.cost(None).expect("known").usd))
        };
        assert_eq!(of(&outcome), (500.0, 40.0), "to the last token, at 40 ms");
        outcome.trace.requests[1].status = Status::Unfinished;
        assert_eq!(of(&outcome), (200.0, 100.0));
    }

    #[test]
    fn an_empty_run_costs_nothing_and_divides_by_nothing() {
        let used = UsedGpus {
            replicas: 1,
            gpus_per_replica: 1,
            busy: Span::ZERO,
            power: Some(Power { idle_w: 100.0, max_w: 700.0 }),
            usd_per_gpu_hour: Some(2.0),
            ..UsedGpus::default()
        };
        let usage = Usage::of(&Outcome::default(), vec![used]);
        let energy = usage.energy().expect("its power is known");
        assert_eq!(energy.joules.to_bits(), 0.0f64.to_bits());
        assert_eq!(energy.joules_per_output_token, None);
        let cost = usage.cost(Some(0.0)).expect("its price is known");
        assert_eq!(cost.usd_per_million_output_tokens, None);
    }

    #[test]
    fn gpus_of_two_kinds_are_added_up_and_one_unknown_price_leaves_none() {
        let fast = UsedGpus {
            replicas: 1,
            gpus_per_replica: 2,
            busy: Span::from_millis(40),
            power: Some(Power { idle_w: 100.0, max_w: 700.0 }),
            usd_per_gpu_hour: Some(3.0),
            ..UsedGpus::default()
        };
        let cheap = UsedGpus {
            replicas: 4,
            gpus_per_replica: 1,
            busy: Span::from_millis(80),
            power: Some(Power { idle_w: 50.0, max_w: 350.0 }),
            usd_per_gpu_hour: Some(1.0),
            ..UsedGpus::default()
        };
        // 40 ms: the first is busy all the time, the others half of it.
        let usage = Usage::of(&fixture::outcome(), vec![fast, cheap]);
        let energy = usage.energy().expect("known");
        assert!((energy.mean_power_w - (2.0 * 700.0 + 4.0 * 200.0)).abs() < 1e-9, "{energy:?}");
        assert!((energy.gpu_utilization - (2.0 + 4.0 * 0.5) / 6.0).abs() < 1e-12, "{energy:?}");
        let cost = usage.cost(None).expect("known");
        assert!((cost.usd - (2.0 * 3.0 + 4.0) * 0.04 / 3600.0).abs() < 1e-15, "{cost:?}");
        assert!((cost.usd_per_gpu_hour - 10.0 / 6.0).abs() < 1e-12, "{cost:?}");

        let unknown = UsedGpus { usd_per_gpu_hour: None, ..cheap };
        assert_eq!(Usage::of(&fixture::outcome(), vec![fast, unknown]).cost(None), None);
        let unknown = UsedGpus { power: None, ..cheap };
        assert_eq!(Usage::of(&fixture::outcome(), vec![fast, unknown]).energy(), None);
    }
}
