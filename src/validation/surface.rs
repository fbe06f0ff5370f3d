//! Residuals near a point as planes, fitted to a sample of points.
//!
//! A simulation's residuals jump wherever its schedule changes, so that two points tell little of a slope.
//! A plane through a dozen does: what jumps averages out.

use crate::validation::fit::Residuals;
use crate::validation::symmetric::eigen;

/// Directions of no curvature at all are left alone: a step along one would be noise over nothing.
const NOTHING: f64 = 1e-12;

/// A point and its residuals.
pub(super) type Seen = (Vec<f64>, Vec<f64>);

/// What residuals are near a point, and how they move with each coordinate.
pub(super) struct Plane {
    level: Vec<f64>,
    slopes: Vec<Vec<f64>>,
}

impl Plane {
    /// The planes, one a residual, that come nearest to these points.
    pub(super) fn through(at: &[f64], seen: &[Seen]) -> Plane {
        let row = |(x, _): &Seen| -> Vec<f64> {
            std::iter::once(1.0).chain(x.iter().zip(at).map(|(x, at)| x - at)).collect()
        };
        let rows: Vec<Vec<f64>> = seen.iter().map(row).collect();
        let terms = at.len() + 1;
        let products: Vec<Vec<f64>> = (0..terms)
            .map(|i| (0..terms).map(|j| rows.iter().map(|row| row[i] * row[j]).sum()).collect())
            .collect();
        let inverse = inverse(&products);
        let count = seen.first().map_or(0, |(_, residuals)| residuals.len());
        let mut found = vec![vec![0.0; count]; terms];
        for (row, (_, residuals)) in rows.iter().zip(seen) {
            for (of_term, inverse) in found.iter_mut().zip(&inverse) {
                let weight = dot(inverse, row);
                for (sum, residual) in of_term.iter_mut().zip(residuals) {
                    *sum += weight * residual;
                }
            }
        }
        let slopes = found.split_off(1);
        Plane { level: found.pop().unwrap_or_default(), slopes }
    }

    /// The mean over residuals of the products of their slopes. A direction `v` changes the mean square by
    /// `v' H v` around a minimum.
    pub(super) fn curvature(&self) -> Vec<Vec<f64>> {
        let mean = |a: &[f64], b: &[f64]| dot(a, b) / a.len().max(1) as f64;
        self.slopes.iter().map(|a| self.slopes.iter().map(|b| mean(a, b)).collect()).collect()
    }

    /// Where the planes' mean square is least within bounds, at most `reach` away on an axis: what would
    /// cross its bound stays there, and the others go on.
    pub(super) fn lowest(&self, at: &[f64], bounds: &[(f64, f64)], reach: f64) -> Vec<f64> {
        let curvature = self.curvature();
        let count = self.level.len().max(1) as f64;
        let slope: Vec<f64> = self.slopes.iter().map(|s| dot(s, &self.level) / count).collect();
        let mut to = at.to_vec();
        let mut free: Vec<usize> = (0..at.len()).collect();
        while !free.is_empty() {
            let part: Vec<Vec<f64>> =
                free.iter().map(|&i| free.iter().map(|&j| curvature[i][j]).collect()).collect();
            let moved = |i: usize| {
                let held = (0..at.len()).filter(|j| !free.contains(j));
                slope[i] + held.map(|j| curvature[i][j] * (to[j] - at[j])).sum::<f64>()
            };
            let against: Vec<f64> = free.iter().map(|&i| -moved(i)).collect();
            let step = inverse(&part);
            let wanted: Vec<(usize, f64)> =
                free.iter().zip(&step).map(|(&i, row)| (i, at[i] + dot(row, &against))).collect();
            let within = |i: usize, x: f64| x.clamp(bounds[i].0, bounds[i].1);
            for &(i, x) in &wanted {
                to[i] = within(i, x);
            }
            let crossed: Vec<usize> =
                wanted.iter().filter(|(i, x)| within(*i, *x) != *x).map(|(i, _)| *i).collect();
            if crossed.is_empty() {
                break;
            }
            free.retain(|i| !crossed.contains(i));
        }
        let far = to.iter().zip(at).map(|(to, at)| (to - at).abs()).fold(0.0, f64::max);
        let part = if far > reach { reach / far } else { 1.0 };
        to.iter().zip(at).map(|(to, at)| at + part * (to - at)).collect()
    }
}

/// How residuals move with the point, by a sample of it within a unit or two: wide, as a changed schedule
/// or two must not pass for a slope.
pub(super) fn curvature(
    at: &[f64],
    bounds: &[(f64, f64)],
    residuals: &Residuals<'_>,
) -> Vec<Vec<f64>> {
    const REACH: f64 = 1.5;
    let axes: Vec<(f64, Vec<f64>)> = (0..at.len())
        .map(|i| (REACH, (0..at.len()).map(|j| f64::from(u8::from(i == j))).collect()))
        .collect();
    let points = sample(at, &axes, 6 * at.len(), bounds);
    let seen: Vec<Seen> = points.into_iter().map(|x| (x.clone(), residuals(&x))).collect();
    Plane::through(at, &seen).curvature()
}

/// Points around one: both ways along each axis, as far as it says, and `more` in between.
pub(super) fn sample(
    at: &[f64],
    axes: &[(f64, Vec<f64>)],
    more: usize,
    bounds: &[(f64, f64)],
) -> Vec<Vec<f64>> {
    let along = |parts: &[f64]| -> Vec<f64> {
        let mut x = at.to_vec();
        for ((reach, axis), part) in axes.iter().zip(parts) {
            for (x, axis) in x.iter_mut().zip(axis) {
                *x += part * reach * axis;
            }
        }
        x.iter().zip(bounds).map(|(x, (low, high))| x.clamp(*low, *high)).collect()
    };
    let mut points = vec![along(&vec![0.0; axes.len()])];
    for axis in 0..axes.len() {
        for way in [-1.0, 1.0] {
            let mut parts = vec![0.0; axes.len()];
            parts[axis] = way;
            points.push(along(&parts));
        }
    }
    for index in 1..=more {
        let parts: Vec<f64> = (0..axes.len()).map(|axis| 2.0 * halton(index, axis) - 1.0).collect();
        points.push(along(&parts));
    }
    points
}

/// Halton's sequence: places in 0 to 1 that fill every axis evenly.
pub(super) fn halton(index: usize, axis: usize) -> f64 {
    const PRIMES: [usize; 16] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];
    let base = PRIMES[axis % PRIMES.len()];
    let (mut rest, mut part, mut share) = (index, 1.0, 0.0);
    while rest > 0 {
        part /= base as f64;
        share += part * (rest % base) as f64;
        rest /= base;
    }
    share
}

/// By how much the mean square of these points is above `least` and what the curvature says, on average:
/// what a change of schedule makes of it alone. Points count that the curvature makes no more than half
/// worse.
pub(super) fn ripple(
    at: &[f64],
    least: f64,
    curvature: &[Vec<f64>],
    seen: &[(f64, Vec<f64>)],
) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for (value, x) in seen {
        let away: Vec<f64> = x.iter().zip(at).map(|(x, at)| x - at).collect();
        let rise: f64 = away.iter().zip(curvature).map(|(a, row)| a * dot(row, &away)).sum();
        if rise < 0.5 * least {
            sum += (value - least - rise).max(0.0);
            count += 1;
        }
    }
    sum / count.max(1) as f64
}

/// The inverse of a symmetric matrix, but for directions in which it is nothing.
fn inverse(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let pairs = eigen(matrix);
    let most = pairs.iter().map(|(value, _)| value.abs()).fold(0.0, f64::max);
    let size = matrix.len();
    let entry = |i: usize, j: usize| {
        let there = pairs.iter().filter(|(value, _)| *value > NOTHING * most);
        there.map(|(value, v)| v[i] * v[j] / value).sum()
    };
    (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found_again_and_its_lowest_point_within_bounds() {
        let residuals = |x: &[f64]| vec![x[0] + x[1] - 3.0, 2.0 * (x[0] - x[1]) - 2.0];
        let bounds = [(0.0, 9.0), (0.0, 9.0)];
        let axes = [(1.0, vec![1.0, 0.0]), (1.0, vec![0.0, 1.0])];
        let at = [4.0, 4.0];
        let points = sample(&at, &axes, 4, &bounds);
        let seen: Vec<Seen> = points.into_iter().map(|x| (x.clone(), residuals(&x))).collect();
        let plane = Plane::through(&at, &seen);
        let near = |x: &[f64], y: [f64; 2]| {
            assert!((x[0] - y[0]).abs() < 1e-6 && (x[1] - y[1]).abs() < 1e-6, "{x:?} {y:?}");
        };
        near(&plane.lowest(&at, &bounds, 9.0), [2.0, 1.0]);
        // With the first at its bound the second follows: (x1)^2 + (4 - 2 x1)^2 is least at 8/5.
        near(&plane.lowest(&at, &[(3.0, 9.0), (0.0, 9.0)], 9.0), [3.0, 1.6]);
        near(&plane.lowest(&at, &bounds, 1.5), [3.0, 2.5]);
    }

    #[test]
    fn what_moves_nothing_has_no_curvature() {
        let residuals = |x: &[f64]| vec![x[0] + x[1], 2.0 * (x[0] + x[1])];
        let h = curvature(&[1.0, 1.0], &[(0.0, 5.0), (0.0, 5.0)], &residuals);
        for entry in h.iter().flatten() {
            assert!((entry - 2.5).abs() < 1e-9, "{h:?}");
        }
    }

    #[test]
    fn a_ripple_is_what_the_curvature_does_not_say() {
        let curvature = vec![vec![1.0]];
        let seen = [(1.3, vec![0.5]), (1.15, vec![0.1]), (9.0, vec![2.0])];
        let found = ripple(&[0.0], 1.0, &curvature, &seen);
        assert!((found - (0.05 + 0.14) / 2.0).abs() < 1e-12, "{found}");
    }
}
