//! What made what.

pub mod audit;
pub mod error;
pub mod journal;
pub mod key_value;
pub mod ledger;
pub mod lineage_graph;
pub mod published;
pub mod query;
pub mod record;
pub mod refs;
pub mod sled;
pub mod tail;
pub mod tombstone;
