//! Where rows come from.

pub mod chunks;
pub mod csv;
pub mod documents;
pub mod encoding;
pub mod files;
pub mod json_list;
pub mod mongodb;
pub mod ndjson;
pub mod parquet;
pub mod parquet_bytes;
pub mod parquet_cells;
pub mod parquet_delta;
pub mod parquet_footer;
pub mod parquet_parts;
pub mod parquet_thrift;
pub mod piece;
pub mod push;
pub mod report;
pub mod synthetic;
pub mod unpack;
pub mod zeek;
