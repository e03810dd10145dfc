//! Models (smartcore lives here).

pub mod bayes;
pub mod bundle;
pub mod calibrate;
pub mod compare;
pub mod data;
pub mod draws;
pub mod folds;
pub mod intervals;
pub mod learner;
pub mod linear;
pub mod logistic;
pub mod metrics;
pub mod neighbours;
pub mod search;
pub mod svm;
pub mod trees;
