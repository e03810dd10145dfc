//! A run in a bucket: an exported run (`app::archive`) without the bodies of its blobs, which stand beside
//! it, each once, whichever runs have it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::app::archive::{ArchiveReader, FrameTag, append_frame, begin_frames, odd};
use crate::app::workspace::AppResult;
use crate::base::digest::Digest;
use crate::base::disk;

/// Version of the stored form. A newer one is refused.
const FORMAT: u32 = 1;

/// A run without the bodies of its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRun {
    format: u32,
    /// The records, as they stand in an exported run.
    records: Vec<u8>,
    /// The blobs, in the order in which they stand there.
    pub blobs: Vec<Digest>,
    /// What says that all of it is there, and who vouches for it.
    seal: Vec<u8>,
}

impl SharedRun {
    /// Returns where it stands in a bucket.
    pub fn name(run: &str) -> String {
        format!("v1/runs/{run}")
    }

    /// Takes an exported run apart.
    ///
    /// # Errors
    /// The disk failed.
    pub fn of_archive(path: &Path) -> AppResult<Self> {
        let mut archive = ArchiveReader::open(path)?;
        let (mut records, mut blobs) = (Vec::new(), Vec::new());
        loop {
            let frame = archive.next()?;
            match frame.tag {
                FrameTag::Records => records = archive.body(&frame)?,
                FrameTag::Blob => {
                    archive.copy(&frame, &mut std::io::sink())?;
                    blobs.push(frame.digest);
                }
                FrameTag::Seal => {
                    return Ok(Self {
                        format: FORMAT,
                        records,
                        blobs,
                        seal: archive.body(&frame)?,
                    });
                }
            }
        }
    }

    /// Puts it together again, as a file that can be imported; `read` gives the bodies of its blobs.
    ///
    /// # Errors
    /// A blob is not there; the disk failed.
    pub fn write_archive(
        &self,
        path: &Path,
        read: &dyn Fn(&Digest) -> AppResult<Vec<u8>>,
    ) -> AppResult<()> {
        let mut file = disk::create(path)?;
        begin_frames(&mut file, path)?;
        append_frame(&mut file, path, FrameTag::Records, &self.records)?;
        for digest in &self.blobs {
            append_frame(&mut file, path, FrameTag::Blob, &read(digest)?)?;
        }
        append_frame(&mut file, path, FrameTag::Seal, &self.seal)?;
        Ok(())
    }

    /// Returns it as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("plain data serialises")
    }

    /// Reads it as it is stored.
    ///
    /// # Errors
    /// It is something else, or of a newer format.
    pub fn decode(name: &str, bytes: &[u8]) -> AppResult<Self> {
        let path = Path::new(name);
        let run: Self =
            rmp_serde::from_slice(bytes).map_err(|_| odd(path, "it is no run of a bucket"))?;
        match run.format {
            FORMAT => Ok(run),
            _ => Err(odd(path, "it is of a newer format: update netsec").into()),
        }
    }
}
