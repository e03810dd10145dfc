//! A layer: files as a packed archive whose bytes follow from the files alone. Nobody's name, no time
//! and no order of a file system is in it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::base::digest::hex;

/// What stands at a path of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerEntry {
    /// A file, and whether it can be run.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether it can be run.
        is_program: bool,
    },
    /// A directory; those above a file need not be named.
    Directory {
        /// Its permissions.
        mode: u32,
    },
}

/// The files of a layer, by their paths, which have no slash in front.
pub type LayerFiles = BTreeMap<String, LayerEntry>;

/// A packed layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedLayer {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// The SHA-256 of the archive before it was packed.
    pub diff_id: String,
}

/// Packs a layer.
///
/// # Errors
/// A path is longer than an archive takes.
pub fn pack(files: &LayerFiles) -> io::Result<PackedLayer> {
    let archive = archive(files)?;
    let packer = GzBuilder::new().mtime(0).operating_system(255);
    let mut packed = packer.write(Vec::new(), Compression::new(6));
    packed.write_all(&archive)?;
    let bytes = packed.finish()?;
    Ok(PackedLayer {
        digest: sha256(&bytes),
        diff_id: sha256(&archive),
        bytes,
    })
}

/// Returns the SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn archive(files: &LayerFiles) -> io::Result<Vec<u8>> {
    let mut whole = files.clone();
    for path in files.keys() {
        for (at, _) in path.match_indices('/') {
            let above = LayerEntry::Directory { mode: 0o755 };
            whole.entry(path[..at].to_owned()).or_insert(above);
        }
    }
    let mut archive = tar::Builder::new(Vec::new());
    // In the order of their paths a directory stands before what is in it.
    for (path, entry) in &whole {
        let mut header = Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let bytes: &[u8] = match entry {
            LayerEntry::File { bytes, is_program } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *is_program { 0o755 } else { 0o644 });
                bytes
            }
            LayerEntry::Directory { mode } => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                &[]
            }
        };
        header.set_size(bytes.len() as u64);
        let path = match entry {
            LayerEntry::File { .. } => path.clone(),
            LayerEntry::Directory { .. } => format!("{path}/"),
        };
        header.set_path(&path)?;
        header.set_cksum();
        archive.append(&header, bytes)?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_bytes_and_read_back() {
        let file = |text: &str| LayerEntry::File {
            bytes: text.as_bytes().to_vec(),
            is_program: false,
        };
        let mut files = LayerFiles::new();
        files.insert("b/c/d".to_owned(), file("one"));
        files.insert("a".to_owned(), file("two"));
        let packed = pack(&files).unwrap();
        assert_eq!(packed, pack(&files.clone()).unwrap());
        let unpacked = flate2::read::GzDecoder::new(packed.bytes.as_slice());
        let mut archive = tar::Archive::new(unpacked);
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a", "b/", "b/c/", "b/c/d"]);
        files.insert("e".repeat(300), file("three"));
        assert!(pack(&files).is_err());
    }
}
