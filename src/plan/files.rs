//! Source files → digests, remembered by size, times and inode.

use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::base::artifact::EntryForm;
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, FileStamp, PathEntry};
use crate::base::hashing::hash;
use crate::store::digest_cache::DigestCache;
use crate::store::manifest::{FileEntry, Manifest};

/// A file, a directory or the matches of a glob, as it was when it was hashed.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFile {
    /// The digest of the file's bytes, or of the manifest of the files.
    pub digest: Digest,
    /// Its size in bytes; of several files, of all together.
    pub size: u64,
    /// Whether it is several files under a manifest.
    pub directory: bool,
    /// The files: one with an empty name, or several with their paths.
    pub parts: Vec<SourcePart>,
}

/// One file of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePart {
    /// Its path within the source; empty if it is the source.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What the system told of it when it was hashed.
    pub signature: FileStamp,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl SourceFile {
    /// Returns the manifest of a source of several files.
    pub fn manifest(&self) -> Manifest {
        manifest(&self.parts)
    }
}

fn manifest(parts: &[SourcePart]) -> Manifest {
    let entry = |part: &SourcePart| {
        let (path, form) = (part.name.clone(), EntryForm::Plain);
        FileEntry {
            path,
            digest: part.digest,
            size: part.signature.size,
            form,
        }
    };
    Manifest::new(parts.iter().map(entry).collect())
}

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is no such file.
    #[error("there is no file `{}`", .0.display())]
    Missing(PathBuf),
    /// A glob matches nothing.
    #[error("no file matches `{0}`")]
    NoMatch(String),
    /// A glob that is none.
    #[error("`{0}` is not a glob: {1}")]
    BadGlob(String, String),
    /// A match that does not lie where the glob looks, or has a name that is not UTF-8.
    #[error("`{}` has no plain name under the glob", .0.display())]
    Outside(PathBuf),
    /// A socket, a pipe or a device.
    #[error("`{}` is neither a file nor a directory", .0.display())]
    Special(PathBuf),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Finds and hashes what `text` names, relative to `root`.
///
/// # Errors
/// Why it cannot be used.
pub fn resolve(root: &Path, text: &str, known: &DigestCache) -> Result<SourceFile, FilesError> {
    if text.contains(['*', '?', '[']) && disk::look(&root.join(text)).is_err() {
        return matches(root, text).and_then(|files| several(files, known));
    }
    let path = root.join(text);
    match disk::look(&path) {
        Ok(PathEntry::File(signature)) => {
            let part = part(String::new(), path, signature, known)?;
            Ok(SourceFile {
                digest: part.digest,
                size: signature.size,
                directory: false,
                parts: vec![part],
            })
        }
        Ok(PathEntry::Directory) => several(disk::walk(&path)?, known),
        Ok(PathEntry::Special) => Err(FilesError::Special(path)),
        Err(error) if error.is_missing() => Err(FilesError::Missing(PathBuf::from(text))),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the source's bytes are still those that were hashed. Reads a file again only if
/// the system tells that it was touched.
///
/// # Errors
/// The disk failed.
pub fn is_unchanged(source: &SourceFile) -> Result<bool, DiskError> {
    for part in &source.parts {
        let same = match disk::look(&part.path) {
            Ok(PathEntry::File(signature)) if signature == part.signature => true,
            Ok(PathEntry::File(signature)) => {
                hash(&part.path, signature.size, &Cancel::new())? == part.digest
            }
            Ok(_) => false,
            Err(error) if error.is_missing() => false,
            Err(error) => return Err(error),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lists the files of a directory or a glob by name, without reading any; `None` if it is neither
/// or cannot be listed.
pub fn names(root: &Path, text: &str) -> Option<Vec<String>> {
    Some(
        list(root, text)?
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
    )
}

/// Lists the files of a directory or a glob, as `names` does.
pub fn paths(root: &Path, text: &str) -> Option<Vec<PathBuf>> {
    Some(
        list(root, text)?
            .into_iter()
            .map(|(_, path)| path)
            .collect(),
    )
}

fn list(root: &Path, text: &str) -> Option<Vec<(String, PathBuf)>> {
    let path = root.join(text);
    match disk::look(&path) {
        Ok(PathEntry::Directory) => disk::walk(&path).ok(),
        Ok(_) => None,
        Err(_) => matches(root, text).ok(),
    }
}

fn part(
    name: String,
    path: PathBuf,
    signature: FileStamp,
    known: &DigestCache,
) -> Result<SourcePart, FilesError> {
    let digest = known.digest(&path, signature)?;
    Ok(SourcePart {
        name,
        path,
        signature,
        digest,
    })
}

fn several(files: Vec<(String, PathBuf)>, known: &DigestCache) -> Result<SourceFile, FilesError> {
    let looked = files
        .into_par_iter()
        .map(|(name, path)| match disk::look(&path)? {
            PathEntry::File(signature) => part(name, path, signature, known),
            _ => Err(FilesError::Special(path)),
        });
    // All of them first: of several errors, the first in the order of the names is told.
    let parts = looked
        .collect::<Vec<_>>()
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let manifest = manifest(&parts);
    Ok(SourceFile {
        digest: Digest::of(&manifest.encode()),
        size: manifest.size(),
        directory: true,
        parts,
    })
}

/// Matches a glob; names are relative to the last folder before its first wild component.
fn matches(root: &Path, text: &str) -> Result<Vec<(String, PathBuf)>, FilesError> {
    let fixed: PathBuf = Path::new(text)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    // Resolved, so that the names do not depend on how the way to the folder is written.
    let base = disk::absolute(&root.join(&fixed)).unwrap_or_else(|_| root.join(&fixed));
    let wild: PathBuf = Path::new(text)
        .components()
        .skip(fixed.components().count())
        .collect();
    let pattern = format!(
        "{}/{}",
        glob::Pattern::escape(&base.to_string_lossy()),
        wild.display()
    );
    let bad = |error: glob::PatternError| FilesError::BadGlob(text.to_owned(), error.to_string());
    let mut files = Vec::new();
    for found in glob::glob(&pattern).map_err(bad)? {
        let path = found.map_err(|error| {
            let path = error.path().to_owned();
            DiskError {
                verb: "list",
                path,
                cause: error.into(),
            }
        })?;
        if matches!(disk::look(&path)?, PathEntry::Directory) {
            continue;
        }
        let name = path
            .strip_prefix(&base)
            .ok()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        files.push((name.ok_or_else(|| FilesError::Outside(path.clone()))?, path));
    }
    files.sort();
    if files.is_empty() {
        Err(FilesError::NoMatch(text.to_owned()))
    } else {
        Ok(files)
    }
}
