//! Where rows come from.

pub mod files;
pub mod synthetic;
