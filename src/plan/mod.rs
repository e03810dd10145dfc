//! Decide, before anything runs.

pub mod action;
pub mod decide;
pub mod explain;
pub mod files;
pub mod key;
pub mod planner;
pub mod up_to_date;
