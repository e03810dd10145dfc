//! Bazel's Remote Execution API, version 2: a cache and machines that servers such as BuildGrid,
//! Buildbarn, NativeLink and buildbox-casd have.
//!
//! [`address`] is where one is, [`link`] asks it, [`blobs`] sends and brings, [`cache`] makes it a cache that
//! workspaces share; [`execution`] follows one action, and [`runner`] has programs carried out.

pub mod address;
pub mod blobs;
pub mod cache;
pub mod execution;
pub mod link;
pub mod runner;
