//! The softmax function.

/// Makes raw scores probabilities: of each the exponential, as a share of all. Where a score is −∞
/// the probability is 0; one at least is finite.
pub fn softmax(raw: &mut [f64]) {
    let most = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut whole = 0.0;
    for score in raw.iter_mut() {
        *score = (*score - most).exp();
        whole += *score;
    }
    for score in raw {
        *score /= whole;
    }
}

/// Returns the loss of the softmax of raw scores, −ln of what is given to the true class.
pub fn loss(raw: &[f64], class: usize) -> f64 {
    let most = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let whole: f64 = raw.iter().map(|score| (score - most).exp()).sum();
    most + whole.ln() - raw[class]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_and_none_are_told_without_overflow() {
        let mut raw = [1e4, 1e4, f64::NEG_INFINITY];
        assert!((loss(&raw, 0) - 2.0_f64.ln()).abs() < 1e-12);
        softmax(&mut raw);
        assert_eq!(raw, [0.5, 0.5, 0.0]);
    }
}
