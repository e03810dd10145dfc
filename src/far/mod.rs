//! A cache that several machines share.
//!
//! [`remote_cache`] is what it is asked, whatever it is; [`shared_action`] is what stands in it, and
//! [`shared_cache`] how a run uses it; [`machine_class`] says whose results are the same to the bit.

pub mod machine_class;
pub mod patience;
pub mod remote_cache;
pub mod shared_action;
pub mod shared_cache;
