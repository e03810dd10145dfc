//! What the engine needs of a stage kind.

pub mod context;
pub mod declare;
pub mod error;
pub mod io;
pub mod kind;
pub mod limits;
pub mod param;
pub mod port;
pub mod registry;
pub mod remote;
pub mod schema;
pub mod stored_value;
pub mod sub_action;
