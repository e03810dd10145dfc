//! `validate`: a table against a schema file; rows that break it are set aside.

pub mod kind;
pub mod quarantine;
