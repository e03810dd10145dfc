//! A pipeline file, from text to meaning.

pub mod check;
pub mod interpolate;
pub mod outline;
pub mod problem;
