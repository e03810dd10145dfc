//! A run in a bucket: an exported run (`app::archive`) without the bodies of its blobs, which stand beside
//! it, each once, whichever runs have it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::app::archive::{ArchiveWriter, FrameTag, odd, seal_of};
use crate::app::transfer::ExportedRun;
use crate::app::workspace::AppResult;
use crate::base::digest::Digest;
use crate::base::signing::SigningKey;

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
    /// Where runs stand in a bucket.
    pub const FOLDER: &str = "v1/runs";

    /// Returns where it stands in a bucket.
    pub fn name(run: &str) -> String {
        format!("{}/{run}", Self::FOLDER)
    }

    /// Takes what of a run is carried elsewhere, sealed as an exported run is.
    pub(crate) fn of(run: ExportedRun, key: Option<&SigningKey>) -> Self {
        let ExportedRun { records, blobs, .. } = run;
        Self {
            format: FORMAT,
            seal: seal_of(&records, &blobs, key),
            records,
            blobs,
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
        let mut archive = ArchiveWriter::create(path)?;
        archive.add(FrameTag::Records, &self.records)?;
        for digest in &self.blobs {
            archive.add(FrameTag::Blob, &read(digest)?)?;
        }
        Ok(archive.seal_as(&self.seal)?)
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
