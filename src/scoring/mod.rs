//! A stored model and rows to probabilities, verdicts and reasons.

pub mod attribution;
pub mod rows;
