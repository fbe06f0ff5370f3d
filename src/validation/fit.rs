//! Least squares with bounds, without derivatives, and how well the result is determined.

use cobyla::{RhoBeg, StopTols, minimize};

use crate::validation::symmetric::eigen;

/// A weak pull towards the start, per squared unit: it decides where the data cannot.
const PULL: f64 = 1e-7;

/// What is fitted: residuals of a point in the optimiser's units.
pub(super) type Residuals<'a> = dyn Fn(&[f64]) -> Vec<f64> + 'a;

/// Most simulations of one descent.
const EVALUATIONS_MAX: usize = 120;

/// Points of the whole room that are looked at before the descents, for each constant.
const SCATTERED: usize = 6;

/// The best of them from which a descent begins too.
const SCATTERED_STARTS: usize = 2;

/// A fit agrees with itself when a round of descents from its own result makes its root mean square
/// no more than this share smaller.
const AGREES: f64 = 1e-3;

/// How far along the flattest direction a round looks, in the optimiser's units.
const VALLEY: [f64; 6] = [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0];

/// Most rounds until then.
const ROUNDS_MAX: usize = 8;

/// The point with the least mean square of residuals, looked for from each of `starts` and from the best
/// of some points in between; the first is the one that an undetermined constant stays near. COBYLA
/// (Powell, 1994; the `cobyla` crate): it takes no derivatives, which a simulation does not have, and
/// keeps to bounds. It stops early in long valleys, so it begins anew from what it found until that
/// makes no difference.
pub(super) fn minimise(
    starts: &[&[f64]],
    bounds: &[(f64, f64)],
    residuals: &Residuals<'_>,
    progress: &dyn Fn(usize, f64),
) -> Vec<f64> {
    let start = starts[0];
    let best = std::cell::RefCell::new((f64::INFINITY, start.to_vec(), 0_usize));
    let value_of = |x: &[f64]| {
        let pull: f64 = x.iter().zip(start).map(|(x, s)| (x - s) * (x - s)).sum();
        let value = mean_square(&residuals(x)) + PULL * pull;
        let mut best = best.borrow_mut();
        best.2 += 1;
        if value < best.0 {
            (best.0, best.1) = (value, x.to_vec());
        }
        progress(best.2, best.0.sqrt());
        value
    };
    // In hundredths of a percent squared, so that the trust region's tolerances mean something.
    let objective = |x: &[f64], _: &mut ()| value_of(x) * 1e4;
    let no_constraints: [fn(&[f64], &mut ()) -> f64; 0] = [];
    let descend = |from: &[f64], reach: f64| {
        let stop = StopTols { xtol_abs: vec![1e-3; start.len()], ..StopTols::default() };
        // How it stopped does not matter: the best point seen is kept here.
        let _ = minimize(
            objective,
            from,
            bounds,
            &no_constraints,
            (),
            EVALUATIONS_MAX,
            RhoBeg::All(reach),
            Some(stop),
        );
    };
    let mut scattered: Vec<(f64, Vec<f64>)> = (1..=SCATTERED * start.len())
        .map(|index| scattered(index, start, bounds))
        .map(|point| (value_of(&point), point))
        .collect();
    scattered.sort_by(|a, b| a.0.total_cmp(&b.0));
    let scattered = scattered.iter().take(SCATTERED_STARTS).map(|(_, point)| point.as_slice());
    for from in starts.iter().copied().chain(scattered) {
        // The objective is not smooth, and its valleys are long: far steps first, then finer ones.
        descend(from, 4.0);
        let found = best.borrow().1.clone();
        descend(&found, 1.0);
    }
    for _ in 0..ROUNDS_MAX {
        let before = best.borrow().0;
        for reach in [4.0, 1.0, 0.25, 0.1] {
            let found = best.borrow().1.clone();
            descend(&found, reach);
        }
        // Along the valley's floor: a schedule that falls into place lies anywhere on it.
        let found = best.borrow().1.clone();
        let directions = eigen(&curvature(&found, bounds, residuals));
        if let Some((_, flattest)) = directions.first() {
            for far in VALLEY {
                let moved = found.iter().zip(flattest).zip(bounds);
                let moved: Vec<f64> =
                    moved.map(|((x, v), (low, high))| (x + far * v).clamp(*low, *high)).collect();
                descend(&moved, 0.5);
            }
        }
        if best.borrow().0.sqrt() > before.sqrt() * (1.0 - AGREES) {
            break;
        }
    }
    best.into_inner().1
}

/// A point near the start, up to eight units away on each axis: Halton's sequence.
fn scattered(index: usize, start: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    const PRIMES: [usize; 16] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];
    const FAR: f64 = 8.0;
    let place = |(axis, (&from, &(low, high))): (usize, (&f64, &(f64, f64)))| {
        let base = PRIMES[axis % PRIMES.len()];
        let (mut rest, mut part, mut share) = (index, 1.0, 0.0);
        while rest > 0 {
            part /= base as f64;
            share += part * (rest % base) as f64;
            rest /= base;
        }
        let (low, high) = ((from - FAR).max(low), (from + FAR).min(high));
        low + share * (high - low)
    };
    start.iter().zip(bounds).enumerate().map(place).collect()
}

/// The mean of squares; 0 of none.
pub(super) fn mean_square(residuals: &[f64]) -> f64 {
    residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len().max(1) as f64
}

/// How residuals move with the point: the mean over residuals of the products of their slopes. A
/// direction `v` changes the mean square by `v' H v` around a minimum.
pub(super) fn curvature(
    at: &[f64],
    bounds: &[(f64, f64)],
    residuals: &Residuals<'_>,
) -> Vec<Vec<f64>> {
    // Wide, as a changed schedule or two must not pass for a slope.
    const REACH: f64 = 1.0;
    let slopes: Vec<Vec<f64>> = (0..at.len())
        .map(|i| {
            let moved = |by: f64| {
                let mut x = at.to_vec();
                x[i] = (x[i] + by).clamp(bounds[i].0, bounds[i].1);
                (x[i], residuals(&x))
            };
            let ((low, below), (high, above)) = (moved(-REACH), moved(REACH));
            let width = high - low;
            above.iter().zip(&below).map(|(a, b)| (a - b) / width).collect()
        })
        .collect();
    let product = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len().max(1) as f64
    };
    slopes.iter().map(|a| slopes.iter().map(|b| product(a, b)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_valley_is_followed_within_bounds() {
        let residuals = |x: &[f64]| vec![x[0] - 2.0, 3.0 * (x[1] - x[0] * x[0] / 4.0), 0.5];
        let bounds = [(0.0, 10.0), (0.0, 10.0)];
        let x = minimise(&[&[6.0, 1.0]], &bounds, &residuals, &|_, _| {});
        assert!((x[0] - 2.0).abs() < 0.02 && (x[1] - 1.0).abs() < 0.02, "{x:?}");
        let x = minimise(&[&[6.0, 1.0]], &[(3.0, 10.0), (0.0, 10.0)], &residuals, &|_, _| {});
        assert!((x[0] - 3.0).abs() < 0.02, "{x:?}");
    }

    #[test]
    fn a_fit_fed_its_own_result_finds_nothing_better() {
        // A long bent valley with a ripple, as a simulation's schedule makes one.
        let residuals = |x: &[f64]| {
            let ripple = 0.003 * libm::sin(9.0 * x[0]) * libm::sin(7.0 * x[1]);
            vec![0.05 * (x[0] - 7.0), 2.0 * (x[1] - x[0] * x[0] / 8.0), ripple, 0.1 * (x[2] - x[1])]
        };
        let bounds = [(0.0, 10.0), (0.0, 10.0), (0.0, 10.0)];
        let once = minimise(&[&[1.0, 9.0, 0.0]], &bounds, &residuals, &|_, _| {});
        let again = minimise(&[&once], &bounds, &residuals, &|_, _| {});
        let rms = |x: &[f64]| mean_square(&residuals(x)).sqrt();
        assert!(rms(&again) > 0.99 * rms(&once) - 1e-4, "{} {}", rms(&once), rms(&again));
    }

    #[test]
    fn what_moves_nothing_has_no_curvature() {
        let residuals = |x: &[f64]| vec![x[0] + x[1], 2.0 * (x[0] + x[1])];
        let h = curvature(&[1.0, 1.0], &[(0.0, 5.0), (0.0, 5.0)], &residuals);
        for entry in h.iter().flatten() {
            assert!((entry - 2.5).abs() < 1e-9, "{h:?}");
        }
    }
}
