//! Blobs by digest.

pub mod away;
pub mod blob;
pub mod chunked;
pub mod digest_cache;
pub mod faulty;
pub mod given_store;
pub mod local;
pub mod manifest;
pub mod memory;
pub mod packed;
pub mod tiered;
