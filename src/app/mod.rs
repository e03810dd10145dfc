//! A workspace: the one place where parts are put together.

pub mod artifacts;
pub mod cancel;
pub mod carry;
pub mod explain;
pub mod guard;
pub mod run;
pub mod sweep;
pub mod unchanged;
pub mod workspace;
