//! The logistic function and its loss.

/// Returns the logistic function of a number.
pub fn logistic(raw: f64) -> f64 {
    1.0 / (1.0 + (-raw).exp())
}

/// Returns the loss of the probability `logistic(raw)`, −ln of what is given to the true class: `y`
/// is 1, 0, or the share of 1.
pub fn loss(raw: f64, y: f64) -> f64 {
    // ln(1 + exp(raw)) − y raw, without overflow.
    raw.max(0.0) + (-raw.abs()).exp().ln_1p() - y * raw
}
