//! Models: learners, figures, searches, and what is stored.

pub mod bayes;
pub mod bundle;
pub mod calibrate;
pub mod compare;
pub mod data;
pub mod error;
pub mod fitted;
pub mod folds;
pub mod hyper;
pub mod intervals;
pub mod learner;
pub mod linear;
pub mod metrics;
pub mod neighbours;
pub mod onnx;
pub mod search;
pub mod svm;
pub mod tree_learners;
