//! Where rows come from.

pub mod chunks;
pub mod csv;
pub mod documents;
pub mod encoding;
pub mod files;
pub mod mongodb;
pub mod ndjson;
pub mod parquet;
pub mod piece;
pub mod synthetic;
pub mod zeek;
