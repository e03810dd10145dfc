//! `evaluate`: challenger against champion on the same rows; only a better one is accepted.

pub mod kind;
pub mod params;
pub mod rate;
