//! What is kept away from this machine, and shared: runs, what they made, and refs, in a bucket.
//!
//! [`bucket`] speaks to it; [`shared_run`] and [`shared_ref`] are what is kept there; [`sync`] takes them
//! there and back. A bucket is believed no more than a file from elsewhere: every blob is checked, a run
//! is taken in as an exported one is, and a ref moves only by somebody's word.

pub mod bucket;
pub mod shared_ref;
pub mod shared_run;
pub mod sync;
