//! The search for a model: trials, folds, what is picked.

pub mod composition;
pub mod ensembles;
pub mod families;
pub mod folds;
pub mod leaderboard;
pub mod left_out;
pub mod novelty_comparison;
pub mod search;
pub mod selection;
pub mod shortcuts;
pub mod trials;
