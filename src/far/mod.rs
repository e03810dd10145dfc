//! A cache that several machines share, and other machines that carry actions out.
//!
//! [`remote_cache`] is what it is asked, whatever it is; [`shared_action`] is what stands in it, and
//! [`shared_cache`] how a run uses it; [`machine_class`] says whose results are the same to the bit.
//! [`remote_runner`] is what carries actions out on other machines.

pub mod breaker;
pub mod bring;
pub mod machine_class;
pub mod patience;
pub mod program_files;
pub mod remote_cache;
pub mod remote_runner;
pub mod runner_fetcher;
pub mod send_chunks;
pub mod shared_action;
pub mod shared_cache;
