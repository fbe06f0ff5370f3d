//! Tiers behind KV blocks, for people: what came from them, and whether that was worth it.

use super::handed::bytes;
use crate::result::{RunResult, TierResult};
use crate::shown::{count, duration, percent, three_digits};

/// What a run's loads say, line by line; nothing where there are no tiers.
pub(super) fn tiers(run: &RunResult) -> Vec<String> {
    let Some(of) = &run.kv_tiers else { return Vec::new() };
    let path = |tier: &TierResult| {
        format!(
            "{}: {} read ({} of the time), {} written ({})",
            tier.name,
            bytes(tier.read_bytes),
            percent(tier.read_busy),
            bytes(tier.written_bytes),
            percent(tier.write_busy)
        )
    };
    let paths: Vec<String> = of.tiers.iter().map(path).collect();
    let mut lines = vec![String::new(), format!("{}: {}", run.label, paths.join("; "))];
    // Of a file of an earlier version it is not known.
    let share = match of.prompt_tokens {
        0 => String::new(),
        all => format!(
            " ({} of the {} prompt tokens of all requests sent)",
            percent(of.tokens as f64 / all as f64),
            count(all)
        ),
    };
    let below = match of.from_below_tokens {
        0 => String::new(),
        _ => format!(", {} of them from below the host", count(of.from_below_tokens)),
    };
    let times = match (of.load_s.p50, of.load_s.p99) {
        (Some(p50), Some(p99)) => {
            format!("; a load takes {} (P50), {} (P99)", duration(p50), duration(p99))
        }
        _ => String::new(),
    };
    lines.push(format!(
        "  {} loads brought {} tokens{below}{share}{times}",
        count(of.loads),
        count(of.tokens)
    ));
    if let Some(rate) = of.break_even_bytes_per_s {
        // Where steps wait for loads, what they do not wait for is hidden behind computing.
        let (cost, made) = match of.steps_longer_s > 0.0 {
            true => (of.steps_longer_s, "made steps longer by"),
            false => (of.loading_s, "took"),
        };
        let (word, than) = match cost < of.computing_s {
            true => ("saved", of.computing_s - cost),
            false => ("lost", cost - of.computing_s),
        };
        lines.push(format!(
            "  to compute them again would have taken {} where loads {made} {}: {} {word}; break-even at {} GB/s",
            duration(of.computing_s),
            duration(cost),
            duration(than),
            three_digits(rate / 1e9)
        ));
    }
    lines
}
