//! Carry a plan out.

pub mod cancel_requests;
pub mod capacity;
pub mod committer;
pub mod completion;
pub mod dispatch;
pub mod drive;
pub mod emitter;
pub mod exec_context;
pub mod executor;
pub mod local_executor;
pub mod message;
pub mod run_setup;
pub mod schedule;
pub mod share;
pub mod shared_results;
pub mod slots;
pub mod sub_actions;
pub mod worker;
