//! What made what.

pub mod audit;
pub mod error;
pub mod follow;
pub mod journal;
pub mod key_filter;
pub mod key_value;
pub mod ledger;
pub mod lineage_graph;
pub mod packed_pairs;
pub mod query;
pub mod record;
pub mod record_pack;
pub mod refs;
pub mod sled;
pub mod tables;
pub mod tail;
pub mod tombstone;
