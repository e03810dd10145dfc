//! A pipeline file, from text to meaning.

pub mod check;
pub mod compose;
pub mod condition;
pub mod expand;
pub mod interpolate;
pub mod outline;
pub mod problem;
pub mod toml;
pub mod wiring;
