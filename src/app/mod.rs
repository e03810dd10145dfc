//! A workspace: the one place where parts are put together.

pub mod artifacts;
pub mod run;
pub mod unchanged;
pub mod workspace;
