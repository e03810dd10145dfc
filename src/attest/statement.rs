//! in-toto statements (version 1): something that is said of things which are named by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What every statement is.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement: `P` is what is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InTotoStatement<P> {
    /// What it is.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What it speaks of.
    pub subject: Vec<StatementSubject>,
    /// What sort of thing is said.
    pub predicate_type: String,
    /// What is said.
    pub predicate: P,
}

/// What a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementSubject {
    /// A name for people.
    pub name: String,
    /// Its digests, by algorithm.
    pub digest: BTreeMap<String, String>,
}

impl<P> InTotoStatement<P> {
    /// Says something of a thing.
    pub fn of(subject: StatementSubject, predicate_type: &str, predicate: P) -> Self {
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![subject],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }
}
