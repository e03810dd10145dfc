//! A workspace: the one place where parts are put together.

pub mod archive;
pub mod artifacts;
pub mod cancel;
pub mod carry;
pub mod explain;
pub mod run;
pub mod supervisors;
pub mod sweep;
pub mod unchanged;
pub mod verify;
pub mod workspace;
