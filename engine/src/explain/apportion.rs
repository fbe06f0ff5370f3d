//! Whole shares that add up.

/// Whole shares of `total` in proportion to `weights`, by largest remainder; they add up. All zero
/// where no weight is positive.
pub(super) fn apportion(total: u64, weights: &[f64]) -> Vec<u64> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let mut left = total;
    let mut fractions = Vec::with_capacity(weights.len());
    let mut shares: Vec<u64> = weights
        .iter()
        .enumerate()
        .map(|(place, &weight)| {
            let exact = total as f64 * (weight / sum);
            let whole = (libm::floor(exact) as u64).min(left);
            left -= whole;
            fractions.push((exact - libm::floor(exact), place));
            whole
        })
        .collect();
    fractions.retain(|&(_, place)| weights[place] > 0.0);
    fractions.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // Less than one each, but for what doubles lose of very large totals.
    let each = left / fractions.len() as u64;
    let more = (left % fractions.len() as u64) as usize;
    for (rank, &(_, place)) in fractions.iter().enumerate() {
        shares[place] += each + u64::from(rank < more);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_the_largest_remainder_wins() {
        assert_eq!(apportion(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(apportion(1, &[0.4, 0.6]), [0, 1]);
        assert_eq!(apportion(7, &[0.0, 2.0]), [0, 7]);
        assert_eq!(apportion(7, &[0.0, 0.0]), [0, 0]);
        let large = apportion(u64::MAX / 2, &[0.1, 0.2, 0.7]);
        assert_eq!(large.iter().sum::<u64>(), u64::MAX / 2);
    }
}
