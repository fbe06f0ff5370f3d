//! What each answer to a question must be like, in words: the same for flags and for forms.

use super::question::PlanQuestion;
use crate::catalog::{Kind, names};
use crate::suggest::advice;
use crate::time::Span;
use crate::units::Duration;

/// Figures of TTFT that may be bounded.
const STATS: [&str; 7] = ["mean", "p50", "p90", "p95", "p99", "p999", "max"];

/// A figure and a time, such as `p99=1s`; of a bare time the figure is P99.
///
/// # Errors
/// In words, when it is none.
pub fn ttft(text: &str) -> Result<(String, Span), String> {
    let (stat, limit) = text.split_once('=').unwrap_or(("p99", text));
    let stat = stat.trim().to_lowercase();
    if !STATS.contains(&stat.as_str()) {
        return Err(format!(
            "expected a figure and a time, such as p99=1s, found `{text}`; figures are {}",
            STATS.join(", ")
        ));
    }
    match time(limit.trim())? {
        Span::ZERO => Err("expected a time above 0, such as p99=1s".to_owned()),
        limit => Ok((stat, limit)),
    }
}

/// A time, such as `10s`.
///
/// # Errors
/// In words, when it is none.
pub fn time(text: &str) -> Result<Span, String> {
    let parsed: Result<Duration, _> = text.parse();
    parsed.map(|duration| duration.0).map_err(|error| {
        let help = error.help.map_or(String::new(), |help| format!("; {help}"));
        format!("{}{help}", error.message)
    })
}

/// Tokens a second that a user is promised.
///
/// # Errors
/// In words, when it is no such number.
pub fn tokens_per_s(value: f64) -> Result<f64, String> {
    match value > 0.0 && value <= 1e6 {
        true => Ok(value),
        false => {
            Err(format!("expected a number above 0 and up to 1000000, such as 30, found {value}"))
        }
    }
}

/// Requests a second.
///
/// # Errors
/// In words, when it is no such number.
pub fn rate(value: f64) -> Result<f64, String> {
    match value > 0.0 && value <= 1e9 {
        true => Ok(value),
        false => Err(format!(
            "expected a number above 0 and up to 1000000000, such as 20, found {value}"
        )),
    }
}

/// A share as text has it, `99%` or `0.99`, whatever its size; none of other text.
pub fn parse_share(text: &str) -> Option<f64> {
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    Some(number.trim().parse::<f64>().ok()? / whole)
}

/// A share of requests.
///
/// # Errors
/// In words, when it is none.
pub fn share(text: &str) -> Result<f64, String> {
    parse_share(text)
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("expected 0 % to 100 %, such as 99%, found `{text}`"))
}

/// A link that there is.
///
/// # Errors
/// In words, when there is none of this name.
pub fn link(name: &str) -> Result<String, String> {
    let known = names(Kind::Link);
    if known.iter().any(|one| one == name) {
        return Ok(name.to_owned());
    }
    let help = advice(name, known.iter().map(String::as_str));
    Err(format!("there is no link `{name}`; {help}; `metron-sim list links` has all"))
}

/// `h100-sxm=2.5`: what a GPU that is asked about costs an hour.
///
/// # Errors
/// In words, when it is no such thing.
pub fn price(text: &str, gpus: &[String]) -> Result<(String, f64), String> {
    let wrong = || {
        format!(
            "expected one of the GPUs that are asked about and dollars an hour, such as {}=2.5, found \
             `{text}`",
            gpus.first().map_or("h100-sxm", String::as_str)
        )
    };
    let (gpu, usd) = text.split_once('=').ok_or_else(wrong)?;
    let usd: f64 = usd.trim().trim_start_matches('$').parse().map_err(|_| wrong())?;
    let gpu = PlanQuestion::gpus_of(&[gpu.to_owned()])?.pop();
    let gpu = gpu.filter(|gpu| gpus.contains(gpu) && usd >= 0.0 && usd.is_finite());
    Ok((gpu.ok_or_else(wrong)?, usd))
}
