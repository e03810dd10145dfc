//! Artifact: a named output of a stage; and what stands in one that is a directory.

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

/// What an entry of a directory is. The bytes of a link are where it leads; a folder that holds
/// something is not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryForm {
    /// A file.
    #[default]
    Plain,
    /// A file that may be run.
    Executable,
    /// A link to another entry.
    Link,
    /// An empty folder.
    Folder,
}

impl EntryForm {
    /// Returns whether it is a file.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Plain | Self::Executable)
    }

    /// Returns whether it is a file like most.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}
