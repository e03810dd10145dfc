//! Every stage kind, one file each.

pub mod candidates;
pub mod collection;
pub mod command;
pub mod compare;
pub mod dataset;
pub mod drift;
pub mod evaluate;
pub mod export;
pub mod gather;
pub mod handover;
pub mod ingest;
pub mod launcher;
pub mod list;
pub mod predict;
pub mod program;
pub mod push;
pub mod quarantine;
pub mod sandbox;
pub mod select;
pub mod split;
pub mod starter;
pub mod steps;
pub mod sweep;
pub mod train;
pub mod transform;
pub mod validate;
