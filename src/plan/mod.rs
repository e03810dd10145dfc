//! Decide, before anything runs.

pub mod decide;
pub mod explain;
pub mod files;
pub mod key;
pub mod standing;
pub mod whole;
