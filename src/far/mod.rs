//! What is kept away from this machine and shared.
//!
//! [`bucket`] speaks to a bucket, and believes it nothing: every blob is checked against its name.

pub mod bucket;
