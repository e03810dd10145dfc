//! Why the ledger could not do what was asked.

use crate::base::artifact::ContentRef;
use crate::base::disk::DiskError;
use crate::base::name::RefName;
use crate::lineage::record::FORMAT;

/// What the database says of its failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(pub String);

/// Why the ledger could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database failed.
    #[error("the ledger failed: {0}")]
    Database(#[from] DatabaseError),
    /// Another process has the database open.
    #[error("another process has the ledger open: {0}")]
    Held(String),
    /// A record cannot be read.
    #[error("a record of the ledger cannot be read: {0}")]
    Unreadable(String),
    /// The ledger was written by a later version of netsec.
    #[error("the ledger has format {found}, this netsec reads up to {FORMAT}; use a later netsec")]
    TooNew {
        /// The format found.
        found: u32,
    },
    /// A pointer points elsewhere than the move expects.
    #[error("the ref `{name}` was not moved: it points at {}, not at {}", show(*found), show(*expected))]
    Moved {
        /// The pointer.
        name: RefName,
        /// What it points at.
        found: Option<ContentRef>,
        /// What it was expected to point at.
        expected: Option<ContentRef>,
    },
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] DiskError),
}

impl LedgerError {
    /// Makes the error of a database of which this is to be said.
    pub(crate) fn database(why: impl Into<String>) -> Self {
        Self::Database(DatabaseError(why.into()))
    }
}

fn show(content: Option<ContentRef>) -> String {
    content.map_or_else(|| "nothing".to_owned(), |content| content.digest.short())
}
