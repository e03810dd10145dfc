//! Where served models come from: a workspace, whose refs move, or a file that is written anew.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::app::workspace::{AppError, RecordsStamp, Workspace};
use crate::attest::keys::AttestationPublicKey;
use crate::base::digest::Digest;
use crate::base::disk::{self, FileStamp, PathEntry};
use crate::cli::model_verify::{MOST, unpacked};
use crate::model::bundle::ModelBundle;
use crate::serve::slot::ModelSource;

/// A model of a workspace. What a ref points at is looked up when something was recorded; what else
/// is named stays what it was.
pub struct WorkspaceSource {
    workspace: Workspace,
    target: String,
    seen: Mutex<(Option<RecordsStamp>, Digest)>,
}

impl WorkspaceSource {
    /// Finds what is named.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant.
    pub fn open(workspace: &Workspace, target: &str) -> Result<Self, AppError> {
        let workspace = Workspace::open(workspace.root())?;
        let stamp = workspace.records_stamp();
        let (found, _) = workspace.find_named(target)?;
        Ok(Self {
            workspace,
            target: target.to_owned(),
            seen: Mutex::new((Some(stamp), found.digest)),
        })
    }
}

impl ModelSource for WorkspaceSource {
    fn current(&self) -> Result<Digest, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.target.starts_with("ref:") {
            return Ok(seen.1);
        }
        // Taken before the look, so that what is recorded meanwhile is looked at the next time.
        let stamp = self.workspace.records_stamp();
        if seen.0.as_ref() != Some(&stamp) {
            seen.0 = None;
            let found = self.workspace.find_named(&self.target);
            let (found, _) = found.map_err(|error| error.to_string())?;
            *seen = (Some(stamp), found.digest);
        }
        Ok(seen.1)
    }

    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, String> {
        let bytes = self.workspace.fetch_file(digest);
        let bytes = bytes.map_err(|error| error.to_string())?;
        bytes.ok_or_else(|| "it is a directory, not a model".to_owned())
    }
}

/// A model that was exported as one file.
pub struct ImportedSource {
    path: PathBuf,
    name: String,
    key: Option<AttestationPublicKey>,
    seen: Mutex<Option<(FileStamp, Digest)>>,
}

impl ImportedSource {
    /// Names a file, and the key that has to have signed it.
    pub fn new(path: PathBuf, name: String, key: Option<AttestationPublicKey>) -> Self {
        Self {
            path,
            name,
            key,
            seen: Mutex::new(None),
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        if self.key.is_none()
            && let Ok(bytes) = disk::read_bounded(&self.path, MOST)
            && ModelBundle::decode(&bytes).is_ok()
        {
            // A model as the cache holds it, such as in an image: nothing vouches for it but its digest.
            return Ok(bytes);
        }
        let opened = unpacked(&self.path, &self.name, self.key.as_ref());
        Ok(opened.map_err(|error| error.to_string())?.model)
    }
}

impl ModelSource for ImportedSource {
    fn current(&self) -> Result<Digest, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match disk::look(&self.path) {
            Ok(PathEntry::File(stamp)) => stamp,
            _ => return Err(format!("`{}` is not there", self.name)),
        };
        match seen.as_ref() {
            Some((before, digest)) if *before == stamp => Ok(*digest),
            _ => {
                *seen = None;
                let digest = Digest::of(&self.read()?);
                *seen = Some((stamp, digest));
                Ok(digest)
            }
        }
    }

    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, String> {
        let bytes = self.read()?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(format!("`{}` is being written", self.name)),
        }
    }
}
