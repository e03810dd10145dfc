//! Two models on the same rows: the exact McNemar test.

use statrs::function::gamma::ln_gamma;

/// The one-sided exact p-value of McNemar's test (1947): the probability that of `wins + losses` rows on which
/// exactly one of two equal models is right, at least `wins` fall to the first. 1 if there is no such row.
pub fn mcnemar(wins: u64, losses: u64) -> f64 {
    let n = wins + losses;
    let ln_choose = |k: u64| ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0);
    let term = |k: u64| (ln_choose(k) - n as f64 * std::f64::consts::LN_2).exp();
    (wins..=n).map(term).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_binomial_is_counted() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!((mcnemar(5, 0) - 1.0 / 32.0).abs() < 1e-14);
        assert!((mcnemar(2, 1) - 0.5).abs() < 1e-14);
    }
}
