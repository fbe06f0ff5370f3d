//! Least squares with bounds, without derivatives, and how well the result is determined.

use cobyla::{RhoBeg, StopTols, minimize};

/// A weak pull towards the start, per squared unit: it decides where the data cannot.
const PULL: f64 = 1e-7;

/// What is fitted: residuals of a point in the optimiser's units.
pub(super) type Residuals<'a> = dyn Fn(&[f64]) -> Vec<f64> + 'a;

/// Most simulations from one start.
const EVALUATIONS_MAX: usize = 600;

/// The point with the least mean square of residuals, looked for from each of `starts`; the first is
/// the one that an undetermined constant stays near. COBYLA (Powell, 1994; the `cobyla` crate):
/// it takes no derivatives, which a simulation does not have, and keeps to bounds.
pub(super) fn minimise(
    starts: &[&[f64]],
    bounds: &[(f64, f64)],
    residuals: &Residuals<'_>,
    progress: &dyn Fn(usize, f64),
) -> Vec<f64> {
    let start = starts[0];
    let best = std::cell::RefCell::new((f64::INFINITY, start.to_vec(), 0_usize));
    let objective = |x: &[f64], _: &mut ()| {
        let pull: f64 = x.iter().zip(start).map(|(x, s)| (x - s) * (x - s)).sum();
        let value = mean_square(&residuals(x)) + PULL * pull;
        let mut best = best.borrow_mut();
        best.2 += 1;
        if value < best.0 {
            (best.0, best.1) = (value, x.to_vec());
        }
        progress(best.2, best.0.sqrt());
        // In hundredths of a percent squared, so that the trust region's tolerances mean something.
        value * 1e4
    };
    let no_constraints: [fn(&[f64], &mut ()) -> f64; 0] = [];
    // The objective is not smooth, and its valleys are long: far steps first, then finer ones from
    // the best point so far, and once more.
    let reaches = [4.0, 1.0, 0.25, 1.0, 0.1];
    for other in starts {
        let mut from = other.to_vec();
        for reach in reaches {
            let stop = StopTols { xtol_abs: vec![1e-3; start.len()], ..StopTols::default() };
            // How it stopped does not matter: the best point seen is kept here.
            let _ = minimize(
                objective,
                &from,
                bounds,
                &no_constraints,
                (),
                EVALUATIONS_MAX / reaches.len(),
                RhoBeg::All(reach),
                Some(stop),
            );
            from.clone_from(&best.borrow().1);
        }
    }
    best.into_inner().1
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
    fn what_moves_nothing_has_no_curvature() {
        let residuals = |x: &[f64]| vec![x[0] + x[1], 2.0 * (x[0] + x[1])];
        let h = curvature(&[1.0, 1.0], &[(0.0, 5.0), (0.0, 5.0)], &residuals);
        for entry in h.iter().flatten() {
            assert!((entry - 2.5).abs() < 1e-9, "{h:?}");
        }
    }
}
