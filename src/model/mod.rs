//! Models: learners, figures, and what is stored.

pub mod bayes;
pub mod bundle;
pub mod calibrate;
pub mod data;
pub mod error;
pub mod fitted;
pub mod hyper;
pub mod importance;
pub mod intervals;
pub mod learner;
pub mod linear;
pub mod metrics;
pub mod neighbours;
pub mod svm;
pub mod tree_learners;
