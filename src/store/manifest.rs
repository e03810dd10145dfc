//! A directory as one small blob that lists others.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::base::artifact::EntryForm;
use crate::base::digest::Digest;

/// What a manifest begins with; the digit is the format's version. The second has entries that are
/// not plain files; one of plain files alone is written as it always was.
const MAGIC: &str = "netsec-manifest-1";
const FORMS: &str = "netsec-manifest-2";

/// The files of a directory, by path within it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// One entry a file.
    pub files: Vec<FileEntry>,
}

/// One file of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path within the directory, with `/`.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    #[serde(default, skip_serializing_if = "EntryForm::is_plain")]
    pub form: EntryForm,
}

impl Manifest {
    /// Makes a manifest; the order of the entries does not matter.
    pub fn new(mut files: Vec<FileEntry>) -> Self {
        files.sort();
        Self { files }
    }

    /// Returns the size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Returns the manifest's bytes: the same for the same files.
    pub fn encode(&self) -> Vec<u8> {
        let is_plain = self.files.iter().all(|file| file.form.is_plain());
        let mut bytes = format!("{}\n", if is_plain { MAGIC } else { FORMS }).into_bytes();
        bytes.extend(serde_json::to_vec(self).expect("plain data serialises"));
        bytes
    }

    /// Reads a manifest, and refuses paths that lead out of its directory.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let body = bytes
            .strip_prefix(MAGIC.as_bytes())
            .or_else(|| bytes.strip_prefix(FORMS.as_bytes()));
        let body = body.and_then(|rest| rest.strip_prefix(b"\n"));
        let body = body.ok_or("it does not begin like a manifest of this version")?;
        let manifest: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(format!(
                "the path `{}` leads out of the directory",
                file.path
            )),
            None => Ok(manifest),
        }
    }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_does_not_lead_out() {
        let entry = |path: &str| FileEntry {
            path: path.to_owned(),
            digest: Digest::of(b"x"),
            size: 1,
            form: EntryForm::Plain,
        };
        let manifest = Manifest::new(vec![entry("b/c"), entry("a")]);
        assert_eq!(manifest.files[0].path, "a");
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        let outside = Manifest::new(vec![entry("../x")]);
        assert!(
            Manifest::decode(&outside.encode())
                .unwrap_err()
                .contains("leads out")
        );
        assert!(Manifest::decode(b"PAR1").is_err());
    }
}
