//! `split`: rows to train by and rows to judge by, with no row on both sides.

pub mod kind;
pub mod params;
pub mod work;
