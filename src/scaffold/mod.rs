//! Files to begin with: a first pipeline and its schema, proposed from a table; a deployment.

pub mod deployment;
pub mod error;
pub mod labels;
pub mod propose;
pub mod request;
pub mod text;
