//! Eigenvalues of small symmetric matrices, by Jacobi's rotations.

/// Eigenvalues, rising, each with its unit vector. The matrix must be symmetric.
pub(super) fn eigen(matrix: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    // Convergence is quadratic: a handful of sweeps is enough for any matrix.
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                // The rotation that makes a[p][q] zero.
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (up, down) = (a[p].clone(), a[q].clone());
                for k in 0..n {
                    a[p][k] = c * up[k] - s * down[k];
                    a[q][k] = s * up[k] + c * down[k];
                }
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> =
        (0..n).map(|i| (a[i][i], v.iter().map(|row| row[i]).collect())).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs
}

#[cfg(test)]
mod tests {
    use super::eigen;

    #[test]
    fn vectors_are_stretched_by_their_values() {
        let matrix = vec![vec![4.0, 1.0, -2.0], vec![1.0, 3.0, 0.5], vec![-2.0, 0.5, 1.0]];
        let pairs = eigen(&matrix);
        let trace: f64 = pairs.iter().map(|(value, _)| value).sum();
        assert!((trace - 8.0).abs() < 1e-12);
        for (value, vector) in &pairs {
            let length: f64 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-12);
            for (row, x) in matrix.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(m, x)| m * x).sum();
                assert!((product - value * x).abs() < 1e-10, "{product} {value} {x}");
            }
        }
        assert!(pairs[0].0 < pairs[1].0 && pairs[1].0 < pairs[2].0);
    }

    #[test]
    fn a_direction_that_does_nothing_has_value_zero() {
        let pairs = eigen(&[vec![1.0, 1.0], vec![1.0, 1.0]]);
        assert!(pairs[0].0.abs() < 1e-12 && (pairs[1].0 - 2.0).abs() < 1e-12);
    }
}
