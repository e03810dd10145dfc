//! The bytes of a Parquet file: all of them in memory, or read from the file where they are needed.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use polars_parquet_format::FileMetaData;
use polars_parquet_format::thrift::protocol::TCompactOutputProtocol;

/// What a file begins and ends with.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// The bytes of a file.
pub(crate) enum ParquetBytes {
    /// In memory.
    Held(Vec<u8>),
    /// In a file of so many bytes, which may be larger than memory.
    OnDisk(File, usize),
}

impl ParquetBytes {
    /// Reads from a file that is there as a whole.
    ///
    /// # Errors
    /// Its length cannot be told.
    pub(crate) fn on_disk(file: File) -> std::io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
        Ok(Self::OnDisk(file, length))
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::OnDisk(_, length) => *length,
        }
    }

    /// Returns some of them; none if they lie beyond its end.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn get(&self, range: Range<usize>) -> Result<Option<Cow<'_, [u8]>>, String> {
        match self {
            Self::Held(bytes) => Ok(bytes.get(range).map(Cow::Borrowed)),
            Self::OnDisk(_, length) if range.start > range.end || range.end > *length => Ok(None),
            Self::OnDisk(..) => {
                let mut bytes = vec![0; range.len()];
                self.read_into(range.start, &mut bytes)?;
                Ok(Some(Cow::Owned(bytes)))
            }
        }
    }

    /// Reads some of them, which are there.
    fn read_into(&self, from: usize, into: &mut [u8]) -> Result<(), String> {
        match self {
            Self::Held(bytes) => {
                into.copy_from_slice(&bytes[from..from + into.len()]);
                Ok(())
            }
            Self::OnDisk(file, _) => file
                .read_exact_at(into, from as u64)
                .map_err(|error| format!("it cannot be read, or was changed meanwhile: {error}")),
        }
    }

    /// Returns a file of parts of this one, which are there, one after the other; and a footer.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn file_of(
        &self,
        parts: &[Range<usize>],
        footer: &FileMetaData,
    ) -> Result<Vec<u8>, String> {
        let footer = written(footer)?;
        let length: usize = parts.iter().map(Range::len).sum();
        let mut bytes = Vec::with_capacity(MAGIC.len() + length + footer.len());
        bytes.extend_from_slice(MAGIC);
        for part in parts {
            let from = bytes.len();
            bytes.resize(from + part.len(), 0);
            self.read_into(part.start, &mut bytes[from..])?;
        }
        bytes.extend(footer);
        Ok(bytes)
    }
}

/// Returns a footer as it stands at the end of a file, with its length.
fn written(footer: &FileMetaData) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut protocol = TCompactOutputProtocol::new(&mut bytes);
    footer
        .write_to_out_protocol(&mut protocol)
        .map_err(|error| format!("its footer cannot be used: {error}"))?;
    let length = u32::try_from(bytes.len()).map_err(|_| "its footer is too long")?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(MAGIC);
    Ok(bytes)
}
