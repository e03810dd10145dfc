//! Models: learners, figures, and what is stored.

pub mod adaboost;
pub mod bayes;
pub mod bundle;
pub mod calibrate;
pub mod class_metrics;
pub mod class_report;
pub mod data;
pub mod decision_tree;
pub mod error;
pub mod fitted;
pub mod gradient_boosting;
pub mod hyper;
pub mod importance;
pub mod intervals;
pub mod learner;
pub mod learners;
pub mod linear;
pub mod metrics;
pub mod neighbours;
pub mod one_vs_rest;
pub mod output;
pub mod random_forest;
pub mod scores;
pub mod softmax_linear;
pub mod svm;
pub mod tree_learner;
