//! Tombstones: what was forgotten, when and by whose word. The rows themselves are not in one, nor
//! digests of them, from which they could be guessed.

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::lineage::refs::ManualEvidence;

/// What stays of rows that were forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who decided it, and why.
    pub word: ManualEvidence,
    /// How many rows the request held.
    pub rows: u64,
    /// The models that were trained on them.
    pub models: Vec<Digest>,
    /// The keys of the actions whose outputs may have held them.
    pub actions: Vec<Digest>,
}

impl Tombstone {
    /// Says what became of a model of it, to follow its name.
    pub fn tell(&self) -> String {
        let ManualEvidence { who, why, .. } = &self.word;
        format!("was trained on rows that {who} had forgotten ({why})")
    }

    /// Says what became of what one of its actions made, to follow its name.
    pub fn tell_made(&self) -> String {
        let ManualEvidence { who, why, .. } = &self.word;
        format!("was made of rows that {who} had forgotten ({why})")
    }
}
