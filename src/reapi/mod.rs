//! Bazel's Remote Execution API, version 2: a cache that servers such as BuildGrid, Buildbarn,
//! NativeLink and buildbox-casd have.
//!
//! [`address`] is where one is, [`link`] asks it, [`blobs`] sends and brings, [`cache`] makes it a cache that
//! workspaces share.

pub mod address;
pub mod blobs;
pub mod cache;
pub mod link;
