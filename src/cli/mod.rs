//! The command-line face.

pub mod args;
pub mod args_data;
pub mod cache;
pub mod cancel;
pub mod carry;
pub mod cat;
pub mod check;
pub mod completions;
pub mod data;
pub mod entry;
pub mod exit;
pub mod explain;
pub mod graph;
pub mod guard;
pub mod init;
pub mod interrupt;
pub mod lineage;
pub mod out;
pub mod quarantine;
pub mod replay;
pub mod run;
pub mod runs;
pub mod schema;
pub mod status;
pub mod watch;
