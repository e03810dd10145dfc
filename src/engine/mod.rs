//! Carry a plan out.

pub mod asked;
pub mod back;
pub mod bench;
pub mod capacity;
pub mod drive;
pub mod keeper;
pub mod message;
pub mod part;
pub mod perform;
pub mod schedule;
pub mod slots;
pub mod stop;
pub mod voice;
pub mod worker;
