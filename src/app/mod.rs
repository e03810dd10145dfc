//! A workspace: the one place where parts are put together.

pub mod archive;
pub mod artifacts;
pub mod audit_shared;
pub mod cancel;
pub mod check_lineage;
pub mod explain;
pub mod fetch_away;
pub mod forget;
pub mod gc;
pub mod import_model;
pub mod ref_prospects;
pub mod registry;
pub mod remote_work;
pub mod run;
pub mod run_difference;
pub mod supervisors;
pub mod transfer;
pub mod up_to_date;
pub mod verify;
pub mod workspace;
