//! Every stage kind: a folder or a file each. `kind.rs` of a folder declares the kind.
//!
//! A kind is an adapter: it reads its parameters and what flows in, has the rooms below do the work,
//! and gives what comes of it. What several kinds share of that is [`dataset`], tables in and out of
//! ports.

pub mod command;
pub mod dataset;
pub mod drift;
pub mod duration;
pub mod evaluate;
pub mod failure;
pub mod image;
pub mod ingest;
pub mod list;
pub mod merged_profile;
pub mod metric_floors;
pub mod split;
pub mod train;
pub mod transform;
pub mod validate;
pub mod window;
