//! The file a run is carried in: frames, and a last one that says how many there were and what they
//! were.
//!
//! After the format's line come frames: a tag, a length (8 bytes, little-endian), the digest of the
//! body (32 bytes) and the body. The first holds the records, as in a journal; each further one is
//! a blob; the last one, the seal, counts them and holds the digest of all that was before, with a
//! signature of it if there is a key. So a file that ends early, at whatever place, is not whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, FramedHasher};
use crate::base::disk::{self, DiskError};
use crate::base::signing::{Signature, SigningKey};

/// What archives of every format begin with.
const FAMILY: &[u8] = b"netsec-run-";
/// The line of this format.
const MAGIC: &[u8] = b"netsec-run-2\n";
/// How long a tag, a length and a digest are together.
const HEAD: u64 = 1 + 8 + 32;
/// The longest seal that is read, in bytes.
const SEAL: u64 = 4096;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameTag {
    Records,
    Blob,
    Seal,
}

impl FrameTag {
    fn byte(self) -> u8 {
        match self {
            Self::Records => b'r',
            Self::Blob => b'b',
            Self::Seal => b's',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Records, Self::Blob, Self::Seal]
            .into_iter()
            .find(|tag| tag.byte() == byte)
    }
}

/// The body of the last frame.
#[derive(Debug, Serialize, Deserialize)]
struct ArchiveSeal {
    /// How many frames came before.
    frames: u64,
    /// The digest of them.
    all: Digest,
    /// Who vouches for it.
    signature: Option<Signature>,
}

/// What all frames come to.
struct ArchiveSum {
    frames: u64,
    framed: FramedHasher,
}

impl ArchiveSum {
    fn new() -> Self {
        Self {
            frames: 0,
            framed: FramedHasher::new("netsec 2026-11 archive 2"),
        }
    }

    fn add(&mut self, tag: FrameTag, digest: &Digest) {
        self.frames += 1;
        self.framed.number(u64::from(tag.byte())).digest(digest);
    }

    /// Returns the body of the seal of these frames, signed if there is a key.
    fn seal(&self, key: Option<&SigningKey>) -> Vec<u8> {
        let all = self.framed.finish();
        let seal = ArchiveSeal {
            frames: self.frames,
            all,
            signature: key.map(|key| key.sign(all.as_bytes())),
        };
        rmp_serde::to_vec_named(&seal).expect("plain data serialises")
    }
}

/// Returns the body of the seal of an archive of these records and blobs: what it takes of a blob is its
/// digest.
#[cfg(feature = "kinds")]
pub(crate) fn seal_of(records: &[u8], blobs: &[Digest], key: Option<&SigningKey>) -> Vec<u8> {
    let mut sum = ArchiveSum::new();
    sum.add(FrameTag::Records, &Digest::of(records));
    for digest in blobs {
        sum.add(FrameTag::Blob, digest);
    }
    sum.seal(key)
}

/// An archive that is being written: nothing stands at its place before it is sealed.
pub(crate) struct ArchiveWriter<'a> {
    path: &'a Path,
    file: tempfile::NamedTempFile,
    sum: ArchiveSum,
}

impl<'a> ArchiveWriter<'a> {
    /// Begins an archive.
    pub(crate) fn create(path: &'a Path) -> Result<Self, DiskError> {
        let mut writer = Self {
            path,
            file: disk::begin(path)?,
            sum: ArchiveSum::new(),
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Adds a frame.
    pub(crate) fn add(&mut self, tag: FrameTag, body: &[u8]) -> Result<(), DiskError> {
        let digest = Digest::of(body);
        self.sum.add(tag, &digest);
        self.write(
            &[
                &[tag.byte()],
                body.len().to_le_bytes().as_slice(),
                digest.as_bytes(),
            ]
            .concat(),
        )?;
        self.write(body)
    }

    /// Ends the archive, signed if there is a key, and puts it where it is to be.
    pub(crate) fn seal(self, key: Option<&SigningKey>) -> Result<(), DiskError> {
        let seal = self.sum.seal(key);
        self.seal_as(&seal)
    }

    /// Ends the archive with a seal that was made before.
    pub(crate) fn seal_as(mut self, seal: &[u8]) -> Result<(), DiskError> {
        self.add(FrameTag::Seal, seal)?;
        let synced = self.file.as_file().sync_all();
        synced.map_err(|cause| DiskError {
            verb: "flush",
            path: self.path.to_owned(),
            cause,
        })?;
        disk::settle(self.file, self.path)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let written = self.file.write_all(bytes);
        written.map_err(|cause| DiskError {
            verb: "write",
            path: self.path.to_owned(),
            cause,
        })
    }
}

/// An archive that is being read.
pub(crate) struct ArchiveReader<'a> {
    path: &'a Path,
    file: File,
    left: u64,
    sum: ArchiveSum,
}

/// A frame whose body was not read yet.
pub(crate) struct ArchiveFrame {
    pub(crate) tag: FrameTag,
    pub(crate) digest: Digest,
    pub(crate) length: u64,
}

/// Returns the error of an archive that is not as it should be.
pub(crate) fn odd(path: &Path, why: &str) -> DiskError {
    DiskError {
        verb: "take in",
        path: path.to_owned(),
        cause: io::Error::other(why.to_owned()),
    }
}

impl<'a> ArchiveReader<'a> {
    /// Begins to read an archive.
    ///
    /// # Errors
    /// It is none, or of another format; the disk failed.
    pub(crate) fn open(path: &'a Path) -> Result<Self, DiskError> {
        let mut file = disk::open(path)?;
        let failed = |cause| DiskError {
            verb: "read",
            path: path.to_owned(),
            cause,
        };
        let left = file.metadata().map_err(failed)?.len();
        let mut line = Vec::new();
        (&mut file)
            .take(MAGIC.len() as u64)
            .read_to_end(&mut line)
            .map_err(failed)?;
        match line.as_slice() {
            MAGIC => {}
            b"netsec-run-1\n" => {
                return Err(odd(
                    path,
                    "it was exported by an earlier netsec, and does not tell whether it is whole: export it again",
                ));
            }
            line if line.starts_with(FAMILY) => {
                return Err(odd(
                    path,
                    "it was exported by another version of netsec, or its first line is damaged",
                ));
            }
            _ => return Err(odd(path, "it is no exported run")),
        }
        Ok(Self {
            path,
            file,
            left: left - MAGIC.len() as u64,
            sum: ArchiveSum::new(),
        })
    }

    /// Reads the beginning of the next frame.
    ///
    /// # Errors
    /// The file ends, or is odd.
    pub(crate) fn next(&mut self) -> Result<ArchiveFrame, DiskError> {
        let mut head = [0; HEAD as usize];
        if self.left < HEAD || self.file.read_exact(&mut head).is_err() {
            return Err(odd(self.path, "it is not whole: it ends before its seal"));
        }
        self.left -= HEAD;
        let (length, digest) = head[1..]
            .split_first_chunk::<8>()
            .expect("eight bytes and more");
        let length = u64::from_le_bytes(*length);
        let digest = Digest::from_bytes(digest.try_into().expect("thirty-two bytes"));
        let Some(tag) = FrameTag::of(head[0]) else {
            return Err(odd(
                self.path,
                "it is damaged: a frame is of an unknown kind",
            ));
        };
        // No more is read than there is, whatever the length says.
        if length > self.left || tag == FrameTag::Seal && length > SEAL {
            return Err(odd(
                self.path,
                "it is not whole: a frame goes beyond its end",
            ));
        }
        self.left -= length;
        Ok(ArchiveFrame {
            tag,
            digest,
            length,
        })
    }

    /// Reads a frame's body into memory.
    ///
    /// # Errors
    /// It is damaged; the disk failed.
    pub(crate) fn body(&mut self, frame: &ArchiveFrame) -> Result<Vec<u8>, DiskError> {
        let mut body = Vec::new();
        self.copy(frame, &mut body)?;
        Ok(body)
    }

    /// Copies a frame's body.
    ///
    /// # Errors
    /// It is damaged; the disk failed.
    pub(crate) fn copy(
        &mut self,
        frame: &ArchiveFrame,
        to: &mut impl Write,
    ) -> Result<(), DiskError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        let mut left = frame.length;
        while left > 0 {
            let part = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let copied = self
                .file
                .read_exact(&mut buffer[..part])
                .and_then(|()| to.write_all(&buffer[..part]));
            copied.map_err(|cause| DiskError {
                verb: "take in",
                path: self.path.to_owned(),
                cause,
            })?;
            hasher.update(&buffer[..part]);
            left -= part as u64;
        }
        if hasher.finalize().as_bytes() != frame.digest.as_bytes() {
            return Err(odd(
                self.path,
                "it is damaged: a frame's bytes are not those its digest promises",
            ));
        }
        if frame.tag != FrameTag::Seal {
            self.sum.add(frame.tag, &frame.digest);
        }
        Ok(())
    }

    /// Reads the seal and checks it against all that was read; returns who signed it.
    ///
    /// # Errors
    /// Something is missing, was added, or follows; the signature does not fit.
    pub(crate) fn seal(mut self, frame: &ArchiveFrame) -> Result<Option<String>, DiskError> {
        let body = self.body(frame)?;
        let seal: ArchiveSeal =
            rmp_serde::from_slice(&body).map_err(|_| odd(self.path, "its seal cannot be read"))?;
        let all = self.sum.framed.finish();
        if seal.frames != self.sum.frames || seal.all != all {
            return Err(odd(
                self.path,
                "it is not whole: its seal speaks of other frames",
            ));
        }
        if self.left > 0 {
            return Err(odd(self.path, "something follows its seal"));
        }
        match &seal.signature {
            None => Ok(None),
            Some(signature) if signature.is_of(all.as_bytes()) => Ok(Some(signature.key.clone())),
            Some(_) => Err(odd(self.path, "its signature does not fit")),
        }
    }
}
