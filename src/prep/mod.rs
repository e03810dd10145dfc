//! Fitted transformations, one a file.

pub mod encode;
pub mod knn;
pub mod preprocessor;
pub mod scale;
pub mod target;
