//! Whether two tables come from the same source, judged by their profiles alone.
//!
//! [`compare::compare`] tells it of every column and of all together.

pub mod compare;
pub mod domain_classifier;
pub mod report;
