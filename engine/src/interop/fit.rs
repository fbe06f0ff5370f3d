//! A prefill curve from the measurement itself: the TTFT of requests that had to wait for nobody.
//!
//! A prefill's time is `a + b p + c p^2` for a prompt of `p` tokens: a fixed cost, matrix products
//! that grow with the prompt, attention that grows with its square. The three are fitted to the
//! unqueued requests with none below 0, so that the curve never falls and never turns. Errors count
//! relative to the time (short prompts are as good as long ones), and requests that lie far off (a
//! hiccup, a prefix that was cached) are weighted down in turns, after Huber.

use super::measured::Measured;
use crate::metrics::PrefillCurve;
use crate::time::{Span, Time};
use crate::trace::{RequestRow, last_tokens};

/// Requests that must have been alone before others are looked at.
const ALONE_MIN: usize = 8;
/// Requests that a fit rests on at least.
const REQUESTS_MIN: usize = 2;
/// Requests below which a curve is called rough.
const ROUGH_BELOW: usize = 8;
/// Points that stand for the fitted curve.
const POINTS: u32 = 64;
/// Turns of weighting down; it settles much sooner.
const TURNS: usize = 20;
/// Where Huber's weights begin to fall, in robust standard deviations.
const HUBER: f64 = 1.345;
/// A normal distribution's standard deviation over its median absolute deviation.
const SIGMA_OF_MAD: f64 = 1.4826;

/// A curve and what it rests on.
#[derive(Clone, Debug)]
pub struct FittedCurve {
    /// The curve.
    pub curve: PrefillCurve,
    /// Requests that it was fitted to.
    pub requests: usize,
    /// Whether these were alone in the system until their first token; otherwise nobody else was
    /// waiting for a first token, but others may have been decoding.
    pub alone: bool,
    /// Seconds, seconds a token, seconds a token squared.
    pub coefficients: [f64; 3],
    /// Relative errors of these requests: the median and the 90th percentile.
    pub errors: [f64; 2],
}

impl FittedCurve {
    /// What it rests on, for people.
    pub fn words(&self) -> String {
        let how = if self.alone { "alone" } else { "while no other waited for its first token" };
        let ((from, to), [a, b, c]) = (self.curve.range(), self.coefficients);
        format!(
            "the prefill curve was fitted to this file's own {} requests that ran {how} (prompts of \
             {from} to {to} tokens): {:.3} ms + {:.3} us a token + {:.3} ns a token squared; off by \
             {:.1} % in the median, {:.1} % at P90{}",
            self.requests,
            a * 1e3,
            b * 1e6,
            c * 1e9,
            self.errors[0] * 100.0,
            self.errors[1] * 100.0,
            if self.requests < ROUGH_BELOW { "; so few make a rough curve" } else { "" }
        )
    }
}

/// Fits a prefill curve to the unqueued requests: those during which no other was in the system from
/// their sending to their first token; where fewer than 8 are, those during which no other was
/// waiting for its first token.
///
/// # Errors
/// When the file does not tell when requests were sent or how long prompts are, or fewer than 2
/// were unqueued.
pub fn fit_prefill_curve(measured: &Measured) -> Result<FittedCurve, String> {
    if !measured.knows.arrivals {
        return Err("the file does not tell when requests were sent, so it is not known which of \
                    them were unqueued"
            .to_owned());
    }
    let answered = |row: &RequestRow| row.first_token != Time::NEVER && !row.status.is_lost();
    // Each with when its last token came.
    let with_last = measured.trace.requests.iter().zip(last_tokens(measured));
    let mut rows: Vec<(&RequestRow, Time)> = with_last.filter(|(row, _)| answered(row)).collect();
    if rows.iter().all(|(row, _)| row.prompt_tokens == 0) {
        return Err("the file does not tell how long prompts are".to_owned());
    }
    rows.sort_by_key(|(row, _)| row.arrival);
    let unqueued = |until: &dyn Fn(&RequestRow, Time) -> Time| -> Vec<&RequestRow> {
        let mut busy_until = Time::ZERO;
        let mut found = Vec::new();
        for (index, &(row, last)) in rows.iter().enumerate() {
            let next = rows.get(index + 1).map_or(Time::NEVER, |(next, _)| next.arrival);
            if busy_until <= row.arrival && next >= row.first_token {
                found.push(row);
            }
            busy_until = busy_until.max(until(row, last));
        }
        found
    };
    let mut found = unqueued(&|_, last| last);
    let alone = found.len() >= ALONE_MIN;
    if !alone {
        found = unqueued(&|row, _| row.first_token);
    }
    let samples: Vec<(u32, f64)> = found
        .iter()
        .map(|row| (row.prompt_tokens, row.first_token.since(row.arrival).as_secs_f64()))
        .filter(|&(_, seconds)| seconds > 0.0)
        .collect();
    if samples.len() < REQUESTS_MIN {
        return Err(format!(
            "{} of its {} answered requests ran while no other waited for its first token, and a \
             curve needs {REQUESTS_MIN}: measure at a low rate, or give --ttft or --ttft-curve",
            samples.len(),
            rows.len()
        ));
    }
    let coefficients = quadratic(&samples);
    let at = |p: f64| coefficients[0] + coefficients[1] * p + coefficients[2] * p * p;
    let mut errors: Vec<f64> =
        samples.iter().map(|&(p, t)| (at(f64::from(p)) / t - 1.0).abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| errors[((errors.len() - 1) as f64 * share).round() as usize];
    let from = samples.iter().map(|sample| sample.0).min().unwrap_or(1);
    let to = samples.iter().map(|sample| sample.0).max().unwrap_or(1);
    let points = (0..=POINTS)
        .map(|i| from + ((u64::from(to - from) * u64::from(i)) / u64::from(POINTS)) as u32);
    let mut points: Vec<(u32, Span)> =
        points.map(|p| (p, Span::from_nanos((at(f64::from(p)) * 1e9).round() as u64))).collect();
    points.dedup_by_key(|point| point.0);
    let curve = PrefillCurve::new(points).map_err(|error| error.to_string())?;
    let errors = [quantile(0.5), quantile(0.9)];
    Ok(FittedCurve { curve, requests: samples.len(), alone, coefficients, errors })
}

/// `a`, `b`, `c`, none below 0: least squares of relative errors, far ones weighted down.
fn quadratic(samples: &[(u32, f64)]) -> [f64; 3] {
    let largest = samples.iter().map(|sample| sample.0).max().unwrap_or(1).max(1);
    let scale = f64::from(largest);
    // Each row is divided by its time: the target is 1.
    let rows: Vec<[f64; 3]> = samples
        .iter()
        .map(|&(p, t)| {
            let x = f64::from(p) / scale;
            [1.0 / t, x / t, x * x / t]
        })
        .collect();
    let mut weights = vec![1.0; rows.len()];
    let mut best = [0.0; 3];
    for _ in 0..TURNS {
        let next = non_negative(&rows, &weights);
        let residuals: Vec<f64> = rows.iter().map(|row| (dot(row, &next) - 1.0).abs()).collect();
        let mut sorted = residuals.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let far = (SIGMA_OF_MAD * sorted[sorted.len() / 2] * HUBER).max(1e-9);
        for (weight, residual) in weights.iter_mut().zip(&residuals) {
            *weight = if *residual <= far { 1.0 } else { far / residual };
        }
        let settled = next.iter().zip(&best).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs());
        best = next;
        if settled {
            break;
        }
    }
    [best[0], best[1] / scale, best[2] / (scale * scale)]
}

/// Weighted least squares with coefficients of at least 0. With three of them, all sets that may be
/// above 0 are tried: the best one whose solution keeps the sign is the optimum.
fn non_negative(rows: &[[f64; 3]], weights: &[f64]) -> [f64; 3] {
    let mut best = ([0.0; 3], f64::INFINITY);
    for set in 1..8u8 {
        // A few requests do not tell three coefficients.
        if set.count_ones() as usize >= rows.len() {
            continue;
        }
        let free: Vec<usize> = (0..3).filter(|column| set & (1 << column) != 0).collect();
        let Some(solved) = solve(rows, weights, &free) else { continue };
        if solved.iter().any(|value| *value < 0.0) {
            continue;
        }
        let off = |(row, weight): (&[f64; 3], &f64)| {
            let residual = dot(row, &solved) - 1.0;
            weight * residual * residual
        };
        let error: f64 = rows.iter().zip(weights).map(off).sum();
        if error < best.1 {
            best = (solved, error);
        }
    }
    best.0
}

/// The normal equations over some columns, by elimination; `None` when they do not tell.
fn solve(rows: &[[f64; 3]], weights: &[f64], free: &[usize]) -> Option<[f64; 3]> {
    let n = free.len();
    let mut matrix = [[0.0f64; 4]; 3];
    for (row, weight) in rows.iter().zip(weights) {
        for (i, &a) in free.iter().enumerate() {
            for (j, &b) in free.iter().enumerate() {
                matrix[i][j] += weight * row[a] * row[b];
            }
            matrix[i][n] += weight * row[a];
        }
    }
    let size = (0..n).map(|i| matrix[i][i]).fold(0.0, f64::max);
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| matrix[a][i].abs().total_cmp(&matrix[b][i].abs()))?;
        if matrix[pivot][i].abs() <= 1e-10 * size {
            return None;
        }
        matrix.swap(i, pivot);
        for below in i + 1..n {
            let factor = matrix[below][i] / matrix[i][i];
            let pivot_row = matrix[i];
            for (value, above) in matrix[below].iter_mut().zip(&pivot_row).skip(i) {
                *value -= factor * above;
            }
        }
    }
    let mut solved = [0.0; 3];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| matrix[i][j] * solved[free[j]]).sum();
        solved[free[i]] = (matrix[i][n] - known) / matrix[i][i];
    }
    Some(solved)
}

fn dot(row: &[f64; 3], by: &[f64; 3]) -> f64 {
    row[0] * by[0] + row[1] * by[1] + row[2] * by[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(p: u32) -> f64 {
        let p = f64::from(p);
        0.010 + 40e-6 * p + 2e-9 * p * p
    }

    #[test]
    fn the_true_curve_comes_back() {
        let samples: Vec<(u32, f64)> = (1..60).map(|i| (i * 137, time(i * 137))).collect();
        let [a, b, c] = quadratic(&samples);
        assert!((a / 0.010 - 1.0).abs() < 1e-6, "{a}");
        assert!((b / 40e-6 - 1.0).abs() < 1e-6, "{b}");
        assert!((c / 2e-9 - 1.0).abs() < 1e-6, "{c}");
    }

    #[test]
    fn far_requests_pull_little() {
        let mut samples: Vec<(u32, f64)> = (1..60).map(|i| (i * 137, time(i * 137))).collect();
        for sample in samples.iter_mut().step_by(9) {
            sample.1 *= 6.0;
        }
        let [a, b, c] = quadratic(&samples);
        for p in [137, 2000, 8000] {
            let x = f64::from(p);
            let off = (a + b * x + c * x * x) / time(p) - 1.0;
            assert!(off.abs() < 0.02, "{p}: {off}");
        }
    }

    #[test]
    fn one_length_and_falling_times_give_a_flat_curve() {
        let [a, b, c] = quadratic(&[(100, 0.05), (100, 0.05), (100, 0.05), (100, 0.05)]);
        let at = a + b * 100.0 + c * 1e4;
        assert!((at - 0.05).abs() < 1e-9, "{a} {b} {c}");
        let falling: Vec<(u32, f64)> =
            (1..20).map(|i| (i * 100, 0.1 - f64::from(i) * 1e-3)).collect();
        let [a, b, c] = quadratic(&falling);
        assert!(b == 0.0 && c == 0.0 && a > 0.08 && a < 0.1, "{a} {b} {c}");
    }
}
