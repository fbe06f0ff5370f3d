//! Least squares with bounds, without derivatives.

use std::cell::{Cell, RefCell};

use cobyla::{RhoBeg, StopTols, minimize};

use crate::validation::surface::{Plane, Seen, halton, sample};
use crate::validation::symmetric::eigen;

/// What is fitted: residuals of a point in the optimiser's units.
pub(super) type Residuals<'a> = dyn Fn(&[f64]) -> Vec<f64> + 'a;

/// How far points of a sample are to change the root mean square: far ones first, so that jumps of the
/// schedule average out, then nearer ones, for where residuals bend.
const REACHES: [f64; 7] = [0.08, 0.048, 0.029, 0.017, 0.0104, 0.005, 0.002];

/// No step, and no point of a sample, goes further on an axis, in the optimiser's units.
const STEP_MAX: f64 = 6.0;

/// Most simulations of the descent that ends a round.
const EVALUATIONS_MAX: usize = 60;

/// Points around the best that a round looks at first, for each constant.
const SCATTERED: usize = 6;

/// A fit agrees with itself when a round from its own result makes its root mean square no more than
/// this share smaller.
const AGREES: f64 = 1e-3;

/// A root mean square this small is nothing.
const EXACT: f64 = 1e-6;

/// Most rounds until then.
const ROUNDS_MAX: usize = 8;

/// What was found.
pub(super) struct Found {
    /// The best point.
    pub at: Vec<f64>,
    /// Every point that was looked at, with its mean square.
    pub seen: Vec<(f64, Vec<f64>)>,
}

/// The point with the least mean square of residuals, looked for from `start` and the best of some points
/// around it.
///
/// A round fits planes to the residuals of a sample and goes where they are least (Gauss and Newton's
/// method on a response surface), ever nearer, then down from the best point by COBYLA (Powell, 1994; the
/// `cobyla` crate). It begins anew from what it found until that makes no difference, so a fit that is fed
/// its own result does what its last round did.
pub(super) fn minimise(
    start: &[f64],
    bounds: &[(f64, f64)],
    residuals: &Residuals<'_>,
    progress: &dyn Fn(usize, f64),
) -> Found {
    let search = Search {
        bounds,
        residuals,
        progress,
        best: RefCell::new((f64::INFINITY, start.to_vec())),
        seen: RefCell::new(Vec::new()),
        shown: Cell::new(f64::INFINITY),
    };
    search.look(start);
    for _ in 0..ROUNDS_MAX {
        let (before, from) = search.best();
        search.from(&from);
        let around = (1..=SCATTERED * start.len()).map(|index| scattered(index, &from, bounds));
        let around = around.map(|point| (mean_square(&search.look(&point)), point));
        if let Some((_, other)) = around.min_by(|a, b| a.0.total_cmp(&b.0)) {
            search.from(&other);
        }
        search.descend();
        if search.best().0.sqrt() > before.sqrt() * (1.0 - AGREES) {
            // Not to the point that is better by less than that: from here a fit does this round again.
            return Found { at: from, seen: search.seen.into_inner() };
        }
        if search.best().0.sqrt() < EXACT {
            break;
        }
    }
    Found { at: search.best.into_inner().1, seen: search.seen.into_inner() }
}

struct Search<'a> {
    bounds: &'a [(f64, f64)],
    residuals: &'a Residuals<'a>,
    progress: &'a dyn Fn(usize, f64),
    best: RefCell<(f64, Vec<f64>)>,
    seen: RefCell<Vec<(f64, Vec<f64>)>>,
    shown: Cell<f64>,
}

impl Search<'_> {
    fn best(&self) -> (f64, Vec<f64>) {
        self.best.borrow().clone()
    }

    fn look(&self, x: &[f64]) -> Vec<f64> {
        let residuals = (self.residuals)(x);
        let value = mean_square(&residuals);
        if value < self.best.borrow().0 {
            *self.best.borrow_mut() = (value, x.to_vec());
            self.shown.set(value);
        }
        self.seen.borrow_mut().push((value, x.to_vec()));
        (self.progress)(self.seen.borrow().len(), self.shown.get().sqrt());
        residuals
    }

    fn seen(&self, points: Vec<Vec<f64>>) -> Vec<Seen> {
        points.into_iter().map(|x| (x.clone(), self.look(&x))).collect()
    }

    /// Planes through ever smaller samples, each around where those before are least.
    fn from(&self, start: &[f64]) {
        let n = start.len();
        let mut at = start.to_vec();
        let axis = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect();
        let mut axes: Vec<(f64, Vec<f64>)> = (0..n).map(|i| (1.0, axis(i))).collect();
        for reach in std::iter::once(None).chain(REACHES.map(Some)) {
            if let Some(reach) = reach {
                for (far, _) in &mut axes {
                    *far = (reach / far.max(1e-12)).min(STEP_MAX);
                }
            }
            let seen = self.seen(sample(&at, &axes, 2 * n, self.bounds));
            let plane = Plane::through(&at, &seen);
            let to = plane.lowest(&at, self.bounds, STEP_MAX);
            let (here, there) = (mean_square(&seen[0].1), mean_square(&self.look(&to)));
            // A step into worse than a jump of the schedule makes: residuals are bent there.
            at = if there > 4.0 * here { self.best().1 } else { to };
            axes = eigen(&plane.curvature());
            for (value, _) in &mut axes {
                *value = value.max(0.0).sqrt();
            }
        }
    }

    /// Down from the best point.
    fn descend(&self) {
        let (_, from) = self.best();
        // In hundredths of a percent squared, so that the trust region's tolerances mean something.
        let objective = |x: &[f64], _: &mut ()| mean_square(&self.look(x)) * 1e4;
        let no_constraints: [fn(&[f64], &mut ()) -> f64; 0] = [];
        let stop = StopTols { xtol_abs: vec![1e-3; from.len()], ..StopTols::default() };
        // How it stopped does not matter: the best point seen is kept here.
        let _ = minimize(
            objective,
            &from,
            self.bounds,
            &no_constraints,
            (),
            EVALUATIONS_MAX,
            RhoBeg::All(0.1),
            Some(stop),
        );
    }
}

/// A point near another, up to eight units away on each axis.
fn scattered(index: usize, from: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    const FAR: f64 = 8.0;
    let place = |(axis, (&from, &(low, high))): (usize, (&f64, &(f64, f64)))| {
        let (low, high) = ((from - FAR).max(low), (from + FAR).min(high));
        low + halton(index, axis) * (high - low)
    };
    from.iter().zip(bounds).enumerate().map(place).collect()
}

/// The mean of squares; 0 of none.
pub(super) fn mean_square(residuals: &[f64]) -> f64 {
    residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_valley_is_followed_within_bounds() {
        let residuals = |x: &[f64]| vec![x[0] - 2.0, 3.0 * (x[1] - x[0] * x[0] / 4.0), 0.5];
        let bounds = [(0.0, 10.0), (0.0, 10.0)];
        let x = minimise(&[6.0, 1.0], &bounds, &residuals, &|_, _| {}).at;
        assert!((x[0] - 2.0).abs() < 0.02 && (x[1] - 1.0).abs() < 0.02, "{x:?}");
        let x = minimise(&[6.0, 1.0], &[(3.0, 10.0), (0.0, 10.0)], &residuals, &|_, _| {}).at;
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
        let once = minimise(&[1.0, 9.0, 0.0], &bounds, &residuals, &|_, _| {}).at;
        let again = minimise(&once, &bounds, &residuals, &|_, _| {}).at;
        let rms = |x: &[f64]| mean_square(&residuals(x)).sqrt();
        assert!(rms(&again) > 0.998 * rms(&once) - 1e-5, "{} {}", rms(&once), rms(&again));
    }

    /// Three correlated constants under jumps as large as a schedule's: the fit is where the planes are
    /// least, and not on the first ledge.
    #[test]
    fn a_valley_with_ledges_is_left_at_its_floor() {
        let truth = [4.8, 3.0, 12.0];
        let residuals = |x: &[f64]| -> Vec<f64> {
            let away: Vec<f64> = x.iter().zip(truth).map(|(x, t)| x - t).collect();
            let [host, each, kernels] = [away[0], away[1], away[2]];
            let residual = |request: u32| {
                let batch = 0.2 + f64::from(request % 7) / 10.0;
                // A first token is the kernels' time, a later one the engine's as well.
                let smooth = match request % 3 {
                    0 => 0.001 * host + 0.09 * kernels,
                    _ => 0.01 * host + 0.02 * batch * each + 0.07 * kernels,
                };
                // Ledges: which step a request falls into hangs on where the others are.
                let step = (smooth * 700.0 + f64::from(request * 37 % 101)).floor();
                smooth + 0.01 * libm::sin(step * 1.7 + f64::from(request))
            };
            (0..300).map(residual).collect()
        };
        let bounds = [(0.0, 40.0), (0.0, 40.0), (5.0, 20.0)];
        let x = minimise(&[3.24, 5.85, 10.0], &bounds, &residuals, &|_, _| {}).at;
        let off: Vec<f64> = x.iter().zip(truth).map(|(x, t)| (x - t).abs()).collect();
        assert!(off[0] < 0.8 && off[1] < 0.8 && off[2] < 0.1, "{x:?}");
    }
}
