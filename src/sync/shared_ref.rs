//! A ref in a bucket: what it points at, and where it pointed before.
//!
//! Two workspaces agree on a ref if one of them has seen what the other points at: then the newer one is
//! taken. Where each points at something that the other never saw, a person has to say which is right.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::app::archive::odd;
use crate::app::workspace::AppResult;
use crate::base::digest::Digest;
use crate::base::name::RefName;
use crate::lineage::refs::{RefEvidence, RefState};

/// Version of the stored form. A newer one is refused.
const FORMAT: u32 = 1;

/// A move of a ref, as it is told elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMove {
    /// What it pointed at afterwards; nothing if it was taken out of use.
    pub to: Option<Digest>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who decided it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// A ref in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRef {
    format: u32,
    /// Its name.
    pub name: String,
    /// What it points at.
    pub digest: Digest,
    /// The run that made that.
    pub run: String,
    /// Every move, the latest last.
    pub moves: Vec<SharedMove>,
}

impl SharedRef {
    /// Where refs stand in a bucket.
    pub const FOLDER: &str = "v1/refs";

    /// Returns where it stands in a bucket.
    pub fn path(name: &str) -> String {
        format!("{}/{name}", Self::FOLDER)
    }

    /// Takes a ref that points at something that a run made.
    pub fn of(name: &RefName, digest: Digest, run: &str, state: &RefState) -> Self {
        let told = |step: &crate::lineage::refs::RefMove| {
            let (who, why) = match &step.evidence {
                RefEvidence::Manual(word) => (word.who.clone(), word.why.clone()),
                RefEvidence::Action(key) => {
                    ("the gate".to_owned(), format!("action {}", key.short()))
                }
            };
            SharedMove {
                to: step.to.map(|to| to.digest),
                at_ms: step.at_ms,
                who,
                why,
            }
        };
        Self {
            format: FORMAT,
            name: name.to_string(),
            digest,
            run: run.to_owned(),
            moves: state.moves.iter().map(told).collect(),
        }
    }

    /// Returns whether it ever pointed there.
    pub fn has_seen(&self, digest: &Digest) -> bool {
        self.moves
            .iter()
            .any(|step| step.to.as_ref() == Some(digest))
    }

    /// Returns it as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("plain data serialises")
    }

    /// Reads it as it is stored.
    ///
    /// # Errors
    /// It is something else, or of a newer format.
    pub fn decode(name: &str, bytes: &[u8]) -> AppResult<Self> {
        let path = Path::new(name);
        let shared: Self =
            serde_json::from_slice(bytes).map_err(|_| odd(path, "it is no ref of a bucket"))?;
        match shared.format {
            FORMAT => Ok(shared),
            _ => Err(odd(path, "it is of a newer format: update netsec").into()),
        }
    }
}
