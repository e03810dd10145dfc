//! `train`: the model factory. Candidates, a search, the pick.

pub mod candidates;
pub mod checks;
pub mod families;
pub mod folding;
pub mod kind;
pub mod notes;
pub mod params;
pub mod picking;
pub mod raw_rows;
