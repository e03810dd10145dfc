//! Intervals from resampling, corrected for bias and skewness.
//!
//! The plain percentile interval of a figure near its end, such as an F1 of .99, is too short on
//! the side where it matters. The corrected one (BCa: Efron, 1987; Efron and Tibshirani, 1993,
//! chapter 14) moves both ends by how far the draws lie to one side of the figure, and by how its
//! spread changes with its value, which leaving rows out tells.

use statrs::function::erf::{erfc, erfc_inv};

use crate::stats::auc::share_below;

/// The share of draws below a value, never 0 or 1, as more draws might fall on the other side.
fn share_of_draws(drawn: &[f64], value: f64) -> f64 {
    let least = 0.5 / drawn.len() as f64;
    share_below(drawn, value).clamp(least, 1.0 - least)
}

/// Returns how much of the standard normal lies below a value.
pub(crate) fn normal_below(z: f64) -> f64 {
    erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

fn normal_quantile(share: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * share)
}

/// How the spread changes with the value: a sixth of the skewness of what leaving rows out changes.
fn acceleration(left_out: &[f64]) -> f64 {
    let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let power_sum = |power: i32| -> f64 {
        let powers = left_out.iter().map(|figure| (mean - figure).powi(power));
        powers.sum()
    };
    let spread = power_sum(2).powf(1.5);
    match spread > 0.0 {
        true => power_sum(3) / (6.0 * spread),
        false => 0.0,
    }
}

/// The value below which this share of sorted values lies, between two of them in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = place.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Returns the interval of a figure. `drawn` holds it on rows drawn with replacement, in ascending
/// order; `left_out` on all rows but one, or but one of equally large groups, for each of them.
/// `None` if nothing was drawn.
pub fn bca_interval(
    figure: f64,
    drawn: &[f64],
    left_out: &[f64],
    confidence: f64,
) -> Option<[f64; 2]> {
    if drawn.is_empty() || left_out.is_empty() {
        return None;
    }
    let bias = normal_quantile(share_of_draws(drawn, figure));
    let acceleration = acceleration(left_out);
    let end = |tail: f64| {
        let shifted = bias + normal_quantile(tail);
        let stretched = shifted / (1.0 - acceleration * shifted);
        quantile(drawn, normal_below(bias + stretched))
    };
    let tail = (1.0 - confidence) / 2.0;
    Some([end(tail), end(1.0 - tail)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_bias_or_skewness_it_is_the_percentile_interval() {
        let drawn: Vec<f64> = (0..=1000).map(f64::from).collect();
        let [low, high] = bca_interval(500.0, &drawn, &[1.0, 2.0, 3.0], 0.95).unwrap();
        assert!(
            (low - 25.0).abs() < 1e-6 && (high - 975.0).abs() < 1e-6,
            "{low} {high}"
        );
    }

    #[test]
    fn bias_moves_both_ends() {
        let drawn: Vec<f64> = (0..=1000).map(f64::from).collect();
        let [low, high] = bca_interval(600.0, &drawn, &[1.0, 2.0, 3.0], 0.95).unwrap();
        assert!(low > 25.0 && high > 975.0, "{low} {high}");
        let [low, high] = bca_interval(5.0, &[5.0; 10], &[5.0; 10], 0.95).unwrap();
        assert_eq!([low, high], [5.0, 5.0]);
        assert!(bca_interval(1.0, &[], &[], 0.95).is_none());
    }
}
