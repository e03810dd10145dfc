//! Every stage kind, one file each.

pub mod command;
pub mod compare;
pub mod evaluate;
pub mod ingest;
pub mod list;
pub mod program;
pub mod room;
pub mod sandbox;
pub mod starter;
pub mod train;
pub mod transform;
pub mod validate;
