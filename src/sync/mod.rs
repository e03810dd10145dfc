//! Runs, what they made, and refs, taken to a bucket and back.
//!
//! [`shared_run`] and [`shared_ref`] are what is kept there; [`exchange`] takes them there and back. A bucket
//! is believed no more than a file from elsewhere: every blob is checked, a run is taken in as an exported
//! one is, and a ref moves only by somebody's word.

pub mod exchange;
pub mod shared_ref;
pub mod shared_run;
