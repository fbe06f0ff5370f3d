//! How evenly classes of requests are served.

use super::Summary;

/// Jain's index, `(sum x)^2 / (n * sum x^2)`: 1 when all are equal, 1/n when one has everything.
/// `None` for no values or when all are 0.
pub fn jain_index(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|x| x * x).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

/// Jain's index over classes of fluid requests over offered ones, from a summary of each class.
/// A class without requests has no share and is left out; what is not known of one class is not known
/// of all.
pub fn class_fairness<'a>(classes: impl IntoIterator<Item = &'a Summary>) -> Option<f64> {
    let shares: Option<Vec<f64>> = classes
        .into_iter()
        .filter(|class| class.requests.offered > 0)
        .map(|class| class.fluidity.as_ref()?.fluid_request_share)
        .collect();
    jain_index(&shares?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jain_by_hand() {
        assert_eq!(jain_index(&[0.5, 0.5, 0.5]), Some(1.0));
        assert_eq!(jain_index(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain_index(&[1.0, 0.5]), Some(0.9));
        assert_eq!(jain_index(&[0.0, 0.0]), None);
        assert_eq!(jain_index(&[]), None);
    }
}
