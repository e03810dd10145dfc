//! A stored model and rows to probabilities, verdicts and reasons.
//!
//! [`scorer::Scorer`] is a model that scores a table; [`rows`] does so for a file, piece by piece.

pub mod attribution;
pub mod held_rows;
pub mod rows;
pub mod scorer;
pub mod training_overlap;
