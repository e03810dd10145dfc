//! A stored model and rows to probabilities, verdicts and reasons.
//!
//! [`scorer::Scorer`] is a model that scores a table; [`rows`] does so for a file, piece by piece,
//! and [`records`] reads JSON objects as they come from a log.

pub mod attribution;
pub mod held_rows;
pub mod live_drift;
pub mod log_follower;
pub mod prediction_log;
pub mod read_rows;
pub mod records;
pub mod retraining;
pub mod rows;
pub mod scorer;
pub mod training_overlap;
