//! Carry a plan out.

pub mod drive;
pub mod perform;
pub mod schedule;
pub mod voice;
pub mod worker;
