//! `ingest`: rows of files, a collection or a generator become a dataset of parts.

pub mod collection;
pub mod files;
pub mod kind;
