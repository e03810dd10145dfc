//! Artifact: a named output of a stage.

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// A named output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The port it came out of.
    pub port: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes; of a directory, of all its files.
    pub size: u64,
    /// Whether the digest names the manifest of a directory.
    pub directory: bool,
}
