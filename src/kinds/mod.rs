//! Every stage kind, one file each.

pub mod command;
pub mod compare;
pub mod evaluate;
pub mod ingest;
pub mod launcher;
pub mod list;
pub mod program;
pub mod sandbox;
pub mod starter;
pub mod train;
pub mod transform;
pub mod validate;
