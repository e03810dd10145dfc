//! The digest of a file: a large one by all cores, and no longer than it is wanted.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{DiskResult, LARGE, copy, create_dirs, named, open, read, write_input};

/// So much of a file is read and hashed at once, in bytes: a power of two, and short enough to stay
/// in a core's cache.
const PIECE: u64 = 1 << 18;

/// Hashes a file of which the size is known; a large one by all cores. It is read, and not mapped:
/// one that is cut short meanwhile is an error, where a map would end the process.
///
/// # Errors
/// Reading failed; `cancel` was raised.
pub fn hash(path: &Path, size: u64, cancel: &Cancel) -> DiskResult<Digest> {
    let mut hasher = blake3::Hasher::new();
    let file = open(path)?;
    let hash = match size > PIECE {
        true => (TreeHashing {
            file: &file,
            cancel,
        })
        .tree(0, size),
        false => hasher.update_reader(file).map(|fed| fed.finalize()),
    };
    named(
        "read",
        path,
        hash.map(|hash| Digest::from_bytes(*hash.as_bytes())),
    )
}

struct TreeHashing<'a> {
    file: &'a File,
    cancel: &'a Cancel,
}

impl TreeHashing<'_> {
    fn tree(&self, start: u64, length: u64) -> io::Result<blake3::Hash> {
        self.halves(start, length)
            .map(|(left, right)| merge_subtrees_root(&left, &right, Mode::Hash))
    }

    /// Hashes the two halves of a part of a file, as BLAKE3 cuts it (the BLAKE3 paper, section
    /// 2.1): each half by itself.
    fn halves(&self, start: u64, length: u64) -> io::Result<(ChainingValue, ChainingValue)> {
        let left = left_subtree_len(length);
        let (left, right) = rayon::join(
            || self.part(start, left),
            || self.part(start + left, length - left),
        );
        Ok((left?, right?))
    }

    fn part(&self, start: u64, length: u64) -> io::Result<ChainingValue> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        if length > PIECE {
            let (left, right) = self.halves(start, length)?;
            return Ok(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(usize::try_from(length).expect("a piece is short"), 0);
            self.file
                .read_exact_at(buffer, start)
                .map_err(|cause| match cause.kind() {
                    io::ErrorKind::UnexpectedEof => {
                        io::Error::other("it became shorter while it was read: run again")
                    }
                    _ => cause,
                })?;
            Ok(blake3::Hasher::new()
                .set_input_offset(start)
                .update(buffer)
                .finalize_non_root())
        })
    }
}

/// Copies a file of which size and digest are known to one that may be read and run, and not
/// written; a large one by reference where the file system can. Returns whether what was copied has
/// that digest.
pub fn copy_input(from: &Path, (size, digest): (u64, &Digest), to: &Path) -> DiskResult<bool> {
    if size < LARGE {
        let bytes = read(from)?;
        let is_same = Digest::of(&bytes) == *digest;
        return if is_same {
            write_input(to, &bytes).map(|()| true)
        } else {
            Ok(false)
        };
    }
    if let Some(folder) = to.parent() {
        create_dirs(folder)?;
    }
    let copied = copy(from, to)?;
    named(
        "protect",
        to,
        fs::set_permissions(to, fs::Permissions::from_mode(0o555)),
    )?;
    // What is longer than it was has the same beginning.
    Ok(copied == size && hash(to, size, &Cancel::new())? == *digest)
}
