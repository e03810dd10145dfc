//! Blobs by digest.

pub mod blob;
pub mod faulty;
pub mod known;
pub mod local;
pub mod manifest;
pub mod memory;
pub mod packed;
