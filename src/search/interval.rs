//! A mean of few independent runs, with Student's interval.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mean and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Mean of the samples.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval; null for a single sample.
    pub half_width: Option<f64>,
    /// Samples.
    pub count: u32,
}

/// 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom (Abramowitz and
/// Stegun, table 26.10).
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// Mean and 95 % confidence interval of independent samples; `None` without samples.
pub fn interval(samples: &[f64]) -> Option<Interval> {
    let n = samples.len();
    if n == 0 {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / n as f64;
    let half_width = (n > 1).then(|| {
        let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        let t = T_975.get(n - 2).copied().unwrap_or(1.96);
        t * (squares / (n - 1) as f64 / n as f64).sqrt()
    });
    Some(Interval { mean, half_width, count: n as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_samples_by_hand() {
        let found = interval(&[1.0, 2.0, 3.0]).expect("samples");
        assert!((found.mean - 2.0).abs() < 1e-12);
        assert!((found.half_width.expect("three") - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(interval(&[5.0]).expect("one").half_width, None);
        assert_eq!(interval(&[]), None);
    }
}
