//! What stages make and take: content by digest, a named output, and what stands in one that is a
//! directory.

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// Content by its digest: bytes, or a directory.
///
/// Bytes are stored as their digest alone, a directory as `{directory: digest}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "ContentForm", into = "ContentForm")]
pub struct ContentRef {
    /// The digest of the bytes; of a directory, of its manifest.
    pub digest: Digest,
    /// Whether it is a directory.
    pub directory: bool,
}

impl ContentRef {
    /// Names bytes.
    pub fn bytes(digest: Digest) -> Self {
        Self {
            digest,
            directory: false,
        }
    }
}

/// How it is stored.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ContentForm {
    Bytes(Digest),
    Directory { directory: Digest },
}

impl From<ContentForm> for ContentRef {
    fn from(form: ContentForm) -> Self {
        match form {
            ContentForm::Bytes(digest) => Self::bytes(digest),
            ContentForm::Directory { directory } => Self {
                digest: directory,
                directory: true,
            },
        }
    }
}

impl From<ContentRef> for ContentForm {
    fn from(content: ContentRef) -> Self {
        match content.directory {
            true => Self::Directory {
                directory: content.digest,
            },
            false => Self::Bytes(content.digest),
        }
    }
}

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

impl Artifact {
    /// Returns its content.
    pub fn content(&self) -> ContentRef {
        ContentRef {
            digest: self.digest,
            directory: self.directory,
        }
    }
}
