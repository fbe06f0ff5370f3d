//! Energy and price of the GPUs' time.

use crate::catalog::Power;
use crate::report::result::{Cost, Energy};
use crate::sim::Outcome;
use crate::time::{Span, Time};

/// What energy and price are counted over: the whole run, first arrival to last token, whatever
/// part of it the latencies are measured on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    elapsed_s: f64,
    utilization: f64,
    gpus: f64,
    output_tokens: u64,
    requests: u64,
}

impl Usage {
    /// What a run used on `replicas` replicas of so many GPUs each.
    pub fn of(outcome: &Outcome, replicas: u32, gpus_per_replica: u32) -> Usage {
        let trace = &outcome.trace;
        let first = trace.requests.iter().map(|row| row.arrival).min();
        let last = trace.requests.iter().filter_map(|row| {
            let last_run = trace.runs(row).last();
            let last = last_run.and_then(|run| trace.times(run).last().copied());
            last.or((row.first_token != Time::NEVER).then_some(row.first_token))
        });
        let elapsed = match (first, last.max()) {
            (Some(first), Some(last)) => last.since(first),
            _ => Span::ZERO,
        };
        let elapsed_s = elapsed.as_secs_f64();
        let capacity_s = elapsed_s * f64::from(replicas);
        let busy_s = outcome.gpu_busy.as_secs_f64();
        let utilization = if capacity_s > 0.0 { (busy_s / capacity_s).min(1.0) } else { 0.0 };
        Usage {
            elapsed_s,
            utilization,
            gpus: f64::from(replicas) * f64::from(gpus_per_replica),
            output_tokens: trace.requests.iter().map(|row| u64::from(row.tokens)).sum(),
            requests: trace.requests.len() as u64,
        }
    }

    /// `P_idle + (P_max - P_idle) * utilisation` for each GPU, over the elapsed time.
    pub fn energy(&self, power: Power) -> Energy {
        let one = power.idle_w + (power.max_w - power.idle_w) * self.utilization;
        let mean_power_w = one * self.gpus;
        let joules = mean_power_w * self.elapsed_s;
        Energy {
            gpu_utilization: self.utilization,
            mean_power_w,
            joules,
            joules_per_output_token: self.per_token(joules),
        }
    }

    /// The price of the GPUs for the elapsed time; `fluid_share` is the share of fluid requests.
    pub fn cost(&self, usd_per_gpu_hour: f64, fluid_share: Option<f64>) -> Cost {
        let gpu_hours = self.gpus * self.elapsed_s / 3600.0;
        let usd = gpu_hours * usd_per_gpu_hour;
        Cost {
            usd_per_gpu_hour,
            gpu_hours,
            usd,
            usd_per_million_output_tokens: self.per_token(usd * 1e6),
            usd_per_fluid_request: fluid_share
                .map(|share| share * self.requests as f64)
                .filter(|fluid| *fluid > 0.0)
                .map(|fluid| usd / fluid),
        }
    }

    fn per_token(&self, amount: f64) -> Option<f64> {
        (self.output_tokens > 0).then(|| amount / self.output_tokens as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn half_busy_is_halfway_between_idle_and_full_power() {
        // First arrival at 0, last token at 40 ms.
        let mut outcome = fixture::outcome();
        outcome.gpu_busy = Span::from_millis(40);
        let usage = Usage::of(&outcome, 2, 4);
        let energy = usage.energy(Power { idle_w: 100.0, max_w: 700.0 });
        assert!((energy.gpu_utilization - 0.5).abs() < 1e-12, "{energy:?}");
        assert!((energy.mean_power_w - 8.0 * 400.0).abs() < 1e-9, "{energy:?}");
        assert!((energy.joules - 128.0).abs() < 1e-9, "{energy:?}");
        let tokens: u32 = outcome.trace.requests.iter().map(|row| row.tokens).sum();
        let per_token = energy.joules_per_output_token.expect("tokens came");
        assert!((per_token * f64::from(tokens) - 128.0).abs() < 1e-9);

        let cost = usage.cost(3600.0, Some(0.5));
        let fluid = 0.5 * outcome.trace.requests.len() as f64;
        let each = cost.usd_per_fluid_request.expect("some are fluid");
        assert!((each * fluid - cost.usd).abs() < 1e-12, "{cost:?}");
        assert!((cost.usd - 8.0 * 0.04).abs() < 1e-12, "{cost:?}");
    }

    #[test]
    fn an_empty_run_costs_nothing_and_divides_by_nothing() {
        let usage = Usage::of(&Outcome::default(), 1, 1);
        let energy = usage.energy(Power { idle_w: 100.0, max_w: 700.0 });
        assert_eq!(energy.joules.to_bits(), 0.0f64.to_bits());
        assert_eq!(energy.joules_per_output_token, None);
        assert_eq!(usage.cost(2.0, Some(0.0)).usd_per_million_output_tokens, None);
    }
}
