//! A first pipeline and its schema, proposed from a table.

pub mod error;
pub mod labels;
pub mod propose;
pub mod request;
pub mod text;
