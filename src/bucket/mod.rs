//! Buckets: S3, GCS, Azure, or a folder that several machines see.
//!
//! [`address`] finds one, [`objects`] speaks to it, [`cache`] makes it a cache that workspaces share.
//! Nothing in it is believed: every blob is checked against its name.

pub mod address;
pub mod cache;
pub mod error;
pub mod objects;
