//! What is read of a run.

use metron_sim::SchedulerOutput;
use metron_sim::token_times::{RequestRow, Status, TokenTrace};

/// Prompts up to so many tokens are counted together; those beyond the last too.
pub(crate) const LENGTHS: [u32; 4] = [1000, 4000, 8000, u32::MAX];

/// How these are called.
pub(crate) const LENGTH_NAMES: [&str; 4] = ["< 1k", "1k to 4k", "4k to 8k", ">= 8k"];

/// Figures of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Share of fluid requests, of all that were offered.
    pub(crate) share: f64,
    pub(crate) ttft_p50: f64,
    pub(crate) ttft_p99: f64,
    pub(crate) ttft_max: f64,
    pub(crate) tbt_p99: f64,
    pub(crate) tokens_per_s: f64,
    /// By prompt length: fluid requests, all, and the longest first token.
    pub(crate) lengths: [(u32, u32, f64); 4],
}

impl Figures {
    pub(crate) fn of(output: &SchedulerOutput) -> Figures {
        let summary = &output.result.summary;
        let share = summary.fluidity.as_ref().and_then(|fluidity| fluidity.fluid_request_share);
        let tbt = summary.tbt_s.as_ref().and_then(|tbt| tbt.p99);
        let throughput = summary.throughput.as_ref().and_then(|t| t.output_tokens_per_s);
        let mut lengths = [(0, 0, 0.0_f64); 4];
        let trace = &output.outcome.trace;
        for row in &trace.requests {
            let place = LENGTHS.iter().position(|&most| row.prompt_tokens < most).unwrap_or(3);
            let length = &mut lengths[place];
            length.0 += u32::from(is_fluid(output, trace, row));
            length.1 += 1;
            if row.tokens > 0 {
                length.2 = length.2.max(row.first_token.since(row.arrival).as_secs_f64());
            }
        }
        Figures {
            share: share.unwrap_or(0.0),
            ttft_p50: summary.ttft_s.p50.unwrap_or(0.0),
            ttft_p99: summary.ttft_s.p99.unwrap_or(0.0),
            ttft_max: summary.ttft_s.max.unwrap_or(0.0),
            tbt_p99: tbt.unwrap_or(0.0),
            tokens_per_s: throughput.unwrap_or(0.0),
            lengths,
        }
    }

    /// Jain's index over lengths of the share of fluid requests.
    pub(crate) fn fairness(&self) -> f64 {
        let shares: Vec<f64> = self
            .lengths
            .iter()
            .filter(|(_, all, _)| *all > 0)
            .map(|&(fluid, all, _)| f64::from(fluid) / f64::from(all))
            .collect();
        let (sum, squares) =
            shares.iter().fold((0.0, 0.0), |(s, q), &share| (s + share, q + share * share));
        if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
    }
}

/// Whether a request is fluid, by the definition, token by token.
fn is_fluid(output: &SchedulerOutput, trace: &TokenTrace, row: &RequestRow) -> bool {
    if row.status != Status::Completed {
        return false;
    }
    let deadlines = output.judged_by.deadlines_of(row.class);
    let tbt = deadlines.tbt().as_nanos();
    let mut due = row.arrival.as_nanos() + deadlines.ttft(row.prompt_tokens).as_nanos();
    let (mut met, mut missed) = (0_u64, 0_u64);
    for at in trace.token_times(row).map(|at| at.as_nanos()) {
        if at <= due {
            met += 1;
            due += tbt;
        } else {
            missed += 1 + (at - due) / tbt;
            due = at + tbt;
        }
    }
    met as f64 >= deadlines.fluid_index() * (met + missed) as f64
}

/// Mean and half of a 95 % interval over seeds (Student's t).
pub(crate) fn interval(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, f64::NAN);
    }
    let variance =
        values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    // 97.5 % points for 1, 2, ... degrees of freedom.
    const T: [f64; 9] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];
    let t = T.get(values.len() - 2).copied().unwrap_or(2.0);
    (mean, t * (variance / n).sqrt())
}
