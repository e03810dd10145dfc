//! Models (smartcore lives here).

pub mod bundle;
pub mod compare;
pub mod folds;
pub mod learner;
pub mod linear;
pub mod metrics;
pub mod neighbours;
pub mod trees;
